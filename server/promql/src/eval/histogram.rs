//! `histogram_quantile` and kin, over classic histograms (rows that differ in `le` only) and native
//! ones.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use skep_proto::{Labels, TimestampMs, names::BUCKET_LE};

use super::{Eval, EvalError, aggregate::has_floats, call::arg_span};
use crate::{
    Grid, Matrix, Row,
    annotations::{Fixes, Note, Notes},
    ast::{Call, Span},
    functions::histogram::{Bucket, Fix, fraction, quantile},
    matrix::{absent, is_absent},
    native::{self, Unsure},
    number::format_open_metrics,
    parse::parse_number,
    vector::merge_same_labels,
    window::at_step,
};

/// The histograms of a vector.
struct Inputs<'a> {
    classic: Vec<Classic<'a>>,
    /// Rows of native histograms, and which of the classic ones has these very labels.
    native: Vec<(&'a Row, Option<usize>)>,
}

/// The bucket rows of one histogram, by rising bound.
struct Classic<'a> {
    labels: Arc<Labels>,
    buckets: Vec<(f64, &'a Row)>,
    /// A row of native histograms with these very labels: where both have a value, neither counts.
    rival: Option<&'a Row>,
}

impl Inputs<'_> {
    /// What `of` gives for the native histogram of each row and step.
    fn native_rows(&self, of: impl Fn(usize, &native::Histogram, &str) -> f64) -> Vec<Row> {
        let rows = self.native.iter().map(|(row, rival)| {
            let rival = rival.and_then(|it| self.classic.get(it));
            let name = row.labels.metric_name();
            let values = (0..row.values.len())
                .map(|step_idx| match row.histogram(step_idx) {
                    Some(it) if rival.is_none_or(|it| !it.has_buckets(step_idx)) => {
                        of(step_idx, &native::Histogram::from(&**it), name)
                    }
                    _ => absent(),
                })
                .collect();
            Row { drops_name: true, ..Row::floats(Arc::clone(&row.labels), values) }
        });
        rows.filter(Row::has_values).collect()
    }
}

