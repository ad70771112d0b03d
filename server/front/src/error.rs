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
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("stopped {n_cut} connections that were still busy when the drain deadline passed")]
    DrainDeadline { n_cut: usize },
}
