//! Where certificates come from: files of the user's own, and ACME servers with the ways to prove names.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use reqwest::Url;

use super::{Domain, HostPattern};
use crate::files;

/// All sources but the local CA, which is always there.
#[derive(Debug, Clone, Default)]
pub struct CertificatesConfig {
    pub files: Vec<CertificateFiles>,
    pub acme: Vec<AcmeConfig>,
}

/// A certificate that something else renews; both files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM, the leaf first.
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// A certificate authority that speaks ACME, and the names it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    pub directory: Directory,
    /// Told to the CA, which may write when something is wrong.
    pub email: Option<String>,
    /// A name and the wildcard below it share one certificate; every other name has its own.
    pub names: Vec<HostPattern>,
    /// Every name the front serves in one of these that no name above covers.
    pub zones: Vec<Domain>,
    pub proof: Proof,
    pub external_account: Option<ExternalAccount>,
    /// What the directory's own certificate must lead to; the machine's roots if left out.
    pub ca_file: Option<PathBuf>,
    /// A certificate profile of the CA, as in its directory.
    pub profile: Option<String>,
    pub retry: Retry,
}

/// The address of an ACME directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(Url);

/// How long to wait after a failed order: doubled after each, with some jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub first: Duration,
    pub max: Duration,
}

/// How a name is shown to be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The CA connects to port 443 of the name.
    TlsAlpn01,
    /// The CA asks DNS for a TXT record: wildcards too, and nothing needs to be reachable.
    Dns01(Box<Dns01>),
}

/// Who sets the records, and when they count as set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns01 {
    pub provider: DnsProviderConfig,
    pub propagation: Propagation,
}

/// What puts TXT records into DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsProviderConfig {
    Cloudflare(Cloudflare),
    Rfc2136(Rfc2136),
    AcmeDns(AcmeDns),
    Exec(Exec),
    Webhook(Webhook),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloudflare {
    /// An API token that may read zones and edit DNS.
    pub token_file: SecretFile,
    pub api_base: Url,
}

/// DNS UPDATE, signed with TSIG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rfc2136 {
    pub server: SocketAddr,
    pub transport: DnsTransport,
    /// Found by asking the server for SOA records, if left out.
    pub zone: Option<Name>,
    pub key_name: Name,
    pub algorithm: TsigAlgorithm,
    /// The secret in base64, as `tsig-keygen` prints it.
    pub key_file: SecretFile,
    pub ttl: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsTransport {
    Tcp,
    Udp,
}

/// A server of <https://github.com/joohoi/acme-dns>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeDns {
    pub url: Url,
    /// What `/register` answered, alone or by domain name.
    pub credentials_file: SecretFile,
}

/// A program called as lego's `exec` provider calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub program: PathBuf,
    pub timeout: Duration,
}

/// An HTTP endpoint called as lego's `httpreq` provider calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: Url,
    pub username: Option<String>,
    pub password_file: Option<SecretFile>,
}

/// When a TXT record counts as visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagation {
    pub check: PropagationCheck,
    /// Waited before the first look, or in place of it.
    pub delay: Duration,
    pub timeout: Duration,
    pub interval: Duration,
}

/// Whom to ask whether a TXT record is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropagationCheck {
    Off,
    /// The zone's own name servers, found through the machine's resolver.
    Authoritative,
    /// These servers, as a recursive resolver is asked.
    Resolvers(Vec<SocketAddr>),
}

/// Links an ACME account to one that the CA already knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub kid: String,
    /// In base64url, as CAs hand it out.
    pub hmac_key_file: SecretFile,
}

