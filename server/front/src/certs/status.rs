//! Where each certificate stands, as plain data: for metrics, the page and the command line.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::acme::challenge::Challenges;
use super::acme::store;
use super::acme::{Managed, State};
use super::names::{covers, normal};
use super::own::OwnFiles;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::error::Error;
use crate::observe::escape;
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
    let own = super::load_own(config, None)?;
    let served = Sites::dns_names(config);
    let acme = super::load_acme(config, &served, &clock, &challenges, None)?;
    Ok(of(&own, &acme, &[]))
}

/// As the page is told.
pub(crate) fn to_json(all: &[CertificateStatus]) -> Value {
    let unix_s = |at: Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
    let each = all.iter().map(|it| {
        json!({
            "names": it.names,
            "source": it.source.as_str(),
            "issuer": it.issuer,
            "not_after_unix_s": unix_s(it.not_after),
            "next_attempt_unix_s": unix_s(it.next_attempt),
            "last_error": it.last_error,
            "failures": it.n_failures_total,
            "renewals": it.n_renewals_total,
        })
    });
    each.collect()
}

/// The names that only the local CA vouches for, where certificates come from elsewhere, too:
/// `stored` has those.
pub fn names_of_local_ca(config: &Config, stored: &[CertificateStatus]) -> Vec<String> {
    if stored.is_empty() {
        return Vec::new();
    }
    let covered: Vec<String> =
        stored.iter().flat_map(|it| &it.names).map(|it| normal(it)).collect();
    let mut names = Sites::dns_names(config);
    names.retain(|name| !covered.iter().any(|it| it == name || covers(it, name)));
    names
}

/// In Prometheus' text format.
pub(crate) fn to_text(all: &[CertificateStatus]) -> String {
    let mut out = String::new();
    write(all, &mut out).expect("a String never fails");
    out
}

fn write(all: &[CertificateStatus], out: &mut String) -> std::fmt::Result {
    let families: [(&str, &str, &str, Figure); 3] = [
        ("expiry_timestamp_seconds", "gauge", "When the certificate in use ends.", |it| {
            it.not_after.map(|it| it.unix_timestamp().to_string())
        }),
        ("failures_total", "counter", "Tries to get or to read a certificate that failed.", |it| {
            (it.source != CertificateSource::LocalCa).then(|| it.n_failures_total.to_string())
        }),
        ("renewals_total", "counter", "Certificates that a CA has given.", |it| {
            (it.source == CertificateSource::Acme).then(|| it.n_renewals_total.to_string())
        }),
    ];
    for (name, kind, help, figure) in families {
        let name = format!("skep_front_certificate_{name}");
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        let mut seen = HashSet::new();
        for it in all {
            let (source, figure) = (it.source.as_str(), figure(it));
            // Two files may carry one name: the first is enough for an alarm.
            let names = it.names.iter().filter(|name| seen.insert((source, (*name).clone())));
            for (name_of, figure) in names.zip(std::iter::repeat(figure)) {
                if let Some(figure) = figure {
                    // A file's certificate carries what its maker wrote into it.
                    let labels = format!("name=\"{}\",source=\"{source}\"", escape(name_of));
                    writeln!(out, "{name}{{{labels}}} {figure}")?;
                }
            }
        }
    }
    Ok(())
}

type Figure = fn(&CertificateStatus) -> Option<String>;

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

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_name_has_its_end_and_failures_are_counted() {
        let status = |names: &[&str], source, not_after, n_failures_total| CertificateStatus {
            names: names.iter().map(|it| (*it).to_owned()).collect(),
            source,
            issuer: None,
            not_after,
            next_attempt: None,
            last_error: None,
            n_failures_total,
            n_renewals_total: 2,
        };
        let end = Some(time::macros::datetime!(2027-02-01 00:00 UTC));
        let all = [
            status(&["a\"b"], CertificateSource::File, end, 0),
            status(&["lan.test", "*.lan.test"], CertificateSource::Acme, end, 3),
            status(&["new.test"], CertificateSource::Acme, None, 1),
            status(&["localhost"], CertificateSource::LocalCa, end, 0),
        ];
        expect![[r##"
            # HELP skep_front_certificate_expiry_timestamp_seconds When the certificate in use ends.
            # TYPE skep_front_certificate_expiry_timestamp_seconds gauge
            skep_front_certificate_expiry_timestamp_seconds{name="a\"b",source="file"} 1801440000
            skep_front_certificate_expiry_timestamp_seconds{name="lan.test",source="acme"} 1801440000
            skep_front_certificate_expiry_timestamp_seconds{name="*.lan.test",source="acme"} 1801440000
            skep_front_certificate_expiry_timestamp_seconds{name="localhost",source="local"} 1801440000
            # HELP skep_front_certificate_failures_total Tries to get or to read a certificate that failed.
            # TYPE skep_front_certificate_failures_total counter
            skep_front_certificate_failures_total{name="a\"b",source="file"} 0
            skep_front_certificate_failures_total{name="lan.test",source="acme"} 3
            skep_front_certificate_failures_total{name="*.lan.test",source="acme"} 3
            skep_front_certificate_failures_total{name="new.test",source="acme"} 1
            # HELP skep_front_certificate_renewals_total Certificates that a CA has given.
            # TYPE skep_front_certificate_renewals_total counter
            skep_front_certificate_renewals_total{name="lan.test",source="acme"} 2
            skep_front_certificate_renewals_total{name="*.lan.test",source="acme"} 2
            skep_front_certificate_renewals_total{name="new.test",source="acme"} 2
        "##]].assert_eq(&to_text(&all));
    }
}
