//! `SampleScanExec`: the wanted samples of parts and heads in order of (series, time), each once.

use std::{collections::VecDeque, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray},
    compute::SortOptions,
};
use datafusion::{
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_expr::{
        EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, expressions::col,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use skep_proto::names::column;

use super::{
    cache::Cache,
    source::{Figures, PartSource, Piece},
};
use crate::{
    delete::Mask,
    filter::RowFilter,
    heads::SampleHeads,
    part::Part,
    retention::Expiry,
    schema::{SAMPLES, UTC},
};

/// Where two parts or heads hold the same (series, time), the later one wins. Reads only the pages
/// that may hold a wanted row, and those it has lately read not again.
#[derive(Clone)]
pub(crate) struct SampleScanExec {
    filter: RowFilter,
    /// Oldest first, each with the deletes that had hidden rows of it when the scan was planned.
    parts: Vec<(Arc<Part>, Vec<Arc<Mask>>)>,
    /// Oldest first; all newer than the parts.
    heads: Vec<Arc<SampleHeads>>,
    cache: Arc<Cache>,
    projection: Option<Vec<usize>>,
    /// What the filter does not say of expired samples.
    expiry: Option<Expiry>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SampleScanExec {
    /// Of the parts, leaves out those that hold nothing the filter wants.
    pub(crate) fn new(
        filter: RowFilter,
        parts: &[Arc<Part>],
        heads: Vec<Arc<SampleHeads>>,
        cache: Arc<Cache>,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let schema = match &projection {
            Some(columns) => Arc::new(SAMPLES.project(columns)?),
            None => Arc::clone(&SAMPLES),
        };
        let mut equivalences = EquivalenceProperties::new(Arc::clone(&schema));
        let sorted: Vec<_> = [column::SERIES_ID, column::TS]
            .iter()
            .map_while(|it| col(it, &schema).ok())
            .map(|it| PhysicalSortExpr::new(it, SortOptions::new(false, false)))
            .collect();
        if let Some(ordering) = LexOrdering::new(sorted) {
            equivalences.add_ordering(ordering);
        }
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let is_empty = filter.is_empty();
        let is_wanted = |it: &&Arc<Part>| !is_empty && filter.overlaps(it.info.ids, it.info.ts);
        let parts = parts.iter().filter(is_wanted).map(|it| (Arc::clone(it), it.masks())).collect();
        let heads = if is_empty { Vec::new() } else { heads };
        let metrics = ExecutionPlanMetricsSet::new();
        let properties = Arc::new(properties);
        Ok(Self { filter, parts, heads, cache, projection, expiry: None, properties, metrics })
    }

    pub(super) fn with_expiry(mut self, expiry: &Expiry) -> Self {
        self.expiry = expiry.differs().then(|| expiry.clone());
        self
    }
}

impl fmt::Debug for SampleScanExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for SampleScanExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_parts, n_heads) = (self.parts.len(), self.heads.len());
        write!(out, "SampleScanExec: parts={n_parts}, heads={n_heads}")?;
        if let Some(ids) = self.filter.listed_ids() {
            write!(out, ", ids={}", ids.len())?;
        }
        write!(out, ", ts={}..={}", self.filter.ts_min, self.filter.ts_max)
    }
}

impl ExecutionPlan for SampleScanExec {
    fn name(&self) -> &'static str {
        "SampleScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
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
        let scan = Scan {
            filter: self.filter.clone(),
            parts: Vec::new(),
            heads: Vec::new(),
            expiry: self.expiry.clone(),
            next_listed: 0,
            found: Found::default(),
            out: Rows::default(),
            batch_rows: context.session_config().batch_size(),
            memory: MemoryConsumer::new(self.name()).register(context.memory_pool()),
            figures: Figures::new(&self.metrics, partition),
        };
        let state = State::Planned(Box::new((self.clone(), scan)));
        let projection = self.projection.clone();
        let stream = futures::stream::try_unfold(state, move |state| {
            let projection = projection.clone();
            async move {
                let mut scan = match state {
                    State::Planned(planned) => {
                        let (plan, scan) = *planned;
                        scan.begin(plan).await?
                    }
                    State::Running(scan) => scan,
                };
                let Some(batch) = scan.next_batch().await? else { return Ok(None) };
                let batch = match projection {
                    Some(columns) => batch.project(&columns)?,
                    None => batch,
                };
                Ok::<_, DataFusionError>(Some((batch, State::Running(scan))))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

enum State {
    Planned(Box<(SampleScanExec, Scan)>),
    Running(Box<Scan>),
}

/// A running scan.
struct Scan {
    filter: RowFilter,
    /// Oldest first.
    parts: Vec<PartSource>,
    heads: Vec<HeadSource>,
    expiry: Option<Expiry>,
    /// Where the filter lists its ids: which comes next.
    next_listed: usize,
    found: Found,
    out: Rows,
    batch_rows: usize,
    memory: MemoryReservation,
    figures: Figures,
}

struct HeadSource {
    heads: Arc<SampleHeads>,
    /// Those with rows, in order, where the filter lists none.
    ids: VecDeque<i64>,
}

/// Rows on their way out.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    ts: Vec<i64>,
    values: Vec<f64>,
}

impl Rows {
    fn push(&mut self, id: i64, piece: &Piece) {
        let ts = piece.ts();
        self.ids.resize(self.ids.len() + ts.len(), id);
        self.ts.extend_from_slice(ts);
        piece.values(&mut self.values);
    }

    /// Takes back what is older than `oldest` of the series that begins at `start`.
    fn keep_from(&mut self, start: usize, oldest: i64) {
        let ts = self.ts.get(start..).unwrap_or_default();
        let end = start + ts.partition_point(|it| *it < oldest);
        if end > start {
            self.ids.drain(start..end);
            self.ts.drain(start..end);
            self.values.drain(start..end);
        }
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let Self { ids, ts, values } = std::mem::take(self);
        let ts = TimestampMillisecondArray::from(ts).with_timezone(UTC);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(ts),
            Arc::new(Float64Array::from(values)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&SAMPLES), columns)?)
    }
}

/// Samples of one series, from the oldest source to the newest, each piece in order of time.
#[derive(Default)]
struct Found {
    pieces: Vec<Piece>,
    /// Kept for their allocations.
    merged: Vec<(i64, f64)>,
    values: Vec<f64>,
}

impl Found {
    /// Hands on what was found, in order of time; of equal times the last piece's.
    fn drain(&mut self, id: i64, out: &mut Rows) {
        match self.pieces.as_slice() {
            [] => return,
            // A day's part and nothing newer, most often.
            [piece] => out.push(id, piece),
            _ => self.drain_several(id, out),
        }
        self.pieces.clear();
    }

