//! A text as the index sees it: in lower case, and cut into words, numbers and grams.
//!
//! Lower case is ASCII's; the two letters outside it whose lower case is an ASCII letter (`ſ` and
//! the Kelvin sign) are folded too, so that what a case-insensitive regex finds is found here.
//! Everything else outside ASCII only separates.

use crate::bytes::{Eight, bits, has, padded};

/// Shorter runs of letters are in every page.
pub(super) const WORD_LEN_MIN: usize = 3;
/// A longer run of letters is no word anybody looks for by a part of it.
pub(super) const WORD_LEN_MAX: usize = 64;
/// Letters and digits that are looked for as a whole; one digit alone is in every page.
const NUMBER_LEN_MIN: usize = 2;
const NUMBER_LEN_MAX: usize = 15;
/// From this length on, a number with a dash beside it is left to the grams.
const DASHED_LEN_MIN: usize = 8;
/// The groups in the middle of a UUID tell little and cost as much as the rest.
const DASHED_GROUP_LEN: usize = 4;
/// Letters, digits and dashes of this length or more, a digit among them, are cut into grams.
pub(super) const RUN_LEN_MIN: usize = GRAM_LEN + WINDOW_GRAMS - 1;
const GRAM_LEN: usize = 6;
/// Of so many neighbouring grams at least one is kept: which one depends on them alone, so that
/// any part of a run that is long enough is known by grams of its own.
const WINDOW_GRAMS: usize = 11;
/// Zero bytes behind a text, so that eight bytes can be read from any place in it.
const PADDING: usize = 8;

const SEED_NUMBER: u64 = 0x9e37_79b9_7f4a_7c15;
const SEED_GRAM: u64 = 0xc2b2_ae3d_27d4_eb4f;
const SEED_NAME: u64 = 0x1656_67b1_9e37_79f9;
const SEED_VALUE: u64 = 0x27d4_eb2f_1656_67c5;
const FACTOR: u64 = 0xa076_1d64_78bd_642f;
const ORDER_FACTOR: u64 = 0xe703_7ed1_a0b4_28db;

/// What a text is made of.
pub(super) trait Pieces {
    /// A run of letters, in lower case, and a key that stands for it as long as the secret is kept.
    fn word(&mut self, word: &[u8], key: u64);
    /// A number: letters and digits, a digit among them.
    fn number(&mut self, hash: u64);
    /// A part of a long run.
    fn gram(&mut self, hash: u64);
}

/// Neighbouring bytes of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Run {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }

    /// The bits of a run in the first 64 bytes.
    pub(super) fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.len().clamp(1, 64))) << self.start.min(63)
    }

    /// Whether it is cut into grams, if a digit is in it.
    pub(super) fn is_long(self) -> bool {
        self.len() >= RUN_LEN_MIN
    }
}

/// One text, folded, with the class of each of its bytes. Made once, used for many.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// Folded, zeros behind it.
    bytes: Vec<u8>,
    len: usize,
    /// A bit for each byte.
    letters: Vec<u64>,
    digits: Vec<u64>,
    dashes: Vec<u64>,
    /// Goes into the keys of words.
    secret: u64,
}

impl Text {
    pub(super) fn new(text: &str) -> Self {
        let mut new = Self::default();
        new.set(text);
        new
    }

    /// One whose words' keys nobody outside can foresee.
    pub(super) fn with_secret(secret: u64) -> Self {
        Self { secret, ..Self::default() }
    }

    pub(super) fn set(&mut self, text: &str) {
        if !text.is_ascii() && text.contains(['\u{17f}', '\u{212a}']) {
            let text = text.replace('\u{17f}', "s").replace('\u{212a}', "k");
            self.set_bytes(text.as_bytes());
        } else {
            self.set_bytes(text.as_bytes());
        }
    }

