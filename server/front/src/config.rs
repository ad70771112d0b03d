//! What the front needs to know, as types that can only hold valid values.

mod agents;
mod certs;
mod files;
mod guard;
mod headers;
mod networks;
mod oidc;
mod proxy;
mod redirect;
mod rewrite;
mod site;
mod template;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};

pub use self::agents::AgentPrograms;
pub use self::certs::{
    AcmeConfig, AcmeDns, CertificateFiles, CertificatesConfig, CertificatesConfigError, Cloudflare,
    Directory, Dns01, DnsProviderConfig, DnsTransport, Exec, ExternalAccount, Proof, Propagation,
    PropagationCheck, Retry, Rfc2136, SecretFile, Webhook,
};
pub use self::files::{Browse, FilesConfig, Hidden, Links, Precompressed};
pub(crate) use self::guard::CopiedHeader;
pub use self::guard::{BasicUser, ForwardAuth};
pub use self::headers::HeaderRules;
pub(crate) use self::headers::Removed;
pub use self::networks::Networks;
pub(crate) use self::oidc::is_safe;
pub use self::oidc::{Issuer, OidcConfig, OidcConfigError, OidcLogout, OidcRoles, TokenAuth};
pub(crate) use self::proxy::{Address, Scheme};
pub use self::proxy::{
    Balance, HealthConfig, HealthPath, HealthStatus, HostSent, ProxyConfig, ProxyConfigError,
    ProxyTimeouts, Retries, Trust, UpstreamTls, UpstreamUrl,
};
pub use self::redirect::RedirectConfig;
pub use self::rewrite::Rewrite;
pub use self::site::{
    Action, Compress, Guard, HostPattern, PathPattern, RequestLog, Respond, Route, RouteGuard,
    SiteAccess, SiteConfig,
};
pub(crate) use self::template::Piece;
pub use self::template::{Placeholder, Template};
use crate::access::Scopes;
pub use crate::access::second_factor::CodeSecret;

/// All settings of the front.
#[derive(Debug, Clone)]
pub struct Config {
    /// The apex; `lan.`, `metrics.` and `logs.` are served below it.
    pub domain: Domain,
    /// Further DNS names or IP addresses for the certificate; a request for one of them gets the
    /// page, as the apex does.
    pub extra_names: Vec<String>,
    /// This machine's name, for the CA's common name only.
    pub host: String,
    /// HTTPS listeners; port 0 takes a free one.
    pub https: Vec<SocketAddr>,
    /// Answers 308 to HTTPS, and `/ca.pem`.
    pub http_redirect: Option<SocketAddr>,
    /// The port clients see HTTPS on where something forwards to us; else the bound one.
    pub https_port_public: Option<u16>,
    /// Everything without TLS, for tools on this machine.
    pub plain: Option<PlainListener>,
    /// Holds `ca/` and `sessions.json`; made (0700) when missing.
    pub data_dir: PathBuf,
    pub tokens: Vec<Token>,
    pub users: Vec<User>,
    /// Whether agents prove themselves by certificates of the local CA.
    pub agents: AgentCertificates,
    /// Another way to log in.
    pub oidc: Option<OidcConfig>,
    /// Proxies before us whose `X-Forwarded-For` tells the client's address.
    pub trusted_proxies: Networks,
    /// Load balancers whose connections begin with a PROXY header, which is then required; nobody
    /// else's is read. Not for the plain listener.
    pub proxy_protocol: Networks,
    /// The user's own services; the names of [`Self::domain`] cannot be taken.
    pub sites: Vec<SiteConfig>,
    pub metric_names: MetricNames,
    /// Where certificates come from, before the local CA.
    pub certificates: CertificatesConfig,
    pub agent_programs: AgentPrograms,
    pub limits: Limits,
}

impl Config {
    /// What no single value shows: whether two sites want the same name.
    pub fn check(&self) -> Result<(), ConfigError> {
        crate::vhost::Sites::check_names(self)
    }
}

/// Whether agents are asked for a certificate of the local CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentCertificates {
    #[default]
    Off,
    /// One that is shown counts; the credential from enrolling does, too.
    Optional,
    /// The credential alone does not count any more.
    Required,
}

/// What the metrics of requests begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricNames {
    /// `skep_http_…`
    #[default]
    Skep,
    /// `caddy_http_…`, for dashboards that are made for Caddy.
    Caddy,
}

impl MetricNames {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Skep => "skep",
            Self::Caddy => "caddy",
        }
    }
}

/// The plain HTTP listener.
#[derive(Debug, Clone, Copy)]
pub struct PlainListener {
    pub addr: LoopbackAddr,
    pub require_auth: PlainAuth,
}

/// Whether the plain listener asks for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainAuth {
    /// As on HTTPS.
    Required,
    /// Every process on this machine may read, write and administrate.
    Open,
}

/// A bearer token: only its hash is known here.
#[derive(Debug, Clone)]
pub struct Token {
    /// Shown in logs.
    pub name: String,
    pub sha256: TokenHash,
    pub scopes: Scopes,
}

