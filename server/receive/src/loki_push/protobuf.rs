//! `logproto.PushRequest`.

use std::borrow::Cow;

use skep_proto::{LogRow, TimestampNs};

use super::{
    Decoded,
    labels::{self, LabelsError, Pair},
    stream::{StreamFault, check_counts, finish},
};
use crate::{
    BadData, Error, Limits,
    protobuf::{Fields, WireError, fields},
};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Streams are field 1 of the request.
pub(super) fn decode<'a>(plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    let mut decoded = Decoded::default();
    let (mut n_streams, mut n_entries) = (0, 0);
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        if field.number != 1 {
            continue;
        }
        let n_room = limits.values_max - n_entries;
        let (labels, entries) =
            field.message().and_then(|it| stream(it, n_room)).map_err(BadData::Wire)?;
        n_streams += 1;
        n_entries += entries.len();
        check_counts(n_streams, n_entries, limits)?;
        match std::str::from_utf8(labels) {
            Err(std::str::Utf8Error { .. }) => {
                finish(&mut decoded, "", Err(StreamFault::Utf8), entries, limits);
            }
            Ok(text) => {
                let labels = labels::parse(text, limits.labels_max)
                    .map_err(|error| labels_fault(text, error, limits.labels_max));
                finish(&mut decoded, text, labels, entries, limits);
            }
        }
    }
    if n_streams == 0 {
        return Err(BadData::NoStreams.into());
    }
    Ok(decoded)
}

fn labels_fault(stream: &str, error: LabelsError, n_max: usize) -> StreamFault<'_> {
    match error.too_many() {
        Some(n) => StreamFault::TooMany { stream, n, n_max },
        None => StreamFault::Labels { stream, error },
    }
}

type Entries<'a> = Vec<Option<LogRow<'a>>>;

/// `StreamAdapter`: labels 1, entries 2. One entry more than there is room for is kept, so that the
/// caller sees it.
fn stream(message: Fields<'_>, n_room: usize) -> Result<(&[u8], Entries<'_>), WireError> {
    let mut labels: &[u8] = b"";
    let mut entries = Vec::new();
    for field in message {
        let field = field?;
        match field.number {
            1 => labels = field.bytes()?,
            2 if entries.len() <= n_room => entries.push(entry(field.message()?)?),
            _ => {}
        }
    }
    Ok((labels, entries))
}

/// `EntryAdapter`: timestamp 1, line 2, structured metadata 3. None where the timestamp does not
/// fit. Bytes that are not UTF-8 become U+FFFD, as in Loki: a line is worth keeping.
fn entry(message: Fields<'_>) -> Result<Option<LogRow<'_>>, WireError> {
    let mut ts = Some(0);
    let mut line = Cow::Borrowed("");
    let mut metadata = Vec::new();
    for field in message {
        let field = field?;
        match field.number {
            1 => ts = timestamp(field.message()?)?,
            2 => line = String::from_utf8_lossy(field.bytes()?),
            3 => metadata.extend(pair(field.message()?)?),
            _ => {}
        }
    }
    Ok(ts.map(|ts| LogRow { ts: TimestampNs(ts), line, metadata }))
}

/// `Timestamp`: seconds 1, nanoseconds 2.
fn timestamp(message: Fields<'_>) -> Result<Option<i64>, WireError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in message {
        let field = field?;
        match field.number {
            1 => seconds = field.int64()?,
            2 => nanos = field.int64()?,
            _ => {}
        }
    }
    Ok(seconds.checked_mul(NS_PER_SECOND).and_then(|it| it.checked_add(nanos)))
}

/// `LabelPairAdapter`: name 1, value 2. None without a name, before it costs memory.
fn pair(message: Fields<'_>) -> Result<Option<Pair<'_>>, WireError> {
    let (mut name, mut value) = (Cow::Borrowed(""), Cow::Borrowed(""));
    for field in message {
        let field = field?;
        match field.number {
            1 => name = String::from_utf8_lossy(field.bytes()?),
            2 => value = String::from_utf8_lossy(field.bytes()?),
            _ => {}
        }
    }
    Ok((!name.is_empty()).then_some((name, value)))
}
