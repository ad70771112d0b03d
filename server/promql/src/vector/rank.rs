//! Rows chosen within their group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::{cmp::Ordering, collections::HashMap};

use skep_proto::Labels;

use crate::{
    Matrix,
    annotations::{Note, Notes},
    leaf::Grouping,
    matrix::Row,
    vector::{Operand as _, group_labels, hash::hash},
    window::at_step,
};

/// How many rows a group keeps; one value a step, or one for all.
#[derive(Debug, Clone, PartialEq)]
pub enum Ranking {
    Top(Vec<i64>),
    Bottom(Vec<i64>),
    /// Any rows, the same ones for the same input.
    Limit(Vec<i64>),
    /// A share of all rows, by a hash of their labels; a negative share is the complement.
    Ratio(Vec<f64>),
}

impl Ranking {
    /// The name of the aggregation, where it ranks by value and histograms have no rank.
    fn of_floats(&self) -> Option<&'static str> {
        match self {
            Self::Top(_) => Some("topk"),
            Self::Bottom(_) => Some("bottomk"),
            Self::Limit(_) | Self::Ratio(_) => None,
        }
    }
}

/// Keeps the chosen values of each step. At one step the rows come out in the order of rank within
/// their group, groups in order of appearance.
pub fn rank(input: Matrix, ranking: &Ranking, grouping: &Grouping, notes: &mut Notes) -> Matrix {
    let grid = input.grid;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: HashMap<Labels, usize> = HashMap::new();
    for (row_idx, row) in input.rows.iter().enumerate() {
        let next = groups.len();
        let idx = *group_of.entry(group_labels(&row.labels, grouping)).or_insert(next);
        if idx == next {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.get_mut(idx) {
            group.push(row_idx);
        }
    }
    if let Some(name) = ranking.of_floats()
        && input.has_histograms()
    {
        notes.insert(Note::IgnoredInAggregation(name));
    }
    let mut is_kept: Vec<Vec<bool>> =
        input.rows.iter().map(|it| vec![false; it.values.len()]).collect();
    let mut order: Vec<usize> = Vec::with_capacity(input.rows.len());
    for step_idx in 0..grid.n_steps() {
        for group in &groups {
            let chosen = choose(&input.rows, group, ranking, step_idx);
            for row_idx in &chosen {
                if let Some(slot) = is_kept.get_mut(*row_idx).and_then(|it| it.get_mut(step_idx)) {
                    *slot = true;
                }
            }
            if grid.n_steps() == 1 {
                order.extend(chosen);
            }
        }
    }
    if grid.n_steps() != 1 {
        order.extend(0..input.rows.len());
    }
    let mut rows: Vec<Option<Row>> =
        input.rows.into_iter().zip(is_kept).map(|(row, kept)| Some(only(row, &kept))).collect();
    let rows = order
        .into_iter()
        .filter_map(|row_idx| rows.get_mut(row_idx)?.take())
        .filter(Row::has_values)
        .collect();
    Matrix { grid, rows }
}

/// A row at some of its steps.
fn only(mut row: Row, is_kept: &[bool]) -> Row {
    for (step_idx, is_kept) in is_kept.iter().enumerate() {
        if !is_kept {
            row.blank(step_idx);
        }
    }
    row.tidied()
}

fn choose(rows: &[Row], group: &[usize], ranking: &Ranking, step_idx: usize) -> Vec<usize> {
    let floats = || {
        let of = |&row_idx: &usize| Some((row_idx, f64::at(rows.get(row_idx)?, step_idx)?));
        group.iter().filter_map(of).collect()
    };
    let is_present = |it: &usize| rows.get(*it).is_some_and(|it| it.is_present(step_idx));
    let present = group.iter().copied().filter(is_present);
    match ranking {
        Ranking::Top(k) => best(floats(), count_at(k, step_idx), |a, b| b.total_cmp(&a)),
        Ranking::Bottom(k) => best(floats(), count_at(k, step_idx), |a, b| a.total_cmp(&b)),
        Ranking::Limit(k) => present.take(count_at(k, step_idx)).collect(),
        Ranking::Ratio(ratio) => {
            let ratio = at_step(ratio, step_idx);
            let is_in = |it: &usize| rows.get(*it).is_some_and(|it| is_in_share(&it.labels, ratio));
            present.filter(is_in).collect()
        }
    }
}

fn count_at(k: &[i64], step_idx: usize) -> usize {
    let k = k.get(step_idx).or(k.last()).copied().unwrap_or(0);
    usize::try_from(k).unwrap_or(0)
}

/// The best `k`, best first; NaN is worse than any number; of equals, the earlier row.
fn best(
    mut values: Vec<(usize, f64)>,
    k: usize,
    order: impl Fn(f64, f64) -> Ordering,
) -> Vec<usize> {
    values.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        // `total_cmp` tells zeros apart by sign; PromQL does not.
        (false, false) => order(*a + 0.0, *b + 0.0),
    });
    values.truncate(k);
    values.into_iter().map(|(row_idx, _)| row_idx).collect()
}

/// Where a label set falls between 0 and 1, by its hash.
#[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
fn share_of(labels: &Labels) -> f64 {
    hash(labels) as f64 / u64::MAX as f64
}

fn is_in_share(labels: &Labels, ratio: f64) -> bool {
    let share = share_of(labels);
    if ratio >= 0.0 { share < ratio } else { share >= 1.0 + ratio }
}
