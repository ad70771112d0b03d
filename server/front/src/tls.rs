//! What rustls is told: one provider, two protocol versions, where certificates come from, and whom
//! to ask for one.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::certs::Certificates;
use crate::certs::acme::challenge;
use crate::config::AgentCertificates;
use crate::error::Error;

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
/// A CA's look at a name: the handshake is all there is to it.
pub(crate) const ALPN_CHALLENGE: &[u8] = challenge::ALPN;

/// TLS 1.2 and 1.3 on ring, HTTP/2 preferred.
pub(crate) fn acceptor(
    certificates: &Arc<Certificates>,
    agents: AgentCertificates,
) -> Result<TlsAcceptor, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Nobody has to show one, or browsers could not come in: what it is needed for is up to the gate.
    let clients: Arc<dyn ClientCertVerifier> = match agents {
        AgentCertificates::Off => Arc::new(NoClientAuth),
        AgentCertificates::Optional | AgentCertificates::Required => {
            let mut roots = RootCertStore::empty();
            roots.add(certificates.ca().root_der().clone())?;
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::clone(certificates) as _);
    config.alpn_protocols = [ALPN_HTTP2, ALPN_HTTP1, ALPN_CHALLENGE].map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
