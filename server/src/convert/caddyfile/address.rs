//! Addresses of sites and of upstreams.

/// A site's address in its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SiteAddress {
    pub(super) is_http: bool,
    /// Empty for every host.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl SiteAddress {
    pub(super) fn parse(text: &str) -> Self {
        let (is_http, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.eq_ignore_ascii_case("http"), rest),
            None => (false, text),
        };
        let (authority, path) = match rest.find('/') {
            Some(idx) => rest.split_at(idx),
            None => (rest, ""),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _no_port => (authority, None),
        };
        Self {
            is_http: is_http || port == Some(80),
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        }
    }

    /// Whether Caddy would ask a public authority for its certificate.
    pub(super) fn is_public(&self) -> bool {
        const PRIVATE: [&str; 5] = ["localhost", ".localhost", ".local", ".internal", ".home.arpa"];
        let is_private = PRIVATE.iter().any(|it| self.host.ends_with(it));
        let is_ip = self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        self.host.contains('.') && !is_private && !is_ip
    }
}

/// `localhost:8080`, `:8080`, `https://nas`, `h2c://…`, `unix//run/x.sock` as a URL.
pub(super) fn upstream_url(text: &str, is_tls: bool) -> Option<String> {
    if text.contains(['{', '*']) {
        return None;
    }
    if let Some(path) = text.strip_prefix("unix/") {
        return path.starts_with('/').then(|| format!("unix:{path}"));
    }
    let (scheme, rest) =
        text.split_once("://").unwrap_or((if is_tls { "https" } else { "http" }, text));
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains('/') || !["http", "https", "h2c"].contains(&scheme) {
        return None;
    }
    let port = rest.rsplit_once(':').map(|(_host, port)| port);
    if port.is_some_and(|it| it.contains('-')) {
        return None;
    }
    let host = if rest.starts_with(':') { format!("127.0.0.1{rest}") } else { rest.to_owned() };
    let default = if scheme == "h2c" && port.is_none() { ":80" } else { "" };
    Some(format!("{scheme}://{host}{default}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_url_however_it_is_written() {
        for (text, expected) in [
            ("localhost:8080", Some("http://localhost:8080")),
            (":8080", Some("http://127.0.0.1:8080")),
            ("nas", Some("http://nas")),
            ("[::1]:80", Some("http://[::1]:80")),
            ("https://nas.lan/", Some("https://nas.lan")),
            ("h2c://127.0.0.1:50051", Some("h2c://127.0.0.1:50051")),
            ("unix//run/x.sock", Some("unix:/run/x.sock")),
            ("{args[0]}:80", None),
            ("nas:8000-8010", None),
            ("https://nas/x", None),
        ] {
            assert_eq!(upstream_url(text, false).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_site_has_scheme_host_port_and_path() {
        let parsed = SiteAddress::parse("http://Example.org:8080/x");
        let parts = (parsed.is_http, parsed.host.as_str(), parsed.port, parsed.path.as_str());
        assert_eq!(parts, (true, "example.org", Some(8080), "/x"));
        assert_eq!(SiteAddress::parse(":443").host, "");
        assert!(SiteAddress::parse("*.example.org").is_public());
        assert!(!SiteAddress::parse("nas.local").is_public());
        assert!(!SiteAddress::parse("nas").is_public());
    }
}
