//! Aggregation of rows some of which have native histograms.

use std::sync::Arc;

use skep_proto::Labels;

use crate::{
    Matrix,
    annotations::{Note, Notes, Operation},
    leaf::Grouping,
    matrix::{Histograms, Row, absent, is_absent},
    native::{Fold, Histogram, fold},
    vector::{
        aggregate,
        aggregate::{Accumulator, Aggregation, Group, grouped},
    },
};

/// One row a group, in the order the groups appear.
pub fn aggregate_mixed(
    input: &Matrix,
    aggregation: &Aggregation,
    grouping: &Grouping,
    notes: &mut Notes,
) -> Matrix {
    if !input.has_histograms() {
        return aggregate(input, aggregation, grouping);
    }
    let n_steps = input.grid.n_steps();
    let rows = grouped(input, grouping)
        .into_iter()
        .map(|(labels, group)| {
            let drops_name = group.drops_name;
            let row = match aggregation {
                Aggregation::Sum => folded(labels, &group, Fold::Sum, n_steps, notes),
                Aggregation::Avg => folded(labels, &group, Fold::Mean, n_steps, notes),
                Aggregation::Count | Aggregation::Group => {
                    counted(labels, &group, aggregation, n_steps)
                }
                other => floats_only(labels, &group, other, n_steps, notes),
            };
            Row { drops_name, ..row }
        })
        .filter(Row::has_values)
        .collect();
    Matrix { grid: input.grid, rows }
}

fn counted(labels: Labels, group: &Group<'_>, aggregation: &Aggregation, n_steps: usize) -> Row {
    let mut accumulator = Accumulator::new(aggregation, n_steps);
    for row in &group.rows {
        let present = |step_idx| if row.is_present(step_idx) { 1.0 } else { absent() };
        accumulator.add(&(0..n_steps).map(present).collect::<Vec<f64>>());
    }
    Row::floats(Arc::new(labels), accumulator.finish())
}

fn floats_only(
    labels: Labels,
    group: &Group<'_>,
    aggregation: &Aggregation,
    n_steps: usize,
    notes: &mut Notes,
) -> Row {
    if group.rows.iter().any(|it| it.histograms.is_some()) {
        notes.insert(Note::IgnoredInAggregation(aggregation.name()));
    }
    let mut accumulator = Accumulator::new(aggregation, n_steps);
    for row in &group.rows {
        accumulator.add(&row.values);
    }
    Row::floats(Arc::new(labels), accumulator.finish())
}

/// Sum or mean, of floats or of histograms; of both at one step there is none.
fn folded(labels: Labels, group: &Group<'_>, kind: Fold, n_steps: usize, notes: &mut Notes) -> Row {
    let aggregation = if kind == Fold::Sum { Aggregation::Sum } else { Aggregation::Avg };
    let mut accumulator = Accumulator::new(&aggregation, n_steps);
    for row in &group.rows {
        accumulator.add(&row.values);
    }
    let mut values = accumulator.finish();
    let mut histograms: Histograms = vec![None; n_steps];
    for (step_idx, (value, slot)) in values.iter_mut().zip(&mut histograms).enumerate() {
        let present: Vec<(&Row, Histogram)> = group
            .rows
            .iter()
            .filter_map(|row| Some((*row, Histogram::from(&**row.histogram(step_idx)?))))
            .collect();
        if present.is_empty() {
            continue;
        }
        let (result, told) = fold(kind, present.iter().map(|(_, it)| it));
        if told.is_reconciled {
            notes.insert(Note::Reconciled(Operation::Aggregation));
        }
        if let Err(idx) = &result {
            let name = present.get(*idx).map(|(row, _)| row.labels.metric_name());
            notes.insert(Note::MixedSchemas(name.unwrap_or_default().to_owned()));
        }
        if !is_absent(*value) {
            notes.insert(Note::MixedTypesInGroup);
            *value = absent();
        } else if let Ok(Some(mut result)) = result {
            if told.is_collision {
                notes.insert(Note::ResetCollision(Operation::Aggregation));
            }
            result.compact();
            *slot = Some(Arc::new(result.build()));
        }
    }
    Row::mixed(Arc::new(labels), values, histograms)
}