    fn set_bytes(&mut self, text: &[u8]) {
        self.len = text.len();
        self.bytes.clear();
        self.bytes.resize(text.len().next_multiple_of(64) + PADDING, 0);
        self.letters.clear();
        self.digits.clear();
        self.dashes.clear();
        for (block, folded) in text.chunks(64).zip(self.bytes.chunks_mut(64)) {
            let (mut letters, mut digits, mut dashes) = (0, 0, 0);
            let mut shift = 0;
            for (chunk, folded) in block.chunks(8).zip(folded.chunks_exact_mut(8)) {
                let bytes = Eight::of(chunk);
                folded.copy_from_slice(&bytes.folded().to_le_bytes());
                letters |= bits(bytes.letters()) << shift;
                digits |= bits(bytes.between(b'0', b'9')) << shift;
                dashes |= bits(bytes.is(b'-')) << shift;
                shift += 8;
            }
            self.letters.push(letters);
            self.digits.push(digits);
            self.dashes.push(dashes);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn secret(&self) -> u64 {
        self.secret
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Everything the index keeps of the text.
    pub(super) fn visit(&self, pieces: &mut impl Pieces) {
        let alnum = self.letters.iter().zip(&self.digits).map(|(a, b)| a | b);
        runs(alnum, self.len, |start, end| {
            if self.has_digit(start, end) {
                self.visit_mixed(start, end, pieces);
            } else {
                self.visit_word(start, end, pieces);
            }
        });
        self.long_runs(|start, end| self.grams(start, end, |hash| pieces.gram(hash)));
    }

    fn visit_word(&self, start: usize, end: usize, pieces: &mut impl Pieces) {
        if end - start >= WORD_LEN_MIN {
            pieces.word(self.slice(start, end), key(&self.bytes, self.secret, Run { start, end }));
        }
    }

    fn visit_mixed(&self, start: usize, end: usize, pieces: &mut impl Pieces) {
        if let Some(hash) = self.number(start, end) {
            pieces.number(hash);
        }
        // Most numbers are digits only.
        if end - start <= 64 && window(&self.letters, start, end) == 0 {
            return;
        }
        let mut at = start;
        while at < end {
            let word_end = (at..end).find(|it| !has(&self.letters, *it)).unwrap_or(end);
            if word_end - at >= WORD_LEN_MIN && !self.is_hex(at, word_end) {
                self.visit_word(at, word_end, pieces);
            }
            at = word_end + 1;
        }
    }

    /// Whether letters could be part of a hexadecimal number: beside a digit they are no word.
    pub(super) fn is_hex(&self, start: usize, end: usize) -> bool {
        is_hex(self.slice(start, end))
    }

    /// Whether a digit stands before or behind.
    pub(super) fn has_digit_beside(&self, start: usize, end: usize) -> bool {
        start.checked_sub(1).is_some_and(|it| has(&self.digits, it)) || has(&self.digits, end)
    }

    /// Of a template: how many dashes stand before each value. `None` where letters, digits or
    /// other values go on right before or behind one: it is a part of a longer run then.
    pub(super) fn dashes_before_values(&self) -> Option<Vec<usize>> {
        let is_alnum = |at: usize| has(&self.letters, at) || has(&self.digits, at);
        let text = self.slice(0, self.len);
        let mut all = Vec::new();
        let mut after_value = None;
        let mut at = 0;
        while let Some(brace) = memchr::memchr2(b'{', b'}', text.get(at..).unwrap_or_default()) {
            let start = at + brace;
            at = start + 2;
            if text.get(start..at) != Some(b"{}") {
                continue;
            }
            let n_dashes = (0..start).rev().take_while(|it| has(&self.dashes, *it)).count();
            let first = start - n_dashes;
            let goes_on_before =
                after_value == Some(first) || first.checked_sub(1).is_some_and(is_alnum);
            if goes_on_before || is_alnum(at) || has(&self.dashes, at) {
                return None;
            }
            all.push(n_dashes);
            after_value = Some(at);
        }
        Some(all)
    }

    /// The runs of letters: start and end.
    pub(super) fn words(&self, visit: impl FnMut(usize, usize)) {
        runs(self.letters.iter().copied(), self.len, visit);
    }

    /// The runs of letters and digits that have a digit: start and end.
    pub(super) fn numbers(&self, mut visit: impl FnMut(usize, usize)) {
        let alnum = self.letters.iter().zip(&self.digits).map(|(a, b)| a | b);
        runs(alnum, self.len, |start, end| {
            if self.has_digit(start, end) {
                visit(start, end);
            }
        });
    }

    /// The runs that are cut into grams: start and end.
    pub(super) fn long_runs(&self, mut visit: impl FnMut(usize, usize)) {
        let joined = || {
            let alnum = self.letters.iter().zip(&self.digits).map(|(a, b)| a | b);
            alnum.zip(&self.dashes).map(|(a, b)| a | b)
        };
        if !has_run_of_16(joined()) {
            return;
        }
        runs(joined(), self.len, |start, end| {
            if end - start >= RUN_LEN_MIN && self.has_digit(start, end) {
                visit(start, end);
            }
        });
    }

    /// What stands for the whole number from `start` to `end`, if it is kept.
    pub(super) fn number(&self, start: usize, end: usize) -> Option<u64> {
        let before = start.checked_sub(1).is_some_and(|it| has(&self.dashes, it));
        mixed_number(&self.bytes, Run { start, end }, before, has(&self.dashes, end))
    }

    /// The kept grams of a run, a hash each.
    pub(super) fn grams(&self, start: usize, end: usize, visit: impl FnMut(u64)) {
        grams(&self.bytes, Run { start, end }, visit);
    }

    fn has_digit(&self, start: usize, end: usize) -> bool {
        if end - start <= 64 {
            return window(&self.digits, start, end) != 0;
        }
        (start..end).any(|it| has(&self.digits, it))
    }
}

/// What stands for a run of letters and digits, if it is kept; dashes may stand around it.
pub(super) fn mixed_number(bytes: &[u8], run: Run, before: bool, after: bool) -> Option<u64> {
    let is_left_out = ((before || after) && run.len() >= DASHED_LEN_MIN)
        || (before && after && run.len() == DASHED_GROUP_LEN);
    let is_kept = (NUMBER_LEN_MIN..=NUMBER_LEN_MAX).contains(&run.len()) && !is_left_out;
    is_kept.then(|| mix(key(bytes, 0, run) ^ SEED_NUMBER))
}

/// The kept grams of a run, a hash each.
pub(super) fn grams(bytes: &[u8], run: Run, mut visit: impl FnMut(u64)) {
    let gram = |at: usize| eight(bytes, at) & 0xffff_ffff_ffff;
    let order = |at: usize| (gram(at).wrapping_mul(ORDER_FACTOR), at);
    let Some(last) = run.end.checked_sub(GRAM_LEN) else { return };
    let mut kept = None;
    let mut least = (u64::MAX, run.start);
    for from in run.start..=(last + 1).saturating_sub(WINDOW_GRAMS) {
        let newest = order(from + WINDOW_GRAMS - 1);
        if kept.is_none() || least.1 < from {
            least = (from..from + WINDOW_GRAMS).map(order).min().unwrap_or(newest);
        } else if newest.0 < least.0 {
            least = newest;
        }
        if kept != Some(least.1) {
            kept = Some(least.1);
            visit(mix(gram(least.1) ^ SEED_GRAM));
        }
    }
}

/// Differs for different runs of eight bytes or less; for longer ones, very likely.
pub(super) fn key(bytes: &[u8], secret: u64, run: Run) -> u64 {
    let mut key = secret;
    let mut at = run.start;
    while at + 8 < run.end {
        key = mix(key ^ eight(bytes, at) ^ FACTOR);
        at += 8;
    }
    let n_bits = 8 * (run.end - at).min(8);
    let rest = eight(bytes, at) & (u64::MAX >> (64 - n_bits.max(1)));
    key ^ rest
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|it| it.first_chunk::<8>()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// Stands for a pair of name and value.
pub(super) fn hash_pair(name: &str, value: &str) -> u64 {
    mix(hash(SEED_NAME, name.as_bytes()) ^ hash(SEED_VALUE, value.as_bytes()).rotate_left(32))
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ (bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        state = mix(state ^ padded(chunk));
    }
    mix(state ^ SEED_GRAM)
}

/// Both halves of a wide product.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn mix(value: u64) -> u64 {
    let product = u128::from(value) * u128::from(FACTOR);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The bits from `start` to `end`, which are 64 at most.
fn window(mask: &[u64], start: usize, end: usize) -> u64 {
    let (word, shift) = (start / 64, start % 64);
    let low = mask.get(word).copied().unwrap_or(0) >> shift;
    let high = match mask.get(word + 1) {
        Some(next) if shift > 0 => next << (64 - shift),
        _ => 0,
    };
    (low | high) & (u64::MAX >> (64 - (end - start).clamp(1, 64)))
}

/// Visits the runs of ones: start and end.
fn runs(mask: impl Iterator<Item = u64>, len: usize, mut visit: impl FnMut(usize, usize)) {
    let mut open = None;
    for (i, mut word) in mask.enumerate() {
        let base = 64 * i;
        if let Some(start) = open {
            if word == u64::MAX {
                continue;
            }
            visit(start, base + word.trailing_ones() as usize);
            open = None;
            word &= word + 1;
        }
        while word != 0 {
            let start = word.trailing_zeros();
            let n = (word >> start).trailing_ones();
            if start + n == 64 {
                open = Some(base + start as usize);
                break;
            }
            visit(base + start as usize, base + (start + n) as usize);
            word &= word + (1 << start);
        }
    }
    if let Some(start) = open {
        visit(start, len);
    }
}

/// Whether folded letters are only those of hexadecimal numbers.
pub(super) fn is_hex(letters: &[u8]) -> bool {
    letters.iter().all(|it| (b'a'..=b'f').contains(it))
}

/// Whether sixteen ones stand side by side somewhere: what most texts do not have.
pub(super) fn has_run_of_16(mut mask: impl Iterator<Item = u64>) -> bool {
    const _: () = assert!(RUN_LEN_MIN == 16);
    let mut here = mask.next().unwrap_or(0);
    loop {
        let next = mask.next();
        let mut both = u128::from(here) | (u128::from(next.unwrap_or(0)) << 64);
        for shift in [1, 2, 4, 8] {
            both &= both >> shift;
        }
        if both & u128::from(u64::MAX) != 0 {
            return true;
        }
        match next {
            Some(next) => here = next,
            None => return false,
        }
    }
}
