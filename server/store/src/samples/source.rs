//! One part on its way through a scan: its blocks, from memory or from the file.

use std::{collections::VecDeque, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result},
    physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder},
};
use parquet::errors::ParquetError;

use super::{
    block::{RawBlock, visible},
    cache::Cache,
    footer::{Footer, PartBytes},
    packed::{Block, Reach},
};
use crate::{
    delete::Mask,
    encode::EncodeError,
    filter::RowFilter,
    part::{Part, PartInfo},
    part_store::{PartUnavailable, Pin},
};

/// Blocks of a part read at once: few enough to hold of many parts, enough to be worth a thread.
const READ_AHEAD: usize = 4;
/// What a block takes in memory, in bytes of its file, or less.
const PACKED_FILE_BYTES: u64 = 2;
/// Of a block that is not kept whole, what a scan wants is kept if it is not more than this share.
const FEW_SHARE: usize = 2;

/// What EXPLAIN tells of a scan. A block is a page of each column.
pub(super) struct Figures {
    pub(super) baseline: BaselineMetrics,
    n_blocks: Count,
    n_blocks_pruned: Count,
    n_blocks_cached: Count,
    n_blocks_read: Count,
}

impl Figures {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            n_blocks: counter("blocks"),
            n_blocks_pruned: counter("blocks_pruned"),
            n_blocks_cached: counter("blocks_cached"),
            n_blocks_read: counter("blocks_read"),
        }
    }
}

/// Samples of one series, in order of time.
pub(super) enum Piece {
    Block { block: Arc<Block>, run: usize, rows: std::ops::Range<usize> },
    Head { ts: Vec<i64>, values: Vec<f64> },
}

impl Piece {
    pub(super) fn ts(&self) -> &[i64] {
        match self {
            Self::Block { block, run, rows } => {
                block.ts(*run).get(rows.clone()).unwrap_or_default()
            }
            Self::Head { ts, .. } => ts,
        }
    }

    /// Appends the values.
    pub(super) fn values(&self, out: &mut Vec<f64>) {
        match self {
            Self::Block { block, run, rows } => block.values(*run, rows.clone(), out),
            Self::Head { values, .. } => out.extend_from_slice(values),
        }
    }
}

/// One part on its way through a scan.
pub(super) struct PartSource {
    /// Its file stays until the scan is done.
    part: Arc<Part>,
    masks: Vec<Arc<Mask>>,
    footer: Arc<Footer>,
    cache: Arc<Cache>,
    /// What is read is kept for others.
    is_cached: bool,
    /// Blocks to read, in order.
    wanted: VecDeque<usize>,
    /// The first one holds what comes next.
    loaded: VecDeque<Arc<Block>>,
    /// In the first loaded block.
    next_run: usize,
    bytes: Option<(PartBytes, Arc<Pin>)>,
}

impl PartSource {
    pub(super) async fn open(
        part: Arc<Part>,
        masks: Vec<Arc<Mask>>,
        filter: &RowFilter,
        cache: &Arc<Cache>,
        figures: &Figures,
    ) -> Result<Self> {
        let mut bytes = None;
        let footer = match cache.footer(part.serial) {
            Some(footer) => footer,
            None => {
                let (footer, opened) = load_footer(&part).await?;
                cache.put_footer(part.serial, &footer);
                bytes = Some(opened);
                footer
            }
        };
        let wanted: VecDeque<usize> = footer.wanted(filter).into();
        figures.n_blocks.add(footer.blocks.len());
        figures.n_blocks_pruned.add(footer.blocks.len() - wanted.len());
        let n_rows: usize =
            wanted.iter().filter_map(|it| footer.blocks.get(*it)).map(|it| it.n_rows).sum();
        let is_cached = packed_bytes(&part, n_rows) <= cache.scan_bytes_max();
        let (cache, loaded) = (Arc::clone(cache), VecDeque::new());
        Ok(Self { part, masks, footer, cache, is_cached, wanted, loaded, next_run: 0, bytes })
    }

