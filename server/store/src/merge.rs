//! One sorted stream of rows out of many: parts and heads, each row once.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray},
    compute::{SortOptions, concat_batches},
    datatypes::{
        Float64Type, Int8Type, Int64Type, SchemaRef, TimeUnit, TimestampMillisecondType,
        TimestampNanosecondType,
    },
};
use datafusion::{
    common::{DataFusionError, Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::col,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture};
use skep_proto::names::column;

use crate::{
    filter::{Key, RowFilter},
    heads::hash_row,
    lines::join_batch,
    part::Part,
    part_store::{PartUnavailable, Pin},
    retention::Expiry,
    schema::{HISTOGRAMS, LOGS, LOGS_KEY, SAMPLES, SAMPLES_KEY},
};

/// Rows per batch handed on; what DataFusion itself uses.
const BATCH_ROWS: usize = 8192;
/// Where parts have to be fetched: enough to fill a line, few enough to leave memory alone.
const PARTS_FETCHED_AT_ONCE: usize = 4;
/// A slice this long is handed on as it is; shorter ones are copied together.
const SLICE_ROWS_MIN: usize = 1024;

/// Which of the tables of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Samples,
    Histograms,
    Logs,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Samples, Self::Histograms, Self::Logs];
    /// One for each table of label sets.
    pub(crate) const OF_SETS: [Self; 2] = [Self::Samples, Self::Logs];

    /// Those whose rows are of the same label sets.
    pub(crate) fn with_same_sets(self) -> &'static [Self] {
        match self {
            Self::Samples | Self::Histograms => &[Self::Samples, Self::Histograms],
            Self::Logs => &[Self::Logs],
        }
    }

    pub(crate) fn key(self) -> Key {
        match self {
            Self::Samples | Self::Histograms => SAMPLES_KEY,
            Self::Logs => LOGS_KEY,
        }
    }

    /// As queries see it.
    pub(crate) fn schema(self) -> SchemaRef {
        match self {
            Self::Samples => Arc::clone(&SAMPLES),
            Self::Histograms => Arc::clone(&HISTOGRAMS),
            Self::Logs => Arc::clone(&LOGS),
        }
    }
}

/// Merges sources that are each sorted by (id, ts) into one that is; where two sources hold the
/// same sample, the later source wins; where they hold the same log entry, it comes once.
/// Partition `i` reads the sources of group `i`; groups hold disjoint ranges of ids.
pub(crate) struct MergeExec {
    table: Table,
    groups: Vec<Group>,
    projection: Option<Vec<usize>>,
    /// Rows that it says are expired are left out; `None` where the filter says it all.
    expiry: Option<Expiry>,
    form: Form,
    properties: Arc<PlanProperties>,
}

/// How rows are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Query,
    /// As files have them: a line stays taken apart.
    File,
}

/// What one partition reads: sources from the oldest to the newest.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) filter: RowFilter,
    pub(crate) sources: Vec<Arc<dyn ExecutionPlan>>,
    /// Their files must stay while the plan lives.
    pub(crate) parts: Vec<Arc<Part>>,
    /// Pages that are read and pages there are, in parts whose index of words was asked.
    pub(crate) pages: Option<(usize, usize)>,
}

impl Group {
    pub(crate) fn new(filter: RowFilter) -> Self {
        Self { filter, sources: Vec::new(), parts: Vec::new(), pages: None }
    }

    /// Adds what an index told of one part.
    pub(crate) fn note_pages(&mut self, pages: Option<(usize, usize)>) {
        if let Some((n_read, n)) = pages {
            let (all_read, all) = self.pages.unwrap_or_default();
            self.pages = Some((all_read + n_read, all + n));
        }
    }
}

