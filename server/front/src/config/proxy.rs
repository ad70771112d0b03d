//! A reverse proxy: which servers answer for us, and how they are spoken to.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri};
use rustls::pki_types::ServerName;

/// More servers behind one route are somebody else's trade.
const UPSTREAMS_MAX: usize = 64;

/// All of a proxying route; what [`Self::new`] sets can be changed freely but for the upstreams.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    upstreams: Vec<UpstreamUrl>,
    pub balance: Balance,
    pub host: HostSent,
    pub health: Option<HealthConfig>,
    pub timeouts: ProxyTimeouts,
    pub retries: Retries,
    pub tls: UpstreamTls,
}

impl ProxyConfig {
    /// Everything but the upstreams as it is by default.
    pub fn new(upstreams: Vec<UpstreamUrl>) -> Result<Self, ProxyConfigError> {
        if upstreams.is_empty() {
            return Err(ProxyConfigError::NoUpstream);
        }
        if upstreams.len() > UPSTREAMS_MAX {
            return Err(ProxyConfigError::TooManyUpstreams(upstreams.len()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = upstreams.iter().find(|it| !seen.insert(it.as_str())) {
            return Err(ProxyConfigError::UpstreamTwice(twice.to_string()));
        }
        Ok(Self {
            upstreams,
            balance: Balance::default(),
            host: HostSent::default(),
            health: None,
            timeouts: ProxyTimeouts::default(),
            retries: Retries::default(),
            tls: UpstreamTls::default(),
        })
    }

    /// Never empty, none twice.
    pub fn upstreams(&self) -> &[UpstreamUrl] {
        &self.upstreams
    }
}

/// Why a proxy cannot be as written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProxyConfigError {
    #[error("there is no upstream; write one like \"http://127.0.0.1:3000\"")]
    NoUpstream,
    #[error("{0} upstreams are more than {UPSTREAMS_MAX}")]
    TooManyUpstreams(usize),
    #[error("upstream {0:?} is there twice")]
    UpstreamTwice(String),
    #[error(
        "upstream {0:?} is not one; write \"http://host:port\", \"https://host\", \"h2c://host:port\" or \"unix:/run/service.sock\""
    )]
    Upstream(String),
    #[error(
        "upstream {0:?} has a path, a query or a user; write scheme, host and port only (`strip_prefix` and `rewrite` change paths)"
    )]
    UpstreamWithMore(String),
    #[error(
        "{0:?} is not a host to send; write \"keep\", \"upstream\", or a name like \"nas.lan\""
    )]
    Host(String),
    #[error("there is no balance {0:?}; write least_conn, round_robin, random, first or ip_hash")]
    Balance(String),
    #[error("health path {0:?} is not one; write one like \"/health\"")]
    HealthPath(String),
    #[error("health status {0:?} is none; write one like \"200\", or \"2xx\" for a class")]
    HealthStatus(String),
    #[error("server name {0:?} is not a DNS name or an address")]
    ServerName(String),
}

/// Where a server is, and what it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    text: String,
    pub(crate) scheme: Scheme,
    pub(crate) address: Address,
}

