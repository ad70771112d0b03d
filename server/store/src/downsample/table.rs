//! The tables of summed up samples: their file, and how queries see them beside the samples.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, union::UnionExec},
};
use skep_wal::Fs;

use super::{Tier, bucket::Bucket, scan::RollupScanExec, scope::Served, uncovered::UncoveredExec};
use crate::{
    encode::{Bounds, EncodeError, PartFile, Written, rollup_properties},
    filter::RowFilter,
    part::Part,
    schema::{SAMPLES, SAMPLES_KEY, SAMPLES_ROLLUP, UTC},
};

/// Rows are handed to Parquet in batches of this many.
const BATCH_ROWS: usize = 16_384;

/// What is asked of buckets, which then stand for samples of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// The last sample, at its own time, and the stale marker after it.
    Last,
    /// The first one, too.
    Ends,
    /// First and last samples, and a fall between them where the counter was reset.
    Counter,
    /// As [`Self::Counter`], and how many samples they stand for ([`skep_proto::uncounted`]).
    Rate,
    Min,
    Max,
    Sum,
    /// How many samples there were: 1 for each that is still there.
    Count,
}

/// Takes buckets in order of (series, end).
pub(super) struct RollupWriter {
    file: PartFile,
    bounds: Bounds,
    ids: Vec<i64>,
    rows: Vec<Bucket>,
    path: PathBuf,
}

impl RollupWriter {
    pub(super) fn create(path: &Path, fs: &dyn Fs) -> Result<Self, EncodeError> {
        let schema = Arc::clone(&SAMPLES_ROLLUP);
        let file = PartFile::create(path, schema, rollup_properties(&SAMPLES_ROLLUP), fs)?;
        let bounds = Bounds::default();
        Ok(Self { file, bounds, ids: Vec::new(), rows: Vec::new(), path: path.to_owned() })
    }

    pub(super) fn push(&mut self, id: i64, bucket: &Bucket) -> Result<(), EncodeError> {
        self.bounds.add(id, bucket.end);
        self.ids.push(id);
        self.rows.push(*bucket);
        if self.rows.len() >= BATCH_ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), EncodeError> {
        let rows = std::mem::take(&mut self.rows);
        let ints = |of: fn(&Bucket) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        let times = |of| {
            let column = TimestampMillisecondArray::from(ints(of)).with_timezone(UTC);
            Arc::new(column) as ArrayRef
        };
        let floats = |of: fn(&Bucket) -> f64| {
            Arc::new(rows.iter().map(of).collect::<Float64Array>()) as ArrayRef
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.ids))),
            times(|it| it.end),
            floats(|it| it.min),
            floats(|it| it.max),
            floats(|it| it.sum),
            Arc::new(Int64Array::from(ints(|it| it.count))),
            times(|it| it.first_ts),
            floats(|it| it.first),
            times(|it| it.last_ts),
            floats(|it| it.last),
            floats(|it| it.lost),
            Arc::new(
                rows.iter()
                    .map(|it| it.stale_ts)
                    .collect::<TimestampMillisecondArray>()
                    .with_timezone(UTC),
            ),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&SAMPLES_ROLLUP), columns);
        let arrow = |source| EncodeError::Arrow { path: self.path.clone(), source };
        self.file.write(&batch.map_err(arrow)?)
    }

    pub(super) fn finish(mut self) -> Result<Written, EncodeError> {
        self.write()?;
        self.file.finish(self.bounds)
    }
}

/// What of the samples is gone and summed up, at one moment.
#[derive(Debug, Clone)]
pub struct Rollups {
    samples: Arc<dyn TableProvider>,
    served: Arc<Served>,
}

impl Rollups {
    pub(crate) fn new(samples: Arc<dyn TableProvider>, served: Served) -> Self {
        Self { samples, served: Arc::new(served) }
    }

    /// Before this time (milliseconds) buckets answer.
    pub fn horizon_ms(&self) -> i64 {
        self.served.horizon_ms()
    }

    /// How wide they are at most.
    pub fn width_ms(&self) -> i64 {
        self.served.width_ms()
    }

    /// `(series_id, ts, value)`: the samples, and before them what stands for those that are gone.
    pub fn table(&self, rollup: Rollup) -> Arc<dyn TableProvider> {
        Arc::new(RollupTable { rollups: self.clone(), rollup })
    }
}

#[derive(Debug)]
struct RollupTable {
    rollups: Rollups,
    rollup: Rollup,
}

#[async_trait]
impl TableProvider for RollupTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SAMPLES)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Rollups { samples, served } = &self.rollups;
        let samples = samples.scan(session, projection, filters, limit).await?;
        let samples: Arc<dyn ExecutionPlan> =
            Arc::new(UncoveredExec::new(samples, self.rollup, Arc::clone(served)));
        let mut filter = RowFilter::ALL;
        for expr in filters {
            filter.narrow(expr, &SAMPLES_KEY);
        }
        let overlaps = |(tier, part): &&(Tier, Arc<Part>)| {
            filter.overlaps(part.info.ids, tier.ts_within(&part.info))
        };
        let parts: Vec<_> = served.parts().filter(overlaps).cloned().collect();
        if parts.is_empty() {
            return Ok(samples);
        }
        let (served, projection) = (Arc::clone(served), projection.cloned());
        let buckets = RollupScanExec::new(self.rollup, parts, filter, served, projection)?;
        UnionExec::try_new(vec![Arc::new(buckets), samples])
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.rollups.samples.supports_filters_pushdown(filters)
    }
}
