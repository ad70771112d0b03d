//! Who an agent is by its certificate: the name that the local CA wrote into it, and its key.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Of a certificate that TLS has checked against the local CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentCertificate {
    pub name: String,
    /// Of the public key, in hexadecimal.
    pub key_sha256: String,
}

impl AgentCertificate {
    pub(crate) fn parse(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
        Some(Self { name: name.to_owned(), key_sha256: key_sha256(certificate.public_key().raw) })
    }
}

/// `key` is a SubjectPublicKeyInfo.
pub(crate) fn key_sha256(key: &[u8]) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}
