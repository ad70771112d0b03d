//! Blocks of entries in memory.

use std::sync::Arc;

use skep_proto::{LogBlock, LogBlockInfo, MetadataBuilder, Texts};

use crate::{
    filter::RowFilter,
    heads::{LogHeadRow, LogHeads, decode_metadata},
};

/// Rows of a block: what is copied at once, …
const BLOCK_ROWS: usize = 4096;

/// … and bytes, unless one time has more.
const BLOCK_BYTES: usize = 8 << 20;

fn n_rows_at_once(rows: &[LogHeadRow]) -> usize {
    let mut n_bytes = 0;
    let fits = |row: &&LogHeadRow| {
        n_bytes += row.n_bytes();
        n_bytes <= BLOCK_BYTES
    };
    let n_fit = rows.iter().take(BLOCK_ROWS).take_while(fits).count();
    n_fit.max(1).min(rows.len())
}

/// Entries of one stream.
#[derive(Debug)]
pub(super) struct HeadBlock {
    heads: Arc<LogHeads>,
    id: i64,
    rows: Vec<LogHeadRow>,
}

impl HeadBlock {
    /// The wanted entries of a stream, cut where the time changes.
    pub(super) fn all(heads: &Arc<LogHeads>, id: i64, filter: &RowFilter) -> Vec<Self> {
        let rows = heads.rows(id, filter);
        let mut rest = rows.as_slice();
        let mut blocks = Vec::new();
        while let Some(last) = rest.get(n_rows_at_once(rest).saturating_sub(1)) {
            let n = rest.partition_point(|it| it.ts <= last.ts);
            let (taken, after) = rest.split_at(n);
            blocks.push(Self { heads: Arc::clone(heads), id, rows: taken.to_vec() });
            rest = after;
        }
        blocks
    }

    pub(super) fn info(&self) -> LogBlockInfo {
        let ts = |row: Option<&LogHeadRow>| row.map_or(0, |it| it.ts);
        LogBlockInfo {
            n_rows: self.rows.len(),
            ids: (self.id, self.id),
            ts: (ts(self.rows.first()), ts(self.rows.last())),
            source: 0,
            shared: None,
        }
    }

    pub(super) fn read(&self, oldest: i64) -> LogBlock {
        let (mut ts, mut lines) = (Vec::with_capacity(self.rows.len()), Texts::default());
        let mut metadata = MetadataBuilder::default();
        self.heads.read_rows(self.id, &self.rows, |at, line, pairs| {
            if at >= oldest {
                ts.push(at);
                lines.push(line);
                metadata.push(decode_metadata(pairs).unwrap_or_default());
            }
        });
        LogBlock::of_lines(vec![self.id; ts.len()], ts, lines, metadata.finish())
    }
}
