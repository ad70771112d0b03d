//! A certificate chain with its key, read from PEM: usable by TLS, and what it says about itself.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::InconsistentKeys;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::names::normal;

/// A chain whose leaf belongs to the key.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub key: Arc<CertifiedKey>,
    /// DNS names in lower case, wildcards among them, and IP addresses.
    pub names: Vec<String>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub issuer: String,
    pub renewal_id: Option<RenewalId>,
}

/// How ACME Renewal Information names a certificate (RFC 9773 §4.1), as DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenewalId {
    pub authority_key_id: Vec<u8>,
    pub serial: Vec<u8>,
}

/// Why a chain and a key are of no use.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("there is no certificate in it; it must be PEM, \"-----BEGIN CERTIFICATE-----\"")]
    NoCertificate,
    #[error("it is not PEM")]
    Pem(#[source] pem::Error),
    #[error("there is no private key in it; it must be PEM, \"-----BEGIN PRIVATE KEY-----\"")]
    NoKey(#[source] pem::Error),
    #[error("the private key is of a kind that TLS cannot use; take ECDSA, Ed25519 or RSA")]
    Key(#[source] rustls::Error),
    #[error("the first certificate is of a kind that TLS cannot use")]
    Leaf(#[source] rustls::Error),
    #[error("certificate {position} cannot be read")]
    Unreadable { position: usize, source: x509_parser::error::X509Error },
    #[error("the first certificate carries no DNS name and no IP address (subjectAltName)")]
    NoNames,
    #[error("the private key is not that of the first certificate")]
    KeyMismatch(#[source] rustls::Error),
    #[error(
        "certificate {position} is not signed by the one after it; put the leaf first, then each issuer"
    )]
    OutOfOrder { position: usize },
}

impl Certificate {
    /// The leaf first, then what leads to a root.
    pub(crate) fn parse(chain_pem: &str, key_pem: &str) -> Result<Self, ChainError> {
        let pair = certified_key(chain_pem, key_pem)?;
        let parsed = parse_all(&pair.cert)?;
        let leaf = parsed.first().ok_or(ChainError::NoCertificate)?;
        check_key(&pair)?;
        let certificate = Self {
            names: names(leaf),
            not_before: leaf.validity().not_before.to_datetime(),
            not_after: leaf.validity().not_after.to_datetime(),
            issuer: leaf.issuer().to_string(),
            renewal_id: renewal_id(leaf),
            key: Arc::new(pair.clone()),
        };
        if certificate.names.is_empty() {
            return Err(ChainError::NoNames);
        }
        let unsigned = parsed.windows(2).position(|pair| match pair {
            [signed, signer] => signed.verify_signature(Some(signer.public_key())).is_err(),
            _no_pair => false,
        });
        match unsigned {
            Some(index) => Err(ChainError::OutOfOrder { position: index + 1 }),
            None => Ok(certificate),
        }
    }

    /// Whether a client that asks for `name` would be content.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|it| it == name || super::names::covers(it, name))
    }
}

impl RenewalId {
    /// As it stands in the address of a CA's renewal information.
    pub(crate) fn to_path(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(&self.authority_key_id), encode(&self.serial))
    }
}

/// A chain and a key as rustls wants them, whether or not they belong together.
pub(crate) fn certified_key(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, ChainError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(ChainError::Pem)?;
    if chain.is_empty() {
        return Err(ChainError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(ChainError::NoKey)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(ChainError::Key)?;
    Ok(CertifiedKey::new(chain, key))
}

fn check_key(pair: &CertifiedKey) -> Result<(), ChainError> {
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(error @ rustls::Error::InconsistentKeys(_)) => Err(ChainError::KeyMismatch(error)),
        Err(error) => Err(ChainError::Leaf(error)),
    }
}

fn parse_all<'a>(
    chain: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, ChainError> {
    let parsed = chain.iter().enumerate().map(|(index, der)| {
        let (_rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| ChainError::Unreadable {
                position: index + 1,
                source: match error {
                    x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => {
                        error
                    }
                    x509_parser::nom::Err::Incomplete(_) => {
                        x509_parser::error::X509Error::InvalidCertificate
                    }
                },
            })?;
        Ok(certificate)
    });
    parsed.collect()
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = leaf.subject_alternative_name() else { return Vec::new() };
    let names = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(normal(name)),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
        _other => None,
    });
    names.collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}

fn renewal_id(leaf: &X509Certificate<'_>) -> Option<RenewalId> {
    let authority_key_id = leaf.iter_extensions().find_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
        _other => None,
    })?;
    Some(RenewalId {
        authority_key_id: authority_key_id.0.to_vec(),
        serial: leaf.tbs_certificate.raw_serial().to_vec(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    /// A chain of leaf and CA, and the leaf's key.
    pub(crate) fn chain(names: &[&str], not_after: OffsetDateTime) -> (String, String) {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.not_before = not_after - time::Duration::days(90);
        leaf.not_after = not_after;
        leaf.use_authority_key_identifier_extension = true;
        let leaf_pem = leaf.signed_by(&key, &issuer).unwrap().pem();
        (format!("{leaf_pem}{ca_pem}"), key.serialize_pem())
    }

    const END: OffsetDateTime = time::macros::datetime!(2027-02-01 00:00 UTC);

    #[test]
    fn a_chain_says_what_it_is_for_and_until_when() {
        let (chain, key) = chain(&["NAS.lan", "*.nas.lan", "10.0.0.7"], END);
        let certificate = Certificate::parse(&chain, &key).unwrap();
        assert_eq!(certificate.names, ["nas.lan", "*.nas.lan", "10.0.0.7"]);
        assert_eq!(certificate.not_after, END);
        assert_eq!(certificate.issuer, "CN=Test CA");
        assert!(certificate.covers("nas.lan") && certificate.covers("photos.nas.lan"));
        assert!(!certificate.covers("a.b.nas.lan"));
        assert!(certificate.renewal_id.unwrap().to_path().contains('.'));
    }

    #[test]
    fn what_no_client_would_accept_is_refused_with_its_reason() {
        let (good, key) = chain(&["nas.lan"], END);
        let (_, other_key) = chain(&["nas.lan"], END);
        let refused = |chain: &str, key: &str| Certificate::parse(chain, key).unwrap_err();
        assert!(matches!(refused(&good, &other_key), ChainError::KeyMismatch(_)));
        assert!(matches!(refused("", &key), ChainError::NoCertificate));
        assert!(matches!(refused(&good, ""), ChainError::NoKey(_)));
        let leaf = good.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
        assert!(Certificate::parse(leaf, &key).is_ok(), "a leaf alone");
        let twice = format!("{leaf}{leaf}");
        assert!(matches!(refused(&twice, &key), ChainError::OutOfOrder { position: 1 }));
        let (nameless, its_key) = chain(&[], END);
        assert!(matches!(refused(&nameless, &its_key), ChainError::NoNames));
    }
}
