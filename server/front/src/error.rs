//! Why the front could not start or had to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Each variant is a different thing to fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot listen on {addr}; is the port taken, or below 1024 without CAP_NET_BIND_SERVICE?"
    )]
    Bind { addr: SocketAddr, source: std::io::Error },
    #[error("cannot read or write {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is there but its key {} is not; restore the key, or remove the certificate to get a new CA that every device must trust again",
        certificate.display(), key.display()
    )]
    CaKeyMissing { certificate: PathBuf, key: PathBuf },
    #[error(
        "{} and {} do not belong together; restore them from a backup, or remove both to get a new CA",
        certificate.display(), key.display()
    )]
    CaMismatch { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("{} is not a usable certificate or key in PEM", path.display())]
    CaUnreadable { path: PathBuf, source: rcgen::Error },
    #[error("{} is not a list as this server writes it; restore it, or move it away", path.display())]
    Unreadable { path: PathBuf, source: serde_json::Error },
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(
        "{} and {} cannot be used as a certificate", certificate.display(), key.display()
    )]
    OwnCertificate { certificate: PathBuf, key: PathBuf, source: crate::certs::chain::ChainError },
    #[error("{} is not a usable certificate and key", path.display())]
    StoredCertificate { path: PathBuf, source: crate::certs::chain::ChainError },
    #[error("{} is not as it was written", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot make the certificate of a challenge")]
    Challenge(#[source] crate::certs::chain::ChainError),
    #[error(transparent)]
    Certificates(crate::config::CertificatesConfigError),
    #[error("cannot ask {directory} for certificates")]
    Acme { directory: String, source: crate::certs::http::HttpError },
    #[error("{} is not usable as an upstream's certificate authority; it must be PEM", path.display())]
    UpstreamCa { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("cannot set up TLS for the certificates of agents")]
    AgentCertificates(#[from] rustls::server::VerifierBuilderError),
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up the client that asks the login provider (`oidc`)")]
    Oidc(#[source] crate::certs::http::HttpError),
    #[error("cannot set up the client that asks an auth server")]
    AuthClient(#[source] reqwest::Error),
    #[error("the front has stopped")]
    Stopped,
    #[error("stopped {n_cut} connections that were still busy when the drain deadline passed")]
    DrainDeadline { n_cut: usize },
}

/// An error with all its causes in one line, for where it is kept as text.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors of libraries repeat their cause.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