    fn drain_several(&mut self, id: i64, out: &mut Rows) {
        let span = |it: &Piece| it.ts().first().copied().zip(it.ts().last().copied());
        let mut order: Vec<&Piece> = self.pieces.iter().collect();
        order.sort_by_key(|it| span(it));
        let are_apart = order.array_windows().all(|[left, right]| {
            span(left).zip(span(right)).is_none_or(|(left, right)| left.1 < right.0)
        });
        if are_apart {
            return order.into_iter().for_each(|it| out.push(id, it));
        }
        for piece in &self.pieces {
            self.values.clear();
            piece.values(&mut self.values);
            self.merged.extend(piece.ts().iter().copied().zip(self.values.iter().copied()));
        }
        // Stable: of equal times the newest source's comes last.
        self.merged.sort_by_key(|it| it.0);
        let mut samples = self.merged.drain(..).peekable();
        while let Some((ts, value)) = samples.next() {
            if samples.peek().is_none_or(|it| it.0 != ts) {
                out.ids.push(id);
                out.ts.push(ts);
                out.values.push(value);
            }
        }
    }
}

impl Scan {
    async fn begin(mut self, plan: SampleScanExec) -> Result<Box<Self>> {
        for (part, masks) in plan.parts {
            let opened = Arc::clone(&part);
            match PartSource::open(opened, masks, &self.filter, &plan.cache, &self.figures).await {
                // It is left out.
                Err(_) if part.health.is_damaged() => {}
                source => self.parts.push(source?),
            }
        }
        for heads in plan.heads {
            let ids = match self.filter.listed_ids() {
                Some(_) => VecDeque::new(),
                None => heads.ids().into_iter().filter(|it| self.filter.wants_id(*it)).collect(),
            };
            self.heads.push(HeadSource { heads, ids });
        }
        Ok(Box::new(self))
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        // Of a batch and not of a series, whose few samples cost less than looking at the clock.
        let elapsed = self.figures.baseline.elapsed_compute().clone();
        let _timer = elapsed.timer();
        while self.out.ids.len() < self.batch_rows {
            let Some(id) = self.next_id().await? else { break };
            for part in &mut self.parts {
                part.find(id, &self.filter, &mut self.found.pieces, &self.figures).await?;
            }
            for source in &self.heads {
                if let Some(run) = source.heads.read(id, &self.filter) {
                    let values = run.bits.into_iter().map(f64::from_bits).collect();
                    self.found.pieces.push(Piece::Head { ts: run.ts, values });
                }
            }
            let start = self.out.ids.len();
            self.found.drain(id, &mut self.out);
            if let Some(expiry) = &self.expiry {
                self.out.keep_from(start, expiry.oldest_ms(id));
            }
        }
        let held: usize = self.parts.iter().map(PartSource::size_bytes).sum();
        self.memory.try_resize(held + self.out.ids.len() * 3 * size_of::<i64>())?;
        if self.out.ids.is_empty() {
            return Ok(None);
        }
        self.figures.baseline.record_output(self.out.ids.len());
        self.out.take().map(Some)
    }

    /// The smallest id that any source may still hold.
    async fn next_id(&mut self) -> Result<Option<i64>> {
        if let Some(ids) = self.filter.listed_ids() {
            let id = ids.get(self.next_listed).copied();
            self.next_listed += 1;
            return Ok(id);
        }
        let mut next = None;
        for part in &mut self.parts {
            part.fill(&self.filter, &self.figures).await?;
            next = smaller(next, part.id().filter(|it| self.filter.wants_id(*it)));
        }
        for source in &self.heads {
            next = smaller(next, source.ids.front().copied());
        }
        for source in &mut self.heads {
            if source.ids.front().copied() == next {
                source.ids.pop_front();
            }
        }
        Ok(next)
    }
}

fn smaller(left: Option<i64>, right: Option<i64>) -> Option<i64> {
    left.into_iter().chain(right).min()
}
