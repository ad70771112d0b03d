//! Lines to the windows of a range aggregation, one state a label set; no line is kept.

mod over_time;

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

use skep_promql::{Grid, Grouping, Matrix, Row, StorageError, absent, is_absent};
use skep_proto::{
    Labels, LabelsBuilder, MatchOp, Matcher, TimestampNs,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use crate::{
    ast::RangeOp,
    error::QueryError,
    leaf::RangeLeaf,
    pipeline::{DUPLICATE_SUFFIX, Known, Line, LineLabels, Pipeline, Shape, Unwrapped, Verdict},
};

/// What a range aggregation may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeLimits {
    /// Label sets; the setting is `query.series_max`.
    pub n_series_max: usize,
    /// Values that wait for their windows; the setting is `query.samples_max`.
    pub n_samples_max: u64,
}

/// What a series takes beside its values, its labels guessed.
const SERIES_BYTES: usize = 512;

/// Runs lines through a pipeline and adds up what is left. Rows come stream by stream, in any
/// order of time.
#[derive(Debug)]
pub struct RangeCollector {
    pipeline: Arc<Pipeline>,
    labels: LineLabels,
    kind: Kind,
    windows: Windows,
    grouping: Keys,
    matchers: Vec<Matcher>,
    limits: RangeLimits,
    n_samples: u64,
    series: Vec<Series>,
    series_of: HashMap<Box<str>, usize>,
    key: String,
    /// The series of lines that carry the stream's labels and nothing else.
    base_series: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Lines, or their bytes, divided by so many seconds.
    Count {
        of_bytes: bool,
        seconds: f64,
    },
    Absent,
    Values {
        op: RangeOp,
        quantile: f64,
    },
}

