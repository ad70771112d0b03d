//! One order: prove each name, hand in a key, fetch the chain; whatever was set up is taken down again.

use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::Der;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use crate::certs::chain::{Certificate, ChainError};
use crate::certs::dns::propagation::{self, PropagationError};
use crate::certs::dns::{DnsError, TxtRecord};
use crate::certs::http::HttpError;
use crate::config::{CertificatesConfigError, Proof};
use crate::error::Error;

/// How long a CA may take to look at challenges, or to sign; then the order counts as failed.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// A whole order, without the time that records may take to become visible.
const ORDER_MAX: Duration = Duration::from_secs(600);
/// For each record that is taken away again.
const CLEAN_UP_MAX: Duration = Duration::from_secs(30);
/// A CA refuses some nonces; the client tries each request three times, and we the order.
const BAD_NONCE_TRIES: u32 = 6;

/// What came of an order.
#[derive(Debug)]
pub(crate) struct Issued {
    pub chain_pem: String,
    pub key_pem: String,
    pub certificate: Certificate,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("the ACME directory cannot be used")]
    Directory(#[source] instant_acme::Error),
    #[error("the CA made no account")]
    Account(#[source] instant_acme::Error),
    #[error("the CA took no order")]
    Order(#[source] instant_acme::Error),
    #[error("the CA did not go on with the order")]
    Progress(#[source] instant_acme::Error),
    #[error("the CA does not let {name} be proved by {kind}")]
    NoChallenge { name: String, kind: &'static str },
    #[error("the CA could not verify {name} by {kind}: {problem}")]
    Refused { name: String, kind: &'static str, problem: Problem },
    #[error("the order became invalid, and the CA does not say why")]
    Invalid,
    #[error("the CA's order names {0:?}, which is no DNS name")]
    Identifier(String),
    #[error("could not set {name}")]
    Dns { name: String, source: DnsError },
    #[error(transparent)]
    Propagation(#[from] PropagationError),
    #[error("the CA sent a chain of no use")]
    Chain(#[source] ChainError),
    #[error("the CA's certificate is not for {0}")]
    NotCovered(String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Secret(#[from] CertificatesConfigError),
    #[error(transparent)]
    Disk(#[from] Error),
    #[error("the order took longer than {} minutes", ORDER_MAX.as_secs() / 60)]
    TooSlow,
    #[error("stopped")]
    Stopped,
}

impl AcmeError {
    pub(crate) fn is_rate_limit(&self) -> bool {
        self.is_problem("rateLimited")
    }

    fn is_bad_nonce(&self) -> bool {
        self.is_problem("badNonce")
    }

    fn is_problem(&self, name: &str) -> bool {
        let problem = match self {
            Self::Directory(error)
            | Self::Account(error)
            | Self::Order(error)
            | Self::Progress(error) => match error {
                instant_acme::Error::Api(problem) => problem,
                _other => return false,
            },
            Self::Refused { problem, .. } => problem,
            _other => return false,
        };
        problem.r#type.as_deref() == Some(&format!("urn:ietf:params:acme:error:{name}"))
    }
}

/// One name that is not proved yet, and what has been set up for it.
#[derive(Debug)]
struct SetUp {
    name: String,
    how: How,
}

#[derive(Debug)]
enum How {
    Record(TxtRecord),
    Handshake,
}

impl Authority {
    /// A certificate for `names` that takes the place of `before`.
    pub(crate) async fn obtain(
        &self,
        names: &[String],
        before: Option<&Certificate>,
        stop: &CancellationToken,
    ) -> Result<Issued, AcmeError> {
        let permit = tokio::select! {
            permit = self.orders.acquire() => permit,
            () = stop.cancelled() => return Err(AcmeError::Stopped),
        };
        let Ok(_permit) = permit else { return Err(AcmeError::Stopped) };
        let mut replaces = before;
        for attempt in 1.. {
            match self.obtain_once(names, replaces, stop).await {
                Err(error) if error.is_bad_nonce() && attempt < BAD_NONCE_TRIES => {
                    tracing::debug!(attempt, "The CA refused a nonce; beginning again.");
                }
                // It was replaced before, by an order whose certificate did not reach us.
                Err(error) if error.is_problem("alreadyReplaced") && replaces.is_some() => {
                    replaces = None;
                }
                outcome => return outcome,
            }
        }
        Err(AcmeError::Invalid)
    }

    async fn obtain_once(
        &self,
        names: &[String],
        before: Option<&Certificate>,
        stop: &CancellationToken,
    ) -> Result<Issued, AcmeError> {
        let mut set_up = Vec::new();
        let limit = ORDER_MAX + self.propagation_max();
        let outcome = tokio::select! {
            outcome = self.go_through(names, before, &mut set_up) => outcome,
            () = tokio::time::sleep(limit) => Err(AcmeError::TooSlow),
            () = stop.cancelled() => Err(AcmeError::Stopped),
        };
        self.take_down(set_up).await;
        outcome
    }

    async fn go_through(
        &self,
        names: &[String],
        before: Option<&Certificate>,
        set_up: &mut Vec<SetUp>,
    ) -> Result<Issued, AcmeError> {
        let identifiers: Vec<Identifier> =
            names.iter().map(|it| Identifier::Dns(it.clone())).collect();
        let mut order = self.start(&identifiers, before).await?;
        self.prepare(&mut order, set_up).await?;
        self.wait_visible(set_up).await?;
        if let Err(error) = self.prove(&mut order).await {
            return Err(self.reason(&mut order).await.unwrap_or(error));
        }
        let key = KeyPair::generate().map_err(Error::from)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(Error::from)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(Error::from)?;
        order.finalize_csr(request.der()).await.map_err(AcmeError::Progress)?;
        let chain_pem = order.poll_certificate(&POLL).await.map_err(AcmeError::Progress)?;
        let key_pem = key.serialize_pem();
        let certificate = Certificate::parse(&chain_pem, &key_pem).map_err(AcmeError::Chain)?;
        match names.iter().find(|name| !certificate.covers(name)) {
            Some(name) => Err(AcmeError::NotCovered(name.clone())),
            None => Ok(Issued { chain_pem, key_pem, certificate }),
        }
    }

    async fn start(
        &self,
        identifiers: &[Identifier],
        before: Option<&Certificate>,
    ) -> Result<Order, AcmeError> {
        let new = || {
            let new = NewOrder::new(identifiers);
            match &self.config.profile {
                Some(profile) => new.profile(profile),
                None => new,
            }
        };
        if let Some(id) = before.and_then(|it| it.renewal_id.as_ref()) {
            let authority_key_id = Der::from_slice(&id.authority_key_id);
            let id = CertificateIdentifier::new(authority_key_id, Der::from_slice(&id.serial));
            match self.new_order(&new().replaces(id)).await {
                // A CA without ARI, or one that has forgotten the certificate.
                Err(AcmeError::Order(instant_acme::Error::Unsupported(_))) => {}
                Err(error) if error.is_problem("malformed") => {}
                answered => return answered,
            }
        }
        self.new_order(&new()).await
    }

    /// Sets up what the CA will look for, for every name it has not seen proved lately.
    async fn prepare(&self, order: &mut Order, set_up: &mut Vec<SetUp>) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(AcmeError::Progress)?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let shown = authorization.identifier().to_string();
            let name = match authorization.identifier().identifier {
                Identifier::Dns(name) => name.to_ascii_lowercase(),
                _other => return Err(AcmeError::Identifier(shown)),
            };
            let (kind, label) = self.kind();
            let no_challenge = AcmeError::NoChallenge { name: shown, kind: label };
            let challenge = authorization.challenge(kind).ok_or(no_challenge)?;
            let proof = challenge.key_authorization();
            match &self.dns {
                Some(dns) => {
                    let record = TxtRecord::for_challenge(&name, proof.dns_value());
                    // Noted first: a call that fails may have set it all the same.
                    set_up.push(SetUp { name: name.clone(), how: How::Record(record.clone()) });
                    dns.present(&record)
                        .await
                        .map_err(|source| AcmeError::Dns { name: record.name.clone(), source })?;
                }
                None => {
                    set_up.push(SetUp { name: name.clone(), how: How::Handshake });
                    self.open_challenge(&name, proof.digest().as_ref())?;
                }
            }
        }
        Ok(())
    }

    async fn wait_visible(&self, set_up: &[SetUp]) -> Result<(), AcmeError> {
        let Proof::Dns01(it) = &self.config.proof else { return Ok(()) };
        let records: Vec<TxtRecord> = set_up
            .iter()
            .filter_map(|it| match &it.how {
                How::Record(record) => Some(record.clone()),
                How::Handshake => None,
            })
            .collect();
        if records.is_empty() {
            return Ok(());
        }
        Ok(propagation::wait(&records, &it.propagation, &self.resolver).await?)
    }

    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(AcmeError::Progress)?;
            if authorization.status != AuthorizationStatus::Valid {
                let (kind, _label) = self.kind();
                if let Some(mut challenge) = authorization.challenge(kind) {
                    challenge.set_ready().await.map_err(AcmeError::Progress)?;
                }
            }
        }
        match order.poll_ready(&POLL).await.map_err(AcmeError::Progress)? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(()),
            _invalid => Err(AcmeError::Invalid),
        }
    }

    /// What the CA found wrong, if it says so anywhere.
    async fn reason(&self, order: &mut Order) -> Option<AcmeError> {
        let (kind, label) = self.kind();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let challenge = authorization.challenges.iter().find(|it| it.r#type == kind);
            if let Some(problem) = challenge.and_then(|it| it.error.clone()) {
                let name = authorization.identifier().to_string();
                return Some(AcmeError::Refused { name, kind: label, problem });
            }
        }
        None
    }

    async fn take_down(&self, set_up: Vec<SetUp>) {
        for SetUp { name, how } in set_up {
            let (How::Record(record), Some(dns)) = (how, &self.dns) else {
                self.close_challenge(&name);
                continue;
            };
            match tokio::time::timeout(CLEAN_UP_MAX, dns.clean_up(&record)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = crate::error::chain(&error);
                    tracing::warn!(error, record = record.name, "A TXT record was left behind.");
                }
                Err(_elapsed) => {
                    tracing::warn!(
                        record = record.name,
                        "A TXT record was left behind: no answer."
                    );
                }
            }
        }
    }

    fn kind(&self) -> (ChallengeType, &'static str) {
        match self.config.proof {
            Proof::TlsAlpn01 => (ChallengeType::TlsAlpn01, "TLS-ALPN-01"),
            Proof::Dns01(_) => (ChallengeType::Dns01, "DNS-01"),
        }
    }

    fn propagation_max(&self) -> Duration {
        match &self.config.proof {
            Proof::TlsAlpn01 => Duration::ZERO,
            Proof::Dns01(it) => it.propagation.delay + it.propagation.timeout * 2,
        }
    }
}
