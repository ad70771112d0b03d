//! From block to block: what all leaves do with them.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use datafusion::{
    common::DataFusionError,
    execution::memory_pool::MemoryReservation,
    physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
};
use skep_logql::{Pipeline, QueryError};
use skep_promql::StorageError;
use skep_proto::{Labels, LogBlock, LogBlockInfo, LogBlocks, LogColumns};

use super::leaf_exec::{Streams, external, read_failed};
use crate::tally::counter;

/// An entry that was seen, as [`Walk::is_new`] keeps it.
const SEEN_BYTES: usize = 2 * size_of::<(i64, i64, u64)>();

/// Lines that had to be put together, because neither time nor template told enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    n_matched: usize,
    line_bytes: usize,
    metadata_bytes: usize,
}

impl Read {
    /// Adds a line; whether the texts of line filters are in it is counted.
    pub(super) fn add<'a>(
        &mut self,
        line: &str,
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
        pipeline: &Pipeline,
    ) {
        let is_matched = pipeline.needles().iter().all(|it| it.admits(line.as_bytes()));
        self.n_matched += usize::from(is_matched);
        self.line_bytes += line.len();
        self.metadata_bytes +=
            metadata.map(|(name, value)| name.len() + value.len()).sum::<usize>();
    }
}

/// The blocks of one leaf on their way through its stages.
pub(super) struct Walk {
    blocks: Arc<dyn LogBlocks>,
    streams: Streams,
    memory: MemoryReservation,
    canceled: Arc<AtomicBool>,
    /// By stream: rows that other sources may have, too.
    runs: HashMap<i64, Vec<Run>>,
    /// Entries that several sources may have: stream, time, hash of the rest.
    seen: HashSet<(i64, i64, u64)>,
    hasher: RandomState,
    n_blocks: Count,
    n_lines: Count,
    n_matched: Count,
    line_bytes: Count,
    metadata_bytes: Count,
}

impl Walk {
    pub(super) fn new(
        blocks: Arc<dyn LogBlocks>,
        streams: Streams,
        memory: MemoryReservation,
        metrics: &ExecutionPlanMetricsSet,
        partition: usize,
        canceled: Arc<AtomicBool>,
    ) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            blocks,
            streams,
            memory,
            canceled,
            runs: HashMap::new(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            n_blocks: counter("blocks_read"),
            n_lines: counter(counter::LINES),
            n_matched: counter(counter::LINES_MATCHED),
            line_bytes: counter(counter::LINE_BYTES),
            metadata_bytes: counter(counter::METADATA_BYTES),
        }
    }

    pub(super) fn infos(&self) -> &[LogBlockInfo] {
        self.blocks.infos()
    }

    /// Reads the keys of a block. What the leaf holds by now is told to its memory account.
    pub(super) fn read(&mut self, at: usize, n_bytes: usize) -> Result<LogBlock, DataFusionError> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(external(QueryError::from(StorageError::Canceled)));
        }
        self.memory.try_resize(n_bytes + self.seen.len() * SEEN_BYTES)?;
        self.n_blocks.add(1);
        self.blocks.read(at).map_err(read_failed)
    }

    pub(super) fn labels(&self, id: i64) -> Option<Arc<Labels>> {
        let found = self.streams.binary_search_by_key(&id, |(it, _)| *it).ok()?;
        self.streams.get(found).map(|(_, labels)| Arc::clone(labels))
    }

    /// Lines that were looked at, if only at their times.
    pub(super) fn note_lines(&self, n: usize) {
        self.n_lines.add(n);
    }

    pub(super) fn note_read(&self, read: Read) {
        self.n_matched.add(read.n_matched);
        self.line_bytes.add(read.line_bytes);
        self.metadata_bytes.add(read.metadata_bytes);
    }

    /// The block's wanted rows but those that another source gave before.
    pub(super) fn unseen(
        &mut self,
        at: usize,
        block: &mut LogBlock,
        info: &LogBlockInfo,
    ) -> Result<Vec<Range<usize>>, DataFusionError> {
        let wanted = std::mem::take(&mut block.wanted);
        let Some((first, last)) = info.shared else { return Ok(wanted) };
        let mut unseen = Vec::with_capacity(wanted.len());
        for rows in wanted {
            let times = block.ts.get(rows.clone()).unwrap_or_default();
            let from = rows.start + times.partition_point(|it| *it < first);
            let to = rows.start + times.partition_point(|it| *it <= last);
            let run = Run::new(at, info.source, block, from..to);
            let Some(mut run) = run else {
                unseen.push(rows);
                continue;
            };
            if self.compare_with_others(&run)? {
                run.is_compared = true;
                let mut start = rows.start;
                for (row, entry) in (from..to).zip(self.entries(block, from..to)?) {
                    if !self.seen.insert(entry) {
                        unseen.push(start..row);
                        start = row + 1;
                    }
                }
                unseen.push(start..rows.end);
            } else {
                unseen.push(rows);
            }
            self.runs.entry(run.id).or_default().push(run);
        }
        unseen.retain(|it| !it.is_empty());
        Ok(unseen)
    }

    /// Whether another source gave entries of the same stream and times; these are then among
    /// those that were seen.
    fn compare_with_others(&mut self, run: &Run) -> Result<bool, DataFusionError> {
        let Some(mut before) = self.runs.remove(&run.id) else { return Ok(false) };
        let mut may_be_twice = false;
        for other in &mut before {
            let is_apart = other.ts.1 < run.ts.0 || run.ts.1 < other.ts.0;
            if other.source == run.source || is_apart {
                continue;
            }
            may_be_twice = true;
            if !other.is_compared {
                other.is_compared = true;
                let mut block = self.blocks.read(other.at).map_err(read_failed)?;
                let entries = self.entries(&mut block, other.rows.clone())?;
                self.seen.extend(entries);
            }
        }
        self.runs.insert(run.id, before);
        Ok(may_be_twice)
    }

    /// What tells these rows from all others.
    fn entries(
        &self,
        block: &mut LogBlock,
        rows: Range<usize>,
    ) -> Result<Vec<(i64, i64, u64)>, DataFusionError> {
        block.load(LogColumns { metadata: true, ..LogColumns::LINES }).map_err(read_failed)?;
        let mut line = String::new();
        let entry = |row: usize| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write(block.data().line(row, &mut line).as_bytes());
            for (name, value) in block.data().metadata(row) {
                hasher.write_u8(0xff);
                hasher.write(name.as_bytes());
                hasher.write_u8(0xff);
                hasher.write(value.as_bytes());
            }
            let (id, ts) = (block.ids.get(row), block.ts.get(row));
            (id.copied().unwrap_or_default(), ts.copied().unwrap_or_default(), hasher.finish())
        };
        Ok(rows.map(entry).collect())
    }
}

/// Rows of a stream that lie in times which several sources have.
#[derive(Debug)]
struct Run {
    at: usize,
    source: usize,
    id: i64,
    /// Oldest and newest.
    ts: (i64, i64),
    rows: Range<usize>,
    /// Its entries are among those that were seen.
    is_compared: bool,
}

impl Run {
    fn new(at: usize, source: usize, block: &LogBlock, rows: Range<usize>) -> Option<Self> {
        let times = block.ts.get(rows.clone())?;
        let (id, ts) = (*block.ids.get(rows.start)?, (*times.first()?, *times.last()?));
        Some(Self { at, source, id, ts, rows, is_compared: false })
    }
}