/// How the first byte looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    /// HTTP/2 or HTTP/1.1, as the two agree on.
    Https,
    /// HTTP/2 without TLS.
    H2c,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A name or an address, without brackets.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl UpstreamUrl {
    pub fn parse(text: &str) -> Result<Self, ProxyConfigError> {
        let bad = || ProxyConfigError::Upstream(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let address = Address::Unix(PathBuf::from(path));
            let is_path = path.starts_with('/') && !path.ends_with('/');
            return if is_path {
                Ok(Self { text: text.to_owned(), scheme: Scheme::Http, address })
            } else {
                Err(bad())
            };
        }
        let uri: Uri = text.parse().map_err(|_not_a_url| bad())?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, Some(80)),
            Some("https") => (Scheme::Https, Some(443)),
            Some("h2c") => (Scheme::H2c, None),
            _other => return Err(bad()),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(ProxyConfigError::UpstreamWithMore(text.to_owned()));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let names_port = authority.as_str().len() != authority.host().len();
        let port = if names_port { authority.port_u16() } else { default_port };
        match port {
            Some(port) if port != 0 && !host.is_empty() => {
                let address = Address::Tcp { host, port };
                Ok(Self { text: text.trim_end_matches('/').to_owned(), scheme, address })
            }
            _none => Err(bad()),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What a request for this very server says in `Host`.
    pub(crate) fn authority(&self) -> String {
        match &self.address {
            Address::Unix(_) => "localhost".to_owned(),
            Address::Tcp { host, port } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                match (self.scheme, port) {
                    (Scheme::Http, 80) | (Scheme::Https, 443) => host,
                    _other => format!("{host}:{port}"),
                }
            }
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which of several servers gets a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The one with the fewest requests under way; in turn where several have as few.
    #[default]
    LeastConn,
    RoundRobin,
    Random,
    /// The first that is up: the others stand by.
    First,
    /// The same visitor's address always to the same server, as long as it is up.
    IpHash,
}

impl Balance {
    pub fn parse(text: &str) -> Result<Self, ProxyConfigError> {
        Ok(match text {
            "least_conn" => Self::LeastConn,
            "round_robin" => Self::RoundRobin,
            "random" => Self::Random,
            "first" => Self::First,
            "ip_hash" => Self::IpHash,
            _other => return Err(ProxyConfigError::Balance(text.to_owned())),
        })
    }
}

/// What a server finds in `Host`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostSent {
    /// What the visitor asked for.
    #[default]
    Kept,
    /// The upstream's own, as in its URL.
    Upstream,
    Named(HeaderValue),
}

impl HostSent {
    pub fn parse(text: &str) -> Result<Self, ProxyConfigError> {
        match text {
            "keep" => Ok(Self::Kept),
            "upstream" => Ok(Self::Upstream),
            name => {
                let bad = || ProxyConfigError::Host(name.to_owned());
                let authority: axum::http::uri::Authority =
                    name.parse().map_err(|_not_a_host| bad())?;
                if authority.host().is_empty() || name.contains('@') {
                    return Err(bad());
                }
                HeaderValue::from_str(name).map(Self::Named).map_err(|_not_a_header| bad())
            }
        }
    }
}

/// Asking each server in turns whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    pub path: HealthPath,
    pub interval: Duration,
    pub timeout: Duration,
    pub status: HealthStatus,
    /// So many bad answers in a row and the server gets no more requests …
    pub failures: u32,
    /// … until so many good ones in a row.
    pub successes: u32,
}

impl HealthConfig {
    /// As often and as patient as Caddy.
    pub fn new(path: HealthPath) -> Self {
        Self {
            path,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            status: HealthStatus { from: 200, to: 299 },
            failures: 1,
            successes: 1,
        }
    }
}

/// A path, and a query if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPath(PathAndQuery);

impl HealthPath {
    pub fn parse(text: &str) -> Result<Self, ProxyConfigError> {
        let bad = || ProxyConfigError::HealthPath(text.to_owned());
        if !text.starts_with('/') {
            return Err(bad());
        }
        text.parse().map(Self).map_err(|_not_a_path| bad())
    }

    pub(crate) fn uri(&self) -> Uri {
        Uri::from(self.0.clone())
    }
}

/// The statuses of a server that is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthStatus {
    from: u16,
    to: u16,
}

impl HealthStatus {
    /// `200`, or `2xx`.
    pub fn parse(text: &str) -> Result<Self, ProxyConfigError> {
        let bad = || ProxyConfigError::HealthStatus(text.to_owned());
        let (digits, width) = match text.strip_suffix("xx") {
            Some(class) => (class, 100),
            None => (text, 1),
        };
        let number: u16 = digits.parse().map_err(|_not_a_number| bad())?;
        let from = number.checked_mul(width).ok_or_else(bad)?;
        StatusCode::from_u16(from).map_err(|_no_status| bad())?;
        Ok(Self { from, to: from + (width - 1) })
    }

    pub(crate) fn takes(self, status: StatusCode) -> bool {
        (self.from..=self.to).contains(&status.as_u16())
    }
}

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct ProxyTimeouts {
    /// For a connection, its TLS handshake included.
    pub connect: Duration,
    /// From the end of a request to the head of its answer.
    pub response: Duration,
    /// Without a byte in either direction, an answer, an upload or a websocket is given up.
    pub idle: Duration,
    /// Connections are kept this long for the next request. Less than the 5 s after which Node
    /// closes them, so that none is closed while a request is on its way.
    pub pool_idle: Duration,
}

impl Default for ProxyTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            response: Duration::from_secs(120),
            idle: Duration::from_secs(3600),
            pool_idle: Duration::from_secs(4),
        }
    }
}

