//! DNS-01: putting TXT records into a zone, by whatever serves it.

pub(crate) mod propagation;

mod acme_dns;
mod ask;
mod cloudflare;
mod exec;
mod rfc2136;
mod webhook;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::http::{HttpError, Roots};
use crate::clock::Clock;
use crate::config::{CertificatesConfigError, DnsProviderConfig};

/// What the CA will look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TxtRecord {
    /// `_acme-challenge.` and the name without its wildcard; no dot at the end.
    pub name: String,
    pub value: String,
}

impl TxtRecord {
    pub(crate) fn for_challenge(domain: &str, value: String) -> Self {
        Self { name: format!("_acme-challenge.{domain}"), value }
    }

    fn domain(&self) -> &str {
        self.name.strip_prefix("_acme-challenge.").unwrap_or(&self.name)
    }

    fn fqdn(&self) -> String {
        format!("{}.", self.name)
    }
}

/// Something that can change a zone.
///
/// Several records of one name may be present at once: a name and its wildcard need two. Both calls
/// may be repeated: a record that is there already is present, one that is gone is cleaned up.
#[async_trait]
pub(crate) trait DnsProvider: Send + Sync + fmt::Debug {
    /// Returns when the provider has taken the record; it may not be visible yet.
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError>;

    /// Removes this record and no other.
    async fn clean_up(&self, record: &TxtRecord) -> Result<(), DnsError>;
}

/// Why a record could not be set or removed.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error(transparent)]
    Secret(#[from] CertificatesConfigError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} answered {status}: {text}")]
    Refused { url: String, status: u16, text: String },
    #[error("{url} answered something else than expected: {text}")]
    Unexpected { url: String, text: String },
    #[error("the account has no zone for {name:?}; may its token read the zone?")]
    NoZone { name: String },
    #[error("the credentials have no entry for {domain:?}")]
    NoCredentials { domain: String },
    #[error("the credentials are not JSON as /register answers")]
    Credentials(#[source] serde_json::Error),
    #[error("{program} could not be run")]
    Run { program: String, source: std::io::Error },
    #[error("{program} {action} ended with {status}: {text}")]
    Failed { program: String, action: &'static str, status: String, text: String },
    #[error("{program} {action} took longer than {seconds} s")]
    TooSlow { program: String, action: &'static str, seconds: u64 },
    #[error("{name:?} is not a DNS name")]
    Name { name: String, source: hickory_proto::ProtoError },
    #[error("could not ask the DNS server")]
    Ask(#[from] ask::AskError),
    #[error("the DNS server refused the update of {zone}: {code}; {advice}")]
    Update { zone: String, code: String, advice: &'static str },
    #[error("the DNS server's answer is not signed with the key")]
    Signature(#[source] hickory_proto::ProtoError),
    #[error("the key cannot sign")]
    Signing(#[source] hickory_proto::ProtoError),
    #[error("the key is not one for TSIG")]
    Key(#[source] hickory_proto::dnssec::DnsSecError),
}

/// The provider that a configuration names.
pub(crate) fn provider(
    config: &DnsProviderConfig,
    roots: &Roots,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn DnsProvider>, HttpError> {
    Ok(match config.clone() {
        DnsProviderConfig::Cloudflare(it) => Arc::new(cloudflare::Provider::new(it, roots)?),
        DnsProviderConfig::Rfc2136(it) => Arc::new(rfc2136::Provider::new(it, Arc::clone(clock))),
        DnsProviderConfig::AcmeDns(it) => Arc::new(acme_dns::Provider::new(it, roots)?),
        DnsProviderConfig::Exec(it) => Arc::new(exec::Provider::new(it)),
        DnsProviderConfig::Webhook(it) => Arc::new(webhook::Provider::new(it, roots)?),
    })
}

#[cfg(test)]
#[path = "dns/tests.rs"]
mod tests;
