//! A whole order that keeps nothing: whether names could be had, without spending what a CA allows.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::authority::{AccountSlot, Authority, Mode};
use super::challenge::Challenges;
use super::order::AcmeError;
use super::store::{self, Store};
use crate::certs::names;
use crate::clock::Clock;
use crate::config::{AcmeConfig, Config, Directory, HostPattern};
use crate::vhost::Sites;

/// What came of one certificate's order.
#[derive(Debug)]
pub struct Trial {
    pub names: Vec<String>,
    pub directory: Directory,
    /// Until when the certificate would be good, or why there would be none.
    pub outcome: Result<OffsetDateTime, AcmeError>,
}

/// Goes through the orders of these names, or of all that are configured if there are none.
///
/// Asks `directory`, or what [`Directory::for_trials`] says. A name that is proved by TLS-ALPN-01
/// needs the server running: it answers the CA's handshake.
pub async fn try_orders(
    config: &Config,
    wanted: &[HostPattern],
    directory: Option<&Directory>,
    clock: Arc<dyn Clock>,
) -> Result<Vec<Trial>, TrialError> {
    let plans = plans(config, wanted)?;
    let challenges = Arc::new(Challenges::new(store::challenges_dir(&config.data_dir)));
    let mut trials = Vec::new();
    for (mut acme, names) in plans {
        acme.directory = directory.cloned().unwrap_or_else(|| acme.directory.for_trials());
        let directory = acme.directory.clone();
        let (store, challenges) =
            (Store::new(&config.data_dir, &directory), Arc::clone(&challenges));
        let authority = Authority::new(
            acme,
            Arc::clone(&clock),
            store,
            challenges,
            AccountSlot::default(),
            Mode::Trial,
        );
        let outcome = match authority {
            Ok(authority) => authority.obtain(&names, None, &CancellationToken::new()).await,
            Err(error) => Err(error.into()),
        };
        let outcome = outcome.map(|issued| issued.certificate.not_after);
        trials.push(Trial { names, directory, outcome });
    }
    Ok(trials)
}

/// Why nothing can be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("there is no [[acme]] in the configuration")]
    NoAcme,
    #[error(
        "{0:?} is not among the names of any [[acme]]; add it there, or to a site in one of its zones"
    )]
    NotConfigured(String),
}

/// Each order with what it is asked of.
fn plans(
    config: &Config,
    wanted: &[HostPattern],
) -> Result<Vec<(AcmeConfig, Vec<String>)>, TrialError> {
    if config.certificates.acme.is_empty() {
        return Err(TrialError::NoAcme);
    }
    let served = Sites::dns_names(config);
    let all = names::orders(&config.certificates.acme, &served).into_iter();
    let all: Vec<_> = all.map(|(acme, names)| (acme.clone(), names)).collect();
    if wanted.is_empty() {
        return Ok(all);
    }
    let is_in =
        |order: &[String], name: &str| order.iter().any(|it| it == name || names::covers(it, name));
    let missing = wanted.iter().find(|name| !all.iter().any(|(_, it)| is_in(it, name.as_str())));
    if let Some(name) = missing {
        return Err(TrialError::NotConfigured(name.to_string()));
    }
    let is_wanted = |order: &[String]| wanted.iter().any(|name| is_in(order, name.as_str()));
    Ok(all.into_iter().filter(|(_, order)| is_wanted(order)).collect())
}