    /// The id that comes next, of what is loaded.
    pub(super) fn id(&self) -> Option<i64> {
        self.loaded.front()?.id(self.next_run)
    }

    /// Takes the wanted samples of a series; ids are asked for in order.
    pub(super) async fn find(
        &mut self,
        id: i64,
        filter: &RowFilter,
        pieces: &mut Vec<Piece>,
        figures: &Figures,
    ) -> Result<()> {
        loop {
            self.fill(filter, figures).await?;
            let Some(block) = self.loaded.front() else { return Ok(()) };
            let run = block.position(self.next_run, id);
            self.next_run = run;
            match block.id(run) {
                // The block is used up, and the next one may go on with the series.
                None => continue,
                Some(next) if next != id => return Ok(()),
                Some(_) => {
                    self.next_run += 1;
                    let ts = block.ts(run);
                    let start = ts.partition_point(|it| *it < filter.ts_min);
                    let end = ts.partition_point(|it| *it <= filter.ts_max);
                    if start >= end {
                        continue;
                    }
                    let piece = |rows| Piece::Block { block: Arc::clone(block), run, rows };
                    if self.masks.is_empty() {
                        pieces.push(piece(start..end));
                    } else {
                        pieces.extend(
                            visible(id, ts, start..end, &self.masks).into_iter().map(piece),
                        );
                    }
                }
            }
        }
    }

    /// Loads the next blocks if all that is loaded is used up.
    pub(super) async fn fill(&mut self, filter: &RowFilter, figures: &Figures) -> Result<()> {
        while self.id().is_none() {
            self.loaded.pop_front();
            if self.loaded.is_empty() && !self.load(filter, figures).await? {
                return Ok(());
            }
            let first = filter.next_id(i64::MIN).unwrap_or(i64::MAX);
            self.next_run = self.loaded.front().map_or(0, |it| it.position(0, first));
        }
        Ok(())
    }

    /// Loads some blocks; `false` where there are no more.
    async fn load(&mut self, filter: &RowFilter, figures: &Figures) -> Result<bool> {
        let mut missing = Vec::new();
        while let Some(&at) = self.wanted.front()
            && missing.len() < READ_AHEAD
        {
            let ids = self.ids_in(at, filter);
            match self.cache.block(self.part.serial, at, ids, self.from(at, filter)) {
                // Those before it have to be read first.
                Some(_) if !missing.is_empty() => break,
                Some(block) => {
                    self.wanted.pop_front();
                    figures.n_blocks_cached.add(1);
                    self.loaded.push_back(block);
                    return Ok(true);
                }
                None => {
                    self.wanted.pop_front();
                    missing.push(at);
                }
            }
        }
        if missing.is_empty() {
            return Ok(false);
        }
        figures.n_blocks_read.add(missing.len());
        for (at, block) in self.read(missing).await? {
            self.keep(at, &block, filter);
            self.loaded.push_back(block);
        }
        Ok(true)
    }

    /// Keeps a block for other queries, or if all that this scan wants would not fit, only the
    /// part it wants: one metric of all hosts is a few series in each of many blocks, and the
    /// newest samples of all series are a few of each.
    fn keep(&self, at: usize, block: &Arc<Block>, filter: &RowFilter) {
        let serial = self.part.serial;
        if self.is_cached {
            return self.cache.put_block(serial, at, block);
        }
        let ids = self.ids_in(at, filter).map(<[i64]>::to_vec);
        let wanted = Reach { ids, from: self.from(at, filter) };
        let known = self.cache.reach(serial, at, &wanted);
        let both = known.map(|it| it.with(&wanted));
        for reach in both.into_iter().chain([wanted]) {
            let few = block.only(reach);
            if few.size_bytes() * FEW_SHARE <= block.size_bytes() {
                return self.cache.put_block(serial, at, &Arc::new(few));
            }
        }
    }

    /// The earliest wanted time of a block.
    fn from(&self, at: usize, filter: &RowFilter) -> i64 {
        let start = self.footer.blocks.get(at).map_or(i64::MIN, |it| it.ts.0);
        if filter.ts_min <= start { i64::MIN } else { filter.ts_min }
    }

