//! Making the index while a part is written.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{
    filter::{self, Strength},
    head::{self, Page, WordRuns},
    kinds::Kinds,
    text::{Pieces, Text, WORD_LEN_MAX, hash_pair},
};
use crate::record::put_varint;

/// Rows of a page; the file's own pages have as many.
pub(super) const PAGE_ROWS: usize = 8_192;
/// A page that brings more words than this has noise in it: the rest are left out.
const NEW_WORDS_PER_PAGE_MAX: usize = 4_096;
/// Words of a part, beyond which further ones are left out.
const WORDS_MAX: usize = 1 << 16;
/// Slots that remember what the page just had; powers of two.
const N_RECENT_WORDS: usize = 1 << 10;
const N_RECENT_HASHES: usize = 1 << 12;

/// Takes a part's rows in order.
#[derive(Debug)]
pub(super) struct Builder {
    strength: Strength,
    text: Text,
    kinds: Kinds,
    page: Collected,
    pages: Vec<Page>,
    n_rows: usize,
    ids: (i64, i64),
    ts: (i64, i64),
}

/// What came by in the current page, and the words of all pages.
#[derive(Debug)]
pub(super) struct Collected {
    numbers: Vec<u64>,
    grams: Vec<u64>,
    recent_hashes: Recent,
    recent_words: Recent,
    words: Dictionary,
    page_idx: usize,
    n_new_words: usize,
    is_open: bool,
}

/// Remembers some of what it saw.
#[derive(Debug)]
struct Recent(Vec<u64>);

impl Recent {
    /// Whether it surely saw the hash.
    fn saw(&mut self, hash: u64) -> bool {
        let slot = usize::try_from(hash >> 40).unwrap_or(0) & (self.0.len() - 1);
        hash != 0 && self.0.get_mut(slot).is_some_and(|it| std::mem::replace(it, hash) == hash)
    }
}

/// Every word once, and the pages of each.
#[derive(Debug)]
struct Dictionary {
    table: HashTable<usize>,
    entries: Vec<Entry>,
    text: Vec<u8>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Entry {
    start: usize,
    end: usize,
    /// Finished runs of pages.
    runs: Vec<u8>,
    /// The end of the last finished run, and the run that goes on: first page and the one behind.
    run_end: usize,
    first: usize,
    behind: usize,
}

impl Builder {
    pub(super) fn new(strength: Strength) -> Self {
        let hasher = DefaultHashBuilder::default();
        // No sender knows it, and so none can make two words that count as one.
        let secret = hasher.hash_one(0);
        let page = Collected::new(hasher);
        let (ids, ts) = (NOTHING, NOTHING);
        let text = Text::with_secret(secret);
        let kinds = Kinds::default();
        Self { strength, text, kinds, page, pages: Vec::new(), n_rows: 0, ids, ts }
    }

    /// Adds one row, its line taken apart.
    pub(super) fn push<'a>(
        &mut self,
        id: i64,
        ts: i64,
        template: &str,
        values: impl Fn(usize) -> &'a str,
    ) {
        self.n_rows += 1;
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
        self.ts = (self.ts.0.min(ts), self.ts.1.max(ts));
        self.kinds.push(template, values, &mut self.text, &mut self.page);
    }

    /// Adds a pair of the row that was just added.
    pub(super) fn pair(&mut self, name: &str, value: &str) {
        self.page.number(hash_pair(name, value));
    }

    pub(super) fn is_page_full(&self) -> bool {
        self.n_rows >= PAGE_ROWS
    }

    /// Ends the page; its filter has to be put into the file.
    pub(super) fn end_page(&mut self) -> Vec<u8> {
        let filter = filter::build(&self.page.numbers, &self.page.grams, self.strength);
        self.pages.push(Page {
            n_rows: std::mem::take(&mut self.n_rows),
            ids: std::mem::replace(&mut self.ids, NOTHING),
            ts: std::mem::replace(&mut self.ts, NOTHING),
            offset: 0,
            n_blocks: filter.len() / filter::BLOCK_BYTES,
            crc32c: crc32c::crc32c(&filter),
            is_open: self.page.is_open,
        });
        self.page.reset();
        filter
    }

    /// Says where the filter of the page that just ended was put.
    pub(super) fn set_offset(&mut self, offset: u64) {
        if let Some(page) = self.pages.last_mut() {
            page.offset = offset;
        }
    }

    pub(super) fn has_open_page(&self) -> bool {
        self.n_rows > 0
    }

    /// The index but for the filters, as bytes.
    pub(super) fn finish(self) -> std::io::Result<Vec<u8>> {
        let words = self.page.words.finish();
        let words: Vec<_> = words.iter().map(|(word, runs)| WordRuns { word, runs }).collect();
        head::encode(self.strength, &self.pages, &words)
    }
}

/// Bounds of no row.
const NOTHING: (i64, i64) = (i64::MAX, i64::MIN);

