//! What a part's footer tells: where its blocks are and which series and times they hold.

use std::{
    io::{self, BufReader, Read},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::{ParquetError, Result},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData},
        page_index::column_index::ColumnIndexMetaData,
        reader::{ChunkReader, Length},
        statistics::Statistics,
    },
};

use crate::{filter::RowFilter, part::Part, part_store::ReadAt};

const ID_COLUMN: usize = 0;
const TS_COLUMN: usize = 1;

/// A part's footer with its page index, as scans need it.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) metadata: ArrowReaderMetadata,
    /// In order of their rows, which is that of (id, ts).
    pub(crate) blocks: Vec<BlockRows>,
}

/// Rows that are read together: one page of the time stamps, and of the other columns what holds
/// the same rows (our writer cuts all columns at the same rows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRows {
    pub(crate) row_group: usize,
    /// Inside its row group.
    pub(crate) first_row: usize,
    pub(crate) n_rows: usize,
    /// Smallest and greatest.
    pub(crate) ids: (i64, i64),
    pub(crate) ts: (i64, i64),
}

impl Footer {
    pub(super) fn load(bytes: &PartBytes) -> Result<Self> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(bytes, options)?;
        let blocks = blocks_of(metadata.metadata());
        Ok(Self { metadata, blocks })
    }

    /// The blocks that may hold a wanted row, in order.
    pub(crate) fn wanted(&self, filter: &RowFilter) -> Vec<usize> {
        let mut wanted = Vec::new();
        let mut at = 0;
        while let Some(block) = self.blocks.get(at) {
            let Some(id) = filter.next_id(block.ids.0) else { break };
            if id > block.ids.1 {
                let rest = self.blocks.get(at..).unwrap_or_default();
                at += rest.partition_point(|it| it.ids.1 < id).max(1);
                continue;
            }
            if filter.ts_min <= block.ts.1 && block.ts.0 <= filter.ts_max {
                wanted.push(at);
            }
            at += 1;
        }
        wanted
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.metadata.metadata().memory_size() + self.blocks.len() * size_of::<BlockRows>()
    }
}

fn blocks_of(metadata: &ParquetMetaData) -> Vec<BlockRows> {
    let mut blocks = Vec::new();
    for (row_group, group) in metadata.row_groups().iter().enumerate() {
        match pages_of(metadata, row_group, group) {
            Some(pages) => blocks.extend(pages),
            None => blocks.push(BlockRows {
                row_group,
                first_row: 0,
                n_rows: rows_of(group),
                ids: bounds_of(group, ID_COLUMN),
                ts: bounds_of(group, TS_COLUMN),
            }),
        }
    }
    blocks
}

/// `None` without a page index, or with pages of ids and time stamps that differ in their rows.
fn pages_of(
    metadata: &ParquetMetaData,
    row_group: usize,
    group: &RowGroupMetaData,
) -> Option<Vec<BlockRows>> {
    let locations = |column: usize| {
        let group = metadata.offset_index()?.get(row_group)?;
        Some(group.get(column)?.page_locations())
    };
    let bounds = |column: usize| match metadata.column_index()?.get(row_group)?.get(column)? {
        ColumnIndexMetaData::INT64(index) => Some((index.min_values(), index.max_values())),
        _ => None,
    };
    let first_rows = |column| {
        let first_row = |it: i64| usize::try_from(it).ok();
        locations(column)?
            .iter()
            .map(|it| first_row(it.first_row_index))
            .collect::<Option<Vec<_>>>()
    };
    let starts = first_rows(TS_COLUMN)?;
    if first_rows(ID_COLUMN)? != starts {
        return None;
    }
    let (ids, ts) = (bounds(ID_COLUMN)?, bounds(TS_COLUMN)?);
    let mut blocks = Vec::with_capacity(starts.len());
    for (at, &first_row) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or_else(|| rows_of(group));
        blocks.push(BlockRows {
            row_group,
            first_row,
            n_rows: end.checked_sub(first_row)?,
            ids: (*ids.0.get(at)?, *ids.1.get(at)?),
            ts: (*ts.0.get(at)?, *ts.1.get(at)?),
        });
    }
    Some(blocks)
}

fn rows_of(group: &RowGroupMetaData) -> usize {
    usize::try_from(group.num_rows()).unwrap_or(0)
}

/// Everything, where the file does not tell.
fn bounds_of(group: &RowGroupMetaData, column: usize) -> (i64, i64) {
    match group.columns().get(column).and_then(|it| it.statistics()) {
        Some(Statistics::Int64(it)) => {
            let (min, max) = (it.min_opt(), it.max_opt());
            (min.copied().unwrap_or(i64::MIN), max.copied().unwrap_or(i64::MAX))
        }
        _ => (i64::MIN, i64::MAX),
    }
}

/// A part's file, read at places without a cursor, so by many at once.
#[derive(Debug, Clone)]
pub(crate) struct PartBytes {
    file: Arc<dyn ReadAt>,
    len: u64,
}

impl PartBytes {
    pub(crate) fn open(part: &Part) -> io::Result<Self> {
        Ok(Self { file: part.open()?, len: part.info.size_bytes })
    }
}

impl Length for PartBytes {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for PartBytes {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Cursor { file: Arc::clone(&self.file), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // A damaged footer must not make us allocate more than the file has.
        if start.saturating_add(length as u64) > self.len {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} of a file of {}",
                self.len
            )));
        }
        let mut bytes = vec![0; length];
        Cursor { file: Arc::clone(&self.file), at: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A place in a file.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Arc<dyn ReadAt>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n_read = self.file.read_at(bytes, self.at)?;
        self.at += n_read as u64;
        Ok(n_read)
    }
}
