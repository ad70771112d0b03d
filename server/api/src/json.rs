//! JSON written straight into a buffer: results are large and their shape is known.

use std::fmt::Write as _;

use skep_proto::Labels;

/// A string with its quotes.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x00..0x20 => "",
            _ => continue,
        };
        out.push_str(text.get(plain_from..at).unwrap_or_default());
        plain_from = at + 1;
        if escaped.is_empty() {
            write!(out, "\\u{byte:04x}").expect("a String never fails");
        } else {
            out.push_str(escaped);
        }
    }
    out.push_str(text.get(plain_from..).unwrap_or_default());
    out.push('"');
}

/// Items with commas between them, in the given brackets.
pub(crate) fn push_list<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(close);
}

pub(crate) const ARRAY: (char, char) = ('[', ']');
pub(crate) const OBJECT: (char, char) = ('{', '}');

/// `{"name":"value",…}`.
pub(crate) fn push_pairs<'a>(
    out: &mut String,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    push_list(out, OBJECT, pairs, |out, (name, value)| {
        push_string(out, name);
        out.push(':');
        push_string(out, value);
    });
}

pub(crate) fn push_labels(out: &mut String, labels: &Labels) {
    push_pairs(out, labels.iter());
}

pub(crate) fn push_strings<S: AsRef<str>>(out: &mut String, texts: impl IntoIterator<Item = S>) {
    push_list(out, ARRAY, texts, |out, text| push_string(out, text.as_ref()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_string_reads_back_as_it_was() {
        let all: String = (0..0x2ff).filter_map(char::from_u32).chain(['\u{1f41d}']).collect();
        let mut out = String::new();
        push_string(&mut out, &all);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), all);
    }
}