impl Collected {
    pub(super) fn new(hasher: DefaultHashBuilder) -> Self {
        let words =
            Dictionary { table: HashTable::new(), entries: Vec::new(), text: Vec::new(), hasher };
        Self {
            numbers: Vec::new(),
            grams: Vec::new(),
            recent_hashes: Recent(vec![0; N_RECENT_HASHES]),
            recent_words: Recent(vec![0; N_RECENT_WORDS]),
            words,
            page_idx: 0,
            n_new_words: 0,
            is_open: false,
        }
    }

    fn reset(&mut self) {
        self.numbers.clear();
        self.grams.clear();
        self.recent_hashes.0.fill(0);
        self.recent_words.0.fill(0);
        self.page_idx += 1;
        self.n_new_words = 0;
        self.is_open = false;
    }

    pub(super) fn page_idx(&self) -> usize {
        self.page_idx
    }

    /// The word's place in the dictionary; none where it was left out.
    pub(super) fn add_word(&mut self, word: &[u8]) -> Option<usize> {
        let is_full =
            self.n_new_words >= NEW_WORDS_PER_PAGE_MAX || self.words.entries.len() >= WORDS_MAX;
        let found = self.words.place(word, is_full || word.len() > WORD_LEN_MAX);
        match found {
            Some((place, is_new)) => {
                self.n_new_words += usize::from(is_new);
                self.add_known(place);
            }
            None => self.is_open = true,
        }
        found.map(|(place, _)| place)
    }

    /// Adds the page to a word of the dictionary.
    pub(super) fn add_known(&mut self, place: usize) {
        if let Some(entry) = self.words.entries.get_mut(place) {
            entry.add(self.page_idx);
        }
    }
}

impl Pieces for Collected {
    fn word(&mut self, word: &[u8], key: u64) {
        // Spreads keys of short words, which are their letters; one-to-one.
        if self.recent_words.saw(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            return;
        }
        self.add_word(word);
    }

    fn number(&mut self, hash: u64) {
        push_unless(&mut self.numbers, hash, self.recent_hashes.saw(hash));
    }

    fn gram(&mut self, hash: u64) {
        push_unless(&mut self.grams, hash, self.recent_hashes.saw(hash));
    }
}

/// Nobody can foresee which hashes were seen: no branch asks.
fn push_unless(hashes: &mut Vec<u64>, hash: u64, was_seen: bool) {
    hashes.push(hash);
    hashes.truncate(hashes.len() - usize::from(was_seen));
}

impl Dictionary {
    /// A word's place and whether it was made now; none if it would have to be made and must not.
    fn place(&mut self, word: &[u8], is_full: bool) -> Option<(usize, bool)> {
        let hash = self.hasher.hash_one(word);
        let Self { table, entries, text, hasher, .. } = self;
        let word_of = |at: usize| {
            entries.get(at).and_then(|it: &Entry| text.get(it.start..it.end)).unwrap_or_default()
        };
        if let Some(&found) = table.find(hash, |it| word_of(*it) == word) {
            return Some((found, false));
        }
        if is_full {
            return None;
        }
        let place = entries.len();
        table.insert_unique(hash, place, |it| hasher.hash_one(word_of(*it)));
        let start = text.len();
        text.extend(word);
        let end = text.len();
        entries.push(Entry { start, end, runs: Vec::new(), run_end: 0, first: 0, behind: 0 });
        Some((place, true))
    }

    /// Each word and its runs of pages, in order of the words.
    fn finish(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Self { entries, text, .. } = self;
        let mut words: Vec<_> = entries
            .into_iter()
            .map(|mut it| {
                it.end_run();
                (text.get(it.start..it.end).unwrap_or_default().to_vec(), it.runs)
            })
            .collect();
        words.sort_unstable();
        words
    }
}

impl Entry {
    fn add(&mut self, page: usize) {
        if page + 1 == self.behind {
            return;
        }
        if page != self.behind {
            self.end_run();
            self.first = page;
        }
        self.behind = page + 1;
    }

    fn end_run(&mut self) {
        if self.first < self.behind {
            put_varint(&mut self.runs, (self.first - self.run_end) as u64);
            put_varint(&mut self.runs, (self.behind - self.first) as u64);
            self.run_end = self.behind;
        }
    }
}

#[cfg(test)]
impl Collected {
    /// What the page has: words, numbers, grams; each in order, each once.
    pub(super) fn pieces(&self) -> [std::collections::BTreeSet<Vec<u8>>; 3] {
        let on_page = |it: &&Entry| it.behind == self.page_idx + 1;
        let words = self.words.entries.iter().filter(on_page);
        let bytes = |it: &u64| it.to_le_bytes().to_vec();
        [
            words.map(|it| self.words.text[it.start..it.end].to_vec()).collect(),
            self.numbers.iter().map(bytes).collect(),
            self.grams.iter().map(bytes).collect(),
        ]
    }

    pub(super) fn next_page(&mut self) {
        self.reset();
    }
}
