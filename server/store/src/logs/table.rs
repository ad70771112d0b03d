//! The blocks of parts and heads that a query of lines reads.

use std::{fmt, ops::Range, sync::Arc};

use datafusion::common::DataFusionError;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use parquet::errors::ParquetError;
use skep_proto::{LogBlock, LogBlockInfo, LogBlocks, LogReadError, LogTable, LogWanted, Pending};

use super::{
    block::{OpenPart, PartBlock},
    heads::HeadBlock,
    shared,
};
use crate::{
    delete::Mask,
    encode::EncodeError,
    filter::RowFilter,
    heads::LogHeads,
    part::Part,
    part_store::{PartUnavailable, Pin},
    retention::{Expiry, in_unit},
    samples::{BlockRows, Cache, open_part, visible},
    schema::LOGS_KEY,
    words::{Need, pages_with},
};

/// Parts that are opened at the same time: some may have to be fetched first.
const PARTS_AT_ONCE: usize = 4;

/// Log entries of parts and heads, each once.
#[derive(Debug, Clone)]
pub(crate) struct StoredLogs {
    /// Oldest first.
    pub(crate) parts: Vec<Arc<Part>>,
    /// Oldest first; all newer than the parts.
    pub(crate) heads: Vec<Arc<LogHeads>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) expiry: Expiry,
}

/// Where the rows of a block are.
enum Block {
    Part { part: Arc<OpenPart>, rows: BlockRows, masks: Arc<[Arc<Mask>]> },
    Head(HeadBlock),
}

struct Blocks {
    infos: Vec<LogBlockInfo>,
    blocks: Vec<Block>,
    filter: RowFilter,
    expiry: Expiry,
    n_parts: usize,
    /// Pages that were looked up in indexes of words, and those of them that are read.
    n_pages: (usize, usize),
    _pins: Vec<Pin>,
}

/// What of one part is read.
struct Found {
    blocks: Vec<Block>,
    n_pages: (usize, usize),
    pin: Pin,
}

impl LogTable for StoredLogs {
    fn open(&self, wanted: LogWanted) -> Pending<Result<Arc<dyn LogBlocks>, LogReadError>> {
        self.clone().blocks(wanted).boxed()
    }
}

impl StoredLogs {
    async fn blocks(self, wanted: LogWanted) -> Result<Arc<dyn LogBlocks>, LogReadError> {
        let mut filter = RowFilter::of_ids(wanted.ids, (wanted.first.0, wanted.last.0));
        filter.ts_min = filter.ts_min.max(self.expiry.oldest_of_all(LOGS_KEY.unit));
        let need = Need::of_lines(&wanted.need);
        let mut all = Blocks {
            infos: Vec::new(),
            blocks: Vec::new(),
            filter: filter.clone(),
            expiry: self.expiry.clone(),
            n_parts: 0,
            n_pages: (0, 0),
            _pins: Vec::new(),
        };
        if filter.is_empty() {
            return Ok(Arc::new(all));
        }
        let parts = self.parts.iter().filter(|it| filter.overlaps(it.info.ids, it.info.ts));
        let opened: Vec<_> =
            parts.map(|it| find(Arc::clone(it), &self.cache, &filter, &need).boxed()).collect();
        let found: Vec<Option<Found>> =
            futures::stream::iter(opened).buffered(PARTS_AT_ONCE).try_collect().await?;
        let mut sources = Vec::new();
        for found in found.into_iter().flatten() {
            all.n_parts += 1;
            all.n_pages.0 += found.n_pages.0;
            all.n_pages.1 += found.n_pages.1;
            sources.push(found.blocks);
            all._pins.push(found.pin);
        }
        for heads in &self.heads {
            let ids = filter.listed_ids().map_or_else(|| heads.ids(), <[i64]>::to_vec);
            let of_id = |id| HeadBlock::all(heads, id, &filter).into_iter().map(Block::Head);
            sources.push(ids.into_iter().flat_map(of_id).collect());
        }
        let mut infos: Vec<Vec<_>> =
            sources.iter().map(|it| it.iter().map(Block::info).collect()).collect();
        shared::mark(&mut infos);
        all.infos = infos.into_iter().flatten().collect();
        all.blocks = sources.into_iter().flatten().collect();
        Ok(Arc::new(all))
    }
}

