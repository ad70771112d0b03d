//! One ACME server with our account there, shared by every certificate that comes from it.

use std::sync::Arc;

use instant_acme::{
    Account, AccountBuilder, ExternalAccountKey, NewAccount, NewOrder, Order, Problem,
};
use time::OffsetDateTime;
use tokio::sync::{Mutex, Semaphore};

use super::challenge::Challenges;
use super::order::AcmeError;
use super::store::{Store, StoredAccount};
use crate::certs::dns::propagation::Resolver;
use crate::certs::dns::{self, DnsProvider};
use crate::certs::http::{self, AcmeHttp, HttpError, Roots};
use crate::clock::Clock;
use crate::config::{AcmeConfig, Proof};

/// A CA that was away meets the orders that waited a few at a time.
const ORDERS_MAX: usize = 4;
const ACCOUNT_NEW: time::Duration = time::Duration::HOUR;

/// What orders need.
#[derive(Debug)]
pub(crate) struct Authority {
    pub config: AcmeConfig,
    pub clock: Arc<dyn Clock>,
    pub store: Store,
    pub challenges: Arc<Challenges>,
    pub dns: Option<Arc<dyn DnsProvider>>,
    pub resolver: Resolver,
    pub(super) http: reqwest::Client,
    pub(super) orders: Semaphore,
    pub(super) mode: Mode,
    pub account: AccountSlot,
}

/// Our account at a CA, once it is needed; one for all that ask this CA.
pub(crate) type AccountSlot = Arc<Mutex<Option<LiveAccount>>>;

/// Whether anything of an order outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Kept,
    /// Its account is made for it and forgotten, its challenges are met by the server that runs.
    Trial,
}

#[derive(Clone)]
pub(crate) struct LiveAccount {
    account: Account,
    /// If it was made by this process.
    made_at: Option<OffsetDateTime>,
}

impl std::fmt::Debug for LiveAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LiveAccount({})", self.account.id())
    }
}

impl Authority {
    pub(crate) fn new(
        config: AcmeConfig,
        clock: Arc<dyn Clock>,
        store: Store,
        challenges: Arc<Challenges>,
        account: AccountSlot,
        mode: Mode,
    ) -> Result<Self, HttpError> {
        let system = Roots::system();
        let roots = match &config.ca_file {
            Some(path) => Roots::of_file(path)?,
            None => system.clone(),
        };
        let dns = match &config.proof {
            Proof::TlsAlpn01 => None,
            Proof::Dns01(it) => Some(dns::provider(&it.provider, &system, &clock)?),
        };
        Ok(Self {
            http: http::client(&roots)?,
            orders: Semaphore::new(ORDERS_MAX),
            account,
            resolver: Resolver::system(),
            config,
            clock,
            store,
            challenges,
            dns,
            mode,
        })
    }

    /// A new order; an account the CA no longer knows is replaced once.
    pub(super) async fn new_order(&self, order: &NewOrder<'_>) -> Result<Order, AcmeError> {
        let account = self.account().await?;
        match account.new_order(order).await {
            Err(instant_acme::Error::Api(problem))
                if is_account_gone(&problem, self.is_account_new().await) =>
            {
                tracing::warn!(
                    directory = %self.config.directory, %problem,
                    "The CA does not accept our account any more; making a new one."
                );
                self.retire_account(account.id()).await?;
                self.account().await?.new_order(order).await.map_err(AcmeError::Order)
            }
            answered => answered.map_err(AcmeError::Order),
        }
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let mut live = self.account.lock().await;
        if let Some(live) = &*live {
            return Ok(live.account.clone());
        }
        let (account, made_at) = match self.stored_account()? {
            Some(stored) => (self.restore(stored).await?, None),
            None => (self.register().await?, Some(self.clock.now())),
        };
        *live = Some(LiveAccount { account: account.clone(), made_at });
        Ok(account)
    }

