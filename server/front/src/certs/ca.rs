//! The local CA: a root that is made once and kept, and the leaf certificates it signs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

use crate::access::certificate::key_sha256;
use crate::error::Error;
use crate::files::{self, Mode};

/// Devices are told to trust the root once; changing it every year would teach people to click on.
const ROOT_LIFETIME: Duration = Duration::days(3650);
/// Apple's platforms refuse leaves of more than 398 days; a leaf is made anew at each start anyway.
const LEAF_LIFETIME: Duration = Duration::days(60);
/// An agent that was away for a month or two still has one.
const AGENT_LIFETIME: Duration = Duration::days(90);
/// Devices whose clock runs behind must not see a certificate of the future.
const BACKDATE: Duration = Duration::hours(1);

/// The root with its key.
#[derive(Debug)]
pub(crate) struct LocalCa {
    root_pem: String,
    root_path: PathBuf,
    root_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for our names, and when to make the next.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub key: Arc<CertifiedKey>,
    pub renew_at: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

/// A certificate for an agent's own key.
#[derive(Debug)]
pub(crate) struct AgentLeaf {
    pub pem: String,
    pub not_after: OffsetDateTime,
}

/// A certificate that an agent asks for.
#[derive(Debug)]
pub(crate) struct AgentRequest(CertificateSigningRequestParams);

impl AgentRequest {
    /// Checks that who asks has the private key.
    pub(crate) fn parse(pem: &str) -> Result<Self, rcgen::Error> {
        CertificateSigningRequestParams::from_pem(pem).map(Self)
    }

    pub(crate) fn key_sha256(&self) -> String {
        key_sha256(&self.0.public_key.subject_public_key_info())
    }
}

/// Where a data folder keeps its CA.
pub(super) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("ca")
}

fn root_path(dir: &Path) -> PathBuf {
    dir.join("root.pem")
}

/// The root certificate of a data folder: there once a server has started with it.
pub fn ca_file(data_dir: &Path) -> PathBuf {
    root_path(&dir(data_dir))
}

impl LocalCa {
    /// Loads the root of `dir`, or makes it there at the first start.
    pub(crate) fn open(dir: &Path, host: &str, now: OffsetDateTime) -> Result<Self, Error> {
        files::create_private_dir(dir)?;
        let key_path = dir.join("root.key");
        let root_path = root_path(dir);
        let key = match (files::read(&key_path)?, files::read(&root_path)?) {
            (None, Some(_)) => {
                return Err(Error::CaKeyMissing { certificate: root_path, key: key_path });
            }
            (Some(key_pem), Some(root_pem)) => {
                let key = parse_key(&key_path, &key_pem)?;
                return Self::load(root_path, key_path, root_pem, key, &key_pem);
            }
            // A start that was cut off after the key: no device has seen a certificate of it.
            (Some(key_pem), None) => parse_key(&key_path, &key_pem)?,
            (None, None) => {
                let key = KeyPair::generate()?;
                files::replace(&key_path, &key.serialize_pem(), Mode::Secret)?;
                key
            }
        };
        let root = root_params(host, now).self_signed(&key)?;
        let root_pem = root.pem();
        files::replace(&root_path, &root_pem, Mode::Public)?;
        tracing::info!(path = %root_path.display(), "Made a local CA.");
        let root_der = root.der().clone();
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&root_pem, key)?,
            root_pem,
            root_path,
            root_der,
        })
    }

    fn load(
        root_path: PathBuf,
        key_path: PathBuf,
        root_pem: String,
        key: KeyPair,
        key_pem: &str,
    ) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key)
            .map_err(|source| Error::CaUnreadable { path: root_path.clone(), source })?;
        let belong = certified(&root_pem, &[], key_pem)
            .and_then(|pair| pair.keys_match().map(|()| pair.cert.into_iter().next()));
        let none = || rustls::Error::NoCertificatesPresented;
        match belong.and_then(|root| root.ok_or_else(none)) {
            Ok(root_der) => Ok(Self { root_pem, root_path, root_der, issuer }),
            Err(source) => Err(Error::CaMismatch { certificate: root_path, key: key_path, source }),
        }
    }

    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    pub(crate) fn root_der(&self) -> &CertificateDer<'static> {
        &self.root_der
    }

    pub(crate) fn root_path(&self) -> &Path {
        &self.root_path
    }

    /// Signs the key of an agent. Whatever else the request asks for is not heard.
    pub(crate) fn issue_agent(
        &self,
        request: AgentRequest,
        name: &str,
        now: OffsetDateTime,
    ) -> Result<AgentLeaf, Error> {
        let mut request = request.0;
        request.params = agent_params(name, now);
        let pem = request.signed_by(&self.issuer)?.pem();
        Ok(AgentLeaf { pem, not_after: now + AGENT_LIFETIME })
    }

    /// Signs a fresh certificate for `names` (DNS names, wildcards, IP addresses).
    pub(crate) fn issue(&self, names: &[String], now: OffsetDateTime) -> Result<Leaf, Error> {
        let key = KeyPair::generate()?;
        let leaf = leaf_params(names, now)?.signed_by(&key, &self.issuer)?;
        let pair = certified(&leaf.pem(), &[&self.root_pem], &key.serialize_pem())?;
        Ok(Leaf {
            key: Arc::new(pair),
            renew_at: now + LEAF_LIFETIME * 2 / 3,
            not_after: now + LEAF_LIFETIME,
        })
    }
}

