//! Loki's push API: the protobuf messages and how a batch is encoded.
//!
//! `logproto.PushRequest` of Loki 3 with structured metadata; a request is a snappy block sent to
//! `/loki/api/v1/push` (<https://grafana.com/docs/loki/latest/reference/loki-http-api/>).

use prost::Message as _;

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

/// A whole request body: protobuf in a snappy block.
pub fn encode(streams: &[(Labels, Vec<LogEntry>)]) -> Vec<u8> {
    let streams = streams
        .iter()
        .map(|(labels, entries)| Stream {
            labels: labels.to_string(),
            entries: entries.iter().map(wire_entry).collect(),
        })
        .collect();
    snappy::compress(&PushRequest { streams }.encode_to_vec())
}

fn wire_entry(entry: &LogEntry) -> Entry {
    let nanos = i32::try_from(entry.ts.0.rem_euclid(1_000_000_000))
        .expect("less than a billion fits 32 bits");
    Entry {
        timestamp: Some(Timestamp { seconds: entry.ts.0.div_euclid(1_000_000_000), nanos }),
        line: entry.line.clone(),
        structured_metadata: entry
            .metadata
            .iter()
            .map(|(name, value)| LabelPair { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimestampNs;

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