/// A person, or a client that can only do HTTP Basic.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub password: PasswordHash,
    pub scopes: Scopes,
    /// Asked for a code of an authenticator app that has this secret, too.
    pub code_secret: Option<CodeSecret>,
}

/// Bounds on what peers can make the front hold or wait for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections of all listeners; more wait in the kernel's backlog.
    pub connections_max: usize,
    /// A peer has this long for its TLS handshake.
    pub handshake_timeout: Duration,
    /// A peer has this long for a request head; an idle HTTP/1.1 connection is closed after it too.
    pub header_timeout: Duration,
    /// While somebody reads a request's body, a peer has this long for each 16 KiB of it, until the
    /// answer begins.
    pub body_timeout: Duration,
    /// Request heads above this are refused with 431; an HTTP/1.1 buffer is never below 8 KiB.
    pub header_bytes_max: u32,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long open requests may run on after shutdown.
    pub drain_deadline: Duration,
    /// A login lasts this long.
    pub session_lifetime: Duration,
    /// Wrong passwords a peer may send at once; one more is allowed every `login_refill`.
    pub login_burst: u32,
    pub login_refill: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            header_bytes_max: 32 * 1024,
            streams_max: 128,
            drain_deadline: Duration::from_secs(10),
            session_lifetime: Duration::from_secs(30 * 24 * 3600),
            login_burst: 10,
            login_refill: Duration::from_secs(10),
        }
    }
}

/// Why a value is not valid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("domain {0:?} is not a DNS name; write one like \"home.lan\" or \"skep.localhost\"")]
    Domain(String),
    #[error(
        "host {0:?} is not a DNS name; write one like \"photos.home.lan\", or \"*.apps.home.lan\" for every name with one label more"
    )]
    Host(String),
    #[error(
        "path {0:?} is not one; write \"/api/*\" for everything below, or \"/robots.txt\" for one"
    )]
    Path(String),
    #[error(
        "{0:?} is no network; write one like \"10.0.0.0/8\", \"192.168.1.7\" or \"private_ranges\""
    )]
    Network(String),
    #[error(
        "{0:?} has a placeholder that is not known; there are {{host}}, {{path}}, {{query}}, {{uri}}, {{remote_ip}}, {{scheme}} and {{method}}, and \"{{{{\" is a brace"
    )]
    Placeholder(String),
    #[error("{0:?} cannot be in a header; write ASCII without line ends")]
    NotAHeaderValue(String),
    #[error("{0:?} is no name of a header; write one like \"Cache-Control\"")]
    HeaderName(String),
    #[error("the header {0:?} belongs to the connection and cannot be changed; take it out")]
    FramingHeader(String),
    #[error(
        "{0:?} is no auth server; write the URL it is asked at, like \"http://127.0.0.1:9091/api/authz/forward-auth\""
    )]
    AuthUrl(String),
    #[error(
        "root {} is relative; write an absolute path, like \"/srv/www\"", .0.display()
    )]
    FilesRoot(PathBuf),
    #[error("{0:?} is no file below the root; write one like \"index.html\"")]
    FileName(String),
    #[error(
        "{0:?} is no place to send a browser; write a URL like \"https://{{host}}/new{{path}}\", or a path"
    )]
    RedirectTo(String),
    #[error("status {0} sends nobody elsewhere; write 301, 302, 303, 307 or 308")]
    RedirectStatus(u16),
    #[error("{0:?} is no prefix of a path; write one like \"/api\"")]
    StripPrefix(String),
    #[error("{0:?} is no path; write one like \"/new{{path}}\"")]
    RewriteTo(String),
    #[error("{0:?} is no method; write one like \"GET\"")]
    Method(String),
    #[error("{0:?} is there twice, or is one of our own names; give each site names of its own")]
    HostTaken(String),
    #[error(
        "plain HTTP on {0} would send passwords over the network; use an address like 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    #[error("token hash {0:?} is not 64 hexadecimal digits")]
    TokenHash(String),
    #[error(
        "password hash is neither an argon2 PHC string (\"$argon2id$v=19$…\") nor bcrypt (\"$2b$…\")"
    )]
    PasswordHash(#[source] argon2::password_hash::Error),
    #[error("password hash begins as bcrypt's do, but is none, or costs more than 2^16 rounds")]
    Bcrypt,
    #[error(
        "this is no secret of an authenticator app; write at least 26 letters and digits in base32, as `head -c 20 /dev/urandom | base32` makes them"
    )]
    CodeSecret,
    #[error("could not hash the password")]
    Hashing(#[source] argon2::password_hash::Error),
}

