//! `{"streams": [{"stream": {"host": "a"}, "values": [["1700000000000000000", "line", {"k": "v"}]]}]}`.
//!
//! What a body becomes in memory is many times its text, so that streams, entries and fields are
//! counted as they are read: a body over a bound is refused where it passes it.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use skep_proto::{LogRow, TimestampNs, is_label_name};

use super::{
    Decoded, LabelNames, Terms,
    labels::{self, Pair},
    stream::{Counts, finish, sort_keeping_last, write_quoted},
};
use crate::{BadData, Error, TooLarge};

pub(super) fn decode<'a>(plain: &'a [u8], terms: &Terms<'_>) -> Result<Decoded<'a>, Error> {
    let reading = RefCell::new(Reading { counts: Counts::new(terms.limits), over: None });
    let mut deserializer = serde_json::Deserializer::from_slice(plain);
    let push = Map(Push(&reading)).deserialize(&mut deserializer);
    if let Some(over) = reading.into_inner().over {
        return Err(over.into());
    }
    if plain.iter().all(u8::is_ascii_whitespace) {
        return Err(BadData::Empty.into());
    }
    let streams = push.map_err(BadData::Json)?;
    deserializer.end().map_err(BadData::Json)?;
    if streams.is_empty() {
        return Err(BadData::NoStreams.into());
    }
    let mut decoded = Decoded::default();
    for (labels, entries) in streams {
        finish(&mut decoded, checked(labels, terms)?, entries, terms);
    }
    Ok(decoded)
}

/// Labels that were not given, or that are not what Loki can write as text, refuse the request.
fn checked<'a>(labels: Option<Vec<Pair<'a>>>, terms: &Terms<'_>) -> Result<Vec<Pair<'a>>, BadData> {
    let mut labels = match labels {
        Some(labels) => labels,
        None => return reread("", terms),
    };
    // An object's name that is there twice has the last value, as in Loki.
    sort_keeping_last(&mut labels);
    if terms.rules.label_names == LabelNames::Any
        || labels.iter().all(|(name, _)| is_label_name(name))
    {
        return Ok(labels);
    }
    reread(&text_of(&labels).map_err(|fmt::Error| BadData::LabelsUtf8)?, terms)
}

fn text_of(labels: &[Pair<'_>]) -> Result<String, fmt::Error> {
    let mut text = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        text.push_str(name);
        text.push('=');
        write_quoted(&mut text, value)?;
    }
    text.push('}');
    Ok(text)
}

/// Loki writes a JSON push's labels as text and reads that.
fn reread<'a>(text: &str, terms: &Terms<'_>) -> Result<Vec<Pair<'a>>, BadData> {
    let n_max = terms.limits.labels_max.saturating_add(1);
    let pairs = labels::parse(text, n_max).map_err(|error| BadData::Labels(error.to_string()))?;
    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Ok(pairs.into_iter().map(|(name, value)| (owned(name), owned(value))).collect())
}

/// What was read so far, and the bound that it passed. serde has no room for an error of ours.
struct Reading<'l> {
    counts: Counts<'l>,
    over: Option<TooLarge>,
}

impl<'l> Reading<'l> {
    fn count<E: serde::de::Error>(
        &mut self,
        more: impl FnOnce(&mut Counts<'l>) -> Result<(), TooLarge>,
    ) -> Result<(), E> {
        more(&mut self.counts).map_err(|over| {
            let error = E::custom(&over);
            self.over = Some(over);
            error
        })
    }
}

/// An object, read by a visitor.
struct Map<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Map<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

/// An array, read by a visitor.
struct Seq<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Seq<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

type Stream<'a> = (Option<Vec<Pair<'a>>>, Vec<Option<LogRow<'a>>>);

/// The request: an object with an array of streams.
struct Push<'r, 'l>(&'r RefCell<Reading<'l>>);

impl<'de> Visitor<'de> for Push<'_, '_> {
    type Value = Vec<Stream<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with an array `streams`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut streams = None;
        while let Some(Text(name)) = map.next_key()? {
            // In whatever case, as Go's decoders take it.
            if !name.eq_ignore_ascii_case("streams") {
                map.next_value::<IgnoredAny>()?;
            } else if streams.is_none() {
                let each = || Map(OneStream(self.0));
                streams = Some(map.next_value_seed(Seq(Array(each, "an array of streams")))?);
            } else {
                return Err(A::Error::duplicate_field("streams"));
            }
        }
        Ok(streams.unwrap_or_default())
    }
}

/// An array whose elements are made by seeds, and what it is called where there is none.
struct Array<F>(F, &'static str);

impl<'de, S: DeserializeSeed<'de>, F: FnMut() -> S> Visitor<'de> for Array<F> {
    type Value = Vec<S::Value>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.1)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed((self.0)())? {
            elements.push(element);
        }
        Ok(elements)
    }
}

/// An object of labels and entries.
struct OneStream<'r, 'l>(&'r RefCell<Reading<'l>>);

impl<'de> Visitor<'de> for OneStream<'_, '_> {
    type Value = Stream<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with `stream` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        self.0.borrow_mut().count(Counts::stream)?;
        let (mut labels, mut entries) = (None, None);
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "stream" if labels.is_none() => {
                    labels = Some(map.next_value_seed(Map(Pairs(self.0)))?);
                }
                "values" if entries.is_none() => {
                    let each = || Seq(Entry(self.0));
                    entries = Some(map.next_value_seed(Seq(Array(each, "an array of entries")))?);
                }
                "stream" => return Err(A::Error::duplicate_field("stream")),
                "values" => return Err(A::Error::duplicate_field("values")),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((labels, entries.unwrap_or_default()))
    }
}

/// An array of timestamp, line and, if any, metadata.
struct Entry<'r, 'l>(&'r RefCell<Reading<'l>>);

impl<'de> Visitor<'de> for Entry<'_, '_> {
    type Value = Option<LogRow<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of timestamp, line and metadata")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        self.0.borrow_mut().count(Counts::entry)?;
        let Text(ts) = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let ts = TimestampNs(parse_ts(&ts).map_err(A::Error::custom)?);
        let Text(line) = seq.next_element()?.unwrap_or_default();
        let metadata = seq.next_element_seed(Map(Pairs(self.0)))?.unwrap_or_default();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(LogRow { ts, line, metadata }))
    }
}

/// An object of strings.
struct Pairs<'r, 'l>(&'r RefCell<Reading<'l>>);

impl<'de> Visitor<'de> for Pairs<'_, '_> {
    type Value = Vec<Pair<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            self.0.borrow_mut().count(Counts::pair)?;
            pairs.push((name, value));
        }
        Ok(pairs)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