    fn stored_account(&self) -> Result<Option<StoredAccount>, AcmeError> {
        let stored = match self.mode {
            Mode::Kept => self.store.account()?,
            Mode::Trial => None,
        };
        Ok(stored.filter(|it| it.directory == self.config.directory.as_str()))
    }

    async fn restore(&self, stored: StoredAccount) -> Result<Account, AcmeError> {
        let email = stored.email.clone();
        let credentials = stored.credentials;
        let account = self.builder().from_credentials(credentials).await;
        let account = account.map_err(AcmeError::Directory)?;
        if email != self.config.email {
            let contact = self.contact();
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            match account.update_contacts(&contact).await {
                Ok(()) => self.keep_email()?,
                Err(error) => tracing::warn!(%error, "The CA did not take the new email address."),
            }
        }
        Ok(account)
    }

    async fn register(&self) -> Result<Account, AcmeError> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = match &self.config.external_account {
            None => None,
            Some(it) => {
                let key = it.hmac_key_file.read_base64()?;
                Some(ExternalAccountKey::new(it.kid.clone(), &key))
            }
        };
        let directory = self.config.directory.to_string();
        let made = self.builder().create(&new, directory, external.as_ref()).await;
        let (account, credentials) = made.map_err(AcmeError::Account)?;
        tracing::info!(directory = %self.config.directory, account = account.id(), "Made an account.");
        if self.mode == Mode::Kept {
            self.store.keep_account(&StoredAccount {
                directory: self.config.directory.to_string(),
                email: self.config.email.clone(),
                credentials,
            })?;
        }
        Ok(account)
    }

    /// Unless another order was faster.
    async fn retire_account(&self, id: &str) -> Result<(), AcmeError> {
        let mut live = self.account.lock().await;
        if live.as_ref().is_some_and(|it| it.account.id() == id) {
            *live = None;
            if self.mode == Mode::Kept {
                self.store.retire_account()?;
            }
        }
        Ok(())
    }

    async fn is_account_new(&self) -> bool {
        let made_at = self.account.lock().await.as_ref().and_then(|it| it.made_at);
        made_at.is_some_and(|it| self.clock.now() - it < ACCOUNT_NEW)
    }

    fn keep_email(&self) -> Result<(), AcmeError> {
        if let Some(stored) = self.store.account()? {
            self.store
                .keep_account(&StoredAccount { email: self.config.email.clone(), ..stored })?;
        }
        Ok(())
    }

    fn contact(&self) -> Option<String> {
        self.config.email.as_ref().map(|it| format!("mailto:{it}"))
    }

    fn builder(&self) -> AccountBuilder {
        Account::builder_with_http(Box::new(AcmeHttp(self.http.clone())))
    }

    /// What a challenge certificate of a trial or of this process is kept by.
    pub(super) fn open_challenge(&self, name: &str, digest: &[u8]) -> Result<(), AcmeError> {
        let opened = match self.mode {
            Mode::Kept => self.challenges.open(name, digest),
            Mode::Trial => self.challenges.open_trial(name, digest),
        };
        opened.map_err(AcmeError::Disk)
    }

    pub(super) fn close_challenge(&self, name: &str) {
        match self.mode {
            Mode::Kept => self.challenges.close(name),
            Mode::Trial => {
                if let Err(error) = self.challenges.close_trial(name) {
                    tracing::warn!(%error, "Could not remove the challenge of a trial.");
                }
            }
        }
    }
}

/// To a new order, these say that the account is unknown, deactivated or revoked (RFC 8555 §7.3.6).
///
/// A CA that says the second of an account just made means something else by it; asking for
/// another account each time would only use up what it allows.
fn is_account_gone(problem: &Problem, is_new: bool) -> bool {
    let is = |name: &str| {
        problem.r#type.as_deref() == Some(&format!("urn:ietf:params:acme:error:{name}"))
    };
    is("accountDoesNotExist") || (is("unauthorized") && !is_new)
}
