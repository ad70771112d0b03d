//! Why a whole request is refused: one variant for each status a caller answers with.

use std::io;

use skep_proto::snappy::SnappyError;

use crate::{Reason, protobuf::WireError};

/// Texts are meant for the sender.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 413: send less at once.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// 415: send another format.
    #[error(transparent)]
    UnsupportedMedia(#[from] UnsupportedMedia),
    /// 400: sending the same again is of no use.
    #[error(transparent)]
    BadData(#[from] BadData),
}

impl Error {
    pub fn reason(&self) -> Reason {
        match self {
            Self::TooLarge(TooLarge::Body { .. }) => Reason::BodyTooLarge,
            Self::TooLarge(TooLarge::Plain { .. }) => Reason::BodyUnpacksTooLarge,
            Self::TooLarge(
                TooLarge::Series { .. }
                | TooLarge::Values { .. }
                | TooLarge::Histograms { .. }
                | TooLarge::Pairs { .. },
            ) => Reason::TooManyRows,
            Self::UnsupportedMedia(media) => media.reason(),
            Self::BadData(
                BadData::Snappy(_) | BadData::Zstd(_) | BadData::Gzip(_) | BadData::Deflate(_),
            ) => Reason::CorruptEncoding,
            Self::BadData(BadData::Wire(_)) => Reason::Protobuf,
            Self::BadData(BadData::Json(_)) => Reason::Json,
            Self::BadData(BadData::Empty) => Reason::Json,
            Self::BadData(BadData::Labels(_) | BadData::LabelsUtf8) => Reason::InvalidLabels,
            Self::BadData(BadData::MediaType) => Reason::ContentType,
            Self::BadData(BadData::NoStreams) => Reason::MissingStreams,
        }
    }
}

impl UnsupportedMedia {
    pub fn reason(&self) -> Reason {
        match self {
            Self::ContentType { .. } | Self::Parameter { .. } | Self::Message { .. } => {
                Reason::ContentType
            }
            Self::Encoding { .. } | Self::PushEncoding { .. } => Reason::ContentEncoding,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    #[error("request body too large: {size_bytes} bytes, limit: {size_bytes_max} bytes")]
    Body { size_bytes: usize, size_bytes_max: usize },
    #[error("request body too large: it unpacks to more than the limit of {size_bytes_max} bytes")]
    Plain { size_bytes_max: usize },
    #[error("request has more than {n_max} series; send smaller batches")]
    Series { n_max: usize },
    #[error("request has more than {n_max} samples or entries; send smaller batches")]
    Values { n_max: usize },
    #[error("request has more than {n_max} native histograms; send smaller batches")]
    Histograms { n_max: usize },
    #[error(
        "request has more than {n_max} labels and fields of structured metadata; send smaller \
         batches"
    )]
    Pairs { n_max: usize },
}

/// Texts are those of Prometheus and Loki where these have one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedMedia {
    #[error("expected {expected} as the first (media) part, got {got} content-type")]
    ContentType { expected: &'static str, got: String },
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be \
         key-values, got {parameter} in {content_type} content-type"
    )]
    Parameter { parameter: String, content_type: String },
    #[error(
        "got {content_type} content type; unknown type for remote write protobuf message \
         {message}, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
    )]
    Message { message: String, content_type: String },
    #[error(
        "{got} encoding (compression) is not accepted by this server; only {accepted} is acceptable"
    )]
    Encoding { got: String, accepted: &'static str },
    #[error("Content-Encoding {got:?} not supported")]
    PushEncoding { got: String },
}

#[derive(Debug, thiserror::Error)]
pub enum BadData {
    #[error("snappy: corrupt input")]
    Snappy(#[source] SnappyError),
    #[error("zstd: corrupt input")]
    Zstd(#[source] io::Error),
    #[error("gzip: corrupt input")]
    Gzip(#[source] io::Error),
    #[error("flate: corrupt input")]
    Deflate(#[source] io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("json: {0}")]
    Json(serde_json::Error),
    /// Nothing at all where JSON was announced.
    #[error("EOF")]
    Empty,
    #[error("mime: no media type")]
    MediaType,
    /// Of a log stream, with where and why.
    #[error("couldn't parse labels: {0}")]
    Labels(String),
    #[error("couldn't parse labels: they are not valid UTF-8")]
    LabelsUtf8,
    #[error("error at least one valid stream is required for ingestion")]
    NoStreams,
}
