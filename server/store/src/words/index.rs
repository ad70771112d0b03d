//! The index of one part as it lies in the file: read on first use, checked, and asked.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicU8, Ordering},
};

use parquet::{errors::ParquetError, file::metadata::ParquetMetaDataReader};

use super::{
    WORDS_KEY,
    filter::{self, BLOCK_BYTES},
    head::{Head, HeadError, Page},
    need::Need,
};
use crate::part::Part;

/// The packed head is no larger.
const HEAD_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct Index {
    head: Head,
    /// Of each page's filter, whether its checksum was found right.
    checks: Vec<AtomicU8>,
}

const UNKNOWN: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    #[error("the file's footer cannot be read")]
    Footer(#[from] ParquetError),
    #[error("the footer does not say where it is")]
    Place,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its pages are not those of the file")]
    Pages,
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl Index {
    /// `None` where the part has none.
    pub(super) fn load(part: &Part, file: &File) -> Result<Option<Self>, IndexError> {
        let footer = ParquetMetaDataReader::new().parse_and_finish(file)?;
        let pairs = footer.file_metadata().key_value_metadata();
        let Some(place) = pairs.into_iter().flatten().find(|it| it.key == WORDS_KEY) else {
            return Ok(None);
        };
        let (offset, n_bytes, crc32c) =
            place.value.as_deref().and_then(parse_place).ok_or(IndexError::Place)?;
        if n_bytes > HEAD_BYTES_MAX || offset.saturating_add(n_bytes) > part.info.size_bytes {
            return Err(IndexError::Place);
        }
        let mut bytes = vec![0; usize::try_from(n_bytes).or(Err(IndexError::Place))?];
        file.read_exact_at(&mut bytes, offset)?;
        if crc32c::crc32c(&bytes) != crc32c {
            return Err(IndexError::Checksum);
        }
        let head = Head::decode(&bytes)?;
        let n_rows: u64 = head.pages.iter().map(|it| it.n_rows as u64).sum();
        if n_rows != part.info.n_rows {
            return Err(IndexError::Pages);
        }
        let checks = head.pages.iter().map(|_| AtomicU8::new(UNKNOWN)).collect();
        Ok(Some(Self { head, checks }))
    }

    pub(super) fn pages(&self) -> &[Page] {
        &self.head.pages
    }

    /// Which pages may hold what is needed. Filters that cannot be read or trusted rule out none.
    pub(super) fn ask(&self, need: &Need, file: &File) -> Vec<bool> {
        // The words, which are in memory, first: few filters are left to be read then.
        let pages = self.narrow(need, &vec![true; self.head.pages.len()], None);
        self.narrow(need, &pages, Some(file))
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.checks.iter().any(|it| it.load(Ordering::Relaxed) == WRONG)
    }

    /// Those of the pages that may hold it; without a file, filters are left aside.
    fn narrow(&self, need: &Need, pages: &[bool], file: Option<&File>) -> Vec<bool> {
        match need {
            Need::And(all) => {
                all.iter().fold(pages.to_vec(), |pages, it| self.narrow(it, &pages, file))
            }
            Need::Or(any) => {
                let mut found = vec![false; pages.len()];
                for need in any {
                    let some = self.narrow(need, pages, file);
                    found.iter_mut().zip(some).for_each(|(all, one)| *all |= one);
                }
                found
            }
            Need::Word(pattern) => self.with_word(pattern, pages),
            Need::Number(hash) => self.with_hash(*hash, self.head.strength.number, pages, file),
            Need::Gram(hash) => self.with_hash(*hash, self.head.strength.gram, pages, file),
        }
    }

    fn with_word(&self, pattern: &[u8], pages: &[bool]) -> Vec<bool> {
        let mut found: Vec<bool> = self.head.pages.iter().map(|it| it.is_open).collect();
        self.head.words.find(pattern, |first, n| {
            let end = first.saturating_add(n).min(pages.len());
            found.get_mut(first..end).unwrap_or_default().fill(true);
        });
        found.iter().zip(pages).map(|(found, wanted)| *found && *wanted).collect()
    }

    fn with_hash(&self, hash: u64, n_bits: u32, pages: &[bool], file: Option<&File>) -> Vec<bool> {
        let Some(file) = file else { return pages.to_vec() };
        let all = self.head.pages.iter().zip(&self.checks).zip(pages);
        all.map(|((page, check), wanted)| *wanted && admits(page, check, file, hash, n_bits))
            .collect()
    }
}

fn admits(page: &Page, check: &AtomicU8, file: &File, hash: u64, n_bits: u32) -> bool {
    if page.n_blocks == 0 {
        return false;
    }
    if check.load(Ordering::Relaxed) == UNKNOWN {
        let state = if is_right(page, file) { RIGHT } else { WRONG };
        check.store(state, Ordering::Relaxed);
    }
    if check.load(Ordering::Relaxed) == WRONG {
        return true;
    }
    let at = filter::block_of(hash, page.n_blocks) * BLOCK_BYTES;
    let mut block = [0; BLOCK_BYTES];
    match file.read_exact_at(&mut block, page.offset + at as u64) {
        Ok(()) => filter::admits(&block, hash, n_bits),
        Err(_) => true,
    }
}

/// Reads the whole filter once: from then on, a lookup reads one block.
fn is_right(page: &Page, file: &File) -> bool {
    let mut filter = vec![0; page.n_blocks * BLOCK_BYTES];
    file.read_exact_at(&mut filter, page.offset).is_ok() && crc32c::crc32c(&filter) == page.crc32c
}

pub(super) fn format_place(offset: u64, n_bytes: usize, crc32c: u32) -> String {
    format!("{offset} {n_bytes} {crc32c}")
}

fn parse_place(text: &str) -> Option<(u64, u64, u32)> {
    let mut parts = text.split(' ');
    let place =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(place)
}
