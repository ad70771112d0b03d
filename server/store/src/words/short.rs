//! A short text cut into pieces without leaving the processor's registers: the values of lines are
//! short, and almost all of what is cut.

use super::text::{Pieces, Run, WORD_LEN_MIN, grams, has_run_of_16, is_hex, key, mixed_number};
use crate::bytes::{Eight, bits};

/// Longer texts are a [`super::text::Text`].
pub(super) const SHORT_LEN_MAX: usize = 64;
/// Zeros behind it, so that eight bytes can be read from any place in it.
const BUFFER_BYTES: usize = SHORT_LEN_MAX + 8;

/// Tells the same pieces as [`super::text::Text::visit`]. Of text that is not ASCII it must not be
/// asked, nor of more than [`SHORT_LEN_MAX`] bytes.
pub(super) fn visit(text: &[u8], secret: u64, pieces: &mut impl Pieces) {
    let mut bytes = [0_u8; BUFFER_BYTES];
    let Some(start) = bytes.get_mut(..text.len()) else { return };
    start.copy_from_slice(text);
    let (mut letters, mut digits, mut dashes) = (0_u64, 0_u64, 0_u64);
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (i, chunk) in chunks.iter_mut().take(text.len().div_ceil(8)).enumerate() {
        let bytes = Eight::of_le(*chunk);
        *chunk = bytes.folded().to_le_bytes();
        letters |= bits(bytes.letters()) << (8 * i);
        digits |= bits(bytes.between(b'0', b'9')) << (8 * i);
        dashes |= bits(bytes.is(b'-')) << (8 * i);
    }
    let alnum = letters | digits;
    let mut rest = alnum;
    while let Some(run) = next_run(&mut rest) {
        let mask = run.mask();
        if digits & mask == 0 {
            word(&bytes, secret, run, pieces);
            continue;
        }
        let before = (dashes << 1) & (mask & mask.wrapping_neg()) != 0;
        let after = run.end < 64 && (dashes >> run.end) & 1 == 1;
        if let Some(hash) = mixed_number(&bytes, run, before, after) {
            pieces.number(hash);
        }
        let mut inner = letters & mask;
        while let Some(run) = next_run(&mut inner) {
            if run.len() >= WORD_LEN_MIN
                && !is_hex(bytes.get(run.start..run.end).unwrap_or_default())
            {
                word(&bytes, secret, run, pieces);
            }
        }
    }
    let joined = alnum | dashes;
    if has_run_of_16(std::iter::once(joined)) {
        let mut rest = joined;
        while let Some(run) = next_run(&mut rest) {
            if run.is_long() && digits & run.mask() != 0 {
                grams(&bytes, run, |hash| pieces.gram(hash));
            }
        }
    }
}

fn word(bytes: &[u8], secret: u64, run: Run, pieces: &mut impl Pieces) {
    if run.len() >= WORD_LEN_MIN {
        let word = bytes.get(run.start..run.end).unwrap_or_default();
        pieces.word(word, key(bytes, secret, run));
    }
}

/// The lowest run of ones, which are taken out.
fn next_run(mask: &mut u64) -> Option<Run> {
    if *mask == 0 {
        return None;
    }
    let start = mask.trailing_zeros();
    let end = start + (*mask >> start).trailing_ones();
    *mask &= u64::MAX.checked_shl(end).unwrap_or(0);
    Some(Run { start: start as usize, end: end as usize })
}