impl MergeExec {
    pub(crate) fn new(
        table: Table,
        groups: Vec<Group>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let schema = match &projection {
            Some(columns) => Arc::new(table.schema().project(columns)?),
            None => table.schema(),
        };
        let mut equivalences = EquivalenceProperties::new(Arc::clone(&schema));
        let sorted: Vec<_> = [table.key().id, column::TS]
            .iter()
            .map_while(|it| col(it, &schema).ok())
            .map(|it| PhysicalSortExpr::new(it, SortOptions::new(false, false)))
            .collect();
        if let Some(ordering) = LexOrdering::new(sorted) {
            equivalences.add_ordering(ordering);
        }
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(groups.len().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (expiry, form) = (None, Form::Query);
        Ok(Self { table, groups, projection, expiry, form, properties: Arc::new(properties) })
    }

    /// Reads rows as files have them, for another file. Of log entries its schema does not tell.
    pub(crate) fn of_files(table: Table, group: Group) -> Result<Self> {
        Ok(Self { form: Form::File, ..Self::new(table, vec![group], None)? })
    }

    pub(crate) fn with_expiry(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry.differs().then_some(expiry);
        self
    }
}

impl fmt::Debug for MergeExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for MergeExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_sources: usize = self.groups.iter().map(|it| it.sources.len()).sum();
        let n_parts: usize = self.groups.iter().map(|it| it.parts.len()).sum();
        write!(
            out,
            "MergeExec: table={:?}, partitions={}, sources={n_sources}, parts={n_parts}",
            self.table,
            self.groups.len()
        )?;
        let Some(filter) = self.groups.first().map(|it| &it.filter) else { return Ok(()) };
        if let Some(ids) = filter.listed_ids() {
            write!(out, ", ids={}", ids.len())?;
        }
        write!(out, ", ts={}..={}", filter.ts_min, filter.ts_max)?;
        // What the words of a search left to read.
        for (n_read, n) in self.groups.iter().filter_map(|it| it.pages) {
            write!(out, ", pages={n_read}/{n}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for MergeExec {
    fn name(&self) -> &'static str {
        "MergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.groups.iter().flat_map(|it| &it.sources).collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut children = children.into_iter();
        let groups = self
            .groups
            .iter()
            .map(|it| Group {
                sources: children.by_ref().take(it.sources.len()).collect(),
                ..it.clone()
            })
            .collect();
        let merge = Self::new(self.table, groups, self.projection.clone())?;
        Ok(Arc::new(Self { expiry: self.expiry.clone(), form: self.form, ..merge }))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let Some(group) = self.groups.get(partition) else {
            let empty = futures::stream::empty();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, empty)));
        };
        let mut inputs = Vec::with_capacity(group.sources.len());
        for source in &group.sources {
            let stream = source.execute(0, Arc::clone(&context))?;
            inputs.push(Input {
                table: self.table,
                form: self.form,
                stream: Some(stream),
                rows: None,
            });
        }
        let merge = Merge {
            table: self.table,
            filter: group.filter.clone(),
            inputs,
            parts: group.parts.clone(),
            pins: Vec::new(),
            slices: Vec::new(),
            n_rows: 0,
        };
        let projection = self.projection.clone();
        let (expiry, unit) = (self.expiry.clone(), self.table.key().unit);
        let stream = futures::stream::try_unfold(merge, |mut merge| async move {
            let batch = merge.next_batch().await?;
            Ok::<_, DataFusionError>(batch.map(|batch| (batch, merge)))
        })
        .and_then(move |batch| {
            let kept = match &expiry {
                Some(expiry) => expiry.keep(batch, unit),
                None => Ok(batch),
            };
            futures::future::ready(kept)
        })
        .and_then(move |batch| {
            let projected = match &projection {
                Some(columns) => batch.project(columns).map_err(DataFusionError::from),
                None => Ok(batch),
            };
            futures::future::ready(projected)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

fn pin_all(parts: Vec<Arc<Part>>) -> BoxFuture<'static, Result<Vec<Pin>>> {
    let pins = parts.into_iter().map(|part| async move {
        match part.pin_if_room().await {
            // It is left out.
            Err(_) if part.health.is_damaged() => Ok(Pin::NOTHING),
            pin => pin.map_err(|error| {
                DataFusionError::External(Box::new(PartUnavailable::new(&part.path, error)))
            }),
        }
    });
    futures::stream::iter(pins).buffered(PARTS_FETCHED_AT_ONCE).try_collect().boxed()
}

/// The state of one partition's stream.
struct Merge {
    table: Table,
    filter: RowFilter,
    inputs: Vec<Input>,
    /// Held, so that the files stay until the stream is done.
    parts: Vec<Arc<Part>>,
    /// Of every part, once the first batch was asked for.
    pins: Vec<Pin>,
    /// Rows to hand on, in order.
    slices: Vec<RecordBatch>,
    n_rows: usize,
}

struct Input {
    table: Table,
    form: Form,
    stream: Option<SendableRecordBatchStream>,
    rows: Option<Rows>,
}

/// A batch of one source and how far it is used up; never used up wholly.
struct Rows {
    batch: RecordBatch,
    ids: Int64Array,
    ts: arrow::buffer::ScalarBuffer<i64>,
    at: usize,
}

type RowKey = (i64, i64);

impl Merge {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        self.pin_parts().await?;
        loop {
            if self.n_rows >= BATCH_ROWS {
                return self.take_batch();
            }
            for (at, input) in self.inputs.iter_mut().enumerate() {
                input.fill().await.map_err(|error| of_part(self.parts.get(at), error))?;
            }
            let Some(key) = self.inputs.iter().filter_map(Input::key).min() else {
                return self.take_batch();
            };
            if self.inputs.iter().filter(|it| it.key() == Some(key)).count() == 1 {
                self.take_run(key)?;
            } else {
                match self.table {
                    Table::Samples | Table::Histograms => self.take_newest(key),
                    Table::Logs => self.take_distinct(key).await?,
                }
            }
        }
    }

    /// Before any input opens its file, which it does when it is first polled.
    async fn pin_parts(&mut self) -> Result<()> {
        if self.pins.len() < self.parts.len() {
            self.pins = pin_all(self.parts.clone()).await?;
            // The sources of parts come first, in the same order.
            for (part, input) in self.parts.iter().zip(&mut self.inputs) {
                if part.health.is_damaged() {
                    input.stream = None;
                }
            }
        }
        Ok(())
    }

    /// Takes from the one input at `key` all rows before the next key of any other.
    fn take_run(&mut self, key: RowKey) -> Result<()> {
        let bound = self.inputs.iter().filter_map(Input::key).filter(|it| *it > key).min();
        let Some(input) = self.inputs.iter_mut().find(|it| it.key() == Some(key)) else {
            return Err(internal_datafusion_err!("no source is at the key it just was at"));
        };
        if let Some(rows) = &mut input.rows {
            let end = bound.map_or(rows.ts.len(), |it| rows.position(it));
            rows.wanted(end, &self.filter, |slice| {
                self.n_rows += slice.num_rows();
                self.slices.push(slice);
            });
        }
        input.advance();
        Ok(())
    }

    /// Of several sources with the same sample, the last one's.
    fn take_newest(&mut self, key: RowKey) {
        let is_wanted = self.filter.wants_id(key.0) && self.filter.wants_ts(key.1);
        let mut newest = None;
        for input in self.inputs.iter_mut().filter(|it| it.key() == Some(key)) {
            if let Some(rows) = &mut input.rows {
                newest = Some(rows.batch.slice(rows.at, 1));
                rows.at += 1;
            }
            input.advance();
        }
        if let (true, Some(row)) = (is_wanted, newest) {
            self.n_rows += 1;
            self.slices.push(row);
        }
    }

    /// All entries of one stream and time stamp, identical ones once.
    async fn take_distinct(&mut self, key: RowKey) -> Result<()> {
        let is_wanted = self.filter.wants_id(key.0) && self.filter.wants_ts(key.1);
        let mut seen = std::collections::HashSet::new();
        for input in &mut self.inputs {
            while input.key() == Some(key) {
                if let Some(rows) = &mut input.rows {
                    if is_wanted && seen.insert(hash_row(&rows.batch, rows.at)?) {
                        self.n_rows += 1;
                        self.slices.push(rows.batch.slice(rows.at, 1));
                    }
                    rows.at += 1;
                }
                input.advance();
                input.fill().await?;
            }
        }
        Ok(())
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>> {
        let Some(schema) = self.slices.first().map(RecordBatch::schema) else { return Ok(None) };
        // A long run is handed on without a copy.
        let n_short = self.slices.iter().take_while(|it| it.num_rows() < SLICE_ROWS_MIN).count();
        let taken: Vec<_> = self.slices.drain(..n_short.max(1)).collect();
        let batch = match taken.as_slice() {
            [one] => one.clone(),
            many => concat_batches(&schema, many)?,
        };
        self.n_rows -= batch.num_rows();
        Ok(Some(batch))
    }
}

/// Says which part could not be read, if it was one, and has its checksum computed again.
fn of_part(part: Option<&Arc<Part>>, error: DataFusionError) -> DataFusionError {
    let Some(part) = part else { return error };
    part.health.doubt();
    let path = part.path.display();
    error.context(format!("part {path} cannot be read; ask again, it is checked before"))
}

impl Input {
    fn key(&self) -> Option<RowKey> {
        self.rows.as_ref().and_then(|it| it.key(it.at))
    }

    /// Fetches the next batch if the last is used up.
    async fn fill(&mut self) -> Result<()> {
        while self.rows.is_none()
            && let Some(stream) = &mut self.stream
        {
            match stream.next().await.transpose()? {
                Some(batch) if batch.num_rows() > 0 => {
                    self.rows = Some(Rows::new(self.table, self.form, batch)?);
                }
                Some(_) => {}
                None => self.stream = None,
            }
        }
        Ok(())
    }

    /// Lets go of a batch that is used up.
    fn advance(&mut self) {
        if self.rows.as_ref().is_some_and(|it| it.at >= it.ts.len()) {
            self.rows = None;
        }
    }
}

impl Rows {
    fn new(table: Table, form: Form, batch: RecordBatch) -> Result<Self> {
        let batch = if batch.column_by_name(column::MANTISSA).is_some() {
            decode_samples(&batch)?
        } else if form == Form::Query && batch.column_by_name(column::TEMPLATE).is_some() {
            join_batch(&batch)?
        } else {
            batch
        };
        let ids = batch.column(0).as_primitive::<Int64Type>().clone();
        let ts = match table.key().unit {
            TimeUnit::Nanosecond => {
                batch.column(1).as_primitive::<TimestampNanosecondType>().values().clone()
            }
            _ => batch.column(1).as_primitive::<TimestampMillisecondType>().values().clone(),
        };
        Ok(Self { batch, ids, ts, at: 0 })
    }

    fn key(&self, at: usize) -> Option<RowKey> {
        Some((*self.ids.values().get(at)?, *self.ts.get(at)?))
    }

    /// The first row from here on whose key is `bound` or greater.
    fn position(&self, bound: RowKey) -> usize {
        let ids = self.ids.values();
        let same = self.at + partition_point(ids, self.at, |it| *it < bound.0);
        let after = same + partition_point(ids, same, |it| *it == bound.0);
        let ts = self.ts.get(same..after).unwrap_or_default();
        same + ts.partition_point(|it| *it < bound.1)
    }

    /// Uses up the rows to `end`, handing on those that the filter wants.
    fn wanted(&mut self, end: usize, filter: &RowFilter, mut take: impl FnMut(RecordBatch)) {
        let ids = self.ids.values();
        let mut pending: Option<(usize, usize)> = None;
        while self.at < end
            && let Some(&id) = ids.get(self.at)
        {
            let Some(next) = filter.next_id(id) else {
                self.at = end;
                break;
            };
            if next != id {
                self.at += partition_point(ids, self.at, |it| *it < next);
                self.at = self.at.min(end);
                continue;
            }
            let run_end = (self.at + partition_point(ids, self.at, |it| *it == id)).min(end);
            let ts = self.ts.get(self.at..run_end).unwrap_or_default();
            let low = self.at + ts.partition_point(|it| *it < filter.ts_min);
            let high = self.at + ts.partition_point(|it| *it <= filter.ts_max);
            self.at = run_end;
            if low >= high {
                continue;
            }
            match &mut pending {
                Some((_, pending_end)) if *pending_end == low => *pending_end = high,
                Some((start, pending_end)) => {
                    take(self.batch.slice(*start, *pending_end - *start));
                    pending = Some((low, high));
                }
                None => pending = Some((low, high)),
            }
        }
        if let Some((start, pending_end)) = pending {
            take(self.batch.slice(start, pending_end - start));
        }
    }
}

/// How many of `values` from `start` on satisfy a condition that holds for a prefix of them.
/// Runs are short against the batch: gallops before it halves.
fn partition_point(values: &[i64], start: usize, is_before: impl Fn(&i64) -> bool) -> usize {
    let values = values.get(start..).unwrap_or_default();
    let mut bound = 1;
    while values.get(bound - 1).is_some_and(&is_before) {
        bound *= 2;
    }
    let from = bound / 2;
    let to = (bound - 1).min(values.len());
    from.min(values.len()) + values.get(from..to).unwrap_or_default().partition_point(is_before)
}

/// Powers of ten that a double holds exactly.
pub(crate) const POWERS_OF_TEN: [f64; 13] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// From the columns of a file to those of a query.
fn decode_samples(batch: &RecordBatch) -> Result<RecordBatch> {
    let missing = || internal_datafusion_err!("a part of samples lacks a column");
    let column = |name| batch.column_by_name(name).ok_or_else(missing);
    let mantissas = column(column::MANTISSA)?.as_primitive::<Int64Type>();
    let scales = column(column::SCALE)?.as_primitive::<Int8Type>();
    let floats = column(column::VALUE_FLOAT)?.as_primitive::<Float64Type>();
    let values: Float64Array = if mantissas.null_count() == 0 && scales.null_count() == 0 {
        mantissas.values().iter().zip(scales.values()).map(|(m, s)| decode(*m, *s)).collect()
    } else {
        (0..batch.num_rows())
            .map(|i| {
                if mantissas.is_valid(i) {
                    Some(decode(mantissas.value(i), scales.value(i)))
                } else {
                    floats.is_valid(i).then(|| floats.value(i))
                }
            })
            .collect()
    };
    let ts = column(column::TS)?.as_primitive::<TimestampMillisecondType>();
    let ts = TimestampMillisecondArray::new(ts.values().clone(), None).with_timezone("UTC");
    let columns: Vec<Arc<dyn Array>> =
        vec![Arc::clone(column(column::SERIES_ID)?), Arc::new(ts), Arc::new(values)];
    Ok(RecordBatch::try_new(Arc::clone(&SAMPLES), columns)?)
}

#[expect(clippy::cast_precision_loss, reason = "the writer checked that it is exact")]
fn decode(mantissa: i64, scale: i8) -> f64 {
    let power = usize::try_from(scale).ok().and_then(|it| POWERS_OF_TEN.get(it));
    mantissa as f64 / power.copied().unwrap_or(f64::NAN)
}
