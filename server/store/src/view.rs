//! What a query sees: the parts and heads of one moment, which stay until it is done.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::{catalog::TableProvider, common::Result, datasource::MemTable};
use skep_proto::{
    LabelIndex, LogTable, Matcher, MetricKind, SeriesId, StreamId, TimeRange, names::METRIC_NAME,
};

use crate::{
    downsample::{Rollups, Scope, Served, Tier},
    heads::{HistogramHeads, LogHeads, SampleHeads},
    index::{IndexSnapshot, TypedIndex},
    logs::StoredLogs,
    merge::Table,
    part::Part,
    retention::Expiry,
    samples::{Cache, SampleTable},
    schema::{SERIES, STREAMS, append_map, map_builder},
    table::{Heads, StoredTable},
};

/// Everything that holds rows, in the order of their age. Replaced as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) samples: TableView<SampleHeads>,
    pub(crate) histograms: TableView<HistogramHeads>,
    pub(crate) logs: TableView<LogHeads>,
    /// Samples summed up, by day.
    pub(crate) tiers: Vec<(Tier, Arc<Part>)>,
}

#[derive(Debug)]
pub(crate) struct TableView<H> {
    /// By rank.
    pub(crate) parts: Vec<Arc<Part>>,
    /// Being written to parts, oldest first.
    pub(crate) frozen: Vec<Arc<H>>,
    pub(crate) active: Arc<H>,
}

impl<H> Clone for TableView<H> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            frozen: self.frozen.clone(),
            active: Arc::clone(&self.active),
        }
    }
}

impl<H: Default> Default for TableView<H> {
    fn default() -> Self {
        Self { parts: Vec::new(), frozen: Vec::new(), active: Arc::default() }
    }
}

impl<H> TableView<H> {
    /// Oldest first.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Arc<H>> {
        self.frozen.iter().chain([&self.active])
    }
}

impl View {
    pub(crate) fn head_bytes(&self) -> usize {
        let samples: usize = self.samples.heads().map(|it| it.n_bytes()).sum();
        let histograms: usize = self.histograms.heads().map(|it| it.n_bytes()).sum();
        let logs: usize = self.logs.heads().map(|it| it.n_bytes()).sum();
        samples + histograms + logs
    }

    /// By rank.
    pub(crate) fn parts(&self, table: Table) -> &Vec<Arc<Part>> {
        match table {
            Table::Samples => &self.samples.parts,
            Table::Histograms => &self.histograms.parts,
            Table::Logs => &self.logs.parts,
        }
    }

    pub(crate) fn parts_mut(&mut self, table: Table) -> &mut Vec<Arc<Part>> {
        match table {
            Table::Samples => &mut self.samples.parts,
            Table::Histograms => &mut self.histograms.parts,
            Table::Logs => &mut self.logs.parts,
        }
    }

    /// The ids that have rows of one kind of label sets in memory, in no order.
    pub(crate) fn head_ids(&self, sets: Table) -> HashSet<i64> {
        match sets {
            Table::Samples | Table::Histograms => {
                let samples = self.samples.heads().flat_map(|it| it.ids());
                samples.chain(self.histograms.heads().flat_map(|it| it.ids())).collect()
            }
            Table::Logs => self.logs.heads().flat_map(|it| it.ids()).collect(),
        }
    }

    /// The days on which they have some.
    pub(crate) fn head_days(&self, sets: Table) -> BTreeSet<i32> {
        match sets {
            Table::Samples | Table::Histograms => {
                let samples = self.samples.heads().flat_map(|it| it.days());
                samples.chain(self.histograms.heads().flat_map(|it| it.days())).collect()
            }
            Table::Logs => self.logs.heads().flat_map(|it| it.days()).collect(),
        }
    }
}

/// What a metric is, as its senders told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pub kind: MetricKind,
    pub help: String,
    pub unit: String,
}

/// The store at one moment. Flushes, merges and retention do not change what it holds; rows
/// acknowledged later may show.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) view: View,
    pub(crate) series: IndexSnapshot,
    pub(crate) streams: IndexSnapshot,
    pub(crate) metadata: Arc<BTreeMap<String, Metadata>>,
    pub(crate) sample_cache: Arc<Cache>,
    pub(crate) sample_expiry: Expiry,
    pub(crate) log_expiry: Expiry,
}

/// Which label sets a question about labels is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelsOf {
    Series,
    Streams,
}

impl Snapshot {
    pub fn series(&self) -> Arc<dyn LabelIndex<SeriesId>> {
        Arc::new(TypedIndex { snapshot: self.series.clone(), id: SeriesId })
    }

    pub fn streams(&self) -> Arc<dyn LabelIndex<StreamId>> {
        Arc::new(TypedIndex { snapshot: self.streams.clone(), id: StreamId })
    }

