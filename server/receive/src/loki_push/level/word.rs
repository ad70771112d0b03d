//! A level as a word in a line, in whatever case.
//!
//! Loki looks for each of [`WORDS`] in turn, and takes the first one whose first occurrence stands
//! alone. Here all are looked for in one pass: two bytes tell where one of them may begin.

use super::{CRITICAL, DEBUG, ERROR, FATAL, INFO, TRACE, UNKNOWN, WARN};

/// In the order in which they count.
const WORDS: [(&[u8], &str); 9] = [
    (b"trace", TRACE),
    (b"debug", DEBUG),
    (b"fatal", FATAL),
    (b"critical", CRITICAL),
    (b"error", ERROR),
    (b"err", ERROR),
    (b"warning", WARN),
    (b"warn", WARN),
    (b"info", INFO),
];

/// Bits of the words that may begin with the two letters whose low bits are the index.
const BEGINNINGS: [u16; 1 << 10] = beginnings();

#[expect(clippy::indexing_slicing, reason = "evaluated when this is compiled")]
const fn beginnings() -> [u16; 1 << 10] {
    let mut table = [0; 1 << 10];
    let mut at = 0;
    while at < WORDS.len() {
        let word = WORDS[at].0;
        table[slot(word[0], word[1])] |= 1 << at;
        at += 1;
    }
    table
}

const fn slot(first: u8, second: u8) -> usize {
    ((first & 31) as usize) << 5 | (second & 31) as usize
}

pub(super) fn level(line: &str) -> &'static str {
    let bytes = line.as_bytes();
    // Bits of the words that would count: better than what was found, and not there before.
    let mut wanted: u16 = (1 << WORDS.len()) - 1;
    let mut best = None;
    for (at, [first, second]) in bytes.array_windows::<2>().enumerate() {
        let mut here = wanted & BEGINNINGS.get(slot(*first, *second)).copied().unwrap_or_default();
        while here != 0 {
            let bit = here & here.wrapping_neg();
            here ^= bit;
            let Some((word, level)) = WORDS.get(bit.trailing_zeros() as usize) else { break };
            let (from, to) = (at, at + word.len());
            if !bytes.get(from..to).is_some_and(|it| it.eq_ignore_ascii_case(word)) {
                continue;
            }
            wanted &= !bit;
            if is_edge_before(line, from) && bytes.get(to).copied().is_none_or(is_edge) {
                best = Some(*level);
                wanted &= bit - 1;
                if wanted == 0 {
                    return level;
                }
                break;
            }
        }
    }
    best.unwrap_or(UNKNOWN)
}

/// Whether a word may begin at this byte. Loki looks at the last byte of the line in lower case.
fn is_edge_before(line: &str, at: usize) -> bool {
    match line.as_bytes().get(..at).unwrap_or_default() {
        [] => true,
        [.., before] if before.is_ascii() => is_edge(*before),
        _ => {
            let before = line.get(..at).and_then(|it| it.chars().next_back());
            let lower = before.and_then(|it| it.to_lowercase().last());
            let mut bytes = [0; 4];
            lower
                .is_none_or(|it| it.encode_utf8(&mut bytes).bytes().next_back().is_none_or(is_edge))
        }
    }
}

/// Whether the byte, read as a character of Latin-1 as Loki reads it, is no part of a word.
fn is_edge(byte: u8) -> bool {
    !matches!(
        byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_'
            | 0xaa | 0xb5 | 0xba | 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..
    )
}
