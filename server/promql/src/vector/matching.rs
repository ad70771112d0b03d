//! Arithmetic and comparison between two vectors: one-to-one, many-to-one, one-to-many.

use std::{collections::HashMap, sync::Arc};

use skep_proto::{Labels, names::METRIC_NAME};

use crate::{
    Matrix,
    ast::{BinaryOp, Cardinality, Matching},
    lex::quote,
    matrix::{Row, absent, is_absent},
    vector::{
        VectorError,
        binary::{combine, drops_name},
        has_values,
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
) -> Result<Matrix, VectorError> {
    let is_swapped = matching.card == Cardinality::OneToMany;
    let (many, one) = if is_swapped { (rhs, lhs) } else { (lhs, rhs) };
    let join = Join { op, return_bool, matching, is_swapped, n_steps: lhs.grid.n_steps() };
    let both = join.steps_with_both(many, one);
    let mut order: Vec<Labels> = Vec::new();
    let mut groups: HashMap<Labels, Group<'_>> = HashMap::new();
    for (side, is_many) in [(many, true), (one, false)] {
        for row in &side.rows {
            let signature = signature(&row.labels, matching);
            let group = groups.entry(signature.clone()).or_insert_with(|| {
                order.push(signature);
                Group::default()
            });
            if is_many { group.many.push(row) } else { group.one.push(row) }
        }
    }
    let mut results = Results::default();
    for signature in &order {
        if let Some(group) = groups.get(signature) {
            join.group(group, signature, &both, &mut results)?;
        }
    }
    let rows = results.rows.into_iter().filter(has_values).collect();
    Ok(Matrix { grid: lhs.grid, rows })
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
    /// Steps where a side has nothing at all are not looked at, so they cannot fail either.
    fn steps_with_both(&self, many: &Matrix, one: &Matrix) -> Vec<bool> {
        let any = |side: &Matrix, step_idx: usize| {
            side.rows.iter().any(|it| it.values.get(step_idx).is_some_and(|it| !is_absent(*it)))
        };
        let has_fill = self.matching.fill != (None, None);
        (0..self.n_steps)
            .map(|step_idx| has_fill || any(many, step_idx) && any(one, step_idx))
            .collect()
    }

    fn group(
        &self,
        group: &Group<'_>,
        signature: &Labels,
        both: &[bool],
        results: &mut Results,
    ) -> Result<(), VectorError> {
        let one = self.one_of_each_step(&group.one, signature, both)?;
        // As in Prometheus, `fill_left` speaks of the many side even under `group_right`.
        let (fill_many, fill_one) = self.matching.fill;
        if self.matching.card == Cardinality::OneToOne {
            self.check_many_side(&group.many, &one, fill_one)?;
        }
        let mut is_matched = vec![false; self.n_steps];
        for many in &group.many {
            for (step_idx, &value) in many.values.iter().enumerate() {
                if is_absent(value) {
                    continue;
                }
                if let Some(it) = is_matched.get_mut(step_idx) {
                    *it = true;
                }
                let partner = one.get(step_idx).copied().flatten();
                let other = match (partner, fill_one) {
                    (Some((_, other)), _) | (None, Some(other)) => other,
                    (None, None) => continue,
                };
                let partner_labels = partner.map_or(signature, |(row, _)| &row.labels);
                self.put(results, step_idx, (&many.labels, value), (partner_labels, other))?;
            }
        }
        if let Some(fill) = fill_many {
            for (step_idx, partner) in one.iter().enumerate() {
                if let (Some((row, value)), Some(false)) = (partner, is_matched.get(step_idx)) {
                    self.put(results, step_idx, (signature, fill), (&row.labels, *value))?;
                }
            }
        }
        Ok(())
    }

    fn put(
        &self,
        results: &mut Results,
        step_idx: usize,
        (many_labels, many): (&Labels, f64),
        (one_labels, one): (&Labels, f64),
    ) -> Result<(), VectorError> {
        let (lhs, rhs) = if self.is_swapped { (one, many) } else { (many, one) };
        let value = combine(self.op, self.return_bool, lhs, rhs, lhs);
        if is_absent(value) {
            return Ok(());
        }
        let pair = (std::ptr::from_ref(many_labels), std::ptr::from_ref(one_labels));
        let labels = || self.result_labels(many_labels, one_labels);
        let Some(slot) =
            results.row(pair, self.n_steps, labels).and_then(|it| it.values.get_mut(step_idx))
        else {
            return Ok(());
        };
        if !is_absent(*slot) {
            return Err(match self.matching.card {
                Cardinality::OneToOne => VectorError::SameLabels,
                _ => VectorError::NotUnique,
            });
        }
        *slot = value;
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let names = &self.matching.labels;
        let drop_name = drops_name(self.op, self.return_bool);
        let is_listed = |it: &str| names.iter().any(|name| name == it);
        let labels = match (self.matching.card, self.matching.on) {
            (Cardinality::OneToOne, on) => {
                many.keep(|it| is_listed(it) == on && (it != METRIC_NAME || !drop_name))
            }
            _ if drop_name => many.without_name(),
            _ => many.clone(),
        };
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
    fn one_of_each_step<'a>(
        &self,
        rows: &[&'a Row],
        signature: &Labels,
        both: &[bool],
    ) -> Result<Vec<Option<(&'a Row, f64)>>, VectorError> {
        let mut found: Vec<Option<(&Row, f64)>> = vec![None; self.n_steps];
        for row in rows {
            for (step_idx, (slot, &value)) in found.iter_mut().zip(&row.values).enumerate() {
                if is_absent(value) || !both.get(step_idx).copied().unwrap_or(false) {
                    continue;
                }
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
    fn check_many_side(
        &self,
        many: &[&Row],
        one: &[Option<(&Row, f64)>],
        fill: Option<f64>,
    ) -> Result<(), VectorError> {
        if many.len() < 2 {
            return Ok(());
        }
        let mut is_taken = vec![false; self.n_steps];
        for row in many {
            for (step_idx, &value) in row.values.iter().enumerate() {
                let has_partner = fill.is_some() || one.get(step_idx).is_some_and(Option::is_some);
                let (false, true, Some(taken)) =
                    (is_absent(value), has_partner, is_taken.get_mut(step_idx))
                else {
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
