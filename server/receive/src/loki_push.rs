//! Loki push: headers → format, body (protobuf or JSON) → [`LogRows`].

mod json;
mod labels;
mod level;
mod names;
mod protobuf;
mod rules;
mod stream;

use skep_proto::LogRows;

use crate::{BadData, Error, Limits, Refused, UnsupportedMedia, body};

pub use level::{LEVEL_FIELDS, LevelFields};
pub use rules::{LabelNames, Rules, SERVICE_NAME_LABELS, Terms};

const CONTENT_TYPE_JSON: &str = "application/json";

/// How a body spells its entries and how it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub message: Message,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    Protobuf,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// A snappy block: what Promtail, Alloy and our agent send protobuf in.
    Snappy,
    Gzip,
    /// Gzip around a snappy block: what Loki itself reads where a protobuf push says gzip.
    GzipSnappy,
    Deflate,
    /// As [`Self::GzipSnappy`].
    DeflateSnappy,
    Zstd,
}

/// A request's entries, and what of it is not among them.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded<'a> {
    pub rows: LogRows<'a>,
    pub refused: Refused,
}

/// The format the two headers announce, as Loki reads them: whatever is not JSON is protobuf, and a
/// snappy block whether `Content-Encoding` says so or not; `identity` says that it is not.
///
/// # Errors
/// No type at all, and other encodings.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Format, Error> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let message = match media {
        "" => return Err(BadData::MediaType.into()),
        it if it.eq_ignore_ascii_case(CONTENT_TYPE_JSON) => Message::Json,
        _ => Message::Protobuf,
    };
    let content_encoding = content_encoding.unwrap_or_default();
    let encoding = match (content_encoding.to_ascii_lowercase().as_str(), message) {
        ("" | "snappy", Message::Protobuf) | ("snappy", Message::Json) => Encoding::Snappy,
        ("", Message::Json) | ("identity", _) => Encoding::Identity,
        ("gzip", Message::Json) => Encoding::Gzip,
        ("gzip", Message::Protobuf) => Encoding::GzipSnappy,
        ("deflate", Message::Json) => Encoding::Deflate,
        ("deflate", Message::Protobuf) => Encoding::DeflateSnappy,
        ("zstd", _) => Encoding::Zstd,
        _ => {
            return Err(UnsupportedMedia::PushEncoding { got: content_encoding.to_owned() }.into());
        }
    };
    Ok(Format { message, encoding })
}

/// The body unpacked: what [`decode`] borrows from.
///
/// # Errors
/// [`Error::TooLarge`] before more than the limit is allocated, [`Error::BadData`] for damage.
pub fn decompress(format: Format, body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    body::check_size(body, limits)?;
    let plain = match format.encoding {
        Encoding::Identity => body::copied(body, limits),
        Encoding::Snappy => body::unsnappy(body, limits),
        Encoding::Gzip => body::gunzip(body, limits),
        Encoding::GzipSnappy => body::unsnappy(&body::gunzip(body, limits)?, limits),
        Encoding::Deflate => body::inflate(body, limits),
        Encoding::DeflateSnappy => body::unsnappy(&body::inflate(body, limits)?, limits),
        Encoding::Zstd => body::unzstd(body, limits),
    }?;
    match format.message {
        Message::Protobuf => Ok(plain),
        Message::Json => body::with_replacements(plain, limits),
    }
}

/// The rows of an unpacked body.
///
/// # Errors
/// [`Error::BadData`] where the bytes are not the message, hold no stream or one whose labels cannot
/// be read, [`Error::TooLarge`] for too many streams or entries. What else is wrong with single
/// streams and entries is told in [`Decoded::refused`].
pub fn decode<'a>(
    format: Format,
    plain: &'a [u8],
    terms: &Terms<'_>,
) -> Result<Decoded<'a>, Error> {
    match format.message {
        Message::Protobuf => protobuf::decode(plain, terms),
        Message::Json => json::decode(plain, terms),
    }
}

#[cfg(test)]
mod tests;
