//! Who may pass to a site or a route besides the front's own login: lists and foreign logins.

use std::time::Duration;

use axum::http::{HeaderName, Uri};
use rustls::pki_types::CertificateDer;

use super::headers::header_name;
use super::{ConfigError, PasswordHash};

/// One name and password for HTTP Basic, known to one site only.
#[derive(Debug, Clone)]
pub struct BasicUser {
    pub name: String,
    pub password: PasswordHash,
}

/// A server that is asked about each request, as Caddy's `forward_auth` and Traefik's do.
#[derive(Debug, Clone)]
pub struct ForwardAuth {
    pub(crate) url: String,
    pub(crate) copy_headers: Vec<CopiedHeader>,
    /// To connect, and until its answer has begun.
    pub timeout: Duration,
    /// Trusted for its certificate instead of the system's authorities.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// A header of the auth server's answer that the service sees, under this name or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopiedHeader {
    pub from: HeaderName,
    pub to: HeaderName,
}

impl ForwardAuth {
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// `copy_headers`: `"Remote-User"`, or `"X-Auth-User>Remote-User"` to give it another name.
    pub fn new(url: &str, copy_headers: &[String]) -> Result<Self, ConfigError> {
        let bad = || ConfigError::AuthUrl(url.to_owned());
        let parsed: Uri = url.parse().ok().ok_or_else(bad)?;
        let is_http = matches!(parsed.scheme_str(), Some("http" | "https"));
        let host = parsed.authority().map(|it| it.as_str());
        if !is_http || host.is_none_or(|it| it.is_empty() || it.contains('@')) {
            return Err(bad());
        }
        let copy_headers = copy_headers.iter().map(|it| copied(it)).collect::<Result<_, _>>()?;
        let timeout = Self::TIMEOUT;
        Ok(Self { url: url.to_owned(), copy_headers, timeout, authorities: Vec::new() })
    }
}

fn copied(text: &str) -> Result<CopiedHeader, ConfigError> {
    let (from, to) = text.split_once('>').unwrap_or((text, text));
    Ok(CopiedHeader { from: header_name(from)?, to: header_name(to)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_auth_server_has_an_http_url_and_headers_that_may_be_copied() {
        let auth = ForwardAuth::new(
            "http://authelia:9091/api/authz/forward-auth",
            &["Remote-User".to_owned(), "X-Email>Remote-Email".to_owned()],
        );
        let to: Vec<HeaderName> = auth.unwrap().copy_headers.into_iter().map(|it| it.to).collect();
        assert_eq!(to, ["remote-user", "remote-email"]);
        for bad in ["authelia:9091", "/x", "ftp://a/", "http://", "http://user@host/"] {
            assert!(ForwardAuth::new(bad, &[]).is_err(), "{bad:?} was taken");
        }
        assert!(ForwardAuth::new("http://a/", &["Content-Length".to_owned()]).is_err());
    }
}
