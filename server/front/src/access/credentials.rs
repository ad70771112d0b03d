//! Turns what a request carries (bearer token, name and password, session cookie, certificate) into
//! who it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::certificate::AgentCertificate;
use super::handover::Handover;
use super::passwords::Passwords;
use super::people::Account;
use super::records::Records;
use super::sessions::Session;
use super::tickets::Tickets;
use super::tokens::Found;
use super::{Principal, Via};
use crate::config::{AgentCertificates, Config, PasswordHash};
use crate::error::Error;

/// `__Host-`: a browser keeps it for this very name and only from HTTPS, so that no service on a
/// neighbouring name can set it.
pub(crate) const SESSION_COOKIE: &str = "__Host-skep";
/// Somebody has this long to find their phone.
const SECOND_STEP_LIFETIME: Duration = Duration::from_secs(300);
/// A redirect takes moments.
const HANDOVER_LIFETIME: Duration = Duration::from_secs(60);
/// Wrong codes for one user, from wherever they come: who gets so far knows the password.
const CODES_BURST: u32 = 10;
const CODES_REFILL: Duration = Duration::from_secs(60);
/// How much of when a token was last used is lost by a crash.
const USES_SAVE_INTERVAL: Duration = Duration::from_secs(300);

/// Everything credentials are checked against.
#[derive(Debug)]
pub(crate) struct Access {
    pub records: Records,
    passwords: Passwords,
    attempts: Attempts,
    agents: ArcSwap<AgentCertificates>,
    /// At sites with passwords of their own; kept here, since sites come and go.
    site_attempts: Arc<Attempts>,
    codes: Attempts<Arc<str>>,
    /// Who gave the right password and now owes a code.
    pub second_steps: Tickets<SecondStep>,
    /// Who is on the way from the apex to a site of the user's.
    pub handovers: Tickets<Handover>,
}

/// A login between password and code.
#[derive(Debug, Clone)]
pub(crate) struct SecondStep {
    pub name: Arc<str>,
    pub n_wrong: u32,
}

/// Why credentials are no good.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Denied {
    #[error("the Authorization header is neither \"Bearer <token>\" nor \"Basic <base64>\"")]
    Malformed,
    #[error("this token is unknown here; it may have been revoked")]
    UnknownToken,
    #[error("the token {0:?} has expired; make another")]
    ExpiredToken(String),
    #[error(
        "the certificate of the agent {0:?} does not count any more; it was revoked, or the agent has another key"
    )]
    UnknownCertificate(String),
    #[error(
        "agents must show their certificate here (`agents.mtls = \"required\"`); {0:?} can get one by POST /-/skep/v1/certificate"
    )]
    NeedsCertificate(Arc<str>),
    #[error("wrong user name or password")]
    WrongPassword,
    #[error("{0:?} logs in with a code, too, which HTTP Basic cannot carry; use an API token")]
    AsksForCode(Arc<str>),
    #[error("too many wrong passwords from this address; wait {} s", .0.as_secs().max(1))]
    TooMany(Duration),
}

/// What a request has to show, besides its headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub headers: &'a HeaderMap,
    /// The name it is for.
    pub host: &'a str,
    pub client: IpAddr,
    /// Checked by TLS.
    pub certificate: Option<&'a AgentCertificate>,
}