    /// `(series_id, ts, value)` sorted by (series_id, ts), each pair once. Comparisons of
    /// `series_id` (also IN) and `ts` with literals are pushed down exactly.
    pub fn samples(&self) -> Arc<dyn TableProvider> {
        let heads = self.view.samples.heads().map(Arc::clone).collect();
        let cache = Arc::clone(&self.sample_cache);
        let table = SampleTable::new(self.view.samples.parts.clone(), heads, cache);
        Arc::new(table.with_expiry(&self.sample_expiry))
    }

    /// Native histograms, sorted by (series_id, ts), each pair once: pushed down as of
    /// [`Self::samples`]. `None` where there are none at all.
    pub fn histograms(&self) -> Option<Arc<dyn TableProvider>> {
        let view = &self.view.histograms;
        let with_rows = view.heads().filter(|it| it.n_histograms() > 0);
        let heads: Vec<_> = with_rows.map(|it| Heads::Histograms(Arc::clone(it))).collect();
        if view.parts.is_empty() && heads.is_empty() {
            return None;
        }
        let table = StoredTable::new(Table::Histograms, view.parts.clone(), heads);
        Some(Arc::new(table.with_expiry(&self.sample_expiry)))
    }

    /// Whether any of them may be of these times.
    pub fn may_have_histograms(&self, range: TimeRange) -> bool {
        let view = &self.view.histograms;
        let (start, end) = (range.start.0, range.end.0);
        let overlaps = |it: &Arc<Part>| it.info.ts.0 <= end && start <= it.info.ts.1;
        view.parts.iter().any(overlaps)
            || view.heads().any(|it| it.ts().is_some_and(|ts| ts.0 <= end && start <= ts.1))
    }

    /// Where samples are gone that are summed up still; `None` where nothing is to be had beyond
    /// [`Self::samples`]. Buckets may be as wide as what divides `grain_ms`.
    pub fn rollups(&self, grain_ms: i64) -> Option<Rollups> {
        let scope = || {
            let samples = &self.view.samples;
            let mut raw_days: BTreeSet<i32> = samples.parts.iter().map(|it| it.info.day).collect();
            samples.heads().for_each(|it| raw_days.extend(it.days()));
            Scope { raw_days: Arc::new(raw_days), expiry: self.sample_expiry.clone() }
        };
        let served = Served::new(&self.view.tiers, scope, grain_ms)?;
        Some(Rollups::new(self.samples(), served))
    }

    /// `(stream_id, ts, line, metadata)` sorted by (stream_id, ts), identical rows once.
    /// Comparisons of `stream_id` (also IN) and `ts` with literals are pushed down exactly.
    pub fn logs(&self) -> Arc<dyn TableProvider> {
        let heads = self.view.logs.heads().map(|it| Heads::Logs(Arc::clone(it))).collect();
        let table = StoredTable::new(Table::Logs, self.view.logs.parts.clone(), heads);
        Arc::new(table.with_expiry(&self.log_expiry))
    }

    /// Log entries, identical ones once, for who reads lines block by block.
    pub fn log_lines(&self) -> Arc<dyn LogTable> {
        Arc::new(StoredLogs {
            parts: self.view.logs.parts.clone(),
            heads: self.view.logs.heads().map(Arc::clone).collect(),
            cache: Arc::clone(&self.sample_cache),
            expiry: self.log_expiry.clone(),
        })
    }

    /// `(series_id, name, labels)`, by id; labels without the name.
    ///
    /// # Errors
    /// More label text than an Arrow array can hold (2 GiB).
    pub fn series_table(&self) -> Result<Arc<dyn TableProvider>> {
        let entries = self.series.select_entries(&[], TimeRange::ALL);
        let mut labels = map_builder();
        for entry in &entries {
            append_map(&mut labels, entry.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(entries.iter().map(|it| it.id).collect::<Int64Array>()),
            Arc::new(
                entries.iter().map(|it| Some(it.labels.metric_name())).collect::<StringArray>(),
            ),
            Arc::new(labels.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&SERIES), columns)?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }

    /// `(stream_id, labels)`, by id.
    ///
    /// # Errors
    /// As [`Self::series_table`].
    pub fn streams_table(&self) -> Result<Arc<dyn TableProvider>> {
        let entries = self.streams.select_entries(&[], TimeRange::ALL);
        let mut labels = map_builder();
        for entry in &entries {
            append_map(&mut labels, entry.labels.iter());
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(entries.iter().map(|it| it.id).collect::<Int64Array>()),
            Arc::new(labels.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&STREAMS), columns)?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }

    /// Names of labels that a matching label set has, in order, `limit` at most. It may name one
    /// whose data lies outside `range` by less than a day.
    pub fn label_names(
        &self,
        of: LabelsOf,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Vec<String> {
        self.index(of).label_names(matchers, range, limit)
    }

    /// Values of one label, as [`Self::label_names`].
    pub fn label_values(
        &self,
        of: LabelsOf,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Vec<String> {
        self.index(of).label_values(name, matchers, range, limit)
    }

    /// By metric.
    pub fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    fn index(&self, of: LabelsOf) -> &IndexSnapshot {
        match of {
            LabelsOf::Series => &self.series,
            LabelsOf::Streams => &self.streams,
        }
    }
}
