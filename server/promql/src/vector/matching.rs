//! Arithmetic and comparison between two vectors: one-to-one, many-to-one, one-to-many.

use std::{collections::HashMap, sync::Arc};

use skep_proto::{Labels, names::METRIC_NAME};

use crate::{
    Matrix,
    annotations::Notes,
    ast::{BinaryOp, Cardinality, Matching},
    lex::quote,
    matrix::{Row, absent},
    vector::{
        VectorError,
        binary::changes_meaning,
        cell::{Cell, Operand},
        without_metadata,
    },
};

/// The labels by which rows of the two sides find each other.
pub(crate) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    if matching.on {
        labels.keep(|it| matching.labels.iter().any(|name| name == it))
    } else {
        labels.keep(|it| it != METRIC_NAME && !matching.labels.iter().any(|name| name == it))
    }
}

/// The rows of one signature.
#[derive(Default)]
struct Group<'a> {
    many: Vec<&'a Row>,
    one: Vec<&'a Row>,
}

/// # Errors
/// More than one match at a step where the matching allows one only.
pub fn vector_vector(
    op: BinaryOp,
    return_bool: bool,
    matching: &Matching,
    lhs: &Matrix,
    rhs: &Matrix,
    notes: &mut Notes,
) -> Result<Matrix, VectorError> {
    let is_swapped = matching.card == Cardinality::OneToMany;
    let join = Join { op, return_bool, matching, is_swapped, n_steps: lhs.grid.n_steps() };
    if lhs.has_histograms() || rhs.has_histograms() {
        join.run::<Cell>(lhs, rhs, notes)
    } else {
        join.run::<f64>(lhs, rhs, notes)
    }
}

/// Rows of both sides by the labels they find each other by, in order of appearance.
fn groups<'a>(many: &'a Matrix, one: &'a Matrix, matching: &Matching) -> Vec<(Labels, Group<'a>)> {
    let mut idx_of: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Group<'_>)> = Vec::new();
    for (side, is_many) in [(many, true), (one, false)] {
        for row in &side.rows {
            let signature = signature(&row.labels, matching);
            let idx = match idx_of.get(&signature) {
                Some(idx) => *idx,
                None => {
                    idx_of.insert(signature.clone(), groups.len());
                    groups.push((signature, Group::default()));
                    groups.len() - 1
                }
            };
            if let Some((_, group)) = groups.get_mut(idx) {
                if is_many { group.many.push(row) } else { group.one.push(row) }
            }
        }
    }
    groups
}

/// Result rows by their labels: several inputs can take turns over the steps.
#[derive(Default)]
struct Results {
    rows: Vec<Row>,
    idx_of: HashMap<Arc<Labels>, usize>,
    /// Where the last pair of inputs went, told by address: pairs hold over many steps, and making
    /// labels costs more than all else.
    last: Option<(Pair, usize)>,
}

type Pair = (*const Labels, *const Labels);

impl Results {
    fn row(
        &mut self,
        pair: Pair,
        n_steps: usize,
        labels: impl FnOnce() -> Labels,
    ) -> Option<&mut Row> {
        if let Some((last, idx)) = self.last
            && last == pair
        {
            return self.rows.get_mut(idx);
        }
        let labels = Arc::new(labels());
        let next = self.rows.len();
        let idx = *self.idx_of.entry(Arc::clone(&labels)).or_insert(next);
        if idx == next {
            self.rows.push(Row::floats(labels, vec![absent(); n_steps]));
        }
        self.last = Some((pair, idx));
        self.rows.get_mut(idx)
    }
}

struct Join<'a> {
    op: BinaryOp,
    return_bool: bool,
    matching: &'a Matching,
    /// `group_right`: the many side is the right one.
    is_swapped: bool,
    n_steps: usize,
}