/// Which labels make the series of a line.
#[derive(Debug)]
enum Keys {
    /// Sorted.
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// Where the windows of the steps lie.
#[derive(Debug, Clone, Copy)]
struct Windows {
    grid: Grid,
    start_ns: i64,
    step_ns: i64,
    interval_ns: i64,
    offset_ns: i64,
}

#[derive(Debug)]
struct Series {
    labels: Arc<Labels>,
    /// The `__error__` that fails the query if one of its windows is looked at.
    fatal_error: Option<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// How the count, and the total, change from one step to the next.
    Totals {
        n_lines: Vec<f64>,
        total: Vec<f64>,
    },
    Samples(Vec<(i64, f64)>),
}

impl RangeCollector {
    pub fn new(leaf: &RangeLeaf, pipeline: Arc<Pipeline>, limits: RangeLimits) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "seconds are a float")]
        let seconds = leaf.interval_ns as f64 / 1e9;
        let count = |of_bytes, seconds| Kind::Count { of_bytes, seconds };
        let kind = match (leaf.op, &leaf.unwrap) {
            (RangeOp::AbsentOverTime, _) => Kind::Absent,
            (RangeOp::CountOverTime, _) => count(false, 1.0),
            (RangeOp::Rate, None) => count(false, seconds),
            (RangeOp::BytesOverTime, _) => count(true, 1.0),
            (RangeOp::BytesRate, _) => count(true, seconds),
            (op, _) => Kind::Values { op, quantile: leaf.quantile.unwrap_or(f64::NAN) },
        };
        Self {
            labels: LineLabels::new(pipeline.hints().clone()),
            pipeline,
            kind,
            windows: Windows::new(leaf),
            grouping: Keys::new(leaf),
            matchers: leaf.matchers.clone(),
            limits,
            n_samples: 0,
            series: Vec::new(),
            series_of: HashMap::new(),
            key: String::new(),
            base_series: None,
        }
    }

    /// Starts a stream; all following lines are its.
    pub fn set_stream(&mut self, labels: &Labels) {
        self.labels.set_stream(labels);
        self.base_series = None;
    }

    /// Takes one line of the stream, with its metadata sorted by name.
    ///
    /// # Errors
    /// A limit.
    pub fn push<'a>(
        &mut self,
        ts: TimestampNs,
        text: &'a str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), QueryError> {
        let Some((first, last)) = self.windows.steps_of(ts.0) else { return Ok(()) };
        self.labels.reset();
        self.labels.add_metadata(metadata);
        let mut line = Line { ts_ns: ts.0, text: Cow::Borrowed(text), labels: &mut self.labels };
        if !self.pipeline.process(&mut line) {
            return Ok(());
        }
        let n_bytes = line.text.len() as u64;
        let unwrapped = self.pipeline.unwrap(&mut line);
        let Some(value) = self.value(unwrapped, || n_bytes) else { return Ok(()) };
        let series = self.series()?;
        self.add(series, ts, (first, last), value)
    }

    /// What the pipeline makes of lines of this template that belong to the stream.
    pub fn shape(&mut self, template: &str) -> Shape {
        self.pipeline.shape(template, &mut self.labels)
    }

    /// Takes one line of the stream whose template and values tell all that matters. `series` is
    /// where earlier lines of the stream and template went, if all go to the same.
    ///
    /// # Errors
    /// A limit.
    pub fn push_known<'v>(
        &mut self,
        ts: TimestampNs,
        known: &Known,
        value: impl Fn(usize) -> &'v str + Copy,
        n_bytes: impl FnOnce() -> u64,
        metadata: Option<impl IntoIterator<Item = (&'v str, &'v str)>>,
        series: &mut Option<usize>,
    ) -> Result<(), QueryError> {
        let verdict = known.test(value);
        if verdict == Verdict::Drop || !self.pipeline.has_needles_in(known, value) {
            return Ok(());
        }
        let Some((first, last)) = self.windows.steps_of(ts.0) else { return Ok(()) };
        if verdict == Verdict::Keep
            && let Some(series) = *series
            && let Some(unwrapped) = self.pipeline.unwrap_known(known, value)
        {
            let value = self.value(unwrapped, n_bytes);
            return value.map_or(Ok(()), |it| self.add(series, ts, (first, last), it));
        }
        self.labels.reset();
        let has_metadata = metadata.is_some();
        metadata.into_iter().for_each(|it| self.labels.add_metadata(it));
        known.set_labels(&mut self.labels, value, &mut self.key);
        let mut line = Line { ts_ns: ts.0, text: Cow::Borrowed(""), labels: &mut self.labels };
        if !self.pipeline.process_known(known, &mut line) {
            return Ok(());
        }
        let unwrapped = self.pipeline.unwrap(&mut line);
        let Some(value) = self.value(unwrapped, n_bytes) else { return Ok(()) };
        let of_line = self.series()?;
        if !has_metadata && !self.labels.has_error() && self.grouping.is_same_for_all(known) {
            *series = Some(of_line);
        }
        self.add(of_line, ts, (first, last), value)
    }

    #[expect(clippy::cast_precision_loss, reason = "no line has 2^53 bytes")]
    fn value(&self, unwrapped: Unwrapped, n_bytes: impl FnOnce() -> u64) -> Option<f64> {
        match (unwrapped, self.kind) {
            (Unwrapped::Skip, _) => None,
            (Unwrapped::Value(value), _) => Some(value),
            (Unwrapped::NoStage, Kind::Count { of_bytes: true, .. }) => Some(n_bytes() as f64),
            (Unwrapped::NoStage, _) => Some(1.0),
        }
    }

    fn add(
        &mut self,
        series: usize,
        ts: TimestampNs,
        (first, last): (usize, usize),
        value: f64,
    ) -> Result<(), QueryError> {
        let Some(series) = self.series.get_mut(series) else { return Ok(()) };
        match &mut series.state {
            State::Totals { n_lines, total } => {
                add_between(n_lines, first, last, 1.0);
                add_between(total, first, last, value);
            }
            State::Samples(samples) => {
                samples.push((ts.0.saturating_add(self.windows.offset_ns), value));
                self.n_samples += 1;
                if self.n_samples > self.limits.n_samples_max {
                    let max = self.limits.n_samples_max;
                    return Err(StorageError::Limit(format!(
                        "query reads more than {max} values; narrow it or raise query.samples_max"
                    ))
                    .into());
                }
            }
        }
        Ok(())
    }

    /// Whether a line counts whatever is in it, by its stream and metadata alone.
    pub fn counts_lines_as_they_are(&self) -> bool {
        self.pipeline.looks_at_labels_only() && !matches!(self.kind, Kind::Values { .. })
    }

    /// Whether it adds up how long lines are.
    pub fn counts_bytes(&self) -> bool {
        matches!(self.kind, Kind::Count { of_bytes: true, .. })
    }

    /// Whether the metadata of a line of this stream may make a difference.
    pub fn needs_metadata(&self) -> bool {
        match &self.grouping {
            Keys::AllBut(_) => true,
            Keys::Only(names) => {
                let stages = self.pipeline.label_names();
                names.iter().chain(stages).any(|it| !self.labels.base_has(it))
            }
        }
    }

    /// Whether metadata of this name may make a difference.
    pub fn may_use_metadata(&self, name: &str) -> bool {
        let is_such = |it: &String| {
            it == name || it.strip_prefix(name).is_some_and(|it| it == DUPLICATE_SUFFIX)
        };
        match &self.grouping {
            Keys::AllBut(_) => true,
            Keys::Only(names) => {
                [LOG_ERROR, LOG_ERROR_DETAILS].contains(&name)
                    || names.iter().chain(self.pipeline.label_names()).any(is_such)
            }
        }
    }

    /// Takes lines of the stream, in order of time, that count as they are
    /// ([`Self::counts_lines_as_they_are`]), all of the same metadata. `n_bytes` tells how long
    /// those of a range are.
    ///
    /// # Errors
    /// A limit.
    pub fn push_all<'a>(
        &mut self,
        ts: &[i64],
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
        n_bytes: impl Fn(Range<usize>) -> u64,
    ) -> Result<(), QueryError> {
        self.labels.reset();
        self.labels.add_metadata(metadata);
        let ts_ns = ts.first().copied().unwrap_or_default();
        let mut line = Line { ts_ns, text: Cow::Borrowed(""), labels: &mut self.labels };
        if !self.pipeline.process(&mut line) {
            return Ok(());
        }
        let mut series = None;
        let mut start = 0;
        while let Some(&first) = ts.get(start) {
            let rest = ts.get(start..).unwrap_or_default();
            let n = rest.partition_point(|it| *it <= self.windows.same_until(first));
            let rows = start..start + n.max(1);
            start = rows.end;
            let Some((first, last)) = self.windows.steps_of(first) else { continue };
            let series = match series {
                Some(series) => series,
                None => *series.insert(self.series()?),
            };
            let Some(Series { state: State::Totals { n_lines, total }, .. }) =
                self.series.get_mut(series)
            else {
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^53")]
            let (n, value) = match self.kind {
                Kind::Count { of_bytes: true, .. } => (rows.len() as f64, n_bytes(rows) as f64),
                _ => (rows.len() as f64, rows.len() as f64),
            };
            add_between(n_lines, first, last, n);
            add_between(total, first, last, value);
        }
        Ok(())
    }

    /// What series and values take, for the memory account of a query.
    pub fn n_bytes(&self) -> usize {
        let n_values = match self.kind {
            Kind::Values { .. } => usize::try_from(self.n_samples).unwrap_or(usize::MAX),
            Kind::Count { .. } | Kind::Absent => {
                self.series.len().saturating_mul(self.windows.grid.n_steps() + 1)
            }
        };
        n_values.saturating_mul(16).saturating_add(self.series.len().saturating_mul(SERIES_BYTES))
    }

    /// The series of the current line; made if it is the first.
    fn series(&mut self) -> Result<usize, QueryError> {
        let is_base = self.labels.is_base();
        if let (true, Some(series)) = (is_base, self.base_series) {
            return Ok(series);
        }
        self.grouping.key(&self.labels, &mut self.key);
        let series = match self.series_of.get(self.key.as_str()) {
            Some(series) => *series,
            None => self.new_series()?,
        };
        if is_base {
            self.base_series = Some(series);
        }
        Ok(series)
    }

    fn new_series(&mut self) -> Result<usize, QueryError> {
        let max = self.limits.n_series_max;
        if self.series.len() >= max {
            return Err(StorageError::Limit(format!(
                "query makes more than {max} series; aggregate by fewer labels or raise \
                 query.series_max"
            ))
            .into());
        }
        let n_steps = self.windows.grid.n_steps() + 1;
        let state = match self.kind {
            Kind::Values { .. } => State::Samples(Vec::new()),
            Kind::Count { .. } | Kind::Absent => {
                State::Totals { n_lines: vec![0.0; n_steps], total: vec![0.0; n_steps] }
            }
        };
        let fatal_error = self
            .labels
            .has_fatal_error()
            .then(|| self.labels.get(LOG_ERROR).unwrap_or_default().to_owned());
        let labels = Arc::new(self.grouping.labels(&self.labels));
        self.series.push(Series { labels, fatal_error, state });
        self.series_of.insert(self.key.as_str().into(), self.series.len() - 1);
        Ok(self.series.len() - 1)
    }

    /// One row a series that has a value.
    ///
    /// # Errors
    /// A stage failed on a line, and the query did not say what to do about it.
    pub fn finish(self) -> Result<Matrix, QueryError> {
        let grid = self.windows.grid;
        let mut rows = Vec::with_capacity(self.series.len());
        for series in self.series {
            let values = match series.state {
                State::Totals { n_lines, total } => {
                    let seconds = match self.kind {
                        Kind::Count { seconds, .. } => seconds,
                        Kind::Absent | Kind::Values { .. } => 1.0,
                    };
                    totals(&n_lines, &total, seconds, grid.n_steps())
                }
                State::Samples(samples) => match self.kind {
                    Kind::Values { op, quantile } => {
                        over_time::windows(samples, op, quantile, &self.windows)
                    }
                    Kind::Count { .. } | Kind::Absent => Vec::new(),
                },
            };
            if values.iter().all(|it| is_absent(*it)) {
                continue;
            }
            if let Some(kind) = series.fatal_error {
                return Err(QueryError::Pipeline { kind, labels: series.labels.to_string() });
            }
            rows.push(Row::floats(series.labels, values));
        }
        if matches!(self.kind, Kind::Absent) {
            rows = absent_rows(&rows, &self.matchers, grid);
        }
        Ok(Matrix { grid, rows })
    }
}

