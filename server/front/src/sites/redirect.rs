//! Sends browsers elsewhere.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};

use super::values::Values;
use crate::config::RedirectConfig;

pub(super) fn answer(config: &RedirectConfig, values: &Values<'_>) -> Response {
    let to = values.fill(config.to());
    match HeaderValue::from_str(on_this_host(&to)) {
        Ok(to) => (config.status(), [(LOCATION, to)]).into_response(),
        Err(_not_a_header) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// `//host` and `/\host`, which a path can be, are other hosts to a browser.
fn on_this_host(to: &str) -> &str {
    let rest = to.trim_start_matches(['/', '\\']);
    let n_slashes = to.len() - rest.len();
    if n_slashes > 1 {
        to.get(n_slashes - 1..).filter(|it| it.starts_with('/')).unwrap_or("/")
    } else {
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_becomes_a_host() {
        for (to, expected) in [
            ("/x", "/x"),
            ("https://a/x//y", "https://a/x//y"),
            ("//evil.example/", "/evil.example/"),
            ("/\\evil.example", "/"),
            ("\\/evil.example", "/evil.example"),
            ("///", "/"),
        ] {
            assert_eq!(on_this_host(to), expected, "{to}");
        }
    }
}
