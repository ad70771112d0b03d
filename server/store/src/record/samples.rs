//! The body of a record of samples. Nothing of it is general compression but the registrations:
//! what a request repeats is said once, and values leave out the zero bytes behind them.
//!
//! ```text
//! registrations = plain bytes, packed bytes, then zstd of
//!                 n, then n × (slot, id, n pairs, n × (name, value))
//! sizes         = n series, n samples
//! series        = runs of neighbouring slots: (first, how many)
//! counts        = runs: (samples of a series, of how many series in a row)
//! time stamps   = runs: (milliseconds since the one before, how many times)
//! values        = for two samples each: u8 with their numbers of bytes, their bytes
//! ```
//! First slots count from the end of the run before, ids from the one before; runs go on until
//! there are as many as the sizes say. A
//! slot is what a series is called until the next flush; its registration says which that is and
//! stands in the first record that uses it, or in an earlier one.

use std::sync::Arc;

use skep_proto::Labels;

use super::{
    RecordError, put_text, put_varint, take_length, take_text, take_varint, unzigzag, zigzag,
};
use crate::heads::{SampleColumns, SlotOf};

/// Registrations come once in a flush: speed counts, not size.
const ZSTD_LEVEL: i32 = 1;

/// "Until the next flush this slot is of the series with this id and these labels."
#[derive(Debug, PartialEq)]
pub(crate) struct Registration {
    pub(crate) slot: u32,
    pub(crate) id: i64,
    pub(crate) labels: Arc<Labels>,
}

pub(super) fn put(out: &mut Vec<u8>, registered: &[SlotOf], columns: &SampleColumns) {
    put_registrations(out, registered);
    put_varint(out, columns.slots.len() as u64);
    put_varint(out, columns.ts.len() as u64);
    put_slots(out, &columns.slots);
    put_runs(out, columns.n_samples.iter().map(|it| u64::from(*it)));
    let mut before = 0;
    put_runs(
        out,
        columns.ts.iter().map(|it| {
            let delta = it.wrapping_sub(before);
            before = *it;
            zigzag(delta)
        }),
    );
    put_values(out, &columns.bits);
}

pub(super) fn take(rest: &mut &[u8]) -> Result<(Vec<Registration>, SampleColumns), RecordError> {
    let registrations = take_registrations(rest)?;
    let n_series = take_length(rest)?;
    let n_samples = take_length(rest)?;
    // Every sample takes half a byte at least, and every series has a sample.
    if n_samples / 2 > rest.len() || n_series > n_samples {
        return Err(RecordError::Length);
    }
    let mut columns = SampleColumns { slots: take_slots(rest, n_series)?, ..Default::default() };
    let mut n_counted = 0_u64;
    columns.n_samples.reserve(n_series);
    take_runs(rest, n_series, |n, n_times| {
        n_counted = n_counted.saturating_add(n.saturating_mul(n_times as u64));
        let n = u32::try_from(n).or(Err(RecordError::Length))?;
        columns.n_samples.resize(columns.n_samples.len() + n_times, n);
        Ok(())
    })?;
    if n_counted != n_samples as u64 {
        return Err(RecordError::Length);
    }
    let mut before = 0_i64;
    columns.ts.reserve(n_samples);
    take_runs(rest, n_samples, |delta, n_times| {
        let delta = unzigzag(delta);
        columns.ts.extend((0..n_times).map(|_| {
            before = before.wrapping_add(delta);
            before
        }));
        Ok(())
    })?;
    columns.bits = take_values(rest, n_samples)?;
    Ok((registrations, columns))
}

fn put_registrations(out: &mut Vec<u8>, registered: &[SlotOf]) {
    if registered.is_empty() {
        put_varint(out, 0);
        return;
    }
    let mut plain = Vec::with_capacity(registered.len() * 200);
    put_varint(&mut plain, registered.len() as u64);
    let mut before = 0;
    for SlotOf { slot, entry } in registered {
        put_varint(&mut plain, u64::from(*slot));
        put_varint(&mut plain, zigzag(entry.id.wrapping_sub(before)));
        before = entry.id;
        put_varint(&mut plain, entry.labels.len() as u64);
        for (name, value) in entry.labels.iter() {
            put_text(&mut plain, name);
            put_text(&mut plain, value);
        }
    }
    let packed =
        zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("compressing into memory cannot fail");
    put_varint(out, plain.len() as u64);
    put_varint(out, packed.len() as u64);
    out.extend(packed);
}

