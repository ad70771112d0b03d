//! Why something of a write is refused, in a word that metrics count by.

use std::fmt;

/// One for each thing that somebody would look for at another place. Where Loki counts the same
/// thing, its word is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    BodyTooLarge,
    BodyUnpacksTooLarge,
    TooManyRows,
    RateLimited,
    ContentType,
    ContentEncoding,
    CorruptEncoding,
    Protobuf,
    Json,
    Utf8,
    MissingStreams,
    Line,
    InvalidLabels,
    MissingLabels,
    DuplicateLabels,
    TooManyLabels,
    LabelNameTooLong,
    LabelValueTooLong,
    LineTooLong,
    MetadataDisallowed,
    MetadataTooLarge,
    MetadataTooMany,
    InvalidHistogram,
    Timestamp,
    TooOld,
    TooNew,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::BodyTooLarge => "request_body_too_large",
            Self::BodyUnpacksTooLarge => "unpacked_body_too_large",
            Self::TooManyRows => "too_many_rows",
            Self::RateLimited => "rate_limited",
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::CorruptEncoding => "corrupt_encoding",
            Self::Protobuf => "protobuf",
            Self::Json => "json",
            Self::Utf8 => "utf8",
            Self::MissingStreams => "missing_streams",
            Self::Line => "unreadable_line",
            Self::InvalidLabels => "invalid_labels",
            Self::MissingLabels => "missing_labels",
            Self::DuplicateLabels => "duplicate_label_names",
            Self::TooManyLabels => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::LineTooLong => "line_too_long",
            Self::MetadataDisallowed => "disallowed_structured_metadata",
            Self::MetadataTooLarge => "structured_metadata_too_large",
            Self::MetadataTooMany => "structured_metadata_too_many",
            Self::InvalidHistogram => "invalid_histogram",
            Self::Timestamp => "timestamp",
            Self::TooOld => "greater_than_max_sample_age",
            Self::TooNew => "too_far_in_future",
        }
    }
}

/// What is wrong with one series, stream, entry or line: a text for its sender, a word to count by.
pub(crate) trait Fault: fmt::Display {
    fn reason(&self) -> Reason;
}