impl Access {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let limits = &config.limits;
        Ok(Self {
            records: Records::open(config)?,
            passwords: Passwords::new(),
            attempts: Attempts::new(limits.login_burst, limits.login_refill),
            agents: ArcSwap::from_pointee(config.agents),
            site_attempts: Arc::new(Attempts::new(limits.login_burst, limits.login_refill)),
            codes: Attempts::new(CODES_BURST, CODES_REFILL),
            second_steps: Tickets::new(SECOND_STEP_LIFETIME),
            handovers: Tickets::new(HANDOVER_LIFETIME),
        })
    }

    pub(crate) fn site_attempts(&self) -> &Arc<Attempts> {
        &self.site_attempts
    }

    /// Puts users, tokens and limits in the place of the configuration's of before; logins of users
    /// that are still there go on.
    pub(crate) fn replace(&self, config: &Config) {
        let limits = &config.limits;
        self.records.people.configure(config.users.clone());
        self.records.people.trust(config.oidc.as_ref().map(|it| it.issuer.clone()));
        self.records.tokens.configure(config.tokens.clone());
        self.agents.store(Arc::new(config.agents));
        self.records.sessions.set_lifetime(limits.session_lifetime);
        self.attempts.set_limit(limits.login_burst, limits.login_refill);
    }

    /// Writes down now and then when tokens were used, until shutdown.
    pub(crate) async fn keep_uses(&self, shutdown: CancellationToken) {
        let mut is_over = false;
        while !is_over {
            tokio::select! {
                () = shutdown.cancelled() => is_over = true,
                () = tokio::time::sleep(USES_SAVE_INTERVAL) => {}
            }
            if let Err(error) = tokio::task::block_in_place(|| self.records.tokens.uses().save()) {
                tracing::warn!(%error, "Could not write down when tokens were used.");
            }
        }
    }

    /// Who sends this; `None` when it carries no credentials (or a dead session).
    pub(crate) async fn principal(
        &self,
        shown: Shown<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Principal>, Denied> {
        let mut values = shown.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => match shown.certificate {
                Some(certificate) => {
                    let agent = self.records.tokens.find_agent(certificate, now);
                    let name = || certificate.name.clone();
                    agent.map(Some).ok_or_else(|| Denied::UnknownCertificate(name()))
                }
                None => Ok(self.session(shown, now).map(|(_, account)| Principal {
                    name: account.name,
                    scopes: account.scopes,
                    via: Via::Session,
                })),
            },
            (Some(_), Some(_)) => Err(Denied::Malformed),
            (Some(value), None) => {
                let text = value.to_str().map_err(|_binary| Denied::Malformed)?;
                self.authorization(text, shown, now).await.map(Some)
            }
        }
    }

    /// The login that the cookie stands for.
    pub(crate) fn session(
        &self,
        shown: Shown<'_>,
        now: OffsetDateTime,
    ) -> Option<(Session, Account)> {
        let cookie = session_cookie(shown.headers)?;
        self.records.sessions.find(cookie, shown.host, &self.records.people, now)
    }

    async fn authorization(
        &self,
        text: &str,
        shown: Shown<'_>,
        now: OffsetDateTime,
    ) -> Result<Principal, Denied> {
        let (scheme, rest) = text.split_once(' ').ok_or(Denied::Malformed)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            match self.records.tokens.find(rest, now) {
                Found::Good(principal) => Ok(principal),
                Found::Agent(principal) => self.agent(principal, shown, now),
                Found::Expired(name) => Err(Denied::ExpiredToken(name)),
                Found::Unknown => Err(Denied::UnknownToken),
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            let (name, password) = name_and_password(rest).ok_or(Denied::Malformed)?;
            let account = self.login(&name, &password, shown.client, now).await?;
            if account.asks_for_code {
                return Err(Denied::AsksForCode(account.name));
            }
            Ok(Principal { name: account.name, scopes: account.scopes, via: Via::Basic })
        } else {
            Err(Denied::Malformed)
        }
    }

    /// An agent by its credential, which is enough unless certificates are required.
    fn agent(
        &self,
        principal: Principal,
        shown: Shown<'_>,
        now: OffsetDateTime,
    ) -> Result<Principal, Denied> {
        let found = shown.certificate.and_then(|it| self.records.tokens.find_agent(it, now));
        match found.filter(|it| it.name == principal.name) {
            Some(certified) => Ok(certified),
            None if **self.agents.load() == AgentCertificates::Required => {
                Err(Denied::NeedsCertificate(principal.name))
            }
            None => Ok(principal),
        }
    }

    /// The agent that asks for a certificate: it may have none yet.
    pub(crate) async fn asking_agent(
        &self,
        shown: Shown<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Principal>, Denied> {
        let value = shown.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let bearer = value.and_then(|it| it.split_once(' ')).map(|(_, text)| text.trim());
        match bearer.map(|text| self.records.tokens.find(text, now)) {
            Some(Found::Agent(principal)) => {
                let certified = self.agent(principal.clone(), shown, now);
                Ok(Some(certified.unwrap_or(principal)))
            }
            _other => self.principal(shown, now).await,
        }
    }

    /// The user of a name and password; wrong ones are counted for the client.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: &str,
        client: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Account, Denied> {
        let account = self.records.people.find(name);
        if let Some(account) = &account
            && self.passwords.recalls(account, password, now)
        {
            return Ok(account.clone());
        }
        self.attempts.take(client, now).map_err(Denied::TooMany)?;
        // Its cost must be that of the users' own hashes.
        let stand_in = self.records.people.any_password().unwrap_or_else(PasswordHash::of_nobody);
        let is_right = self.passwords.check(account.as_ref(), stand_in, password, now).await;
        match account.filter(|_| is_right) {
            Some(account) => {
                self.attempts.give_back(client);
                Ok(account)
            }
            None => {
                tracing::warn!(peer = %client, name = name.escape_debug().to_string(), "Wrong user name or password.");
                Err(Denied::WrongPassword)
            }
        }
    }

    /// The user who gave the right password before, if the code is right, too. Blocks on the disk.
    pub(crate) fn check_code(
        &self,
        name: &Arc<str>,
        code: &str,
        client: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Option<Account>, CodeError> {
        self.attempts.take(client, now).map_err(CodeError::TooMany)?;
        self.codes.take(Arc::clone(name), now).map_err(CodeError::TooMany)?;
        if !self.records.people.check_code(name, code, now)? {
            tracing::warn!(peer = %client, name = &**name, "Wrong code after a right password.");
            return Ok(None);
        }
        self.attempts.give_back(client);
        self.codes.give_back(Arc::clone(name));
        Ok(self.records.people.find(name))
    }

    /// Counts what is guessed at without a user name, like the tokens of agents.
    pub(crate) fn count_guess(&self, client: IpAddr, now: OffsetDateTime) -> Result<(), Duration> {
        self.attempts.take(client, now)
    }

    pub(crate) fn forgive_guess(&self, client: IpAddr) {
        self.attempts.give_back(client);
    }
}

/// Why a code was not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodeError {
    #[error("too many wrong codes")]
    TooMany(Duration),
    #[error(transparent)]
    File(#[from] Error),
}

/// The value of our session cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, SESSION_COOKIE)
}

pub(crate) fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _value)| name.trim() == wanted).map(|(_name, value)| value.trim())
}

pub(crate) fn name_and_password(base64: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(base64).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