    /// The wanted ids that a block may hold; `None` where they are not listed.
    fn ids_in<'a>(&self, at: usize, filter: &'a RowFilter) -> Option<&'a [i64]> {
        let ids = filter.listed_ids()?;
        let block = self.footer.blocks.get(at)?;
        let start = ids.partition_point(|it| *it < block.ids.0);
        let end = ids.partition_point(|it| *it <= block.ids.1);
        ids.get(start..end)
    }

    async fn read(&mut self, blocks: Vec<usize>) -> Result<Vec<(usize, Arc<Block>)>> {
        let (bytes, pin) = match &self.bytes {
            Some(opened) => opened.clone(),
            None => {
                let opened = open(&self.part).await?;
                self.bytes.insert(opened).clone()
            }
        };
        let footer = Arc::clone(&self.footer);
        let failed = read_error(&self.part);
        let read = tokio::task::spawn_blocking(move || {
            let _pin = pin;
            let read = RawBlock::read_all(&bytes, &footer, &blocks)?;
            let packed = read.into_iter().map(|it| Arc::new(Block::pack(&it)));
            Ok::<_, ParquetError>(blocks.into_iter().zip(packed).collect::<Vec<_>>())
        });
        let read = read.await.map_err(died)?;
        // Its checksum is computed again before the next query reads it.
        read.inspect_err(|_| self.part.health.doubt()).map_err(failed)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.loaded.iter().map(|it| it.size_bytes()).sum()
    }
}

/// What so many rows of a part take in memory at most, as far as its file tells.
fn packed_bytes(part: &Part, n_rows: usize) -> usize {
    let PartInfo { size_bytes, n_rows: n_all, .. } = &part.info;
    let file_bytes = (*size_bytes).saturating_mul(n_rows as u64) / (*n_all).max(1);
    usize::try_from(file_bytes.saturating_mul(PACKED_FILE_BYTES)).unwrap_or(usize::MAX)
}

/// The file stays where it is for as long as the pin is held.
async fn open(part: &Part) -> Result<(PartBytes, Arc<Pin>)> {
    let failed = io_error(part);
    let pin = part.pin_if_room().await.map_err(&failed)?;
    let bytes = PartBytes::open(part).map_err(failed)?;
    Ok((bytes, Arc::new(pin)))
}

/// A part's footer, from the cache if it is there, and its bytes. The pin is the caller's.
pub(crate) async fn open_part(part: &Part, cache: &Cache) -> Result<(Arc<Footer>, PartBytes)> {
    if let Some(footer) = cache.footer(part.serial) {
        return Ok((footer, PartBytes::open(part).map_err(io_error(part))?));
    }
    let (footer, (bytes, _pin)) = load_footer(part).await?;
    cache.put_footer(part.serial, &footer);
    Ok((footer, bytes))
}

async fn load_footer(part: &Part) -> Result<(Arc<Footer>, (PartBytes, Arc<Pin>))> {
    let (bytes, pin) = open(part).await?;
    let failed = read_error(part);
    let loading = tokio::task::spawn_blocking(move || {
        let footer = Footer::load(&bytes)?;
        Ok::<_, ParquetError>((Arc::new(footer), (bytes, pin)))
    });
    let loaded = loading.await.map_err(died)?;
    loaded.inspect_err(|_| part.health.doubt()).map_err(failed)
}

fn read_error(part: &Part) -> impl Fn(ParquetError) -> DataFusionError + use<> {
    let path = part.path.clone();
    move |source| {
        DataFusionError::External(Box::new(EncodeError::Read { path: path.clone(), source }))
    }
}

fn io_error(part: &Part) -> impl Fn(std::io::Error) -> DataFusionError + use<> {
    let path = part.path.clone();
    move |source| DataFusionError::External(Box::new(PartUnavailable::new(&path, source)))
}

fn died(error: tokio::task::JoinError) -> DataFusionError {
    DataFusionError::ExecutionJoin(Box::new(error))
}
