//! What one append looks like in the write-ahead log; `docs/formats/wal.md` draws it.
//!
//! ```text
//! ┌────────────┬─────────┬───────────────────────────────────────────┐
//! │ version u8 │ kind u8 │ body                                      │
//! └────────────┴─────────┴───────────────────────────────────────────┘
//! body of kind 4 (logs)    = plain bytes u32 LE, then snappy of: registrations, groups
//! registrations            = n, then n × (id, n pairs, n × (name, value))
//! groups                   = n, n × id, n × number of entries, then over all entries
//!                            the time stamps (ns), then line, n pairs, n × (name, value)
//! body of kind 3 (samples) = see `record/samples.rs`
//! body of kind 5 (histograms) = as of kind 4, of: registrations, rows (`record/histograms.rs`)
//! ```
//! Numbers without a size are LEB128 varints; ids and time stamps are zigzag varints of the
//! difference from the one before; text is its length and its bytes. A registration says which
//! label set an id stands for; each id is registered in the segment that uses it.

mod histograms;
mod samples;

use std::{borrow::Cow, sync::Arc};

use skep_proto::{
    Labels,
    snappy::{self, SnappyError},
};

pub(crate) use histograms::HistogramColumns;
pub(crate) use samples::Registration as SampleRegistration;

use crate::heads::{SampleColumns, SlotOf};

const VERSION: u8 = 1;
/// Lines are packed as they come in and read once at most: Snappy costs half of what zstd's first
/// level does, for one and a half times its bytes.
const KIND_LOGS: u8 = 4;
const KIND_SAMPLES: u8 = 3;
const KIND_HISTOGRAMS: u8 = 5;
/// A sample's time stamp and value against its bytes in a record, usually.
const SAMPLES_GROWTH: usize = 6;
/// Bounds what a damaged length can make a replay allocate.
const BODY_BYTES_MAX: usize = 1 << 30;

/// "This id stands for these labels."
pub(crate) type Registration = (i64, Arc<Labels>);

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("record of version {0}, this program reads {VERSION}")]
    Version(u8),
    #[error("record of unknown kind {0}")]
    Kind(u8),
    #[error("record ends too early or holds more than it says")]
    Length,
    #[error("record holds text that is not UTF-8")]
    Text(#[source] std::str::Utf8Error),
    #[error("record holds a label set that is none")]
    Labels(#[source] skep_proto::LabelError),
    #[error("record cannot be decompressed")]
    Zstd(#[source] std::io::Error),
    #[error("record cannot be decompressed")]
    Snappy(#[source] SnappyError),
}

/// Columns of an append of log entries: one group a stream. An entry's body is its line and its
/// metadata as they are in the record.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LogColumns<'a> {
    pub(crate) ids: Vec<i64>,
    pub(crate) n_entries: Vec<usize>,
    pub(crate) ts: Vec<i64>,
    pub(crate) entries: Vec<LogBody<'a>>,
}

/// A line and its metadata, sorted by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LogBody<'a> {
    pub(crate) line: &'a str,
    pub(crate) metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> LogColumns<'a> {
    /// Each group's id, time stamps and entries.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (i64, &[i64], &[LogBody<'a>])> + Clone {
        let mut start = 0;
        self.ids.iter().zip(&self.n_entries).map(move |(&id, &n)| {
            let range = start..start + n;
            start += n;
            (
                id,
                self.ts.get(range.clone()).unwrap_or_default(),
                self.entries.get(range).unwrap_or_default(),
            )
        })
    }
}

