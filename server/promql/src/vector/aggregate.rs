//! Many rows to one a group: `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar`,
//! `quantile`, and `count_values`.

use std::{collections::HashMap, sync::Arc};

use skep_proto::Labels;

use crate::{
    Matrix,
    kahan::{Kahan, Mean},
    leaf::{FusedOp, Grouping},
    lex::quote,
    matrix::{Row, absent, is_absent},
    native::{Histogram, show},
    number::format_float,
    quantile::quantile,
    vector::{Cell, Operand as _, VectorError, group_labels, merge_same_labels},
    window::at_step,
};

#[derive(Debug, Clone, PartialEq)]
pub enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    /// One value a step, or one for all.
    Quantile(Vec<f64>),
}

impl Aggregation {
    /// The name in the language.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Quantile(_) => "quantile",
        }
    }
}

impl From<FusedOp> for Aggregation {
    fn from(op: FusedOp) -> Self {
        match op {
            FusedOp::Sum => Self::Sum,
            FusedOp::Avg => Self::Avg,
            FusedOp::Min => Self::Min,
            FusedOp::Max => Self::Max,
            FusedOp::Count => Self::Count,
            FusedOp::Group => Self::Group,
        }
    }
}

/// One group, one state a step.
#[derive(Debug, Clone)]
pub struct Accumulator {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Sum(Vec<Option<Kahan>>),
    Avg(Vec<Option<Mean>>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    Count(Vec<f64>),
    Group(Vec<f64>),
    Variance { steps: Vec<Variance>, is_root: bool },
    Quantile { steps: Vec<Vec<f64>>, q: Vec<f64> },
}

#[derive(Debug, Clone, Copy, Default)]
struct Variance {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Accumulator {
    pub fn new(aggregation: &Aggregation, n_steps: usize) -> Self {
        let nothing = || vec![absent(); n_steps];
        let variance =
            |is_root| State::Variance { steps: vec![Variance::default(); n_steps], is_root };
        let state = match aggregation {
            Aggregation::Sum => State::Sum(vec![None; n_steps]),
            Aggregation::Avg => State::Avg(vec![None; n_steps]),
            Aggregation::Min => State::Min(nothing()),
            Aggregation::Max => State::Max(nothing()),
            Aggregation::Count => State::Count(nothing()),
            Aggregation::Group => State::Group(nothing()),
            Aggregation::Stddev => variance(true),
            Aggregation::Stdvar => variance(false),
            Aggregation::Quantile(q) => {
                State::Quantile { steps: vec![Vec::new(); n_steps], q: q.clone() }
            }
        };
        Self { state }
    }

    /// Takes one row in: a value or absent a step.
    pub fn add(&mut self, values: &[f64]) {
        let present = values.iter().enumerate().filter(|(_, it)| !is_absent(**it));
        match &mut self.state {
            State::Sum(steps) => each(steps, present, |held, value| match held {
                Some(sum) => sum.add(value),
                None => *held = Some(Kahan::new(value)),
            }),
            State::Avg(steps) => {
                each(steps, present, |held, value| held.get_or_insert_default().add(value));
            }
            State::Min(steps) => each(steps, present, |held, value| {
                if is_absent(*held) || *held > value || held.is_nan() {
                    *held = value;
                }
            }),
            State::Max(steps) => each(steps, present, |held, value| {
                if is_absent(*held) || *held < value || held.is_nan() {
                    *held = value;
                }
            }),
            State::Count(steps) => each(steps, present, |held, _| {
                *held = if is_absent(*held) { 1.0 } else { *held + 1.0 };
            }),
            State::Group(steps) => each(steps, present, |held, _| *held = 1.0),
            State::Variance { steps, .. } => each(steps, present, Variance::add),
            State::Quantile { steps, .. } => each(steps, present, Vec::push),
        }
    }

