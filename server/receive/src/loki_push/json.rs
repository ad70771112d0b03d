//! `{"streams": [{"stream": {"host": "a"}, "values": [["1700000000000000000", "line", {"k": "v"}]]}]}`.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use skep_proto::{LogRow, TimestampNs};

use super::{
    Decoded,
    labels::Pair,
    stream::{check_counts, finish, sort_keeping_last},
};
use crate::{BadData, Error, Limits};

pub(super) fn decode<'a>(plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    let push: Push<'a> = serde_json::from_slice(plain).map_err(BadData::Json)?;
    if push.streams.is_empty() {
        return Err(BadData::NoStreams.into());
    }
    let n_entries = push.streams.iter().map(|it| it.values.len()).sum();
    check_counts(push.streams.len(), n_entries, limits)?;
    let mut decoded = Decoded::default();
    for Stream { stream: Pairs(mut labels), values } in push.streams {
        // An object's name that is there twice has the last value, as in Loki.
        sort_keeping_last(&mut labels);
        let text = labels_text(&labels);
        let entries = values.into_iter().map(|Entry(row)| Some(row)).collect();
        finish(&mut decoded, &text, Ok(labels), entries, limits);
    }
    Ok(decoded)
}

/// As the protobuf spelling has it, for the texts of faults.
fn labels_text(labels: &[Pair<'_>]) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

#[derive(Deserialize)]
struct Stream<'a> {
    #[serde(borrow)]
    stream: Pairs<'a>,
    #[serde(borrow)]
    values: Vec<Entry<'a>>,
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object of strings.
struct Pairs<'a>(Vec<Pair<'a>>);

/// An array of timestamp, line and, if any, metadata.
struct Entry<'a>(LogRow<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array of timestamp, line and metadata")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let Text(ts) =
                    seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let ts = TimestampNs(parse_ts(&ts).map_err(A::Error::custom)?);
                let Text(line) =
                    seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
                let Pairs(metadata) = seq.next_element()?.unwrap_or(Pairs(Vec::new()));
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry(LogRow { ts, line, metadata }))
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}

/// Nanoseconds as decimal text; errors are those of Go's `ParseInt`, which Loki passes on.
fn parse_ts(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let what = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        let quoted: String = text.chars().take(64).collect();
        format!("strconv.ParseInt: parsing {quoted:?}: {what}")
    })
}