fn parse_key(path: &Path, pem: &str) -> Result<KeyPair, Error> {
    KeyPair::from_pem(pem).map_err(|source| Error::CaUnreadable { path: path.to_owned(), source })
}

fn root_params(host: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Skep local CA {host}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATE;
    params.not_after = now + ROOT_LIFETIME;
    params
}

fn leaf_params(names: &[String], now: OffsetDateTime) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Skep");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - BACKDATE;
    params.not_after = now + LEAF_LIFETIME;
    Ok(params)
}

/// Good for nothing but to be shown to this server.
fn agent_params(name: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - BACKDATE;
    params.not_after = now + AGENT_LIFETIME;
    params
}

fn san(name: &str) -> Result<SanType, Error> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_not_an_ip) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

/// A chain and its key as rustls wants them.
fn certified(leaf: &str, rest: &[&str], key_pem: &str) -> Result<CertifiedKey, rustls::Error> {
    let bad = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let chain = std::iter::once(leaf).chain(rest.iter().copied());
    let chain: Vec<_> = chain
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(bad))
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(bad)?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(CertifiedKey::new(chain, signing))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn the_root_is_made_once_and_its_key_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = LocalCa::open(dir.path(), "lab1", NOW).unwrap();
        let second = LocalCa::open(dir.path(), "renamed", NOW).unwrap();
        assert_eq!(first.root_pem(), second.root_pem());
        let mode = dir.path().join("root.key").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_start_cut_off_between_key_and_certificate_is_finished_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        LocalCa::open(dir.path(), "lab1", NOW).unwrap();
        std::fs::remove_file(dir.path().join("root.pem")).unwrap();
        let key = std::fs::read_to_string(dir.path().join("root.key")).unwrap();
        LocalCa::open(dir.path(), "lab1", NOW).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("root.key")).unwrap(), key);
    }

    #[test]
    fn a_lost_or_foreign_key_is_an_error_that_keeps_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let root = LocalCa::open(dir.path(), "lab1", NOW).unwrap().root_pem().to_owned();
        std::fs::write(dir.path().join("root.key"), KeyPair::generate().unwrap().serialize_pem())
            .unwrap();
        let foreign = LocalCa::open(dir.path(), "lab1", NOW).unwrap_err();
        assert!(matches!(foreign, Error::CaMismatch { .. }), "{foreign:?}");
        std::fs::remove_file(dir.path().join("root.key")).unwrap();
        let lost = LocalCa::open(dir.path(), "lab1", NOW).unwrap_err();
        assert!(matches!(lost, Error::CaKeyMissing { .. }), "{lost:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join("root.pem")).unwrap(), root);
    }

    #[test]
    fn an_agents_certificate_says_its_name_and_no_more_whatever_it_asks_for() {
        use crate::access::certificate::AgentCertificate;
        let dir = tempfile::tempdir().unwrap();
        let ca = LocalCa::open(dir.path(), "lab1", NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["home.lan".to_owned()]).unwrap();
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let csr = wish.serialize_request(&key).unwrap().pem().unwrap();
        let request = AgentRequest::parse(&csr).unwrap();
        let asked_for = request.key_sha256();
        let leaf = ca.issue_agent(request, "bee-1", NOW).unwrap();
        let der = CertificateDer::from_pem_slice(leaf.pem.as_bytes()).unwrap();
        let expected = AgentCertificate { name: "bee-1".to_owned(), key_sha256: asked_for.clone() };
        assert_eq!(AgentCertificate::parse(&der), Some(expected));
        assert_eq!(asked_for, key_sha256(&key.subject_public_key_info()));
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(parsed.subject_alternative_name().unwrap().is_none());
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        // What was signed is something else.
        let forged = csr.replacen("MI", "MJ", 1);
        assert!(AgentRequest::parse(&forged).is_err());
        assert!(AgentRequest::parse("nonsense").is_err());
    }

    #[test]
    fn a_name_no_certificate_can_carry_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ca = LocalCa::open(dir.path(), "lab1", NOW).unwrap();
        assert!(ca.issue(&["ümlaut.lan".to_owned()], NOW).is_err());
    }
}
