//! `histogram_quantile` and kin over classic histograms: rows that differ in `le` only.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use skep_proto::{Labels, TimestampMs, names::BUCKET_LE};

use super::{Eval, EvalError};
use crate::{
    Grid, Matrix, Row,
    annotations::Fixes,
    ast::{Call, Span},
    functions::histogram::{Bucket, Fix, fraction, quantile},
    matrix::{absent, is_absent},
    number::format_float,
    parse::parse_number,
    vector::{has_values, merge_same_labels},
    window::at_step,
};

/// The bucket rows of one histogram, by rising bound.
struct Histogram<'a> {
    labels: Labels,
    metric: String,
    buckets: Vec<(f64, &'a Row)>,
}

impl Histogram<'_> {
    fn at(&self, step_idx: usize) -> Vec<Bucket> {
        self.buckets
            .iter()
            .filter_map(|(bound, row)| {
                let count = *row.values.get(step_idx)?;
                (!is_absent(count)).then_some(Bucket { upper_bound: *bound, count })
            })
            .collect()
    }
}

impl Eval<'_> {
    pub(super) async fn histogram_quantile(
        &self,
        call: &Call,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let quantiles = self.scalar_argument(call, 0, grid).await?;
        let input = self.argument(call, 1, grid).await?;
        let span = |idx: usize| call.args.get(idx).map_or(call.span, |it| it.span());
        if !input.rows.is_empty() {
            self.check_quantiles(&quantiles, span(0));
        }
        let histograms = self.histograms(&input, span(1));
        let rows = self.quantile_rows(&histograms, &quantiles, grid, span(1));
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    pub(super) async fn histogram_quantiles(
        &self,
        call: &Call,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let input = self.argument(call, 0, grid).await?;
        let label = self.string_argument(call, 1, grid).await?;
        let span = |idx: usize| call.args.get(idx).map_or(call.span, |it| it.span());
        let histograms = self.histograms(&input, span(0));
        let mut rows = Vec::new();
        for idx in 2..call.args.len() {
            let quantiles = self.scalar_argument(call, idx, grid).await?;
            if !input.rows.is_empty() {
                self.check_quantiles(&quantiles, span(idx));
            }
            for row in self.quantile_rows(&histograms, &quantiles, grid, span(0)) {
                rows.extend(by_quantile(&row, &label, &quantiles));
            }
        }
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    pub(super) async fn histogram_fraction(
        &self,
        call: &Call,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let lower = self.scalar_argument(call, 0, grid).await?;
        let upper = self.scalar_argument(call, 1, grid).await?;
        let input = self.argument(call, 2, grid).await?;
        let span = call.args.get(2).map_or(call.span, |it| it.span());
        let rows = self
            .histograms(&input, span)
            .iter()
            .map(|histogram| {
                let values = (0..grid.n_steps())
                    .map(|step_idx| {
                        let mut buckets = histogram.at(step_idx);
                        if buckets.is_empty() {
                            return absent();
                        }
                        fraction(at_step(&lower, step_idx), at_step(&upper, step_idx), &mut buckets)
                    })
                    .collect();
                Row::floats(Arc::new(histogram.labels.clone()), values)
            })
            .filter(has_values)
            .collect();
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    fn quantile_rows(
        &self,
        histograms: &[Histogram<'_>],
        quantiles: &[f64],
        grid: Grid,
        span: Span,
    ) -> Vec<Row> {
        let mut fixes: BTreeMap<&str, Fixes> = BTreeMap::new();
        let mut columns: Vec<Vec<f64>> =
            histograms.iter().map(|_| Vec::with_capacity(grid.n_steps())).collect();
        for (step_idx, at) in grid.steps().enumerate() {
            let mut fixed: BTreeMap<&str, (i64, Fix)> = BTreeMap::new();
            for (histogram, column) in histograms.iter().zip(&mut columns) {
                let mut buckets = histogram.at(step_idx);
                if buckets.is_empty() {
                    column.push(absent());
                    continue;
                }
                let found = quantile(at_step(quantiles, step_idx), &mut buckets);
                column.push(found.value);
                if let Some(fix) = found.fix {
                    let (n, held) = fixed.entry(&histogram.metric).or_insert((0, fix));
                    *n += 1;
                    *held = widest(*held, fix);
                }
            }
            for (metric, (n, fix)) in fixed {
                add_fix(&mut fixes, metric, at, n, fix);
            }
        }
        for (metric, fixes) in &fixes {
            self.annotate(|it, query| it.not_monotonic(query, span, metric, fixes));
        }
        histograms
            .iter()
            .zip(columns)
            .map(|(histogram, values)| Row::floats(Arc::new(histogram.labels.clone()), values))
            .filter(has_values)
            .collect()
    }

    /// Rows by what is left without `le` and the name; rows without a bound are warned about.
    fn histograms<'m>(&self, input: &'m Matrix, span: Span) -> Vec<Histogram<'m>> {
        let mut histograms: Vec<Histogram<'m>> = Vec::new();
        let mut idx_of: HashMap<Labels, usize> = HashMap::new();
        for row in &input.rows {
            let (metric, le) = (row.labels.metric_name(), row.labels.get(BUCKET_LE));
            let Ok(bound) = parse_bound(le) else {
                self.annotate(|it, query| it.bad_bucket(query, span, metric, le));
                continue;
            };
            // The name tells histograms apart, and is dropped after.
            let key = row.labels.keep(|it| it != BUCKET_LE);
            let next = histograms.len();
            let idx = *idx_of.entry(key).or_insert(next);
            if idx == next {
                histograms.push(Histogram {
                    labels: row.labels.keep(|it| it != BUCKET_LE).without_name(),
                    metric: metric.to_owned(),
                    buckets: Vec::new(),
                });
            }
            if let Some(histogram) = histograms.get_mut(idx) {
                histogram.buckets.push((bound, row));
            }
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        }
        histograms
    }
}

fn widest(a: Fix, b: Fix) -> Fix {
    Fix {
        bound_min: a.bound_min.min(b.bound_min),
        bound_max: a.bound_max.max(b.bound_max),
        difference_max: a.difference_max.max(b.difference_max),
    }
}

fn add_fix<'a>(
    fixes: &mut BTreeMap<&'a str, Fixes>,
    metric: &'a str,
    at: TimestampMs,
    n: i64,
    fix: Fix,
) {
    match fixes.get_mut(metric) {
        None => {
            fixes.insert(
                metric,
                Fixes {
                    bound_min: fix.bound_min,
                    bound_max: fix.bound_max,
                    difference_max: fix.difference_max,
                    n_samples: n,
                    first: at,
                    last: at,
                },
            );
        }
        Some(held) => {
            held.bound_min = held.bound_min.min(fix.bound_min);
            held.bound_max = held.bound_max.max(fix.bound_max);
            held.difference_max = held.difference_max.max(fix.difference_max);
            // Prometheus merges each step's note into two collections that it merges again, so
            // its count doubles with every step; the text is compared by tools, so ours does too.
            held.n_samples = held.n_samples.wrapping_add(n).wrapping_mul(2);
            held.last = at;
        }
    }
}