impl Classic<'_> {
    fn has_buckets(&self, step_idx: usize) -> bool {
        self.buckets
            .iter()
            .any(|(_, row)| row.values.get(step_idx).is_some_and(|it| !is_absent(*it)))
    }

    fn has_rival(&self, step_idx: usize) -> bool {
        self.rival.is_some_and(|it| it.histogram(step_idx).is_some())
    }

    fn row(&self, values: Vec<f64>) -> Row {
        Row { drops_name: true, ..Row::floats(Arc::clone(&self.labels), values) }
    }

    fn at(&self, step_idx: usize) -> Vec<Bucket> {
        if self.has_rival(step_idx) {
            return Vec::new();
        }
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
        let span = |idx: usize| arg_span(call, idx);
        self.check_quantiles(&quantiles, span(0));
        let inputs = self.histograms(&input, span(1));
        let rows = self.quantile_rows(&inputs, &quantiles, grid, span(1));
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    pub(super) async fn histogram_quantiles(
        &self,
        call: &Call,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let input = self.argument(call, 0, grid).await?;
        let label = self.string_argument(call, 1, grid).await?;
        let span = |idx: usize| arg_span(call, idx);
        let inputs = self.histograms(&input, span(0));
        let mut rows = Vec::new();
        for idx in 2..call.args.len() {
            let quantiles = self.scalar_argument(call, idx, grid).await?;
            self.check_quantiles(&quantiles, span(idx));
            for row in self.quantile_rows(&inputs, &quantiles, grid, span(0)) {
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
        let span = arg_span(call, 2);
        let inputs = self.histograms(&input, span);
        let rows = inputs
            .classic
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
                histogram.row(values)
            })
            .filter(Row::has_values);
        let notes = RefCell::new(Notes::new());
        let native = inputs.native_rows(|step_idx, histogram, name| {
            let (lower, upper) = (at_step(&lower, step_idx), at_step(&upper, step_idx));
            let found = native::fraction(lower, upper, histogram);
            notes.borrow_mut().extend(found.unsure.map(|it| note(it, name)));
            found.value
        });
        let rows = native.into_iter().chain(rows).collect();
        self.note(&notes.into_inner(), span);
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    fn quantile_rows(
        &self,
        inputs: &Inputs<'_>,
        quantiles: &[f64],
        grid: Grid,
        span: Span,
    ) -> Vec<Row> {
        let notes = RefCell::new(Notes::new());
        let mut rows = inputs.native_rows(|step_idx, histogram, name| {
            let found = native::quantile(at_step(quantiles, step_idx), histogram);
            notes.borrow_mut().extend(found.unsure.map(|it| note(it, name)));
            found.value
        });
        self.note(&notes.into_inner(), span);
        rows.extend(self.classic_rows(&inputs.classic, quantiles, grid, span));
        rows
    }

    fn classic_rows(
        &self,
        histograms: &[Classic<'_>],
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
                    let metric = histogram.labels.metric_name();
                    let (n, held) = fixed.entry(metric).or_insert((0, fix));
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
            .map(|(histogram, values)| histogram.row(values))
            .filter(Row::has_values)
            .collect()
    }

    /// Rows by what is left without `le`; rows without a bound are warned about, as are classic and
    /// native histograms that cannot be told apart.
    fn histograms<'m>(&self, input: &'m Matrix, span: Span) -> Inputs<'m> {
        let mut histograms: Vec<Classic<'m>> = Vec::new();
        let mut idx_of: HashMap<Arc<Labels>, usize> = HashMap::new();
        for row in input.rows.iter().filter(|it| has_floats(it)) {
            let (metric, le) = (row.labels.metric_name(), row.labels.get(BUCKET_LE));
            let Ok(bound) = parse_bound(le) else {
                self.annotate(|it, query| it.bad_bucket(query, span, metric, le));
                continue;
            };
            // The name tells histograms apart, and is dropped after.
            let labels = Arc::new(row.labels.keep(|it| it != BUCKET_LE));
            let next = histograms.len();
            let idx = *idx_of.entry(Arc::clone(&labels)).or_insert(next);
            if idx == next {
                histograms.push(Classic { labels, buckets: Vec::new(), rival: None });
            }
            if let Some(histogram) = histograms.get_mut(idx) {
                histogram.buckets.push((bound, row));
            }
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        }
        let native: Vec<(&Row, Option<usize>)> = input
            .rows
            .iter()
            .filter(|it| it.histograms.is_some())
            .map(|it| (it, idx_of.get(&it.labels).copied()))
            .collect();
        let mut notes = Notes::new();
        for (row, rival) in &native {
            let Some(histogram) = rival.and_then(|it| histograms.get_mut(it)) else {
                continue;
            };
            histogram.rival = Some(row);
            let n_steps = row.values.len();
            if (0..n_steps).any(|it| histogram.has_rival(it) && histogram.has_buckets(it)) {
                notes.insert(Note::MixedClassicNative(row.labels.metric_name().to_owned()));
            }
        }
        self.note(&notes, span);
        Inputs { classic: histograms, native }
    }
}

fn note(unsure: Unsure, metric: &str) -> Note {
    let metric = metric.to_owned();
    match unsure {
        Unsure::NanResult => Note::QuantileIsNan(metric),
        Unsure::Skewed => Note::QuantileIsSkewed(metric),
        Unsure::Excluded => Note::FractionExcludesNan(metric),
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
                labels.set(label, &format_open_metrics(q));
                let values = vec![absent(); row.values.len()];
                let of_quantile = Row::floats(Arc::new(labels.build()), values);
                rows.push((q.to_bits(), Row { drops_name: row.drops_name, ..of_quantile }));
                rows.len() - 1
            }
        };
        if let Some(slot) = rows.get_mut(idx).and_then(|(_, it)| it.values.get_mut(step_idx)) {
            *slot = *value;
        }
    }
    rows.into_iter().map(|(_, row)| row).filter(Row::has_values).collect()
}