/// A decompressed record; [`Record::parse`] borrows from it.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    kind: u8,
    body: Cow<'a, [u8]>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Content<'a> {
    Samples { registrations: Vec<SampleRegistration>, columns: SampleColumns },
    Logs { registrations: Vec<Registration>, columns: LogColumns<'a> },
    Histograms { registrations: Vec<Registration>, columns: HistogramColumns },
}

pub(crate) fn encode_samples(registered: &[SlotOf], columns: &SampleColumns) -> Vec<u8> {
    let mut out = vec![VERSION, KIND_SAMPLES];
    samples::put(&mut out, registered, columns);
    out
}

pub(crate) fn encode_logs(registrations: &[Registration], columns: &LogColumns<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(columns.ts.len() * 200 + registrations.len() * 200 + 16);
    put_registrations(&mut body, registrations);
    put_groups(&mut body, &columns.ids, &columns.n_entries);
    put_deltas(&mut body, &columns.ts);
    for entry in &columns.entries {
        put_text(&mut body, entry.line);
        put_varint(&mut body, entry.metadata.len() as u64);
        for (name, value) in &entry.metadata {
            put_text(&mut body, name);
            put_text(&mut body, value);
        }
    }
    packed(KIND_LOGS, &body)
}

pub(crate) fn encode_histograms(
    registrations: &[Registration],
    columns: &HistogramColumns,
) -> Vec<u8> {
    let mut body = Vec::new();
    put_registrations(&mut body, registrations);
    histograms::put(&mut body, columns);
    packed(KIND_HISTOGRAMS, &body)
}

fn packed(kind: u8, body: &[u8]) -> Vec<u8> {
    let n_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut out = vec![VERSION, kind];
    out.extend(n_bytes.to_le_bytes());
    snappy::compress_into(&mut out, body);
    out
}

impl<'a> Record<'a> {
    /// What a record's rows take in memory, more or less.
    pub(crate) fn decoded_bytes(bytes: &[u8]) -> usize {
        match bytes {
            [_, KIND_LOGS | KIND_HISTOGRAMS, a, b, c, d, ..] => {
                u32::from_le_bytes([*a, *b, *c, *d]) as usize
            }
            _ => bytes.len().saturating_mul(SAMPLES_GROWTH),
        }
    }

    /// For fuzzing: an unpacked body as one of each kind.
    pub(crate) fn of_each_kind(body: &'a [u8]) -> impl Iterator<Item = Self> {
        let kinds = [KIND_LOGS, KIND_SAMPLES, KIND_HISTOGRAMS];
        kinds.map(|kind| Self { kind, body: Cow::Borrowed(body) }).into_iter()
    }

    /// # Errors
    /// A record of another version, or one that does not decompress.
    pub(crate) fn decompress(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let [version, kind, body @ ..] = bytes else { return Err(RecordError::Length) };
        if *version != VERSION {
            return Err(RecordError::Version(*version));
        }
        if ![KIND_LOGS, KIND_HISTOGRAMS].contains(kind) {
            return Ok(Self { kind: *kind, body: Cow::Borrowed(body) });
        }
        let (n_bytes, body) = body.split_first_chunk().ok_or(RecordError::Length)?;
        let n_bytes = u32::from_le_bytes(*n_bytes) as usize;
        if n_bytes > BODY_BYTES_MAX {
            return Err(RecordError::Length);
        }
        let body = snappy::decompress(body, n_bytes).map_err(RecordError::Snappy)?;
        Ok(Self { kind: *kind, body: Cow::Owned(body) })
    }

    /// # Errors
    /// A record of another kind, or a body that does not hold what it says.
    pub(crate) fn parse(&self) -> Result<Content<'_>, RecordError> {
        let mut rest = &*self.body;
        let content = match self.kind {
            KIND_SAMPLES => {
                let (registrations, columns) = samples::take(&mut rest)?;
                Content::Samples { registrations, columns }
            }
            KIND_LOGS => {
                let registrations = take_registrations(&mut rest)?;
                let (ids, ns) = take_groups(&mut rest)?;
                let n_rows = ns.iter().try_fold(0_usize, |sum, n| sum.checked_add(*n));
                // Every row takes a byte at least.
                let n_rows = n_rows.filter(|it| *it <= self.body.len());
                let n_rows = n_rows.ok_or(RecordError::Length)?;
                let ts = take_deltas(&mut rest, n_rows)?;
                let entries =
                    (0..n_rows).map(|_| take_log_body(&mut rest)).collect::<Result<_, _>>()?;
                let columns = LogColumns { ids, n_entries: ns, ts, entries };
                Content::Logs { registrations, columns }
            }
            KIND_HISTOGRAMS => Content::Histograms {
                registrations: take_registrations(&mut rest)?,
                columns: histograms::take(&mut rest)?,
            },
            kind => return Err(RecordError::Kind(kind)),
        };
        if rest.is_empty() { Ok(content) } else { Err(RecordError::Length) }
    }
}

