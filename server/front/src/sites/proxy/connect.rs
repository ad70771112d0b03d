//! Opens connections to servers: TCP or a Unix socket, TLS where the URL says so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use skep_trust::{Anyone, SystemRoots};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Address, Scheme, Trust, UpstreamTls, UpstreamUrl};
use crate::error::Error;
use crate::tls::{ALPN_HTTP1, ALPN_HTTP2};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0:?} is no name to ask a certificate of; set `upstream.tls.server_name`")]
    Name(String),
}

/// What is spoken over a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Which versions will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Any,
    /// Only there can a connection change its protocol.
    Http1,
}

/// How connections to the servers of one route are made.
#[derive(Debug)]
pub(super) struct Connector {
    /// Agrees on HTTP/2 if the server has it; none where no server speaks TLS.
    tls: Option<TlsVersions>,
    server_name: Option<ServerName<'static>>,
    timeout: Duration,
}

#[derive(Debug)]
struct TlsVersions {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new(
        upstreams: &[UpstreamUrl],
        tls: &UpstreamTls,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let needs_tls = upstreams.iter().any(|it| it.scheme == Scheme::Https);
        let versions = needs_tls.then(|| TlsVersions::new(&tls.trust)).transpose()?;
        Ok(Self { tls: versions, server_name: tls.server_name.clone(), timeout })
    }

    pub(super) async fn connect(
        &self,
        url: &UpstreamUrl,
        versions: Versions,
    ) -> Result<(Stream, Version), ConnectError> {
        let opened = tokio::time::timeout(self.timeout, self.open(url, versions)).await;
        opened.unwrap_or(Err(ConnectError::Timeout(self.timeout)))
    }

    async fn open(
        &self,
        url: &UpstreamUrl,
        versions: Versions,
    ) -> Result<(Stream, Version), ConnectError> {
        let (host, port) = match &url.address {
            Address::Unix(path) => {
                return Ok((Stream::Unix(UnixStream::connect(path).await?), Version::Http1));
            }
            Address::Tcp { host, port } => (host.as_str(), *port),
        };
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        match (url.scheme, &self.tls) {
            (Scheme::Https, Some(tls)) => self.wrap(tcp, host, tls.of(versions)).await,
            // A protocol can only be changed in HTTP/1.1, which such a server may have, too.
            (Scheme::H2c, _) if versions == Versions::Any => Ok((Stream::Tcp(tcp), Version::Http2)),
            _plain => Ok((Stream::Tcp(tcp), Version::Http1)),
        }
    }

    async fn wrap(
        &self,
        tcp: TcpStream,
        host: &str,
        config: &Arc<ClientConfig>,
    ) -> Result<(Stream, Version), ConnectError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_no_name| ConnectError::Name(host.to_owned()))?,
        };
        let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
        let version = match tls.get_ref().1.alpn_protocol() {
            Some(ALPN_HTTP2) => Version::Http2,
            _other => Version::Http1,
        };
        Ok((Stream::Tls(Box::new(tls)), version))
    }
}

impl TlsVersions {
    fn new(trust: &Trust) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let mut any = match trust {
            Trust::System => builder.with_root_certificates(system_roots()),
            Trust::File(path) => {
                let unusable = |source| Error::UpstreamCa { path: path.clone(), source };
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(unusable)? {
                    roots.add(certificate.map_err(unusable)?)?;
                }
                builder.with_root_certificates(roots)
            }
            Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone::new(provider))),
        }
        .with_no_client_auth();
        any.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        let mut http1 = any.clone();
        http1.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        Ok(Self { any: Arc::new(any), http1: Arc::new(http1) })
    }

    fn of(&self, versions: Versions) -> &Arc<ClientConfig> {
        match versions {
            Versions::Any => &self.any,
            Versions::Http1 => &self.http1,
        }
    }
}

fn system_roots() -> RootCertStore {
    let SystemRoots { roots, errors } = skep_trust::system_roots();
    for error in &errors {
        tracing::warn!(%error, "Could not read a certificate authority of this machine.");
    }
    if roots.is_empty() {
        tracing::warn!(
            "This machine trusts no certificate authority, so no https upstream will do."
        );
    }
    roots
}

/// A connection to a server.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with whichever it is.
macro_rules! each {
    ($stream:expr, $it:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($it) => $call,
            Stream::Unix($it) => $call,
            Stream::Tls($it) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, it => Pin::new(it).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, it => Pin::new(it).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, it => Pin::new(it).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, it => Pin::new(it).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, it => Pin::new(it).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(it) => it.is_write_vectored(),
            Self::Unix(it) => it.is_write_vectored(),
            Self::Tls(it) => it.is_write_vectored(),
        }
    }
}
