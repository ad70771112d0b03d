//! Whether a browser sends a request on behalf of our own page or of another site.

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;

use crate::vhost::Host;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    OurPage,
    OtherSite,
    /// Says nothing about it: not a browser of this decade.
    Unknown,
}

/// Reads `Sec-Fetch-Site`, which a page cannot forge, else `Origin`.
pub(crate) fn of(headers: &HeaderMap, scheme: &str, host: &Host) -> From {
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => From::OurPage,
            _other => From::OtherSite,
        };
    }
    match headers.get(ORIGIN).map(|origin| origin.to_str()) {
        None => From::Unknown,
        Some(Ok(origin)) if is_ours(origin, scheme, host) => From::OurPage,
        Some(_other) => From::OtherSite,
    }
}

fn is_ours(origin: &str, scheme: &str, host: &Host) -> bool {
    let with_port = |port: u16| format!("{scheme}://{}:{port}", host.name);
    let default_port = if scheme == "https" { 443 } else { 80 };
    let bare = format!("{scheme}://{}", host.name);
    match host.port {
        Some(port) if port != default_port => origin == with_port(port),
        _default => origin == bare || origin == with_port(default_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &'static str, value: &'static str, expected: From) {
        let host = Host { name: "home.lan".to_owned(), port: Some(8443) };
        let mut headers = HeaderMap::new();
        headers.insert(header, value.parse().unwrap());
        assert_eq!(of(&headers, "https", &host), expected, "{header}: {value}");
    }

    #[test]
    fn only_the_exact_origin_is_ours() {
        check("sec-fetch-site", "same-origin", From::OurPage);
        check("sec-fetch-site", "same-site", From::OtherSite);
        check("sec-fetch-site", "cross-site", From::OtherSite);
        check("origin", "https://home.lan:8443", From::OurPage);
        check("origin", "https://home.lan", From::OtherSite);
        check("origin", "http://home.lan:8443", From::OtherSite);
        check("origin", "https://x.home.lan:8443", From::OtherSite);
        check("origin", "null", From::OtherSite);
        check("accept", "*/*", From::Unknown);
    }
}