fn put_registrations(out: &mut Vec<u8>, registrations: &[Registration]) {
    put_varint(out, registrations.len() as u64);
    let mut before = 0;
    for (id, labels) in registrations {
        put_varint(out, zigzag(id.wrapping_sub(before)));
        before = *id;
        put_varint(out, labels.len() as u64);
        for (name, value) in labels.iter() {
            put_text(out, name);
            put_text(out, value);
        }
    }
}

fn take_registrations(rest: &mut &[u8]) -> Result<Vec<Registration>, RecordError> {
    let mut before = 0_i64;
    (0..take_varint(rest)?)
        .map(|_| {
            before = before.wrapping_add(unzigzag(take_varint(rest)?));
            let pairs = (0..take_varint(rest)?)
                .map(|_| Ok((take_text(rest)?, take_text(rest)?)))
                .collect::<Result<Vec<_>, RecordError>>()?;
            let labels = Labels::from_pairs(pairs).map_err(RecordError::Labels)?;
            Ok((before, Arc::new(labels)))
        })
        .collect()
}

fn put_groups(out: &mut Vec<u8>, ids: &[i64], ns: &[usize]) {
    put_varint(out, ids.len() as u64);
    put_deltas(out, ids);
    for n in ns {
        put_varint(out, *n as u64);
    }
}

fn take_groups(rest: &mut &[u8]) -> Result<(Vec<i64>, Vec<usize>), RecordError> {
    let n = take_length(rest)?;
    let ids = take_deltas(rest, n)?;
    let ns = (0..n).map(|_| take_length(rest)).collect::<Result<_, _>>()?;
    Ok((ids, ns))
}

fn take_log_body<'a>(rest: &mut &'a [u8]) -> Result<LogBody<'a>, RecordError> {
    let line = take_text(rest)?;
    let metadata = (0..take_varint(rest)?)
        .map(|_| Ok((take_text(rest)?, take_text(rest)?)))
        .collect::<Result<_, RecordError>>()?;
    Ok(LogBody { line, metadata })
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    let mut before = 0;
    for value in values {
        put_varint(out, zigzag(value.wrapping_sub(before)));
        before = *value;
    }
}

fn take_deltas(rest: &mut &[u8], n: usize) -> Result<Vec<i64>, RecordError> {
    let mut before = 0_i64;
    // Each takes a byte at least: a count beyond the bytes fails before it is allocated.
    let mut values = Vec::with_capacity(n.min(rest.len()));
    for _ in 0..n {
        before = before.wrapping_add(unzigzag(take_varint(rest)?));
        values.push(before);
    }
    Ok(values)
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

pub(crate) fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, RecordError> {
    let n_bytes = take_length(rest)?;
    let (text, after) = rest.split_at_checked(n_bytes).ok_or(RecordError::Length)?;
    *rest = after;
    std::str::from_utf8(text).map_err(RecordError::Text)
}

#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<u64, RecordError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(RecordError::Length)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::Length)
}

