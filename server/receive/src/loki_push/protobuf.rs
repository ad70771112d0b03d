//! `logproto.PushRequest`.

use std::borrow::Cow;

use skep_proto::{LogRow, TimestampNs};

use super::{
    Decoded, Terms,
    labels::{self, Pair},
    stream::{Counts, finish, refuse_far_too_many},
};
use crate::{
    BadData, Error,
    protobuf::{Fields, WireError, fields},
};

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Streams are field 1 of the request.
pub(super) fn decode<'a>(plain: &'a [u8], terms: &Terms<'_>) -> Result<Decoded<'a>, Error> {
    let mut decoded = Decoded::default();
    let mut counts = Counts::new(terms.limits);
    let mut is_empty = true;
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        if field.number != 1 {
            continue;
        }
        is_empty = false;
        counts.stream()?;
        let message = field.message().map_err(BadData::Wire)?;
        let (labels, entries) = stream(message, &mut counts)?;
        let text = std::str::from_utf8(labels)
            .map_err(|std::str::Utf8Error { .. }| BadData::LabelsUtf8)?;
        match labels::parse(text, terms.limits.labels_max.saturating_add(1)) {
            Ok(labels) => finish(&mut decoded, labels, entries, terms),
            Err(error) => match error.too_many() {
                Some(n) => refuse_far_too_many(&mut decoded, text, n, entries.len(), terms),
                None => return Err(BadData::Labels(error.to_string()).into()),
            },
        }
    }
    if is_empty {
        return Err(BadData::NoStreams.into());
    }
    Ok(decoded)
}

type Entries<'a> = Vec<Option<LogRow<'a>>>;

/// `StreamAdapter`: labels 1, entries 2.
fn stream<'a>(
    message: Fields<'a>,
    counts: &mut Counts<'_>,
) -> Result<(&'a [u8], Entries<'a>), Error> {
    let mut labels: &[u8] = b"";
    let mut entries = Vec::new();
    for field in message {
        let field = field.map_err(BadData::Wire)?;
        match field.number {
            1 => labels = field.bytes().map_err(BadData::Wire)?,
            2 => {
                counts.entry()?;
                entries.push(entry(field.message().map_err(BadData::Wire)?, counts)?);
            }
            _ => {}
        }
    }
    Ok((labels, entries))
}

/// `EntryAdapter`: timestamp 1, line 2, structured metadata 3. None where the timestamp does not
/// fit. Bytes that are not UTF-8 become U+FFFD, as in Loki: a line is worth keeping.
fn entry<'a>(message: Fields<'a>, counts: &mut Counts<'_>) -> Result<Option<LogRow<'a>>, Error> {
    let mut ts = Some(0);
    let mut line = Cow::Borrowed("");
    let mut metadata = Vec::new();
    for field in message {
        let field = field.map_err(BadData::Wire)?;
        match field.number {
            1 => ts = field.message().and_then(timestamp).map_err(BadData::Wire)?,
            2 => line = text(field.bytes().map_err(BadData::Wire)?),
            3 => {
                if let Some(named) = field.message().and_then(pair).map_err(BadData::Wire)? {
                    counts.pair()?;
                    metadata.push(named);
                }
            }
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
            1 => name = text(field.bytes()?),
            2 => value = text(field.bytes()?),
            _ => {}
        }
    }
    Ok((!name.is_empty()).then_some((name, value)))
}

/// Almost all text is valid, which is found out far faster than what else to make of it.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
