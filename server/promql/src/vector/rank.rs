//! Rows chosen within their group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::{cmp::Ordering, collections::HashMap};

use skep_proto::Labels;

use crate::{
    Matrix,
    leaf::Grouping,
    matrix::{Row, absent, is_absent},
    vector::{group_labels, has_values},
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

/// Keeps the chosen values of each step. At one step the rows come out in the order of rank within
/// their group, groups in order of appearance.
pub fn rank(input: Matrix, ranking: &Ranking, grouping: &Grouping) -> Matrix {
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
    let mut kept: Vec<Vec<f64>> =
        input.rows.iter().map(|it| vec![absent(); it.values.len()]).collect();
    let mut order: Vec<usize> = Vec::with_capacity(input.rows.len());
    for step_idx in 0..grid.n_steps() {
        for group in &groups {
            let chosen = choose(&input.rows, group, ranking, step_idx);
            for &(row_idx, value) in &chosen {
                if let Some(slot) = kept.get_mut(row_idx).and_then(|it| it.get_mut(step_idx)) {
                    *slot = value;
                }
            }
            if grid.n_steps() == 1 {
                order.extend(chosen.iter().map(|(row_idx, _)| *row_idx));
            }
        }
    }
    if grid.n_steps() != 1 {
        order.extend(0..input.rows.len());
    }
    let mut rows: Vec<Option<Row>> = input
        .rows
        .into_iter()
        .zip(kept)
        .map(|(row, values)| Some(Row::floats(row.labels, values)))
        .collect();
    let rows = order
        .into_iter()
        .filter_map(|row_idx| rows.get_mut(row_idx)?.take())
        .filter(has_values)
        .collect();
    Matrix { grid, rows }
}

fn choose(rows: &[Row], group: &[usize], ranking: &Ranking, step_idx: usize) -> Vec<(usize, f64)> {
    let present = group.iter().filter_map(|&row_idx| {
        let value = *rows.get(row_idx)?.values.get(step_idx)?;
        (!is_absent(value)).then_some((row_idx, value))
    });
    match ranking {
        Ranking::Top(k) => best(present.collect(), count_at(k, step_idx), |a, b| b.total_cmp(&a)),
        Ranking::Bottom(k) => {
            best(present.collect(), count_at(k, step_idx), |a, b| a.total_cmp(&b))
        }
        Ranking::Limit(k) => present.take(count_at(k, step_idx)).collect(),
        Ranking::Ratio(ratio) => {
            let ratio = at_step(ratio, step_idx);
            present
                .filter(|(row_idx, _)| {
                    rows.get(*row_idx).is_some_and(|it| is_in_share(&it.labels, ratio))
                })
                .collect()
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
) -> Vec<(usize, f64)> {
    values.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        // `total_cmp` tells zeros apart by sign; PromQL does not.
        (false, false) => order(*a + 0.0, *b + 0.0),
    });
    values.truncate(k);
    values
}

/// Where a label set falls between 0 and 1, by its hash.
#[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
fn share_of(labels: &Labels) -> f64 {
    labels.stable_hash() as f64 / u64::MAX as f64
}

fn is_in_share(labels: &Labels, ratio: f64) -> bool {
    let share = share_of(labels);
    if ratio >= 0.0 { share < ratio } else { share >= 1.0 + ratio }
}