/// A file with nothing but a secret; read at each use, so that the secret can be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// Why certificates cannot be had this way.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesConfigError {
    #[error("directory {text:?} is not an https:// address; write one, or \"letsencrypt\"")]
    Directory { text: String },
    #[error("names and zones are both empty; write the names to get certificates for")]
    NoNames,
    #[error(
        "{0:?} is a wildcard, which only DNS can prove; add an [acme.dns], or write the names out"
    )]
    WildcardNeedsDns(String),
    #[error("{0:?} is in more than one [[acme]]; leave it in one")]
    NameTwice(String),
    #[error("email {0:?} is not an address; write one like \"me@example.org\"")]
    Email(String),
    #[error("cannot read {}", path.display())]
    Secret { path: PathBuf, source: std::io::Error },
    #[error("{} is empty; it must hold the secret and nothing else", path.display())]
    SecretEmpty { path: PathBuf },
    #[error("{} does not hold base64", path.display())]
    SecretBase64 { path: PathBuf, source: base64::DecodeError },
    #[error("{text:?} is not a DNS name")]
    DnsName { text: String, source: hickory_proto::ProtoError },
    #[error(
        "algorithm {0:?} is not supported; write \"hmac-sha256\", \"hmac-sha384\" or \"hmac-sha512\""
    )]
    Algorithm(String),
}

impl Directory {
    pub const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
    pub const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

    /// "letsencrypt", "letsencrypt-staging", or an https:// address.
    pub fn parse(text: &str) -> Result<Self, CertificatesConfigError> {
        let address = match text {
            "letsencrypt" => Self::LETSENCRYPT,
            "letsencrypt-staging" => Self::LETSENCRYPT_STAGING,
            other => other,
        };
        match Url::parse(address) {
            Ok(url) if url.scheme() == "https" && url.has_host() => Ok(Self(url)),
            _no_address => Err(CertificatesConfigError::Directory { text: text.to_owned() }),
        }
    }

