//! From block to block: what all leaves do with them.

use std::{
    collections::HashSet,
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
use skep_logql::QueryError;
use skep_promql::StorageError;
use skep_proto::{Labels, LogBlock, LogBlockInfo, LogBlocks, LogColumns};

use super::leaf_exec::{Streams, external, read_failed};
use crate::tally::counter;

/// An entry that was seen, as [`Walk::is_new`] keeps it.
const SEEN_BYTES: usize = 2 * size_of::<(i64, i64, u64)>();

/// Lines that had to be put together, because neither time nor template told enough.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    n_lines: usize,
    line_bytes: usize,
    metadata_bytes: usize,
}

impl Read {
    pub(super) fn add<'a>(
        &mut self,
        line: &str,
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.n_lines += 1;
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
    /// Entries of times that several sources have: stream, time, hash of the rest.
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
        self.n_matched.add(read.n_lines);
        self.line_bytes.add(read.line_bytes);
        self.metadata_bytes.add(read.metadata_bytes);
    }

    /// The block's wanted rows but those that another source gave before.
    pub(super) fn unseen(
        &mut self,
        block: &mut LogBlock,
        info: &LogBlockInfo,
    ) -> Result<Vec<Range<usize>>, DataFusionError> {
        let rows = std::mem::take(&mut block.wanted);
        let Some((first, last)) = info.shared else { return Ok(rows) };
        let mut unseen = Vec::with_capacity(rows.len());
        let mut line = String::new();
        for rows in rows {
            let times = block.ts.get(rows.clone()).unwrap_or_default();
            let from = rows.start + times.partition_point(|it| *it < first);
            let to = rows.start + times.partition_point(|it| *it <= last);
            if from < to {
                block
                    .load(LogColumns { metadata: true, ..LogColumns::LINES })
                    .map_err(read_failed)?;
            }
            let mut start = rows.start;
            for row in from..to {
                let mut hasher = self.hasher.build_hasher();
                hasher.write(block.data().line(row, &mut line).as_bytes());
                for (name, value) in block.data().metadata(row) {
                    hasher.write_u8(0xff);
                    hasher.write(name.as_bytes());
                    hasher.write_u8(0xff);
                    hasher.write(value.as_bytes());
                }
                let (Some(id), Some(ts)) = (block.ids.get(row), block.ts.get(row)) else {
                    continue;
                };
                if !self.seen.insert((*id, *ts, hasher.finish())) {
                    unseen.push(start..row);
                    start = row + 1;
                }
            }
            unseen.push(start..rows.end);
        }
        unseen.retain(|it| !it.is_empty());
        Ok(unseen)
    }
}
