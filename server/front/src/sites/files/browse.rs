//! The list of what is in a folder, for people and as JSON.

use std::time::SystemTime;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Wanted;
use crate::sites::path;

/// One line of the list.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: String,
    pub is_folder: bool,
    pub size: u64,
    pub modified: Option<SystemTime>,
}

/// Field names are those of Caddy's listing.
#[derive(Serialize)]
struct JsonEntry<'a> {
    name: &'a str,
    size: u64,
    url: String,
    mod_time: String,
    is_dir: bool,
}

const HEAD: &str = include_str!("browse.html");
/// Names come from whoever may write files: nothing of the list may run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn answer(wanted: &Wanted, entries: &[Entry], as_json: bool) -> Response {
    let varies = (VARY, HeaderValue::from_static("accept"));
    if as_json {
        let list: Vec<JsonEntry<'_>> = entries.iter().map(json).collect();
        let headers = [varies, (CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        return (headers, serde_json::json!(list).to_string()).into_response();
    }
    let headers = [
        varies,
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, html(&wanted.path, entries)).into_response()
}

fn html(folder: &str, entries: &[Entry]) -> String {
    let title = format!("/{}", escaped(folder));
    let mut rows = String::new();
    if !folder.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">..</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        let slash = if entry.is_folder { "/" } else { "" };
        let size = if entry.is_folder { String::new() } else { size(entry.size) };
        rows.push_str(&format!(
            "<tr><td><a href=\"{}\">{}{slash}</a></td><td>{size}</td><td>{}</td></tr>\n",
            href(entry),
            escaped(&entry.name),
            modified(entry).replace('T', " ").trim_end_matches('Z'),
        ));
    }
    HEAD.replace("{title}", &title).replace("{rows}", &rows)
}

fn json(entry: &Entry) -> JsonEntry<'_> {
    JsonEntry {
        name: &entry.name,
        size: entry.size,
        url: href(entry),
        mod_time: modified(entry),
        is_dir: entry.is_folder,
    }
}

/// `./`, or a name with a colon would be a scheme.
fn href(entry: &Entry) -> String {
    let slash = if entry.is_folder { "/" } else { "" };
    format!("./{}{slash}", escaped(&path::encoded(&entry.name)))
}

fn modified(entry: &Entry) -> String {
    let whole = |it: OffsetDateTime| it.replace_nanosecond(0).unwrap_or(it);
    let time = entry.modified.map(|it| whole(it.into()).format(&Rfc3339));
    time.and_then(Result::ok).unwrap_or_default()
}

fn size(bytes: u64) -> String {
    let mut rest = bytes;
    let mut tenths = 0;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if rest < 1024 || unit == "TiB" {
            let fraction =
                if unit == "B" || rest >= 10 { String::new() } else { format!(".{tenths}") };
            return format!("{rest}{fraction} {unit}");
        }
        tenths = rest % 1024 * 10 / 1024;
        rest /= 1024;
    }
    String::new()
}

/// For text and attributes of HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_ever_text() {
        let entry = |name: &str| Entry {
            name: name.to_owned(),
            is_folder: false,
            size: 1536,
            modified: None,
        };
        let page = html("x<y", &[entry("<script>alert(1)</script>"), entry("javascript:alert(1)")]);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("x&lt;y"), "{page}");
        assert!(page.contains("href=\"./javascript:alert(1)\""), "{page}");
        assert!(page.contains("1.5 KiB"), "{page}");
        assert!(html("", &[entry("a\"b c")]).contains("href=\"./a%22b%20c\""));
    }
}
