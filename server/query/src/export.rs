//! Everything there is of some series or streams, as it comes from the tables.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{
        DataType, Float64Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType,
    },
};
use datafusion::{
    catalog::TableProvider,
    common::{DataFusionError, ScalarValue, internal_datafusion_err},
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, col},
    physical_plan::execute_stream,
};
use futures::StreamExt as _;
use skep_promql::StorageError;
use skep_proto::{Labels, LogEntry, Matcher, SeriesId, TimeRange, TimestampNs, names::column};

use crate::{Engine, QuerySession, Snapshot, id_filter::id_filter, session::storage_error};

/// Series that one scan reads: enough that a part is opened seldom, few enough to list.
const SERIES_PER_SCAN: usize = 1_000;

/// Samples of one series that follow each other. A series comes in several runs if it is long.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRun {
    pub labels: Arc<Labels>,
    pub ts_ms: Vec<i64>,
    pub values: Vec<f64>,
}

/// Entries of one stream that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryRun {
    pub labels: Arc<Labels>,
    pub entries: Vec<LogEntry>,
}

/// Which rows of a batch are of one label set.
type LabelledRows = (Arc<Labels>, std::ops::Range<usize>);

/// Rows in order of id and time, batch by batch. Dropping it ends the work.
pub struct Export {
    session: QuerySession,
    table: Arc<dyn TableProvider>,
    id_column: &'static str,
    labels: BTreeMap<i64, Arc<Labels>>,
    /// Ids not read yet, the next ones last.
    waiting: Vec<Vec<i64>>,
    ts: (ScalarValue, ScalarValue),
    running: Option<SendableRecordBatchStream>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Export").field("n_sets", &self.labels.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The samples of all series that any of the selectors matches. It runs for as long as it is
    /// read; only its memory is bounded.
    ///
    /// # Errors
    /// The selectors match more series than the limit.
    pub fn export_samples(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Export, StorageError> {
        let snapshot = self.snapshot();
        let select = |it: &Vec<Matcher>| snapshot.series.select(it, range);
        let series: Vec<_> = selectors.iter().flat_map(select).collect();
        self.export_series(&snapshot, &series, range)
    }

    /// The samples of these series.
    ///
    /// # Errors
    /// They are more than the limit.
    pub(crate) fn export_series(
        &self,
        snapshot: &Snapshot,
        series: &[(SeriesId, Arc<Labels>)],
        range: TimeRange,
    ) -> Result<Export, StorageError> {
        let labels = series.iter().map(|(id, it)| (id.0, Arc::clone(it))).collect();
        let at = |ms| ScalarValue::TimestampMillisecond(Some(ms), Some("UTC".into()));
        let ts = (at(range.start.0), at(range.end.0));
        self.export(Arc::clone(&snapshot.samples), column::SERIES_ID, labels, ts)
    }

    /// The entries of all streams that any of the selectors matches, both ends included.
    ///
    /// # Errors
    /// As [`Self::export_samples`].
    pub fn export_logs(
        &self,
        selectors: &[Vec<Matcher>],
        (start, end): (TimestampNs, TimestampNs),
    ) -> Result<Export, StorageError> {
        let snapshot = self.snapshot();
        let range = TimeRange { start: start.to_ms(), end: end.to_ms() };
        let select = |it: &Vec<Matcher>| snapshot.streams.select(it, range);
        let labels = selectors.iter().flat_map(select).map(|(id, it)| (id.0, it)).collect();
        let at = |ns| ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into()));
        self.export(Arc::clone(&snapshot.logs), column::STREAM_ID, labels, (at(start.0), at(end.0)))
    }

    fn export(
        &self,
        table: Arc<dyn TableProvider>,
        id_column: &'static str,
        labels: BTreeMap<i64, Arc<Labels>>,
        ts: (ScalarValue, ScalarValue),
    ) -> Result<Export, StorageError> {
        self.limits().check_series(labels.len())?;
        let ids: Vec<i64> = labels.keys().copied().collect();
        let waiting = ids.chunks(SERIES_PER_SCAN).rev().map(<[i64]>::to_vec).collect();
        let session = self.begin(None);
        Ok(Export { session, table, id_column, labels, waiting, ts, running: None })
    }
}

impl Export {
    /// The next samples; empty only after the last.
    ///
    /// # Errors
    /// The store, or memory.
    pub async fn next_samples(&mut self) -> Result<Vec<SampleRun>, StorageError> {
        let batch = self.next_batch().await.map_err(|error| self.failed(error))?;
        let Some(batch) = batch else { return Ok(Vec::new()) };
        self.sample_runs(&batch).map_err(|error| self.failed(error))
    }