impl Windows {
    fn new(leaf: &RangeLeaf) -> Self {
        Self {
            grid: leaf.grid,
            start_ns: leaf.grid.start().to_ns().0,
            step_ns: leaf.grid.step_ms().saturating_mul(1_000_000).max(1),
            interval_ns: leaf.interval_ns,
            offset_ns: leaf.offset_ns,
        }
    }

    /// The first and the last step whose window holds this time.
    fn steps_of(&self, ts_ns: i64) -> Option<(usize, usize)> {
        let since_start = ts_ns.saturating_add(self.offset_ns).saturating_sub(self.start_ns);
        let last_ns = since_start.saturating_add(self.interval_ns).saturating_sub(1);
        if last_ns < 0 || self.interval_ns <= 0 {
            return None;
        }
        let first = if since_start <= 0 { 0 } else { (since_start - 1) / self.step_ns + 1 };
        let first = usize::try_from(first).ok()?;
        let last = usize::try_from(last_ns / self.step_ns).ok()?;
        let last = last.min(self.grid.n_steps().checked_sub(1)?);
        (first <= last).then_some((first, last))
    }
}

impl Windows {
    /// The last time whose windows are those of `ts_ns`: up to the next time at which a window
    /// begins or ends.
    fn same_until(&self, ts_ns: i64) -> i64 {
        let since_start = ts_ns.saturating_add(self.offset_ns).saturating_sub(self.start_ns);
        // It leaves a step's windows when it is behind the step …
        let to_first = match since_start {
            ..=0 => since_start.saturating_neg(),
            _ => (-since_start).rem_euclid(self.step_ns),
        };
        // … and is in those of one step more when it is less than `interval` before that.
        let last_ns = since_start.saturating_add(self.interval_ns).saturating_sub(1);
        let last_step = i64::try_from(self.grid.n_steps()).unwrap_or(i64::MAX) - 1;
        let to_last = if last_ns >= 0 && last_ns / self.step_ns >= last_step {
            i64::MAX
        } else {
            self.step_ns - 1 - last_ns.rem_euclid(self.step_ns)
        };
        ts_ns.saturating_add(to_first.min(to_last))
    }
}