fn take_length(rest: &mut &[u8]) -> Result<usize, RecordError> {
    let n = usize::try_from(take_varint(rest)?).unwrap_or(usize::MAX);
    if n > BODY_BYTES_MAX { Err(RecordError::Length) } else { Ok(n) }
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_proto::{HistogramSample, NativeHistogram, ResetHint, Span, TimestampMs};

    use super::*;
    use crate::index::{IdOrder, Index};

    fn labels(text: &str) -> Arc<Labels> {
        Arc::new(Labels::from_pairs([("__name__", "up"), ("job", text)]).unwrap())
    }

    proptest! {
        #[test]
        fn samples_read_back_bit_for_bit(
            groups in prop::collection::vec(
                (prop_oneof![0_u32..9, any::<u32>().prop_map(|it| it / 2)],
                 prop::collection::vec((any::<i64>(), any::<u64>()), 1..5)), 0..9),
            flat in prop::collection::vec((0_u32..2000, 0_i64..2, 0_u64..3), 0..50),
            job in "\\PC{1,9}",
        ) {
            let mut columns = SampleColumns::default();
            let flat = flat.into_iter().map(|(slot, ts, value)| {
                (slot, vec![(ts * 15_000, (value as f64).to_bits())])
            });
            for (slot, samples) in groups.into_iter().chain(flat) {
                columns.slots.push(slot);
                columns.n_samples.push(u32::try_from(samples.len()).unwrap());
                columns.ts.extend(samples.iter().map(|it| it.0));
                columns.bits.extend(samples.iter().map(|it| it.1));
            }
            let index = Index::new(IdOrder::Sequential);
            let entry = index.restore(-3, labels(&job));
            for registered in [vec![], vec![SlotOf { slot: 7, entry }]] {
                let registrations = registered.iter().map(|it| SampleRegistration {
                    slot: 7, id: -3, labels: Arc::clone(&it.entry.labels),
                }).collect();
                let bytes = encode_samples(&registered, &columns);
                let record = Record::decompress(&bytes).unwrap();
                let expected = Content::Samples { registrations, columns: columns.clone() };
                prop_assert_eq!(record.parse().unwrap(), expected);
                for end in 0..bytes.len() {
                    let cut = Record::decompress(&bytes[..end]);
                    prop_assert!(cut.and_then(|it| it.parse().map(drop)).is_err());
                }
            }
        }

        #[test]
        fn logs_read_back(lines in prop::collection::vec((any::<i64>(), "\\PC*"), 0..8)) {
            let columns = LogColumns {
                ids: vec![5, 1],
                n_entries: vec![lines.len(), 0],
                ts: lines.iter().map(|it| it.0).collect(),
                entries: lines
                    .iter()
                    .map(|(_, line)| LogBody { line, metadata: vec![("k", line), ("l", "")] })
                    .collect(),
            };
            let registrations = vec![(5, labels("a"))];
            let bytes = encode_logs(&registrations, &columns);
            let record = Record::decompress(&bytes).unwrap();
            prop_assert_eq!(record.parse().unwrap(), Content::Logs { registrations, columns });
        }

        #[test]
        fn histograms_read_back_bit_for_bit(
            all in prop::collection::vec(
                (any::<i64>(), any::<i64>(), any::<[u64; 4]>(), any::<i8>(),
                 prop::collection::vec((any::<i32>(), any::<u32>(), any::<f64>()), 0..4)), 0..5),
        ) {
            let columns = HistogramColumns(all.into_iter().map(|(id, ts, bits, schema, lists)| {
                let [zero_threshold, zero_count, count, sum] = bits.map(f64::from_bits);
                let spans: Vec<_> = lists.iter().map(|it| Span { offset: it.0, length: it.1 }).collect();
                let histogram = NativeHistogram {
                    reset_hint: [ResetHint::Gauge, ResetHint::Unknown][usize::from(schema > 0)],
                    schema, zero_threshold, zero_count, count, sum,
                    positive_spans: spans,
                    negative: lists.iter().map(|it| it.2).collect(),
                    ..NativeHistogram::default()
                };
                (id, vec![HistogramSample { ts: TimestampMs(ts), histogram: histogram.into() }])
            }).collect());
            let registrations = vec![(5, labels("a"))];
            let bytes = encode_histograms(&registrations, &columns);
            let record = Record::decompress(&bytes).unwrap();
            // Not by value: NaN differs from itself.
            let expected = format!("{:?}", Content::Histograms { registrations, columns });
            prop_assert_eq!(format!("{:?}", record.parse().unwrap()), expected);
            for end in 0..record.body.len() {
                let body = Cow::Borrowed(&record.body[..end]);
                let cut = Record { kind: KIND_HISTOGRAMS, body };
                prop_assert!(cut.parse().is_err());
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200),
                                          kind in 0_u8..6) {
            drop(Record { kind, body: Cow::Borrowed(&body) }.parse());
            drop(Record::decompress(&body));
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = Record::decompress(&[9, 1, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "record of version 9, this program reads 1");
    }
}
