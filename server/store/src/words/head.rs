//! The index of one part but for its filters, as bytes: which pages there are, and which words are
//! in which of them.
//!
//! ```text
//! zstd of: version 1
//!          bits per number, bits per gram
//!          n_pages, then of each page: rows, least id ±, ids spanned, least time ±, time spanned,
//!                   filter: blocks, offset in the file (if any block), checksum; 1 if words lack
//!          words: bytes, then `\0word` of each and `\0`
//!          of each word: bytes, then runs of pages that hold it: pages skipped, pages held
//! ```
//! All numbers are variable-length integers, those with ± zigzag.

use super::filter::{BLOCK_BYTES, Strength};
use crate::record::{RecordError, put_varint, take_varint, unzigzag, zigzag};

const VERSION: u64 = 1;
const ZSTD_LEVEL: i32 = 3;
/// No index is larger than this once it is unpacked.
const HEAD_BYTES_MAX: usize = 64 << 20;

/// Unpacked.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) strength: Strength,
    pub(super) pages: Vec<Page>,
    pub(super) words: Words,
}

/// Rows that are read or skipped together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) n_rows: usize,
    /// Smallest and greatest.
    pub(super) ids: (i64, i64),
    pub(super) ts: (i64, i64),
    /// Of its filter in the file.
    pub(super) offset: u64,
    pub(super) n_blocks: usize,
    pub(super) crc32c: u32,
    /// It has words that the index lacks.
    pub(super) is_open: bool,
}

/// Words, and the pages of each.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `\0word\0word\0`.
    text: Vec<u8>,
    /// Where each word's `\0` is.
    starts: Vec<usize>,
    /// Runs of pages of all words.
    runs: Vec<u8>,
    run_ends: Vec<usize>,
}

/// One word on its way into the bytes.
#[derive(Debug)]
pub(super) struct WordRuns<'a> {
    pub(super) word: &'a [u8],
    pub(super) runs: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    #[error("it cannot be unpacked")]
    Zstd(#[source] std::io::Error),
    #[error("it is of version {0}, this program reads {VERSION}")]
    Version(u64),
    #[error("it ends too early or holds more than it says")]
    Length,
}

impl From<RecordError> for HeadError {
    fn from(_: RecordError) -> Self {
        Self::Length
    }
}

pub(super) fn encode(
    strength: Strength,
    pages: &[Page],
    words: &[WordRuns<'_>],
) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut put = |value: u64| put_varint(&mut out, value);
    put(VERSION);
    put(strength.number.into());
    put(strength.gram.into());
    put(pages.len() as u64);
    for page in pages {
        put(page.n_rows as u64);
        put(zigzag(page.ids.0));
        put(page.ids.1.abs_diff(page.ids.0));
        put(zigzag(page.ts.0));
        put(page.ts.1.abs_diff(page.ts.0));
        put(page.n_blocks as u64);
        if page.n_blocks > 0 {
            put(page.offset);
            put(page.crc32c.into());
        }
        put(page.is_open.into());
    }
    put(words.iter().map(|it| it.word.len() as u64 + 1).sum::<u64>() + 1);
    for word in words {
        out.push(0);
        out.extend(word.word);
    }
    out.push(0);
    for word in words {
        put_varint(&mut out, word.runs.len() as u64);
        out.extend(word.runs);
    }
    zstd::bulk::compress(&out, ZSTD_LEVEL)
}

impl Head {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes = zstd::bulk::decompress(bytes, HEAD_BYTES_MAX).map_err(HeadError::Zstd)?;
        Self::decode_plain(&bytes)
    }

    pub(super) fn decode_plain(mut bytes: &[u8]) -> Result<Self, HeadError> {
        let rest = &mut bytes;
        let version = take_varint(rest)?;
        if version != VERSION {
            return Err(HeadError::Version(version));
        }
        let mut strength = || match u32::try_from(take_varint(rest)?) {
            Ok(it) if it <= Strength::MAX => Ok(it),
            _ => Err(HeadError::Length),
        };
        let strength = Strength { number: strength()?, gram: strength()? };
        let pages = (0..take_varint(rest)?).map(|_| take_page(rest)).collect::<Result<_, _>>()?;
        let words = take_words(rest)?;
        if rest.is_empty() { Ok(Self { strength, pages, words }) } else { Err(HeadError::Length) }
    }
}

fn take_usize(rest: &mut &[u8]) -> Result<usize, HeadError> {
    usize::try_from(take_varint(rest)?).or(Err(HeadError::Length))
}

fn take_page(rest: &mut &[u8]) -> Result<Page, HeadError> {
    let n_rows = take_usize(rest)?;
    let mut bounds = || {
        let least = unzigzag(take_varint(rest)?);
        Ok::<_, HeadError>((least, least.saturating_add_unsigned(take_varint(rest)?)))
    };
    let (ids, ts) = (bounds()?, bounds()?);
    let n_blocks = take_usize(rest)?;
    if n_blocks > HEAD_BYTES_MAX / BLOCK_BYTES {
        return Err(HeadError::Length);
    }
    let (offset, crc32c) = match n_blocks {
        0 => (0, 0),
        _ => (take_varint(rest)?, u32::try_from(take_varint(rest)?).or(Err(HeadError::Length))?),
    };
    let is_open = take_varint(rest)? != 0;
    Ok(Page { n_rows, ids, ts, offset, n_blocks, crc32c, is_open })
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], HeadError> {
    let n_bytes = take_usize(rest)?;
    let (bytes, after) = rest.split_at_checked(n_bytes).ok_or(HeadError::Length)?;
    *rest = after;
    Ok(bytes)
}

fn take_words(rest: &mut &[u8]) -> Result<Words, HeadError> {
    let text = take_bytes(rest)?.to_vec();
    let mut starts: Vec<usize> = memchr::memchr_iter(0, &text).collect();
    // The last one ends the last word.
    starts.pop().ok_or(HeadError::Length)?;
    let mut words = Words { text, starts, runs: Vec::new(), run_ends: Vec::new() };
    for _ in &words.starts {
        words.runs.extend(take_bytes(rest)?);
        words.run_ends.push(words.runs.len());
    }
    Ok(words)
}

impl Words {
    /// Visits the runs of pages (first and count) of every word that holds the pattern, which may
    /// begin or end with `\0`: there the word does, too.
    pub(super) fn find(&self, pattern: &[u8], mut visit: impl FnMut(usize, usize)) {
        let mut last = None;
        for at in memchr::memmem::find_iter(&self.text, pattern) {
            let word = self.starts.partition_point(|it| *it <= at).saturating_sub(1);
            if last.replace(word) == Some(word) {
                continue;
            }
            let start = word.checked_sub(1).and_then(|it| self.run_ends.get(it)).copied();
            let end = self.run_ends.get(word).copied().unwrap_or(0);
            let mut runs = self.runs.get(start.unwrap_or(0)..end).unwrap_or_default();
            let mut page = 0_usize;
            while let (Ok(n_skipped), Ok(n_held)) = (take_usize(&mut runs), take_usize(&mut runs)) {
                page = page.saturating_add(n_skipped);
                visit(page, n_held);
                page = page.saturating_add(n_held);
            }
        }
    }
}