impl Keys {
    fn new(leaf: &RangeLeaf) -> Self {
        let unwrapped = leaf.unwrap.as_ref().map(|it| it.label.clone());
        match &leaf.grouping {
            _ if leaf.op == RangeOp::AbsentOverTime => Self::Only(Vec::new()),
            Some(Grouping::By(labels)) => {
                let mut labels = labels.clone();
                labels.sort_unstable();
                labels.dedup();
                Self::Only(labels)
            }
            Some(Grouping::Without(labels)) => {
                Self::AllBut(labels.iter().cloned().chain(unwrapped).collect())
            }
            None => Self::AllBut(unwrapped.into_iter().collect()),
        }
    }

    /// Whether lines of a template that have no error all go to one series.
    fn is_same_for_all(&self, known: &Known) -> bool {
        !known.has_error()
            && match self {
                Self::Only(names) => known.is_same_for_all(names.iter()),
                Self::AllBut(names) => known.is_same_for_all_but(names),
            }
    }

    /// Writes what tells this line's series from others. A line with an error keeps all labels,
    /// or the error would be lost.
    fn key(&self, labels: &LineLabels, key: &mut String) {
        key.clear();
        self.each(labels, |name, value| {
            key.push_str(name);
            key.push('\u{1}');
            key.push_str(value);
            key.push('\u{2}');
        });
    }

