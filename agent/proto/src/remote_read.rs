//! Prometheus remote read: the protobuf messages, and frames of a streamed answer.
//!
//! Specification: <https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/>. Native
//! histograms are not part of these messages yet.

pub mod xor;

use prost::Message as _;

use crate::{
    Labels,
    remote_write::{Label, TimeSeries},
    snappy::{self, SnappyError},
};

/// `Content-Type` of a request, and of an answer with samples.
pub const CONTENT_TYPE_SAMPLES: &str = "application/x-protobuf";
/// `Content-Type` of an answer with chunks.
pub const CONTENT_TYPE_CHUNKS: &str =
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
/// [`ReadRequest::accepted`]: one message with all samples.
pub const RESPONSE_SAMPLES: i32 = 0;
/// [`ReadRequest::accepted`]: frames with [`xor`] chunks.
pub const RESPONSE_CHUNKS: i32 = 1;
/// [`Chunk::encoding`] of [`xor`] chunks.
pub const ENCODING_XOR: i32 = 1;

/// `prometheus.ReadRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// What the client can read, what it likes best first; nothing is samples.
    #[prost(int32, repeated, tag = "2")]
    pub accepted: Vec<i32>,
}

/// `prometheus.Query`; hints are left out, they change no answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Query {
    /// Both ends are included.
    #[prost(int64, tag = "1")]
    pub start_ms: i64,
    #[prost(int64, tag = "2")]
    pub end_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
}

/// `prometheus.LabelMatcher`; `op` counts `=`, `!=`, `=~`, `!~`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LabelMatcher {
    #[prost(int32, tag = "1")]
    pub op: i32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub value: String,
}

/// `prometheus.ReadResponse`: one result a query.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// `prometheus.QueryResult`: series in order of their labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.ChunkedReadResponse`: what is in one frame.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChunkedReadResponse {
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// `prometheus.ChunkedSeries`. A long series comes in several frames.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChunkedSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// `prometheus.Chunk`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Chunk {
    #[prost(int64, tag = "1")]
    pub min_ms: i64,
    #[prost(int64, tag = "2")]
    pub max_ms: i64,
    #[prost(int32, tag = "3")]
    pub encoding: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("snappy: corrupt input")]
    Snappy(#[from] SnappyError),
    #[error("unexpected EOF")]
    Protobuf(#[from] prost::DecodeError),
}

/// A request's body: protobuf in a snappy block.
///
/// # Errors
/// It is none, or unpacks to more than `size_bytes_max`.
pub fn decode_request(body: &[u8], size_bytes_max: usize) -> Result<ReadRequest, RequestError> {
    let plain = snappy::decompress(body, size_bytes_max)?;
    Ok(ReadRequest::decode(plain.as_slice())?)
}

/// An answer with samples: protobuf in a snappy block.
pub fn encode_response(response: &ReadResponse) -> Vec<u8> {
    snappy::compress(&response.encode_to_vec())
}

/// A frame of a streamed answer: `length uvarint, crc32c u32 big-endian, message`.
pub fn push_frame(out: &mut Vec<u8>, message: &ChunkedReadResponse) {
    let bytes = message.encode_to_vec();
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
    out.extend(crc32c::crc32c(&bytes).to_be_bytes());
    out.extend(bytes);
}

/// A label set as these messages have it.
pub fn wire_labels(labels: &Labels) -> Vec<Label> {
    let label = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
    labels.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_length_a_checksum_and_a_message() {
        let message = ChunkedReadResponse { chunked_series: Vec::new(), query_index: 300 };
        let mut out = Vec::new();
        push_frame(&mut out, &message);
        let bytes = [0x10, 0xac, 0x02];
        assert_eq!(out[0], 3);
        assert_eq!(out[1..5], crc32c::crc32c(&bytes).to_be_bytes());
        assert_eq!(out[5..], bytes);
    }

    #[test]
    fn a_frame_of_more_than_127_bytes_has_a_longer_length() {
        let chunk = Chunk { data: vec![7; 1000], ..Chunk::default() };
        let series = ChunkedSeries { labels: Vec::new(), chunks: vec![chunk] };
        let message = ChunkedReadResponse { chunked_series: vec![series], query_index: 0 };
        let mut out = Vec::new();
        push_frame(&mut out, &message);
        let n_bytes = usize::from(out[0] & 0x7f) | usize::from(out[1]) << 7;
        assert_eq!(out.len(), 2 + 4 + n_bytes);
        assert_eq!(ChunkedReadResponse::decode(&out[6..]).unwrap(), message);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let request = ReadRequest {
            queries: vec![Query { start_ms: -1, end_ms: 2, matchers: Vec::new() }],
            accepted: vec![RESPONSE_CHUNKS, RESPONSE_SAMPLES],
        };
        let body = snappy::compress(&request.encode_to_vec());
        assert_eq!(decode_request(&body, 1000).unwrap(), request);
        assert!(decode_request(&body, 3).is_err());
        assert!(decode_request(&body[..body.len() - 1], 1000).is_err());
        assert!(decode_request(&snappy::compress(&[0x0a, 0x7f]), 1000).is_err());
    }
}
