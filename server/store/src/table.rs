//! A table over parts and heads, as DataFusion plans it.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringBuilder, TimestampNanosecondArray},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::memory::MemorySourceConfig,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use crate::{
    encode::EncodeError,
    filter::RowFilter,
    heads::{HistogramHeads, LogHeads, decode_metadata},
    histograms,
    lines::SplitRows,
    merge::{Group, MergeExec, Table},
    part::Part,
    retention::Expiry,
    schema::{LOGS, append_map, map_builder},
    words::{Found, PartRows, Search},
};

/// Rows of a head per batch.
const HEAD_BATCH_ROWS: usize = 8192;

#[derive(Debug, Clone)]
pub(crate) enum Heads {
    Histograms(Arc<HistogramHeads>),
    Logs(Arc<LogHeads>),
}

#[derive(Debug)]
pub(crate) struct StoredTable {
    table: Table,
    /// Oldest first.
    parts: Vec<Arc<Part>>,
    /// Oldest first; all newer than the parts.
    heads: Vec<Heads>,
    expiry: Option<Expiry>,
    search: Search,
}

impl StoredTable {
    pub(crate) fn new(table: Table, parts: Vec<Arc<Part>>, heads: Vec<Heads>) -> Self {
        Self { table, parts, heads, expiry: None, search: Search::default() }
    }

    /// Without the rows that are expired.
    pub(crate) fn with_expiry(mut self, expiry: &Expiry) -> Self {
        self.expiry = Some(expiry.clone());
        self
    }

    /// The plan of everything that satisfies the filter, without pages that were found to lack
    /// what is searched.
    pub(crate) fn plan(
        &self,
        filter: &RowFilter,
        found: Option<&Found>,
        projection: Option<Vec<usize>>,
    ) -> Result<MergeExec> {
        let mut filter = filter.clone();
        if let Some(expiry) = &self.expiry {
            filter.ts_min = filter.ts_min.max(expiry.oldest_of_all(self.table.key().unit));
        }
        let filter = &filter;
        let mut group = Group::new(filter.clone());
        if !filter.is_empty() {
            for (at, part) in self.parts.iter().enumerate() {
                if !filter.overlaps(part.info.ids, part.info.ts) {
                    continue;
                }
                let wanted = found.map_or(PartRows::ALL, |it| it.rows(at, part, filter));
                group.note_pages(wanted.pages);
                if !wanted.is_empty() {
                    let source = crate::scan::part_source(self.table, part, filter, wanted.rows)?;
                    group.sources.push(source);
                    group.parts.push(Arc::clone(part));
                }
            }
            for heads in &self.heads {
                let batches = heads.read(filter)?;
                if !batches.is_empty() {
                    let schema = self.table.schema();
                    group.sources.push(MemorySourceConfig::try_new_exec(&[batches], schema, None)?);
                }
            }
        }
        let merge = MergeExec::new(self.table, vec![group], projection)?;
        Ok(match &self.expiry {
            Some(expiry) => merge.with_expiry(expiry.clone()),
            None => merge,
        })
    }
}

#[async_trait]
impl TableProvider for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut filter = RowFilter::ALL;
        let key = self.table.key();
        for expr in filters {
            filter.narrow(expr, &key);
        }
        let found = match self.table {
            Table::Logs => self.search.find(&self.parts, &filter, filters).await,
            Table::Samples | Table::Histograms => None,
        };
        Ok(Arc::new(self.plan(&filter, found.as_deref(), projection.cloned())?))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let key = self.table.key();
        let support = |expr: &&Expr| {
            if RowFilter::ALL.clone().narrow(expr, &key) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }
}

impl Heads {
    /// The wanted rows, sorted.
    fn read(&self, filter: &RowFilter) -> Result<Vec<RecordBatch>> {
        let ids = match (filter.listed_ids(), self) {
            (Some(ids), _) => Cow::Borrowed(ids),
            (None, Self::Histograms(heads)) => Cow::Owned(heads.ids()),
            (None, Self::Logs(heads)) => Cow::Owned(heads.ids()),
        };
        let ids = ids.iter().copied().filter(|it| filter.wants_id(*it));
        match self {
            Self::Histograms(heads) => histograms::batches(heads, ids, filter),
            Self::Logs(heads) => read_logs(heads, ids, filter),
        }
    }
}

fn read_logs(
    heads: &LogHeads,
    ids: impl Iterator<Item = i64>,
    filter: &RowFilter,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    let mut rows = LogBatchBuilder::default();
    for id in ids {
        let mut failed = None;
        heads.read(id, filter, |ts, line, metadata| {
            rows.push(id, ts, line, decode_metadata(metadata).unwrap_or_default());
            if rows.len() >= HEAD_BATCH_ROWS {
                match rows.finish() {
                    Ok(batch) => batches.push(batch),
                    Err(error) => failed = Some(error),
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    if rows.len() > 0 {
        batches.push(rows.finish()?);
    }
    Ok(batches)
}

/// One stream's wanted rows in batches as files have them, each with its first and last time stamp.
pub(crate) fn read_log_stream(
    heads: &LogHeads,
    id: i64,
    filter: &RowFilter,
    mut take: impl FnMut(RecordBatch, i64, i64) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut rows = SplitRows::default();
    let mut result = Ok(());
    let mut hand_on = |rows: &mut SplitRows| {
        if let (Ok(()), Some((first, last))) = (&result, rows.ts()) {
            let batch = rows.finish().map_err(EncodeError::Merge);
            result = batch.and_then(|batch| take(batch, first, last));
        }
    };
    heads.read(id, filter, |ts, line, metadata| {
        rows.push(id, ts, line, decode_metadata(metadata).unwrap_or_default());
        if rows.len() >= HEAD_BATCH_ROWS {
            hand_on(&mut rows);
        }
    });
    hand_on(&mut rows);
    result
}

/// Log rows on their way into Arrow.
pub(crate) struct LogBatchBuilder {
    ids: Vec<i64>,
    ts: Vec<i64>,
    lines: StringBuilder,
    metadata: arrow::array::MapBuilder<StringBuilder, StringBuilder>,
}

impl Default for LogBatchBuilder {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            ts: Vec::new(),
            lines: StringBuilder::new(),
            metadata: map_builder(),
        }
    }
}

impl LogBatchBuilder {
    pub(crate) fn push(&mut self, id: i64, ts: i64, line: &str, metadata: Vec<(&str, &str)>) {
        self.ids.push(id);
        self.ts.push(ts);
        self.lines.append_value(line);
        append_map(&mut self.metadata, metadata);
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// What was pushed so far; begins anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let ts = TimestampNanosecondArray::from(std::mem::take(&mut self.ts));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.ids))),
            Arc::new(ts.with_timezone(crate::schema::UTC)),
            Arc::new(self.lines.finish()),
            Arc::new(self.metadata.finish()),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&LOGS), columns)?)
    }
}
