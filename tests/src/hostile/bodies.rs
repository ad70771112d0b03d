//! Pushes of bytes that no `String` can hold.

use skep_proto::snappy;

/// A line on its way: nanoseconds, its bytes, and a value of structured metadata.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) ts: i64,
    pub(super) line: Vec<u8>,
    pub(super) metadata: Vec<u8>,
}

/// As protobuf, a stream each: its labels as text and its lines.
pub(super) fn protobuf(streams: &[(String, Vec<&Sent>)]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, lines) in streams {
        let mut stream = Vec::new();
        bytes_field(&mut stream, 1, labels.as_bytes());
        for sent in lines {
            let mut entry = Vec::new();
            let mut ts = Vec::new();
            varint_field(&mut ts, 1, sent.ts.div_euclid(1_000_000_000).cast_unsigned());
            varint_field(&mut ts, 2, sent.ts.rem_euclid(1_000_000_000).cast_unsigned());
            bytes_field(&mut entry, 1, &ts);
            bytes_field(&mut entry, 2, &sent.line);
            let mut pair = Vec::new();
            bytes_field(&mut pair, 1, b"m");
            bytes_field(&mut pair, 2, &sent.metadata);
            bytes_field(&mut entry, 3, &pair);
            bytes_field(&mut stream, 2, &entry);
        }
        bytes_field(&mut request, 1, &stream);
    }
    snappy::compress(&request)
}

/// The same as JSON, in which bytes that are not UTF-8 stay as they are.
pub(super) fn json(streams: &[(String, Vec<&Sent>)]) -> Vec<u8> {
    let mut out = b"{\"streams\":[".to_vec();
    for (i, (labels, lines)) in streams.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"stream\":" } else { b",{\"stream\":" });
        out.extend_from_slice(labels_as_json(labels).as_bytes());
        out.extend_from_slice(b",\"values\":[");
        for (j, sent) in lines.iter().enumerate() {
            let start = if j == 0 { "" } else { "," };
            out.extend_from_slice(format!("{start}[\"{}\",", sent.ts).as_bytes());
            string(&mut out, &sent.line);
            out.extend_from_slice(b",{\"m\":");
            string(&mut out, &sent.metadata);
            out.extend_from_slice(b"}]");
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

/// `{a="b", c="d"}` without escapes as `{"a":"b","c":"d"}`.
fn labels_as_json(labels: &str) -> String {
    labels.replace("=\"", "\":\"").replace(", ", ",\"").replacen('{', "{\"", 1)
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn bytes_field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, u64::try_from(bytes.len()).unwrap_or_default());
    out.extend_from_slice(bytes);
}

fn varint_field(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}