/// The apex name: lower case, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let name = text.to_ascii_lowercase();
        // `metrics.` must still fit in front of it.
        let fits = name.len() <= 240;
        let is_ip = name.parse::<std::net::IpAddr>().is_ok();
        if fits && !is_ip && name.split('.').all(is_dns_label) {
            Ok(Self(name))
        } else {
            Err(ConfigError::Domain(text.to_owned()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_dns_label(label: &str) -> bool {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(ok)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// An address only this machine can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackAddr(SocketAddr);

impl LoopbackAddr {
    pub fn new(addr: SocketAddr) -> Result<Self, ConfigError> {
        if addr.ip().is_loopback() { Ok(Self(addr)) } else { Err(ConfigError::NotLoopback(addr)) }
    }

    pub fn addr(self) -> SocketAddr {
        self.0
    }
}

/// SHA-256 of a token. A plain hash is enough: the token is 256 random bits, nothing to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A new token and its hash; the token is shown once and stored nowhere.
    pub fn generate() -> (String, Self) {
        let mut secret = [0u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let token = format!("skep_{}", URL_SAFE_NO_PAD.encode(secret));
        let hash = Self::of(&token);
        (token, hash)
    }

    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    pub fn from_hex(text: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::TokenHash(text.to_owned());
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | d)).collect();
        if digits.len() == 64 {
            bytes.try_into().map(Self).map_err(|_short| bad())
        } else {
            Err(bad())
        }
    }

    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An argon2 hash in PHC form, or a bcrypt one, as Caddy and Apache write them.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if is_bcrypt(text) {
            let parts = text.parse::<bcrypt::HashParts>().ok();
            parts.filter(|it| it.get_cost() <= BCRYPT_COST_MAX).ok_or(ConfigError::Bcrypt)?;
        } else {
            argon2::PasswordHash::new(text).map_err(ConfigError::PasswordHash)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// argon2id with 19 MiB and two passes.
    pub fn of(password: &str) -> Result<Self, ConfigError> {
        Self::with_params(password, Params::DEFAULT)
    }

    /// A few KiB and one pass: for hashes whose password is 256 random bits, and for tests.
    pub fn cheap(password: &str) -> Result<Self, ConfigError> {
        let params = Params::new(64, 1, 1, None).unwrap_or(Params::DEFAULT);
        Self::with_params(password, params)
    }

    /// Not the hash of any password, at the usual cost.
    pub(crate) fn of_nobody() -> Self {
        Self(format!("$argon2id$v=19$m=19456,t=2,p=1${0}${0}{0}", "A".repeat(22)))
    }

    fn with_params(password: &str, params: Params) -> Result<Self, ConfigError> {
        let mut salt = [0u8; 16];
        rand::rng().fill_bytes(&mut salt);
        let salt = SaltString::encode_b64(&salt).map_err(ConfigError::Hashing)?;
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash =
            argon2.hash_password(password.as_bytes(), &salt).map_err(ConfigError::Hashing)?;
        Ok(Self(hash.to_string()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_bcrypt(&self) -> bool {
        is_bcrypt(&self.0)
    }
}

/// Some seconds of a core for one check.
const BCRYPT_COST_MAX: u32 = 16;

fn is_bcrypt(text: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|it| text.starts_with(it))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check_domain(text: &str, expected: &Expect) {
        let shown = match Domain::parse(text) {
            Ok(domain) => domain.to_string(),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_domain_is_a_lower_case_dns_name() {
        check_domain("Home.LAN", &expect!["home.lan"]);
        check_domain("skep.localhost", &expect!["skep.localhost"]);
        check_domain(
            "",
            &expect![[
                r#"error: domain "" is not a DNS name; write one like "home.lan" or "skep.localhost""#
            ]],
        );
        check_domain(
            "a..b",
            &expect![[
                r#"error: domain "a..b" is not a DNS name; write one like "home.lan" or "skep.localhost""#
            ]],
        );
        check_domain(
            "10.0.0.1",
            &expect![[
                r#"error: domain "10.0.0.1" is not a DNS name; write one like "home.lan" or "skep.localhost""#
            ]],
        );
        check_domain(
            "evil.lan/x",
            &expect![[
                r#"error: domain "evil.lan/x" is not a DNS name; write one like "home.lan" or "skep.localhost""#
            ]],
        );
    }

    #[test]
    fn the_plain_listener_refuses_an_address_of_the_network() {
        let error = LoopbackAddr::new("0.0.0.0:80".parse().unwrap()).unwrap_err();
        expect!["plain HTTP on 0.0.0.0:80 would send passwords over the network; use an address like 127.0.0.1:8080"].assert_eq(&error.to_string());
        assert!(LoopbackAddr::new("[::1]:0".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_token_hash_survives_hex_and_refuses_anything_else() {
        let (token, hash) = TokenHash::generate();
        assert_eq!(TokenHash::from_hex(&hash.to_hex()).unwrap(), hash);
        assert_eq!(TokenHash::of(&token), hash);
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            assert!(TokenHash::from_hex(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_password_hash_must_be_a_phc_string() {
        assert!(PasswordHash::parse("hunter2").is_err());
        let hash = PasswordHash::cheap("hunter2").unwrap();
        assert_eq!(PasswordHash::parse(hash.as_str()).unwrap(), hash);
        assert!(!format!("{hash:?}").contains("argon2"));
        PasswordHash::parse(PasswordHash::of_nobody().as_str()).unwrap();
    }

    #[test]
    fn a_bcrypt_hash_is_taken_unless_it_is_broken_or_too_dear() {
        let hash = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert!(PasswordHash::parse(hash).unwrap().is_bcrypt());
        for bad in ["$2y$05$short", "$2y$", &hash.replace("$05$", "$31$")] {
            assert!(PasswordHash::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
