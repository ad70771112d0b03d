//! Users, tokens, agents and logins as they are on the disk: for the server and the command line.

use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use super::Scope;
use super::enrolments::Enrolments;
use super::error::AccessError;
use super::people::{People, Role, UserInfo};
use super::second_factor::NewFactor;
use super::sessions::{SessionInfo, Sessions};
use super::tokens::{TokenInfo, Tokens};
use crate::config::{Config, TokenHash};
use crate::error::Error;
use crate::files;

/// Every change is on the disk when it returns, and known to a running server by its next request.
#[derive(Debug)]
pub struct Records {
    pub(crate) people: People,
    pub(crate) tokens: Tokens,
    pub(crate) enrolments: Enrolments,
    pub(crate) sessions: Sessions,
}

impl Records {
    /// Of the server with this configuration, whether it runs or not.
    pub fn open(config: &Config) -> Result<Self, Error> {
        files::create_private_dir(&config.data_dir)?;
        let dir = config.data_dir.join("access");
        files::create_private_dir(&dir)?;
        Self::open_in(&dir, config)
    }

    fn open_in(dir: &Path, config: &Config) -> Result<Self, Error> {
        let lifetime = config.limits.session_lifetime;
        let people = People::open(dir, config.users.clone())?;
        people.trust(config.oidc.as_ref().map(|it| it.issuer.clone()));
        Ok(Self {
            people,
            tokens: Tokens::open(dir, config.tokens.clone())?,
            enrolments: Enrolments::open(dir)?,
            sessions: Sessions::open(config.data_dir.join("sessions.json"), lifetime)?,
        })
    }

    /// Those of the configuration and of the file.
    pub fn users(&self) -> Vec<UserInfo> {
        self.people.list()
    }

    pub fn add_user(
        &self,
        name: &str,
        role: Role,
        password: &str,
        now: OffsetDateTime,
    ) -> Result<(), AccessError> {
        self.people.add(name, role, password, now)
    }

    /// Ends all logins that were made with the old one.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), AccessError> {
        self.people.set_password(name, password)?;
        self.sessions.end_all(Some(name))?;
        Ok(())
    }

    pub fn set_role(&self, name: &str, role: Role) -> Result<(), AccessError> {
        self.people.set_role(name, role)
    }

    /// Ends all logins, too.
    pub fn remove_user(&self, name: &str) -> Result<(), AccessError> {
        self.people.remove(name)?;
        self.sessions.end_all(Some(name))?;
        Ok(())
    }

    /// Whether a second factor can be set for this name.
    pub fn check_user(&self, name: &str) -> Result<(), AccessError> {
        self.people.refuse_configured(name)?;
        match self.users().iter().any(|user| user.name == name) {
            true => Ok(()),
            false => Err(AccessError::NoSuchUser(name.to_owned())),
        }
    }

    /// Asks for codes of this factor from the next login on; `None` asks for no code.
    pub fn set_factor(&self, name: &str, factor: Option<&NewFactor>) -> Result<(), AccessError> {
        self.people.set_factor(name, factor)?;
        self.sessions.end_all(Some(name))?;
        Ok(())
    }

    /// Tokens and agents of the configuration and of the file.
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.tokens.list()
    }

    /// Makes a token and returns it; nobody can show it again.
    pub fn new_token(
        &self,
        name: &str,
        scopes: &[Scope],
        lifetime: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        self.tokens.create(name, scopes, lifetime, now)
    }

    /// Ends a token, or an agent's credential with its certificate.
    pub fn revoke(&self, name: &str) -> Result<(), AccessError> {
        // First: an agent must not get back in by asking once more.
        self.enrolments.forget(name)?;
        self.tokens.revoke(name)
    }

    /// Makes a token that an agent can exchange once for a credential of its own.
    pub fn new_enrolment(
        &self,
        host: &str,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        self.enrolments.create(host, lifetime, &self.tokens, now)
    }

    pub(crate) fn enrol(
        &self,
        text: &str,
        credential: TokenHash,
        key_sha256: Option<String>,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        self.enrolments.exchange(text, credential, key_sha256, &self.tokens, now)
    }

    pub(crate) fn enrolling(&self, text: &str, now: OffsetDateTime) -> Result<String, AccessError> {
        self.enrolments.host_of(text, now)
    }

    /// Of somebody, or of everybody.
    pub fn sessions(&self, user: Option<&str>, now: OffsetDateTime) -> Vec<SessionInfo> {
        self.sessions.list(user, now)
    }

    /// Ends one login and what came of it; of this user, if one is named.
    pub fn end_session(&self, id: &str, user: Option<&str>) -> Result<(), AccessError> {
        self.sessions.end_id(id, user)
    }

    /// Ends all logins of somebody, or of everybody; returns how many.
    pub fn end_sessions(&self, user: Option<&str>) -> Result<usize, AccessError> {
        Ok(self.sessions.end_all(user)?)
    }
}
