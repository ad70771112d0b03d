//! What rustls is told: one provider, two protocol versions, and where certificates come from.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;

use crate::certs::acme::challenge;
use crate::error::Error;

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
/// A CA's look at a name: the handshake is all there is to it.
pub(crate) const ALPN_CHALLENGE: &[u8] = challenge::ALPN;

/// TLS 1.2 and 1.3 on ring, HTTP/2 preferred.
pub(crate) fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = [ALPN_HTTP2, ALPN_HTTP1, ALPN_CHALLENGE].map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