/// Opens a part and finds its blocks that may hold wanted rows; `None` if it is damaged.
async fn find(
    part: Arc<Part>,
    cache: &Arc<Cache>,
    filter: &RowFilter,
    need: &Need,
) -> Result<Option<Found>, LogReadError> {
    let pin = match part.pin_if_room().await {
        Ok(pin) => pin,
        Err(_) if part.health.is_damaged() => return Ok(None),
        Err(error) => {
            let error = Box::new(PartUnavailable::new(&part.path, error));
            return Err(DataFusionError::External(error).into());
        }
    };
    let pages = pages_with(&part, need).await;
    let n_pages = pages
        .as_ref()
        .map_or((0, 0), |it| (it.len(), it.iter().filter(|(_, may_have)| *may_have).count()));
    if pages.is_some() && n_pages.1 == 0 {
        return Ok(Some(Found { blocks: Vec::new(), n_pages, pin }));
    }
    let (footer, bytes) = open_part(&part, cache).await?;
    let masks: Arc<[Arc<Mask>]> = part.masks().into();
    let mut wanted = footer.wanted(filter);
    if let Some(pages) = pages {
        let ranges = row_ranges(&footer.blocks, &pages);
        wanted.retain(|at| ranges.get(*at).copied().unwrap_or(true));
    }
    let open = Arc::new(OpenPart::new(Arc::clone(&part), Arc::clone(&footer), bytes));
    let rows = wanted.into_iter().filter_map(|at| footer.blocks.get(at));
    let block =
        |rows: BlockRows| Block::Part { part: Arc::clone(&open), rows, masks: Arc::clone(&masks) };
    let blocks = rows.flat_map(|it| open.cut(*it)).map(block).collect();
    Ok(Some(Found { blocks, n_pages, pin }))
}

/// Of each block, whether one of the pages that may hold what is needed is in it. Pages of the
/// index are as many rows as blocks are, unless pages of the file grew too large.
fn row_ranges(blocks: &[BlockRows], pages: &[(usize, bool)]) -> Vec<bool> {
    let mut start = 0;
    let pages: Vec<(Range<usize>, bool)> = pages
        .iter()
        .map(|(n_rows, may_have)| {
            start += n_rows;
            (start - n_rows..start, *may_have)
        })
        .collect();
    let mut start = 0;
    let block = |it: &BlockRows| {
        let rows = start..start + it.n_rows;
        start = rows.end;
        let from = pages.partition_point(|(page, _)| page.end <= rows.start);
        let of_block = pages.iter().skip(from).take_while(|(page, _)| page.start < rows.end);
        of_block.into_iter().any(|(_, may_have)| *may_have)
    };
    blocks.iter().map(block).collect()
}

impl Block {
    fn info(&self) -> LogBlockInfo {
        match self {
            Self::Part { rows: BlockRows { n_rows, ids, ts, .. }, .. } => {
                LogBlockInfo { n_rows: *n_rows, ids: *ids, ts: *ts, source: 0, shared: None }
            }
            Self::Head(block) => block.info(),
        }
    }
}

impl LogBlocks for Blocks {
    fn infos(&self) -> &[LogBlockInfo] {
        &self.infos
    }

    fn read(&self, at: usize) -> Result<LogBlock, LogReadError> {
        match self.blocks.get(at) {
            None => Err("there is no such block".into()),
            Some(Block::Head(block)) => {
                let id = block.info().ids.0;
                Ok(block.read(in_unit(self.expiry.oldest_ms(id), LOGS_KEY.unit)))
            }
            Some(Block::Part { part, rows, masks }) => {
                let block = PartBlock { part: Arc::clone(part), rows: *rows };
                let (ids, ts) = block.keys().map_err(|error| read_error(&part.part, error))?;
                let wanted = self.wanted(&ids, &ts, masks);
                Ok(LogBlock::new(ids, ts, wanted, Box::new(block)))
            }
        }
    }

    fn describe(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "parts={}, blocks={}", self.n_parts, self.blocks.len())?;
        if self.n_pages.0 > 0 {
            write!(out, ", pages={}/{}", self.n_pages.1, self.n_pages.0)?;
        }
        Ok(())
    }
}

impl Blocks {
    /// The rows that the filter wants, that are not expired and that no delete hides: ranges of
    /// one stream each.
    fn wanted(&self, ids: &[i64], ts: &[i64], masks: &[Arc<Mask>]) -> Vec<Range<usize>> {
        let mut wanted = Vec::new();
        let mut start = 0;
        for run in ids.chunk_by(|left, right| left == right) {
            let rows = start..start + run.len();
            start = rows.end;
            let Some(&id) = run.first().filter(|it| self.filter.wants_id(**it)) else { continue };
            let times = ts.get(rows.clone()).unwrap_or_default();
            let oldest = self.filter.ts_min.max(in_unit(self.expiry.oldest_ms(id), LOGS_KEY.unit));
            let low = rows.start + times.partition_point(|it| *it < oldest);
            let high = rows.start + times.partition_point(|it| *it <= self.filter.ts_max);
            if low < high {
                wanted.extend(visible(id, ts, low..high, masks));
            }
        }
        wanted
    }
}

pub(super) fn read_error(part: &Part, source: ParquetError) -> LogReadError {
    part.health.doubt();
    let path = part.path.clone();
    let error = DataFusionError::External(Box::new(EncodeError::Read { path, source }));
    let path = part.path.display();
    error.context(format!("part {path} cannot be read; ask again, it is checked before")).into()
}