    /// One value a step, absent where no row had any.
    pub fn finish(self) -> Vec<f64> {
        match self.state {
            State::Sum(steps) => {
                steps.into_iter().map(|it| it.map_or_else(absent, |it| it.total())).collect()
            }
            State::Avg(steps) => {
                steps.into_iter().map(|it| it.map_or_else(absent, |it| it.total())).collect()
            }
            State::Min(it) | State::Max(it) | State::Count(it) | State::Group(it) => it,
            State::Variance { steps, is_root } => {
                steps.into_iter().map(|it| it.finish(is_root)).collect()
            }
            State::Quantile { steps, q } => steps
                .into_iter()
                .enumerate()
                .map(|(step_idx, mut values)| {
                    if values.is_empty() {
                        return absent();
                    }
                    quantile(at_step(&q, step_idx), &mut values)
                })
                .collect(),
        }
    }
}

fn each<'a, T: 'a>(
    steps: &mut [T],
    present: impl Iterator<Item = (usize, &'a f64)>,
    mut take: impl FnMut(&mut T, f64),
) {
    for (step_idx, value) in present {
        if let Some(state) = steps.get_mut(step_idx) {
            take(state, *value);
        }
    }
}

impl Variance {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (value - self.mean);
    }

    fn finish(self, is_root: bool) -> f64 {
        if self.n == 0.0 {
            return absent();
        }
        let variance = self.squares / self.n;
        if is_root { variance.sqrt() } else { variance }
    }
}

/// The rows of one group.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    pub(super) rows: Vec<&'a Row>,
    /// Of any of them.
    pub(super) drops_name: bool,
}

/// Groups and their labels, in the order they appear.
pub(super) fn grouped<'a>(input: &'a Matrix, grouping: &Grouping) -> Vec<(Labels, Group<'a>)> {
    let mut group_of: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Group<'a>)> = Vec::new();
    for row in &input.rows {
        let labels = group_labels(&row.labels, grouping);
        let idx = match group_of.get(&labels) {
            Some(idx) => *idx,
            None => {
                groups.push((labels.clone(), Group::default()));
                group_of.insert(labels, groups.len() - 1);
                groups.len() - 1
            }
        };
        if let Some((_, group)) = groups.get_mut(idx) {
            group.rows.push(row);
            group.drops_name |= row.drops_name;
        }
    }
    groups
}

/// One row a group, in the order the groups appear; of floats only.
pub fn aggregate(input: &Matrix, aggregation: &Aggregation, grouping: &Grouping) -> Matrix {
    let n_steps = input.grid.n_steps();
    let rows = grouped(input, grouping)
        .into_iter()
        .map(|(labels, group)| {
            let mut accumulator = Accumulator::new(aggregation, n_steps);
            for row in group.rows {
                accumulator.add(&row.values);
            }
            let row = Row::floats(Arc::new(labels), accumulator.finish());
            Row { drops_name: group.drops_name, ..row }
        })
        .collect();
    Matrix { grid: input.grid, rows }
}

/// How often each value occurs in a group, the value as label `label`.
///
/// # Errors
/// A label name that is empty.
pub fn count_values(
    input: &Matrix,
    label: &str,
    grouping: &Grouping,
) -> Result<Matrix, VectorError> {
    if label.is_empty() || label.contains('\u{fffd}') {
        return Err(VectorError::LabelName(quote(label)));
    }
    // With `without`, the new label must not be dropped again; with `by`, it is added after.
    let mut counts: HashMap<Labels, Vec<f64>> = HashMap::new();
    let mut order: Vec<Labels> = Vec::new();
    for row in &input.rows {
        let group = group_labels(&row.labels, grouping);
        for step_idx in 0..row.values.len() {
            let text = match Cell::at(row, step_idx) {
                Some(Cell::Float(value)) => format_float(value),
                Some(Cell::Histogram(it)) => show(&Histogram::from(&*it)),
                None => continue,
            };
            let mut builder = group.to_builder();
            builder.set(label, &text);
            let labels = builder.build();
            let steps = counts.entry(labels.clone()).or_insert_with(|| {
                order.push(labels);
                vec![absent(); input.grid.n_steps()]
            });
            if let Some(slot) = steps.get_mut(step_idx) {
                *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
            }
        }
    }
    let rows = order
        .into_iter()
        .filter_map(|labels| {
            let values = counts.remove(&labels)?;
            Some(Row::floats(Arc::new(labels), values))
        })
        .collect();
    Ok(Matrix { grid: input.grid, rows: merge_same_labels(rows)? })
}