fn parse_bound(le: &str) -> Result<f64, String> {
    let (sign, digits) = match le.as_bytes().first() {
        Some(b'-') => (-1.0, le.get(1..).unwrap_or_default()),
        Some(b'+') => (1.0, le.get(1..).unwrap_or_default()),
        _ => (1.0, le),
    };
    if digits.is_empty() {
        return Err("empty".to_owned());
    }
    Ok(sign * parse_number(digits)?)
}

/// A row for each quantile value that occurs.
fn by_quantile(row: &Row, label: &str, quantiles: &[f64]) -> Vec<Row> {
    let mut rows: Vec<(u64, Row)> = Vec::new();
    for (step_idx, value) in row.values.iter().enumerate() {
        let q = at_step(quantiles, step_idx);
        let idx = match rows.iter().position(|(bits, _)| *bits == q.to_bits()) {
            Some(idx) => idx,
            None => {
                let mut labels = row.labels.to_builder();
                labels.set(label, &format_float(q));
                let values = vec![absent(); row.values.len()];
                rows.push((q.to_bits(), Row::floats(Arc::new(labels.build()), values)));
                rows.len() - 1
            }
        };
        if let Some(slot) = rows.get_mut(idx).and_then(|(_, it)| it.values.get_mut(step_idx)) {
            *slot = *value;
        }
    }
    rows.into_iter().map(|(_, row)| row).filter(has_values).collect()
}