fn take_registrations(rest: &mut &[u8]) -> Result<Vec<Registration>, RecordError> {
    let n_plain = take_length(rest)?;
    if n_plain == 0 {
        return Ok(Vec::new());
    }
    let n_packed = take_length(rest)?;
    let (packed, after) = rest.split_at_checked(n_packed).ok_or(RecordError::Length)?;
    *rest = after;
    let plain = zstd::bulk::decompress(packed, n_plain).map_err(RecordError::Zstd)?;
    let mut rest = plain.as_slice();
    let mut before = 0_i64;
    (0..take_varint(&mut rest)?)
        .map(|_| {
            let slot = u32::try_from(take_varint(&mut rest)?).or(Err(RecordError::Length))?;
            before = before.wrapping_add(unzigzag(take_varint(&mut rest)?));
            let pairs = (0..take_varint(&mut rest)?)
                .map(|_| Ok((take_text(&mut rest)?, take_text(&mut rest)?)))
                .collect::<Result<Vec<_>, RecordError>>()?;
            let labels = Labels::from_pairs(pairs).map_err(RecordError::Labels)?;
            Ok(Registration { slot, id: before, labels: Arc::new(labels) })
        })
        .collect()
}

fn put_slots(out: &mut Vec<u8>, slots: &[u32]) {
    let mut end = 0;
    for run in slots.chunk_by(|left, right| left.wrapping_add(1) == *right) {
        let first = run.first().map_or(0, |it| i64::from(*it));
        let n = run.len() as u64;
        put_varint(out, zigzag(first - end));
        put_varint(out, n);
        end = first.wrapping_add_unsigned(n);
    }
}

fn take_slots(rest: &mut &[u8], n_all: usize) -> Result<Vec<u32>, RecordError> {
    let mut slots = Vec::new();
    let mut end = 0_i64;
    while slots.len() < n_all {
        let first = end.wrapping_add(unzigzag(take_varint(rest)?));
        let n = take_length(rest)?;
        if n == 0 || n > n_all - slots.len() {
            return Err(RecordError::Length);
        }
        end = first.saturating_add_unsigned(n as u64);
        let first = u32::try_from(first).or(Err(RecordError::Length))?;
        let end = u32::try_from(end).or(Err(RecordError::Length))?;
        slots.extend(first..end);
    }
    Ok(slots)
}

fn put_runs(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let mut run: Option<(u64, u64)> = None;
    for value in values {
        match &mut run {
            Some((it, n)) if *it == value => *n += 1,
            _ => {
                if let Some((value, n)) = run.replace((value, 1)) {
                    put_varint(out, value);
                    put_varint(out, n);
                }
            }
        }
    }
    if let Some((value, n)) = run {
        put_varint(out, value);
        put_varint(out, n);
    }
}

fn take_runs(
    rest: &mut &[u8],
    mut n_left: usize,
    mut take: impl FnMut(u64, usize) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    while n_left > 0 {
        let value = take_varint(rest)?;
        let n = take_length(rest)?;
        if n == 0 || n > n_left {
            return Err(RecordError::Length);
        }
        n_left -= n;
        take(value, n)?;
    }
    Ok(())
}

/// Whole numbers and decimals of few digits, most of what is measured, end in zero bytes.
fn put_values(out: &mut Vec<u8>, bits: &[u64]) {
    out.reserve(bits.len() * 5 + 32);
    for two in bits.chunks(2) {
        let (left, right) = match *two {
            [left, right] => (Shortened::of(left), Shortened::of(right)),
            [left] => (Shortened::of(left), Shortened::of(0)),
            _ => continue,
        };
        out.push(left.n_bytes | right.n_bytes << 4);
        for it in [left, right] {
            let end = out.len() + usize::from(it.n_bytes);
            out.extend(it.bytes);
            out.truncate(end);
        }
    }
}

#[derive(Clone, Copy)]
struct Shortened {
    bytes: [u8; 8],
    n_bytes: u8,
}

impl Shortened {
    fn of(bits: u64) -> Self {
        // Of zero all eight.
        let n_zero = bits.trailing_zeros() / 8;
        let bytes = bits.checked_shr(8 * n_zero).unwrap_or(0).to_le_bytes();
        Self { bytes, n_bytes: u8::try_from(8 - n_zero).unwrap_or(0) }
    }
}

fn take_values(rest: &mut &[u8], n_all: usize) -> Result<Vec<u64>, RecordError> {
    let mut bits = Vec::with_capacity(n_all + 1);
    while bits.len() < n_all {
        let (lengths, after) = rest.split_first().ok_or(RecordError::Length)?;
        *rest = after;
        for n_bytes in [lengths & 0x0f, lengths >> 4] {
            bits.push(take_shortened(rest, usize::from(n_bytes))?);
        }
    }
    bits.truncate(n_all);
    Ok(bits)
}

fn take_shortened(rest: &mut &[u8], n_bytes: usize) -> Result<u64, RecordError> {
    let n_zero = size_of::<u64>().checked_sub(n_bytes).ok_or(RecordError::Length)?;
    let (bytes, after) = rest.split_at_checked(n_bytes).ok_or(RecordError::Length)?;
    let mut word = [0; 8];
    match rest.first_chunk() {
        // What follows is shifted out: a copy of as many bytes as there may be is a call.
        Some(it) => word = *it,
        None => word.iter_mut().zip(bytes).for_each(|(it, byte)| *it = *byte),
    }
    *rest = after;
    let shift = u32::try_from(8 * n_zero).unwrap_or(u64::BITS);
    Ok(u64::from_le_bytes(word).checked_shl(shift).unwrap_or(0))
}