    /// The next entries, as [`Self::next_samples`].
    ///
    /// # Errors
    /// As [`Self::next_samples`].
    pub async fn next_entries(&mut self) -> Result<Vec<EntryRun>, StorageError> {
        let batch = self.next_batch().await.map_err(|error| self.failed(error))?;
        let Some(batch) = batch else { return Ok(Vec::new()) };
        self.entry_runs(&batch).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: DataFusionError) -> StorageError {
        storage_error(error, &self.session.limits)
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        loop {
            if let Some(rows) = &mut self.running {
                match rows.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => return Ok(Some(batch)),
                    None => self.running = None,
                }
            }
            let Some(ids) = self.waiting.pop() else { return Ok(None) };
            let literal = |it: &ScalarValue| Expr::Literal(it.clone(), None);
            let time = col(column::TS).between(literal(&self.ts.0), literal(&self.ts.1));
            let filters: Vec<Expr> =
                id_filter(self.id_column, &ids).into_iter().chain([time]).collect();
            let plan = self.table.scan(self.session.state.as_ref(), None, &filters, None).await?;
            self.running = Some(execute_stream(plan, Arc::clone(&self.session.task))?);
        }
    }

    /// Each id's rows in the batch, with its labels.
    fn runs(&self, batch: &RecordBatch) -> Result<Vec<LabelledRows>, DataFusionError> {
        let ids = column_of(batch, self.id_column)?.as_primitive::<Int64Type>().values();
        let mut runs = Vec::new();
        let mut start = 0;
        for run in ids.chunk_by(|left, right| left == right) {
            let range = start..start + run.len();
            start = range.end;
            if let Some(labels) = run.first().and_then(|id| self.labels.get(id)) {
                runs.push((Arc::clone(labels), range));
            }
        }
        Ok(runs)
    }

    fn sample_runs(&self, batch: &RecordBatch) -> Result<Vec<SampleRun>, DataFusionError> {
        let ts = column_of(batch, column::TS)?.as_primitive::<TimestampMillisecondType>().values();
        let values = column_of(batch, column::VALUE)?.as_primitive::<Float64Type>().values();
        let runs = self.runs(batch)?.into_iter().map(|(labels, rows)| SampleRun {
            labels,
            ts_ms: ts.get(rows.clone()).unwrap_or_default().to_vec(),
            values: values.get(rows).unwrap_or_default().to_vec(),
        });
        Ok(runs.collect())
    }

    fn entry_runs(&self, batch: &RecordBatch) -> Result<Vec<EntryRun>, DataFusionError> {
        let ts = column_of(batch, column::TS)?.as_primitive::<TimestampNanosecondType>();
        let lines = cast(column_of(batch, column::LINE)?, &DataType::Utf8)?;
        let lines = lines.as_string::<i32>();
        let metadata = column_of(batch, column::METADATA)?;
        let entry = |row: usize| {
            Ok(LogEntry {
                ts: TimestampNs(ts.value(row)),
                line: lines.value(row).to_owned(),
                metadata: pairs_of(metadata, row)?,
            })
        };
        self.runs(batch)?
            .into_iter()
            .map(|(labels, rows)| {
                let entries = rows.map(entry).collect::<Result<_, DataFusionError>>()?;
                Ok(EntryRun { labels, entries })
            })
            .collect()
    }
}

fn column_of<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataFusionError> {
    batch.column_by_name(name).ok_or_else(|| internal_datafusion_err!("rows lack column {name}"))
}

/// One row of a column of text maps.
fn pairs_of(maps: &ArrayRef, row: usize) -> Result<Vec<(String, String)>, DataFusionError> {
    let maps = maps.as_map_opt().ok_or_else(|| internal_datafusion_err!("metadata is no map"))?;
    if maps.is_null(row) {
        return Ok(Vec::new());
    }
    let entries = maps.value(row);
    let [keys, values] = entries.columns() else {
        return Err(internal_datafusion_err!("metadata is no map of pairs"));
    };
    let (keys, values) = (cast(keys, &DataType::Utf8)?, cast(values, &DataType::Utf8)?);
    let pairs = keys.as_string::<i32>().iter().zip(values.as_string::<i32>());
    Ok(pairs
        .filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())))
        .collect())
}
