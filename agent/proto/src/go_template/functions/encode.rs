//! Base64, URL, HTML and JavaScript escapes.

use std::fmt::Write as _;

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};

pub(super) fn b64enc(text: &str) -> String {
    STANDARD.encode(text)
}

/// What cannot be decoded becomes the text of the error.
pub(super) fn b64dec(text: &str) -> String {
    // Go's decoder does not see line breaks.
    let plain = text.replace(['\r', '\n'], "");
    match STANDARD.decode(&plain) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => {
                    plain.trim_end_matches('=').len() / 4 * 4
                }
            };
            format!("illegal base64 data at input byte {at}")
        }
    }
}

/// Go's `url.QueryEscape`.
pub(super) fn urlencode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            // Writing to a string cannot fail.
            byte => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    out
}

/// Go's `url.QueryUnescape`.
pub(super) fn urldecode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = bytes.get(at..at + 2).and_then(|it| std::str::from_utf8(it).ok());
                let value = hex
                    .filter(|it| it.bytes().all(|c| c.is_ascii_hexdigit()))
                    .and_then(|it| u8::from_str_radix(it, 16).ok());
                let Some(value) = value else {
                    let shown = bytes.get(at - 1..(at + 2).min(bytes.len())).unwrap_or_default();
                    let shown = crate::go_text::quote(&String::from_utf8_lossy(shown));
                    return Err(format!("invalid URL escape {shown}"));
                };
                out.push(value);
                at += 2;
            }
            byte => out.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '\'' => out.push_str(r"\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => write!(out, "\\u{:04X}", u32::from(c)).unwrap_or_default(),
            c if c < ' ' || c == '\u{7f}' || (!c.is_ascii() && c.is_control()) => {
                write!(out, "\\u{:04X}", u32::from(c)).unwrap_or_default();
            }
            c => out.push(c),
        }
    }
    out
}
