//! Where each certificate stands, as plain data: for metrics, the page and the command line.

use std::sync::Arc;

use time::OffsetDateTime;

use super::acme::authority::{AccountSlot, Authority, Mode};
use super::acme::challenge::Challenges;
use super::acme::store::{self, Store};
use super::acme::{Managed, State};
use super::names;
use super::own::OwnFiles;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::error::Error;
use crate::vhost::Sites;

/// One certificate, there or still to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    pub names: Vec<String>,
    pub source: CertificateSource,
    /// Who signed it; `None` while there is none.
    pub issuer: Option<String>,
    pub not_after: Option<OffsetDateTime>,
    /// When another order, or a renewal, is due.
    pub next_attempt: Option<OffsetDateTime>,
    /// Why the last try to get or read one failed, if it did.
    pub last_error: Option<String>,
    /// Since the start of the server.
    pub n_failures_total: u64,
    pub n_renewals_total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateSource {
    /// `[[certificates]]`
    File,
    Acme,
    LocalCa,
}

impl CertificateSource {
    /// As metrics label it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Acme => "acme",
            Self::LocalCa => "local",
        }
    }
}

/// What the disk says of the certificates of a configuration, without a server.
pub fn stored_certificates(config: &Config) -> Result<Vec<CertificateStatus>, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let challenges = Arc::new(Challenges::new(store::challenges_dir(&config.data_dir)));
    let own = config.certificates.files.iter();
    let own: Vec<_> =
        own.map(|it| OwnFiles::load(it.clone()).map(Arc::new)).collect::<Result<_, _>>()?;
    let served = Sites::dns_names(config);
    let mut acme = Vec::new();
    for it in &config.certificates.acme {
        let store = Store::new(&config.data_dir, &it.directory);
        let (clock, challenges) = (Arc::clone(&clock), Arc::clone(&challenges));
        let authority = Authority::new(
            it.clone(),
            clock,
            store,
            challenges,
            AccountSlot::default(),
            Mode::Kept,
        )
        .map_err(|source| Error::Acme { directory: it.directory.to_string(), source })?;
        let authority = Arc::new(authority);
        for names in names::orders(it, &served) {
            acme.push(Arc::new(Managed::load(Arc::clone(&authority), names)?));
        }
    }
    Ok(of(&own, &acme, &[]))
}

pub(super) fn of(
    own: &[Arc<OwnFiles>],
    acme: &[Arc<Managed>],
    local: &[(Vec<String>, OffsetDateTime)],
) -> Vec<CertificateStatus> {
    let own = own.iter().map(|it| of_files(it));
    let acme = acme.iter().map(|it| of_managed(it));
    let local = local.iter().map(|(names, not_after)| CertificateStatus {
        names: names.clone(),
        source: CertificateSource::LocalCa,
        issuer: None,
        not_after: Some(*not_after),
        next_attempt: None,
        last_error: None,
        n_failures_total: 0,
        n_renewals_total: 0,
    });
    own.chain(acme).chain(local).collect()
}

fn of_files(own: &OwnFiles) -> CertificateStatus {
    let certificate = own.certificate();
    let (last_error, n_failures_total) = own.error();
    CertificateStatus {
        names: certificate.names.clone(),
        source: CertificateSource::File,
        issuer: Some(certificate.issuer.clone()),
        not_after: Some(certificate.not_after),
        next_attempt: None,
        last_error,
        n_failures_total,
        n_renewals_total: 0,
    }
}

fn of_managed(managed: &Managed) -> CertificateStatus {
    let certificate = managed.certificate();
    let State { progress, renew_at, n_failures_total, n_renewals_total } = managed.state();
    CertificateStatus {
        names: managed.names.clone(),
        source: CertificateSource::Acme,
        issuer: certificate.as_ref().map(|it| it.issuer.clone()),
        not_after: certificate.as_ref().map(|it| it.not_after),
        next_attempt: store::time(progress.next_attempt).or(renew_at),
        last_error: progress.last_error,
        n_failures_total,
        n_renewals_total,
    }
}
