//! Settings of a route that sends browsers elsewhere.

use axum::http::StatusCode;

use super::{ConfigError, Template};

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct RedirectConfig {
    to: Template,
    status: StatusCode,
}

impl RedirectConfig {
    /// As Caddy's `redir`: the browser goes there this time, and asks here again the next.
    pub const STATUS: u16 = 302;

    /// `to` is a URL, a path, or a template of one.
    pub fn new(to: &str, status: u16) -> Result<Self, ConfigError> {
        let template = Template::parse(to)?;
        let start = template.start();
        let is_url = start.starts_with("https://") || start.starts_with("http://");
        // `//host` and `/\host` are other hosts to a browser.
        let is_path = start.starts_with('/') && !start.starts_with("//") && !start.contains('\\');
        let is_scheme = to.starts_with("{scheme}://");
        // Without a host, the path would name one.
        let is_hostless = ["https://", "http://", "{scheme}://"]
            .into_iter()
            .filter_map(|it| to.strip_prefix(it))
            .any(|rest| !rest.starts_with("{host}") && rest.starts_with(['{', '/', '?', '#']));
        if is_hostless || !(is_url || is_path || is_scheme || template.starts_with_path()) {
            return Err(ConfigError::RedirectTo(to.to_owned()));
        }
        let status = match status {
            301 => StatusCode::MOVED_PERMANENTLY,
            302 => StatusCode::FOUND,
            303 => StatusCode::SEE_OTHER,
            307 => StatusCode::TEMPORARY_REDIRECT,
            308 => StatusCode::PERMANENT_REDIRECT,
            other => return Err(ConfigError::RedirectStatus(other)),
        };
        Ok(Self { to: template, status })
    }

    pub(crate) fn to(&self) -> &Template {
        &self.to
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_or_a_path_and_never_a_host_without_scheme() {
        for good in ["https://{host}/x{path}", "/new", "{path}/", "{uri}", "{scheme}://a{uri}"] {
            RedirectConfig::new(good, 302).unwrap();
        }
        for bad in [
            "",
            "new",
            "//evil.example",
            "/\\evil.example",
            "javascript:x",
            "{host}/x",
            "https://{path}",
            "http:///x",
        ] {
            assert!(RedirectConfig::new(bad, 302).is_err(), "{bad:?} was taken");
        }
        assert!(RedirectConfig::new("/x", 200).is_err());
    }
}
