//! Whom may a TLS server be vouched for by? This machine's authorities, or anybody.
//!
//! Three parts of the server connect to others (proxy and ACME, scrapes, checks of services): what
//! they trust is said here, what they do about it there. It logs nothing.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// The authorities that this machine trusts.
#[derive(Debug)]
pub struct SystemRoots {
    /// Without those that cannot be read: a system's odd certificates are no reason to refuse the
    /// others.
    pub roots: RootCertStore,
    /// What could not be read.
    pub errors: Vec<rustls_native_certs::Error>,
}

/// Reads them from the disk: where OpenSSL's tools look, `SSL_CERT_FILE` and `SSL_CERT_DIR` first.
pub fn system_roots() -> SystemRoots {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_n_added, _n_ignored) = roots.add_parsable_certificates(found.certs);
    SystemRoots { roots, errors: found.errors }
}

/// Takes any certificate, but still checks that the server has its key.
#[derive(Debug)]
pub struct Anyone(Arc<CryptoProvider>);

impl Anyone {
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