    fn labels(&self, labels: &LineLabels) -> Labels {
        let mut builder: LabelsBuilder = Labels::default().to_builder();
        self.each(labels, |name, value| {
            builder.set(name, value);
        });
        builder.build()
    }

    fn each<'l>(&self, labels: &'l LineLabels, mut take: impl FnMut(&'l str, &'l str)) {
        match self {
            Self::Only(names) if !labels.has_error() => {
                for name in names {
                    if let Some((_, name, value)) = labels.find_pair(name) {
                        take(name, value);
                    }
                }
            }
            _ => {
                let but: &[String] = match self {
                    Self::AllBut(names) if !labels.has_error() => names,
                    _ => &[],
                };
                let mut pairs: Vec<(&str, &str)> = labels
                    .iter()
                    .map(|(_, name, value)| (name, value))
                    .filter(|(name, _)| !but.iter().any(|it| it == name))
                    .collect();
                pairs.sort_unstable();
                for (name, value) in pairs {
                    take(name, value);
                }
            }
        }
    }
}

/// Adds to all steps from `first` to `last`, in a list of differences.
fn add_between(differences: &mut [f64], first: usize, last: usize, value: f64) {
    if let Some(it) = differences.get_mut(first) {
        *it += value;
    }
    if let Some(it) = differences.get_mut(last + 1) {
        *it -= value;
    }
}

/// Sums of whole numbers, so that adding and taking away is exact.
fn totals(n_lines: &[f64], total: &[f64], seconds: f64, n_steps: usize) -> Vec<f64> {
    let (mut n, mut sum) = (0.0, 0.0);
    n_lines
        .iter()
        .zip(total)
        .take(n_steps)
        .map(|(lines, value)| {
            n += lines;
            sum += value;
            if n > 0.0 { sum / seconds } else { absent() }
        })
        .collect()
}

/// One row with 1 at the steps without a line, labelled by what the selector asks for.
fn absent_rows(present: &[Row], matchers: &[Matcher], grid: Grid) -> Vec<Row> {
    let is_present = |step: usize| {
        present.iter().any(|row| row.values.get(step).is_some_and(|it| !is_absent(*it)))
    };
    let values: Vec<f64> =
        (0..grid.n_steps()).map(|step| if is_present(step) { absent() } else { 1.0 }).collect();
    if values.iter().all(|it| is_absent(*it)) {
        return Vec::new();
    }
    let mut labels = Labels::default().to_builder();
    for matcher in matchers {
        let n_same = matchers.iter().filter(|it| it.name() == matcher.name()).count();
        if matcher.op() == MatchOp::Equal && n_same == 1 {
            labels.set(matcher.name(), matcher.value());
        }
    }
    labels.remove(LOG_ERROR).remove(LOG_ERROR_DETAILS);
    vec![Row::floats(Arc::new(labels.build()), values)]
}
