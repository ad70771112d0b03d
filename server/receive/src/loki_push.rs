//! Loki push: headers → format, body (protobuf or JSON) → [`LogRows`].

mod json;
mod labels;
mod protobuf;
mod stream;

use skep_proto::{LogRows, loki_push};

use crate::{Error, Limits, Refused, UnsupportedMedia, body};

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
    Zstd,
}

/// A request's entries, and what of it is not among them.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded<'a> {
    pub rows: LogRows<'a>,
    pub refused: Refused,
}

/// The format the two headers announce. A protobuf push is a snappy block also without
/// `Content-Encoding`, as in Loki; `identity` says that it is not.
///
/// # Errors
/// Other types and encodings.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Format, UnsupportedMedia> {
    let content_type = content_type.unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let message = match media.as_str() {
        "" | loki_push::CONTENT_TYPE => Message::Protobuf,
        CONTENT_TYPE_JSON => Message::Json,
        _ => {
            return Err(UnsupportedMedia::ContentType {
                expected: "application/x-protobuf or application/json",
                got: content_type.to_owned(),
            });
        }
    };
    let content_encoding = content_encoding.unwrap_or_default();
    let encoding = match (content_encoding.to_ascii_lowercase().as_str(), message) {
        ("" | "snappy", Message::Protobuf) | ("snappy", Message::Json) => Encoding::Snappy,
        ("", Message::Json) | ("identity", _) => Encoding::Identity,
        ("gzip", Message::Json) => Encoding::Gzip,
        ("gzip", Message::Protobuf) => Encoding::GzipSnappy,
        ("zstd", _) => Encoding::Zstd,
        _ => {
            return Err(UnsupportedMedia::PushEncoding {
                got: content_encoding.to_owned(),
                accepted: "snappy, gzip, zstd or identity",
            });
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
/// [`Error::BadData`] where the bytes are not the message or hold no stream, [`Error::TooLarge`]
/// for too many streams or entries. What is wrong with single streams and entries is told in
/// [`Decoded::refused`].
pub fn decode<'a>(format: Format, plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    match format.message {
        Message::Protobuf => protobuf::decode(plain, limits),
        Message::Json => json::decode(plain, limits),
    }
}

#[cfg(test)]
mod tests;
