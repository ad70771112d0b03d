//! Prometheus remote-write 1.0 and 2.0: headers → format, body → [`SampleRows`].
//!
//! Native histograms and exemplars come beside the samples.
//!
//! A series whose labels are spelled as before is told by the hash of their bytes
//! ([`skep_proto::KnownSeries`]): its labels are neither parsed nor checked again.

mod histogram;
mod series;
mod v1;
mod v2;

use skep_proto::{
    ExemplarRows, Fingerprint, HashSecret, HistogramRows, KnownSeries, SampleRows, SeriesRef,
    remote_write,
};

use crate::{Error, Limits, Refused, UnsupportedMedia, body};

const MESSAGE_V1: &str = "prometheus.WriteRequest";
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// Which message a body holds and how it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub version: Version,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A snappy block: what the specification asks for.
    Snappy,
    /// What vmagent and our own agent prefer.
    Zstd,
}

/// A request's samples, and what of it is not among them.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded<'a> {
    pub rows: SampleRows<'a>,
    pub refused: Refused,
    /// Native histograms, valid and with as many buckets as the limit allows at most.
    pub histograms: HistogramRows<'a>,
    /// Refused ones included.
    n_histograms: usize,
    /// Those that are none are left out: no sample depends on them.
    pub exemplars: ExemplarRows<'a>,
}

/// The format the two headers announce; without them 1.0 in snappy, as Prometheus assumes.
///
/// # Errors
/// Anything else, in Prometheus' words.
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Format, UnsupportedMedia> {
    let version = match content_type.unwrap_or_default() {
        "" => Version::V1,
        content_type => version(content_type.trim())?,
    };
    let encoding = content_encoding.unwrap_or_default();
    let encoding = match encoding.to_ascii_lowercase().as_str() {
        "" | "snappy" => Encoding::Snappy,
        "zstd" => Encoding::Zstd,
        _ => {
            return Err(UnsupportedMedia::Encoding {
                got: encoding.to_owned(),
                accepted: "snappy or zstd",
            });
        }
    };
    Ok(Format { version, encoding })
}

/// The body unpacked: what [`decode`] borrows from.
///
/// # Errors
/// [`Error::TooLarge`] before more than the limit is allocated, [`Error::BadData`] for damage.
pub fn decompress(format: Format, body: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    body::check_size(body, limits)?;
    match format.encoding {
        Encoding::Snappy => body::unsnappy(body, limits),
        Encoding::Zstd => body::unzstd(body, limits),
    }
}

/// The rows of an unpacked body.
///
/// # Errors
/// [`Error::BadData`] where the bytes are not the message, [`Error::TooLarge`] for too many series
/// or samples. What is wrong with single series is told in [`Decoded::refused`].
pub fn decode<'a>(format: Format, plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    decode_known(format, plain, limits, &mut NoneKnown(HashSecret::random()))
}

/// As [`decode`], with series that the store knows told by their reference.
///
/// # Errors
/// As [`decode`].
pub fn decode_known<'a>(
    format: Format,
    plain: &'a [u8],
    limits: &Limits,
    known: &mut impl KnownSeries,
) -> Result<Decoded<'a>, Error> {
    match format.version {
        Version::V1 => v1::decode(plain, limits, known),
        Version::V2 => v2::decode(plain, limits, known),
    }
}

/// For rows that no store is behind.
struct NoneKnown(HashSecret);

impl KnownSeries for NoneKnown {
    fn secret(&self) -> &HashSecret {
        &self.0
    }

    fn find(&mut self, _: Fingerprint) -> Option<SeriesRef> {
        None
    }
}

fn version(content_type: &str) -> Result<Version, UnsupportedMedia> {
    let mut parts = content_type.split(';');
    if parts.next().map(str::trim) != Some(remote_write::CONTENT_TYPE_V1) {
        return Err(UnsupportedMedia::ContentType {
            expected: remote_write::CONTENT_TYPE_V1,
            got: content_type.to_owned(),
        });
    }
    for parameter in parts.map(str::trim) {
        match parameter.split_once('=') {
            Some(("proto", MESSAGE_V1)) => return Ok(Version::V1),
            Some(("proto", MESSAGE_V2)) => return Ok(Version::V2),
            Some(("proto", message)) => {
                return Err(UnsupportedMedia::Message {
                    message: message.to_owned(),
                    content_type: content_type.to_owned(),
                });
            }
            Some(_) => {}
            None => {
                return Err(UnsupportedMedia::Parameter {
                    parameter: parameter.to_owned(),
                    content_type: content_type.to_owned(),
                });
            }
        }
    }
    Ok(Version::V1)
}

/// Bytes of a label set that an answer quotes: references make it cheap to send a huge one.
const LABELS_TEXT_BYTES_MAX: usize = 512;

/// Label pairs as Prometheus prints them in its answers.
fn labels_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        let [name, value] = [*name, *value]
            .map(|it| it.get(..it.floor_char_boundary(LABELS_TEXT_BYTES_MAX)).unwrap_or_default());
        text.push_str(if i == 0 { "" } else { ", " });
        if skep_proto::is_label_name(name) {
            text.push_str(name);
        } else {
            text.push_str(&format!("{name:?}"));
        }
        text.push_str(&format!("={value:?}"));
        if text.len() > LABELS_TEXT_BYTES_MAX {
            text.push_str(", …");
            break;
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests;
