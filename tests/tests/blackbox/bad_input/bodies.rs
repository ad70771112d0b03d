//! Bodies of writes, with what no honest encoder would put into them.

use std::{io::Write as _, sync::LazyLock};

use skep_proto::snappy;

/// What a body may unpack to.
pub(super) const PLAIN_BYTES_MAX: usize = 32 << 20;
const BOMB_BYTES: usize = 2 * PLAIN_BYTES_MAX;

pub(super) fn bomb_of_snappy() -> Vec<u8> {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| snappy::compress(&vec![0; BOMB_BYTES]));
    BOMB.clone()
}

/// Says that it unpacks to 4 GiB, and ends.
pub(super) fn lying_snappy() -> Vec<u8> {
    vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]
}

pub(super) fn bomb_of_zstd() -> Vec<u8> {
    zstd::stream::encode_all(vec![0; BOMB_BYTES].as_slice(), 3).expect("memory does not fail")
}

pub(super) fn bomb_of_gzip() -> Vec<u8> {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&vec![b' '; BOMB_BYTES]));
    BOMB.clone()
}

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

/// A name and a value, which may be what no `String` can.
pub(super) type Label<'a> = (&'a str, &'a [u8]);

/// A remote-write 1.0 body with one sample of one series.
pub(super) fn write_v1(labels: &[Label<'_>], ts: i64) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        bytes_field(&mut label, 1, name.as_bytes());
        bytes_field(&mut label, 2, value);
        bytes_field(&mut series, 1, &label);
    }
    bytes_field(&mut series, 2, &sample(ts));
    let mut request = Vec::new();
    bytes_field(&mut request, 1, &series);
    snappy::compress(&request)
}

/// The same as 2.0: symbols, and references to them.
pub(super) fn write_v2(labels: &[Label<'_>], ts: i64) -> Vec<u8> {
    let mut request = Vec::new();
    bytes_field(&mut request, 4, b"");
    let mut references = Vec::new();
    let symbols = labels.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
    for (symbol, reference) in symbols.zip(1..) {
        bytes_field(&mut request, 4, symbol);
        varint(&mut references, reference);
    }
    let mut series = Vec::new();
    bytes_field(&mut series, 1, &references);
    bytes_field(&mut series, 2, &sample(ts));
    bytes_field(&mut request, 5, &series);
    snappy::compress(&request)
}

fn sample(ts: i64) -> Vec<u8> {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&1.0_f64.to_le_bytes());
    sample.push(0x10);
    varint(&mut sample, ts.cast_unsigned());
    sample
}

/// A Loki push with one line.
pub(super) fn push(labels: &[u8], ts_ns: i64, line: &[u8]) -> Vec<u8> {
    let mut ts = vec![0x08];
    varint(&mut ts, (ts_ns / 1_000_000_000).cast_unsigned());
    ts.push(0x10);
    varint(&mut ts, (ts_ns % 1_000_000_000).cast_unsigned());
    let mut entry = Vec::new();
    bytes_field(&mut entry, 1, &ts);
    bytes_field(&mut entry, 2, line);
    let mut stream = Vec::new();
    bytes_field(&mut stream, 1, labels);
    bytes_field(&mut stream, 2, &entry);
    let mut request = Vec::new();
    bytes_field(&mut request, 1, &stream);
    snappy::compress(&request)
}

fn bytes_field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    message.push(u8::try_from(value).unwrap_or(0));
}