    /// Where nothing is spent: the staging server of Let's Encrypt, any other as it is.
    #[must_use]
    pub fn for_trials(&self) -> Self {
        if self.as_str() == Self::LETSENCRYPT {
            Self::parse(Self::LETSENCRYPT_STAGING).unwrap_or_else(|_error| self.clone())
        } else {
            self.clone()
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AcmeConfig {
    /// Whether orders of both go the same way, whatever they are for.
    pub(crate) fn is_same_authority(&self, other: &Self) -> bool {
        let nameless = |it: &Self| Self { names: Vec::new(), zones: Vec::new(), ..it.clone() };
        nameless(self) == nameless(other)
    }

    /// Whether what is asked for can be had this way.
    pub fn check(&self) -> Result<(), CertificatesConfigError> {
        use CertificatesConfigError::{Email, NoNames, WildcardNeedsDns};
        if self.names.is_empty() && self.zones.is_empty() {
            return Err(NoNames);
        }
        let wildcard = self.names.iter().find(|it| it.as_str().starts_with("*."));
        if let (Some(name), Proof::TlsAlpn01) = (wildcard, &self.proof) {
            return Err(WildcardNeedsDns(name.to_string()));
        }
        let is_address =
            |it: &str| it.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        match &self.email {
            Some(email) if !is_address(email) || email.contains([' ', ',', '\n']) => {
                Err(Email(email.clone()))
            }
            _fine => Ok(()),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_secs(60), max: Duration::from_secs(6 * 3600) }
    }
}

impl Default for Propagation {
    fn default() -> Self {
        Self {
            check: PropagationCheck::Authoritative,
            delay: Duration::ZERO,
            timeout: Duration::from_secs(120),
            interval: Duration::from_secs(2),
        }
    }
}

impl Cloudflare {
    pub const API_BASE: &str = "https://api.cloudflare.com/client/v4";
}

impl Rfc2136 {
    /// A zone or the name of a key, from the root.
    pub fn name(text: &str) -> Result<Name, CertificatesConfigError> {
        let name = Name::from_ascii(format!("{}.", text.trim_end_matches('.')));
        name.map_err(|source| CertificatesConfigError::DnsName { text: text.to_owned(), source })
    }

    /// An algorithm by its name in DNS.
    pub fn algorithm(text: &str) -> Result<TsigAlgorithm, CertificatesConfigError> {
        match text.to_ascii_lowercase().as_str() {
            "hmac-sha256" => Ok(TsigAlgorithm::HmacSha256),
            "hmac-sha384" => Ok(TsigAlgorithm::HmacSha384),
            "hmac-sha512" => Ok(TsigAlgorithm::HmacSha512),
            _other => Err(CertificatesConfigError::Algorithm(text.to_owned())),
        }
    }
}

impl SecretFile {
    /// Refuses a file that has no secret to give.
    pub fn open(path: &Path) -> Result<Self, CertificatesConfigError> {
        let file = Self(path.to_owned());
        file.read()?;
        Ok(file)
    }

    /// As [`Self::open`], for a secret in base64.
    pub fn open_base64(path: &Path) -> Result<Self, CertificatesConfigError> {
        let file = Self(path.to_owned());
        file.read_base64()?;
        Ok(file)
    }

    /// The secret as it is now.
    pub(crate) fn read(&self) -> Result<String, CertificatesConfigError> {
        let path = || self.0.clone();
        let text = files::read_secret(&self.0)
            .map_err(|source| CertificatesConfigError::Secret { path: path(), source })?;
        match text.trim() {
            "" => Err(CertificatesConfigError::SecretEmpty { path: path() }),
            secret => Ok(secret.to_owned()),
        }
    }

    pub(crate) fn read_base64(&self) -> Result<Vec<u8>, CertificatesConfigError> {
        let secret = self.read()?;
        let url_safe = secret.trim_end_matches('=');
        let decoded = match STANDARD.decode(&secret) {
            Ok(bytes) => Ok(bytes),
            Err(_not_padded) => URL_SAFE_NO_PAD.decode(url_safe),
        };
        decoded.map_err(|source| CertificatesConfigError::SecretBase64 {
            path: self.0.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme(names: &[&str], proof: Proof) -> AcmeConfig {
        AcmeConfig {
            directory: Directory::parse("letsencrypt").unwrap(),
            email: None,
            names: names.iter().map(|it| HostPattern::parse(it).unwrap()).collect(),
            zones: Vec::new(),
            proof,
            external_account: None,
            ca_file: None,
            profile: None,
            retry: Retry::default(),
        }
    }

    #[test]
    fn a_directory_is_a_known_name_or_an_https_address() {
        let parsed = |text| Directory::parse(text).map(|it| it.to_string());
        assert_eq!(parsed("letsencrypt").unwrap(), Directory::LETSENCRYPT);
        assert_eq!(parsed("https://ca.lan/dir").unwrap(), "https://ca.lan/dir");
        for bad in ["", "lets-encrypt", "http://ca.lan/dir", "https://"] {
            assert!(parsed(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_trial_spends_nothing_at_lets_encrypt_and_asks_a_ca_of_ones_own_as_it_is() {
        let trial = |text| Directory::parse(text).unwrap().for_trials().to_string();
        assert_eq!(trial("letsencrypt"), Directory::LETSENCRYPT_STAGING);
        assert_eq!(trial("https://ca.lan/dir"), "https://ca.lan/dir");
    }

    #[test]
    fn a_wildcard_without_dns_is_refused_before_a_ca_is_asked() {
        let error = acme(&["a.lan", "*.b.lan"], Proof::TlsAlpn01).check().unwrap_err();
        assert!(error.to_string().starts_with(r#""*.b.lan" is a wildcard"#), "{error}");
        assert!(acme(&["a.lan"], Proof::TlsAlpn01).check().is_ok());
        assert!(acme(&[], Proof::TlsAlpn01).check().is_err());
    }

    #[test]
    fn a_secret_may_be_in_either_base64_and_end_in_a_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (text, expected) in [("+/8=\n", &[0xfb, 0xff][..]), ("-_8", &[0xfb, 0xff])] {
            std::fs::write(&path, text).unwrap();
            let secret = SecretFile::open_base64(&path).unwrap();
            assert_eq!(secret.read_base64().unwrap(), expected, "{text:?}");
        }
        std::fs::write(&path, " \n").unwrap();
        assert!(SecretFile::open(&path).is_err());
        assert!(SecretFile::open(&dir.path().join("none")).is_err());
    }
}
