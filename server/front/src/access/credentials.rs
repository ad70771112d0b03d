//! Turns what a request carries (bearer token, name and password, session cookie) into who it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;

use super::attempts::Attempts;
use super::passwords::Passwords;
use super::sessions::Sessions;
use super::{Principal, Via};
use crate::config::{Config, PasswordHash, Token, TokenHash, User};
use crate::error::Error;

/// `__Host-`: a browser keeps it for this very name and only from HTTPS, so that no service on a
/// neighbouring name can set it.
pub(crate) const SESSION_COOKIE: &str = "__Host-skep";

/// Everything credentials are checked against.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: Vec<Token>,
    passwords: Passwords,
    attempts: Attempts,
    pub sessions: Sessions,
}

/// Why credentials are no good.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Denied {
    #[error("the Authorization header is neither \"Bearer <token>\" nor \"Basic <base64>\"")]
    Malformed,
    #[error("this token is unknown here; it may have been revoked")]
    UnknownToken,
    #[error("wrong user name or password")]
    WrongPassword,
    #[error("too many wrong passwords from this address; wait {} s", .0.as_secs().max(1))]
    TooMany(Duration),
}

impl Access {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let limits = &config.limits;
        let sessions_path = config.data_dir.join("sessions.json");
        let users: Arc<[User]> = config.users.clone().into();
        // Its cost must be that of the users' own hashes.
        let nobody = users.first().map(|user| user.password.clone());
        let nobody = nobody.unwrap_or_else(PasswordHash::of_nobody);
        Ok(Self {
            tokens: config.tokens.clone(),
            passwords: Passwords::new(users, nobody),
            attempts: Attempts::new(limits.login_burst, limits.login_refill),
            sessions: Sessions::open(sessions_path, limits.session_lifetime)?,
        })
    }

    /// Who sends these headers; `None` when they carry no credentials (or a dead session).
    pub(crate) async fn principal(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Option<Principal>, Denied> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(session_cookie(headers)
                .and_then(|cookie| self.sessions.find(cookie, self.passwords.users(), now))
                .map(|user| of_user(user, Via::Session))),
            (Some(_), Some(_)) => Err(Denied::Malformed),
            (Some(value), None) => {
                let text = value.to_str().map_err(|_binary| Denied::Malformed)?;
                self.authorization(text, peer, now).await.map(Some)
            }
        }
    }

    async fn authorization(
        &self,
        text: &str,
        peer: IpAddr,
        now: OffsetDateTime,
    ) -> Result<Principal, Denied> {
        let (scheme, rest) = text.split_once(' ').ok_or(Denied::Malformed)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            self.token(rest).ok_or(Denied::UnknownToken)
        } else if scheme.eq_ignore_ascii_case("basic") {
            let (name, password) = name_and_password(rest).ok_or(Denied::Malformed)?;
            let user = self.login(&name, &password, peer, now).await?;
            Ok(of_user(user, Via::Basic))
        } else {
            Err(Denied::Malformed)
        }
    }

    fn token(&self, text: &str) -> Option<Principal> {
        let sha256 = TokenHash::of(text);
        let token = self.tokens.iter().find(|token| token.sha256 == sha256)?;
        let name = Arc::from(token.name.as_str());
        Some(Principal { name, scopes: token.scopes, via: Via::Token })
    }

    /// The user of a name and password; wrong ones are counted for the peer.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: &str,
        peer: IpAddr,
        now: OffsetDateTime,
    ) -> Result<&User, Denied> {
        if let Some(user) = self.passwords.recall(name, password, now) {
            return Ok(user);
        }
        self.attempts.take(peer, now).map_err(Denied::TooMany)?;
        let user = self.passwords.check(name, password, now).await;
        match user {
            Some(user) => {
                self.attempts.give_back(peer);
                Ok(user)
            }
            None => {
                tracing::warn!(%peer, name = name.escape_debug().to_string(), "Wrong user name or password.");
                Err(Denied::WrongPassword)
            }
        }
    }
}

/// The value of our cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _value)| name.trim() == SESSION_COOKIE).map(|(_name, value)| value.trim())
}

fn of_user(user: &User, via: Via) -> Principal {
    Principal { name: Arc::from(user.name.as_str()), scopes: user.scopes, via }
}

pub(crate) fn name_and_password(base64: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(base64).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