/// What happens with a request that a server did not take.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// The first included.
    pub tries: u32,
    /// No try begins later.
    pub within: Duration,
    /// A server that could not be reached is asked last for this long.
    pub shun: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { tries: 3, within: Duration::from_secs(5), shun: Duration::from_secs(10) }
    }
}

/// TLS towards the servers.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTls {
    pub trust: Trust,
    /// Asked for and checked instead of the host of the URL.
    pub server_name: Option<ServerName<'static>>,
}

/// Whose certificates are good.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Of the authorities this machine trusts.
    #[default]
    System,
    /// Of those in a PEM file.
    File(PathBuf),
    /// Anybody's: protects from listeners only, not from who sits in between.
    Anyone,
}

impl UpstreamTls {
    pub fn name(text: &str) -> Result<ServerName<'static>, ProxyConfigError> {
        let bad = |_error| ProxyConfigError::ServerName(text.to_owned());
        ServerName::try_from(text.to_owned()).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let shown = match UpstreamUrl::parse(text) {
            Ok(it) => format!("{:?} {:?}, Host: {}", it.scheme, it.address, it.authority()),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn an_upstream_is_a_url_without_a_path_or_a_socket() {
        check(
            "http://127.0.0.1:3000",
            &expect![[r#"Http Tcp { host: "127.0.0.1", port: 3000 }, Host: 127.0.0.1:3000"#]],
        );
        check(
            "http://nas.lan",
            &expect![[r#"Http Tcp { host: "nas.lan", port: 80 }, Host: nas.lan"#]],
        );
        check(
            "https://nas.lan",
            &expect![[r#"Https Tcp { host: "nas.lan", port: 443 }, Host: nas.lan"#]],
        );
        check(
            "https://[fd00::7]:8443",
            &expect![[r#"Https Tcp { host: "fd00::7", port: 8443 }, Host: [fd00::7]:8443"#]],
        );
        check(
            "h2c://grpc:50051",
            &expect![[r#"H2c Tcp { host: "grpc", port: 50051 }, Host: grpc:50051"#]],
        );
        check("unix:/run/x.sock", &expect![[r#"Http Unix("/run/x.sock"), Host: localhost"#]]);
        check(
            "http://a/b",
            &expect![[
                r#"error: upstream "http://a/b" has a path, a query or a user; write scheme, host and port only (`strip_prefix` and `rewrite` change paths)"#
            ]],
        );
        check(
            "http://ada:secret@a",
            &expect![[
                r#"error: upstream "http://ada:secret@a" has a path, a query or a user; write scheme, host and port only (`strip_prefix` and `rewrite` change paths)"#
            ]],
        );
        for bad in [
            "",
            "a:80",
            "ftp://a",
            "h2c://a",
            "http://",
            "http://a:0",
            "http://a:99999",
            "unix:x",
            "http:///x",
        ] {
            assert!(UpstreamUrl::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn upstreams_are_some_and_different() {
        let url = |text: &str| UpstreamUrl::parse(text).unwrap();
        assert_eq!(ProxyConfig::new(Vec::new()).unwrap_err(), ProxyConfigError::NoUpstream);
        let twice = ProxyConfig::new(vec![url("http://a"), url("http://a")]).unwrap_err();
        assert_eq!(twice, ProxyConfigError::UpstreamTwice("http://a".to_owned()));
        let many = (0..65).map(|i| url(&format!("http://a:{}", 1000 + i))).collect();
        assert_eq!(ProxyConfig::new(many).unwrap_err(), ProxyConfigError::TooManyUpstreams(65));
    }

    #[test]
    fn a_status_is_one_or_a_class() {
        let takes = |text, status| {
            HealthStatus::parse(text).unwrap().takes(StatusCode::from_u16(status).unwrap())
        };
        assert!(takes("2xx", 204) && !takes("2xx", 300) && takes("401", 401) && !takes("401", 402));
        for bad in ["", "xx", "2x", "99", "1000", "65xx", "two"] {
            assert!(HealthStatus::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_host_to_send_is_kept_the_upstreams_or_a_name() {
        assert_eq!(HostSent::parse("keep"), Ok(HostSent::Kept));
        assert_eq!(HostSent::parse("upstream"), Ok(HostSent::Upstream));
        assert!(matches!(HostSent::parse("nas.lan:5000"), Ok(HostSent::Named(_))));
        for bad in ["", "a b", "a/b", "a@b"] {
            assert!(HostSent::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
