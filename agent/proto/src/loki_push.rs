//! Loki's push API: the protobuf messages and how a batch is encoded.
//!
//! `logproto.PushRequest` of Loki 3 with structured metadata; a request is a snappy block sent to
//! `/loki/api/v1/push` (<https://grafana.com/docs/loki/latest/reference/loki-http-api/>).

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use crate::{Labels, LogEntry, snappy};

/// `Content-Type` of a protobuf push.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// `logproto.PushRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

/// `logproto.StreamAdapter`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Stream {
    /// As text: `{host="a", unit="b"}`. Names that are no identifiers are quoted, which older Lokis
    /// refuse; the agent's streams have none, as its configuration allows none.
    #[prost(string, tag = "1")]
    pub labels: String,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
}

/// `logproto.EntryAdapter`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub line: String,
    #[prost(message, repeated, tag = "3")]
    pub structured_metadata: Vec<LabelPair>,
}

/// `logproto.LabelPairAdapter`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelPair {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A whole request body: protobuf in a snappy block. Written without the messages above, which
/// would need a copy of every text.
pub fn encode(streams: &[(Labels, Vec<LogEntry>)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(streams.iter().map(|(_, it)| it.len() * ENTRY_BYTES).sum());
    for (labels, entries) in streams {
        let labels = labels.to_string();
        let entries: Vec<(&LogEntry, usize)> =
            entries.iter().map(|it| (it, entry_bytes(it))).collect();
        let n_bytes = text_bytes(&labels)
            + entries.iter().map(|(_, n_bytes)| nested_bytes(*n_bytes)).sum::<usize>();
        start_nested(1, n_bytes, &mut body);
        put_text(1, &labels, &mut body);
        for (entry, n_bytes) in entries {
            start_nested(2, n_bytes, &mut body);
            put_entry(entry, &mut body);
        }
    }
    snappy::compress(&body)
}

/// Of a journal entry, about; more makes the body grow.
const ENTRY_BYTES: usize = 1 << 10;

fn put_entry(entry: &LogEntry, body: &mut Vec<u8>) {
    let timestamp = timestamp(entry);
    start_nested(1, timestamp.encoded_len(), body);
    timestamp.encode_raw(body);
    if !entry.line.is_empty() {
        put_text(2, &entry.line, body);
    }
    for (name, value) in &entry.metadata {
        start_nested(3, pair_bytes(name, value), body);
        put_text(1, name, body);
        put_text(2, value, body);
    }
}

fn entry_bytes(entry: &LogEntry) -> usize {
    let line = if entry.line.is_empty() { 0 } else { text_bytes(&entry.line) };
    let metadata = entry.metadata.iter().map(|(name, value)| nested_bytes(pair_bytes(name, value)));
    nested_bytes(timestamp(entry).encoded_len()) + line + metadata.sum::<usize>()
}

fn timestamp(entry: &LogEntry) -> Timestamp {
    let nanos = i32::try_from(entry.ts.0.rem_euclid(1_000_000_000))
        .expect("less than a billion fits 32 bits");
    Timestamp { seconds: entry.ts.0.div_euclid(1_000_000_000), nanos }
}

fn pair_bytes(name: &str, value: &str) -> usize {
    text_bytes(name) + text_bytes(value)
}

fn text_bytes(text: &str) -> usize {
    nested_bytes(text.len())
}

/// Of something with its length before it and the key of a field below 16 before that.
fn nested_bytes(n_bytes: usize) -> usize {
    1 + encoded_len_varint(n_bytes as u64) + n_bytes
}

fn put_text(tag: u32, text: &str, body: &mut Vec<u8>) {
    start_nested(tag, text.len(), body);
    body.extend_from_slice(text.as_bytes());
}

fn start_nested(tag: u32, n_bytes: usize, body: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, body);
    encode_varint(n_bytes as u64, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimestampNs;

    #[test]
    fn a_body_is_what_the_messages_encode_to() {
        let labels = Labels::from_pairs([("host", "a"), ("unit", "b\"c")]).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let entries: Vec<LogEntry> = [
            ("", 0, vec![]),
            ("x", 1_700_000_000_123_456_789, vec![pair("_PID", "1"), pair("EMPTY_NOT", "é")]),
            (&"long ".repeat(100), -1, vec![pair("K", &"v".repeat(200))]),
        ]
        .into_iter()
        .map(|(line, ts, metadata)| LogEntry {
            ts: TimestampNs(ts),
            line: line.to_owned(),
            metadata,
        })
        .collect();
        let wire_entry = |entry: &LogEntry| Entry {
            timestamp: Some(timestamp(entry)),
            line: entry.line.clone(),
            structured_metadata: entry
                .metadata
                .iter()
                .map(|(name, value)| LabelPair { name: name.clone(), value: value.clone() })
                .collect(),
        };
        let stream = Stream {
            labels: labels.to_string(),
            entries: entries.iter().map(wire_entry).collect(),
        };
        let request = PushRequest { streams: vec![stream.clone(), stream] };
        let body = encode(&[(labels.clone(), entries.clone()), (labels, entries)]);
        assert_eq!(snappy::decompress(&body, 1 << 20).unwrap(), request.encode_to_vec());
        assert!(snappy::decompress(&encode(&[]), 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn times_before_1970_keep_positive_nanoseconds() {
        let labels = Labels::from_pairs([("host", "a")]).unwrap();
        let entry = LogEntry { ts: TimestampNs(-1), line: "x".to_owned(), metadata: Vec::new() };
        let plain = snappy::decompress(&encode(&[(labels, vec![entry])]), 1 << 20).unwrap();
        let request = PushRequest::decode(plain.as_slice()).unwrap();
        assert_eq!(request.streams[0].labels, r#"{host="a"}"#);
        assert_eq!(
            request.streams[0].entries[0].timestamp,
            Some(Timestamp { seconds: -1, nanos: 999_999_999 })
        );
    }
}