impl Join<'_> {
    fn run<T: Operand>(
        &self,
        lhs: &Matrix,
        rhs: &Matrix,
        notes: &mut Notes,
    ) -> Result<Matrix, VectorError> {
        let (many, one) = if self.is_swapped { (rhs, lhs) } else { (lhs, rhs) };
        let both = self.steps_with_both(many, one);
        let mut results = Results::default();
        for (signature, group) in &groups(many, one, self.matching) {
            self.group::<T>(group, signature, &both, &mut results, notes)?;
        }
        let mut rows: Vec<Row> = results.rows.into_iter().filter(Row::has_values).collect();
        for row in &mut rows {
            row.drops_name = self.return_bool;
        }
        Ok(Matrix { grid: lhs.grid, rows })
    }

    /// Steps where a side has nothing at all are not looked at, so they cannot fail either.
    fn steps_with_both(&self, many: &Matrix, one: &Matrix) -> Vec<bool> {
        let any =
            |side: &Matrix, step_idx: usize| side.rows.iter().any(|it| it.is_present(step_idx));
        let has_fill = self.matching.fill != (None, None);
        (0..self.n_steps)
            .map(|step_idx| has_fill || any(many, step_idx) && any(one, step_idx))
            .collect()
    }

    fn group<T: Operand>(
        &self,
        group: &Group<'_>,
        signature: &Labels,
        both: &[bool],
        results: &mut Results,
        notes: &mut Notes,
    ) -> Result<(), VectorError> {
        let one = self.one_of_each_step::<T>(&group.one, signature, both)?;
        // As in Prometheus, `fill_left` speaks of the many side even under `group_right`.
        let (fill_many, fill_one) = self.matching.fill;
        if self.matching.card == Cardinality::OneToOne {
            self.check_many_side(&group.many, &one, fill_one)?;
        }
        let mut is_matched = vec![false; self.n_steps];
        for many in &group.many {
            for step_idx in 0..self.n_steps {
                let Some(value) = T::at(many, step_idx) else {
                    continue;
                };
                if let Some(it) = is_matched.get_mut(step_idx) {
                    *it = true;
                }
                let partner = one.get(step_idx).and_then(Option::as_ref);
                let filled;
                let (labels, other) = match (partner, fill_one) {
                    (Some((row, other)), _) => (row.labels.as_ref(), other),
                    (None, Some(other)) => {
                        filled = T::of(other);
                        (signature, &filled)
                    }
                    (None, None) => continue,
                };
                let both = [(many.labels.as_ref(), &value), (labels, other)];
                self.put(results, step_idx, both, notes)?;
            }
        }
        if let Some(fill) = fill_many {
            let fill = T::of(fill);
            for (step_idx, partner) in one.iter().enumerate() {
                if let (Some((row, value)), Some(false)) = (partner, is_matched.get(step_idx)) {
                    let both = [(signature, &fill), (row.labels.as_ref(), value)];
                    self.put(results, step_idx, both, notes)?;
                }
            }
        }
        Ok(())
    }

    fn put<T: Operand>(
        &self,
        results: &mut Results,
        step_idx: usize,
        [(many_labels, many), (one_labels, one)]: [(&Labels, &T); 2],
        notes: &mut Notes,
    ) -> Result<(), VectorError> {
        let sides = if self.is_swapped { [one, many] } else { [many, one] };
        let Some(value) = T::combine(self.op, self.return_bool, sides, sides[0], notes) else {
            return Ok(());
        };
        let pair = (std::ptr::from_ref(many_labels), std::ptr::from_ref(one_labels));
        let labels = || self.result_labels(many_labels, one_labels);
        let Some(row) = results.row(pair, self.n_steps, labels) else {
            return Ok(());
        };
        if row.is_present(step_idx) {
            return Err(match self.matching.card {
                Cardinality::OneToOne => VectorError::SameLabels,
                _ => VectorError::NotUnique,
            });
        }
        value.put(row, step_idx);
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let names = &self.matching.labels;
        let is_listed = |it: &str| names.iter().any(|name| name == it);
        let labels = match (self.matching.card, self.matching.on) {
            (Cardinality::OneToOne, on) => many.keep(|it| is_listed(it) == on),
            _ => many.clone(),
        };
        let labels = if changes_meaning(self.op) { without_metadata(&labels) } else { labels };
        if self.matching.include.is_empty() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for name in &self.matching.include {
            // An empty value removes the label.
            builder.set(name, one.get(name));
        }
        builder.build()
    }

    /// The only row of the one side at each step.
    fn one_of_each_step<'a, T: Operand>(
        &self,
        rows: &[&'a Row],
        signature: &Labels,
        both: &[bool],
    ) -> Result<Vec<Option<(&'a Row, T)>>, VectorError> {
        let mut found: Vec<Option<(&Row, T)>> = vec![None; self.n_steps];
        for row in rows {
            for (step_idx, (slot, &is_looked_at)) in found.iter_mut().zip(both).enumerate() {
                let Some(value) = T::at(row, step_idx).filter(|_| is_looked_at) else {
                    continue;
                };
                if let Some((held, _)) = slot {
                    return Err(VectorError::ManyToMany {
                        group: braced(signature),
                        side: if self.is_swapped { "left" } else { "right" },
                        first: braced(&held.labels),
                        second: braced(&row.labels),
                    });
                }
                *slot = Some((*row, value));
            }
        }
        Ok(found)
    }

    /// One-to-one: two rows of the many side must not meet the same partner, whether or not a
    /// comparison would filter them.
    fn check_many_side<T>(
        &self,
        many: &[&Row],
        one: &[Option<(&Row, T)>],
        fill: Option<f64>,
    ) -> Result<(), VectorError> {
        if many.len() < 2 {
            return Ok(());
        }
        let mut is_taken = vec![false; self.n_steps];
        for row in many {
            for (step_idx, taken) in is_taken.iter_mut().enumerate() {
                let has_partner = fill.is_some() || one.get(step_idx).is_some_and(Option::is_some);
                if !(has_partner && row.is_present(step_idx)) {
                    continue;
                };
                if std::mem::replace(taken, true) {
                    return Err(VectorError::ManyToOne);
                }
            }
        }
        Ok(())
    }
}

/// All labels in braces, the metric name among them.
fn braced(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
