//! The front door: TLS, virtual hosts and access in front of axum routers it knows nothing about.
//!
//! [`Front::bind`] makes or loads the local CA and opens the listeners, so that the caller knows the
//! addresses; [`Front::run`] takes the [`Routers`] and serves until shutdown, then drains.
//! A handler finds the peer as `axum::extract::ConnectInfo<SocketAddr>` and the caller as
//! [`Principal`] in the request's extensions.

mod access;
mod certs;
mod client_ip;
mod clock;
mod config;
mod encoding;
mod error;
mod files;
mod gate;
mod installer;
mod lifeline;
mod listen;
mod listeners;
mod login;
mod observe;
mod oidc;
mod redirect;
mod reload;
mod sites;
mod tls;
mod vhost;

pub use access::Source;
pub use access::error::AccessError;
pub use access::people::{Role, UserInfo};
pub use access::records::Records;
pub use access::second_factor::NewFactor;
pub use access::sessions::SessionInfo;
pub use access::tokens::{TokenInfo, TokenKind};
pub use access::{Principal, Scope, Scopes, Via};
pub use certs::acme::order::AcmeError;
pub use certs::acme::trial::{Trial, TrialError, try_orders};
pub use certs::ca::ca_file;
pub use certs::status::{
    CertificateSource, CertificateStatus, names_of_local_ca, stored_certificates,
};
pub use certs::{Certificates, Live as PreparedCertificates};
pub use clock::{Clock, SystemClock};
pub use config::{
    AcmeConfig, AcmeDns, CertificateFiles, CertificatesConfig, CertificatesConfigError, Cloudflare,
    Directory, Dns01, DnsProviderConfig, DnsTransport, Exec, ExternalAccount, Proof, Propagation,
    PropagationCheck, Retry, Rfc2136, SecretFile, Webhook,
};
pub use config::{
    Action, AgentCertificates, AgentPrograms, BasicUser, Browse, CodeSecret, Compress, Config,
    ConfigError, Domain, FilesConfig, ForwardAuth, Guard, HeaderRules, Hidden, HostPattern, Limits,
    Links, LoopbackAddr, MetricNames, Networks, PasswordHash, PathPattern, Placeholder, PlainAuth,
    PlainListener, Precompressed, RedirectConfig, RequestLog, Respond, Rewrite, Route, RouteGuard,
    SiteAccess, SiteConfig, Template, Token, TokenHash, User,
};
pub use config::{
    Balance, HealthConfig, HealthPath, HealthStatus, HostSent, ProxyConfig, ProxyConfigError,
    ProxyTimeouts, Retries, Trust, UpstreamTls, UpstreamUrl,
};
pub use config::{Issuer, OidcConfig, OidcConfigError, OidcLogout, OidcRoles, TokenAuth};
pub use encoding::Encoding;
pub use error::Error;
pub use gate::{HomeAccess, Routers};
pub use installer::{Fetcher, Installer, ServerTrust, is_of_this_machine, shell_word};
pub use listen::{Bound, Front, Upstreams};
pub use observe::{AccessLog, AccessRecord, Figures};
pub use reload::Reloads;
pub use sites::{Unreached, UpstreamStatus, unreached};
pub use vhost::SiteUpstream;
