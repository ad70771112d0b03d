//! Unpacking a body without ever holding more than the limit allows.

use std::io::{self, Read};

use skep_proto::snappy::{self, SnappyError};

use crate::{BadData, Error, Limits, TooLarge};

/// Zstd windows (log2) this will set up, whatever the limit says: RFC 8878 asks for 8 MiB.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u32> = 23..=27;

pub(crate) fn check_size(body: &[u8], limits: &Limits) -> Result<(), TooLarge> {
    if body.len() > limits.body_bytes_max {
        return Err(TooLarge::Body {
            size_bytes: body.len(),
            size_bytes_max: limits.body_bytes_max,
        });
    }
    Ok(())
}

/// A snappy block; a bomb is told by its header.
pub(crate) fn unsnappy(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    snappy::decompress(body, limits.plain_bytes_max).map_err(|error| match error {
        SnappyError::TooLarge { .. } => plain_too_large(limits),
        damaged @ SnappyError::Damaged(_) => BadData::Snappy(damaged).into(),
    })
}

/// One or more zstd frames; a bomb is cut off at the limit.
pub(crate) fn unzstd(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let plain_log = usize::BITS - limits.plain_bytes_max.leading_zeros();
    let window_log = plain_log.clamp(*ZSTD_WINDOW_LOG.start(), *ZSTD_WINDOW_LOG.end());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(BadData::Zstd)?;
    decoder.window_log_max(window_log).map_err(BadData::Zstd)?;
    read_bounded(decoder, limits, BadData::Zstd)
}

/// One or more gzip members; a bomb is cut off at the limit.
pub(crate) fn gunzip(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    read_bounded(flate2::bufread::MultiGzDecoder::new(body), limits, BadData::Gzip)
}

/// A deflate stream without a header, as Go's `flate` reads it; a bomb is cut off at the limit.
pub(crate) fn inflate(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    read_bounded(flate2::bufread::DeflateDecoder::new(body), limits, BadData::Deflate)
}

fn read_bounded(
    reader: impl Read,
    limits: &Limits,
    damaged: fn(io::Error) -> BadData,
) -> Result<Vec<u8>, Error> {
    let one_too_many = u64::try_from(limits.plain_bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut plain = Vec::new();
    reader.take(one_too_many).read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() > limits.plain_bytes_max {
        return Err(plain_too_large(limits));
    }
    Ok(plain)
}

fn plain_too_large(limits: &Limits) -> Error {
    TooLarge::Plain { size_bytes_max: limits.plain_bytes_max }.into()
}

/// Text in which what is not UTF-8 has become U+FFFD, as in Loki: a line is worth keeping.
pub(crate) fn with_replacements(plain: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Error> {
    if str::from_utf8(&plain).is_ok() {
        return Ok(plain);
    }
    let mut text = Vec::with_capacity(plain.len());
    for chunk in plain.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
        if text.len() > limits.plain_bytes_max {
            return Err(plain_too_large(limits));
        }
    }
    Ok(text)
}

/// A body that was not packed.
pub(crate) fn copied(body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    if body.len() > limits.plain_bytes_max {
        return Err(plain_too_large(limits));
    }
    Ok(body.to_vec())
}
