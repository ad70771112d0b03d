//! API tokens and agents' credentials: only their hashes are kept, and when they were last used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::book::{Book, WhenBroken};
use super::certificate::AgentCertificate;
use super::error::{AccessError, check_name};
use super::{Principal, Scope, Scopes, Source, Via};
use crate::config::{Token, TokenHash};
use crate::error::Error;
use crate::files::{self, Mode};

/// In the file; each request with a token reads it through.
const TOKENS_MAX: usize = 1000;

/// What a token of the file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Made by a person for a program.
    Token,
    /// An agent's own, which it got by enrolling.
    Agent,
}

/// A token, as others may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    pub name: String,
    pub kind: TokenKind,
    pub source: Source,
    pub scopes: Vec<Scope>,
    /// `None` for the configuration's.
    pub created_unix_s: Option<i64>,
    pub expires_unix_s: Option<i64>,
    /// To some minutes.
    pub last_used_unix_s: Option<i64>,
    /// An agent that has got one.
    pub has_certificate: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredToken {
    pub name: String,
    pub kind: TokenKind,
    /// In hexadecimal.
    pub sha256: String,
    pub scopes: Vec<Scope>,
    pub created_unix_s: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unix_s: Option<i64>,
    /// Of the public key in the agent's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

/// What came of looking for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Good(Principal),
    /// An agent, by what it got when it enrolled.
    Agent(Principal),
    Expired(String),
    Unknown,
}

/// All tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    configured: ArcSwap<Vec<Token>>,
    file: Book<StoredToken>,
    uses: Uses,
}

impl Tokens {
    pub(crate) fn open(dir: &Path, configured: Vec<Token>) -> Result<Self, Error> {
        Ok(Self {
            configured: ArcSwap::from_pointee(configured),
            file: Book::open(dir.join("tokens.json"), WhenBroken::Fail)?,
            uses: Uses::open(dir.join("token-uses.json"))?,
        })
    }

    /// Puts other tokens in the place of the configuration's.
    pub(crate) fn configure(&self, configured: Vec<Token>) {
        self.configured.store(Arc::new(configured));
    }

    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Who sends this token.
    pub(crate) fn find(&self, text: &str, now: OffsetDateTime) -> Found {
        let sha256 = TokenHash::of(text);
        let configured = self.configured.load();
        if let Some(token) = configured.iter().find(|token| token.sha256 == sha256) {
            self.uses.note(&sha256.to_hex(), now);
            let name = Arc::from(token.name.as_str());
            return Found::Good(Principal { name, scopes: token.scopes, via: Via::Token });
        }
        let hex = sha256.to_hex();
        match self.file.entries().iter().find(|token| token.sha256 == hex) {
            None => Found::Unknown,
            Some(token) if token.has_expired(now) => Found::Expired(token.name.clone()),
            Some(token) if token.kind == TokenKind::Agent => {
                Found::Agent(self.used(token, Via::Token, now))
            }
            Some(token) => Found::Good(self.used(token, Via::Token, now)),
        }
    }

    /// The agent that has this certificate, unless it was revoked.
    pub(crate) fn find_agent(
        &self,
        shown: &AgentCertificate,
        now: OffsetDateTime,
    ) -> Option<Principal> {
        let tokens = self.file.entries();
        let is_it = |it: &&StoredToken| it.kind == TokenKind::Agent && it.name == shown.name;
        let token = tokens.iter().find(is_it)?;
        let is_its_key = token.key_sha256.as_ref() == Some(&shown.key_sha256);
        let is_good = is_its_key && !token.has_expired(now);
        is_good.then(|| self.used(token, Via::Certificate, now))
    }

    fn used(&self, token: &StoredToken, via: Via, now: OffsetDateTime) -> Principal {
        self.uses.note(&token.sha256, now);
        let scopes: Scopes = token.scopes.iter().copied().collect();
        Principal { name: Arc::from(token.name.as_str()), scopes, via }
    }

    pub(crate) fn list(&self) -> Vec<TokenInfo> {
        let uses = self.uses.known();
        let (configured, tokens) = (self.configured.load(), self.file.entries());
        let configured = configured.iter().map(|token| TokenInfo {
            name: token.name.clone(),
            kind: TokenKind::Token,
            source: Source::Config,
            scopes: token.scopes.iter().collect(),
            created_unix_s: None,
            expires_unix_s: None,
            last_used_unix_s: uses.get(&token.sha256.to_hex()).copied(),
            has_certificate: false,
        });
        let stored = tokens.iter().map(|token| TokenInfo {
            name: token.name.clone(),
            kind: token.kind,
            source: Source::File,
            scopes: token.scopes.clone(),
            created_unix_s: Some(token.created_unix_s),
            expires_unix_s: token.expires_unix_s,
            last_used_unix_s: uses.get(&token.sha256).copied(),
            has_certificate: token.key_sha256.is_some(),
        });
        configured.chain(stored).collect()
    }

    /// Whether anything has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.kind_of(name).is_some() || self.is_configured(name)
    }

    pub(crate) fn kind_of(&self, name: &str) -> Option<TokenKind> {
        self.file.entries().iter().find(|token| token.name == name).map(|token| token.kind)
    }

    fn is_configured(&self, name: &str) -> bool {
        self.configured.load().iter().any(|token| token.name == name)
    }

    /// Makes a token and returns it: nobody will see it again.
    pub(crate) fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        lifetime: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        check_name(name)?;
        let mut scopes = scopes.to_vec();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(AccessError::NoScopes);
        }
        if self.is_configured(name) {
            return Err(AccessError::TokenExists(name.to_owned()));
        }
        let (text, sha256) = TokenHash::generate();
        let expires = lifetime.map(|lifetime| expiry(now, lifetime));
        self.file.change(|tokens| {
            if tokens.iter().any(|token| token.name == name) {
                return Err(AccessError::TokenExists(name.to_owned()));
            }
            if tokens.len() >= TOKENS_MAX {
                return Err(AccessError::TooMany(TOKENS_MAX));
            }
            tokens.push(StoredToken {
                name: name.to_owned(),
                kind: TokenKind::Token,
                sha256: sha256.to_hex(),
                scopes,
                created_unix_s: now.unix_timestamp(),
                expires_unix_s: expires,
                key_sha256: None,
            });
            Ok(())
        })?;
        Ok(text)
    }

    /// Puts an agent's credential in the place of an older one of the same host.
    pub(crate) fn enrol(
        &self,
        host: &str,
        sha256: TokenHash,
        key_sha256: Option<String>,
        now: OffsetDateTime,
    ) -> Result<(), AccessError> {
        self.file.change(|tokens| {
            let taken = |it: &StoredToken| it.name == host && it.kind != TokenKind::Agent;
            if tokens.iter().any(taken) {
                return Err(AccessError::TokenExists(host.to_owned()));
            }
            tokens.retain(|token| token.name != host);
            if tokens.len() >= TOKENS_MAX {
                return Err(AccessError::TooMany(TOKENS_MAX));
            }
            tokens.push(StoredToken {
                name: host.to_owned(),
                kind: TokenKind::Agent,
                sha256: sha256.to_hex(),
                scopes: vec![Scope::Ingest],
                created_unix_s: now.unix_timestamp(),
                expires_unix_s: None,
                key_sha256,
            });
            Ok(())
        })
    }

    /// Remembers the key that an agent gets a certificate for.
    ///
    /// The first one is believed; another only from who has shown the certificate of the old one,
    /// or a stolen credential would be enough for a certificate.
    pub(crate) fn set_key(
        &self,
        host: &str,
        key_sha256: &str,
        via: Via,
    ) -> Result<(), AccessError> {
        self.file.change(|tokens| {
            let agent = tokens.iter_mut().find(|it| it.kind == TokenKind::Agent && it.name == host);
            let agent = agent.ok_or_else(|| AccessError::NoSuchToken(host.to_owned()))?;
            let is_other = agent.key_sha256.as_deref().is_some_and(|known| known != key_sha256);
            if is_other && via != Via::Certificate {
                return Err(AccessError::OtherKey(host.to_owned()));
            }
            agent.key_sha256 = Some(key_sha256.to_owned());
            Ok(())
        })
    }

    pub(crate) fn revoke(&self, name: &str) -> Result<(), AccessError> {
        if self.kind_of(name).is_none() && self.is_configured(name) {
            return Err(AccessError::TokenInConfig(name.to_owned()));
        }
        self.file.change(|tokens| {
            let n_before = tokens.len();
            tokens.retain(|token| token.name != name);
            if tokens.len() < n_before {
                Ok(())
            } else {
                Err(AccessError::NoSuchToken(name.to_owned()))
            }
        })
    }
}

impl StoredToken {
    fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_unix_s.is_some_and(|at| now.unix_timestamp() >= at)
    }
}

pub(crate) fn expiry(now: OffsetDateTime, lifetime: Duration) -> i64 {
    let lifetime_s = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    now.unix_timestamp().saturating_add(lifetime_s)
}

/// When each token was last used; in memory at once, on the disk now and then.
#[derive(Debug)]
pub(crate) struct Uses {
    path: PathBuf,
    /// By the token's hash; never more than tokens that were good.
    noted: Mutex<HashMap<String, i64>>,
}

impl Uses {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let noted = Mutex::new(read_uses(&path)?);
        Ok(Self { path, noted })
    }

    fn note(&self, sha256: &str, now: OffsetDateTime) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = noted.len() < 2 * TOKENS_MAX;
        match noted.get_mut(sha256) {
            Some(at) => *at = now.unix_timestamp(),
            None if has_room => {
                noted.insert(sha256.to_owned(), now.unix_timestamp());
            }
            None => {}
        }
    }

    /// Of this process, or of a server's that wrote it down.
    fn known(&self) -> HashMap<String, i64> {
        let mut known = read_uses(&self.path).unwrap_or_default();
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        for (sha256, at) in noted.iter() {
            let known = known.entry(sha256.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
        known
    }

    /// Blocks on the disk.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if noted.is_empty() || read_uses(&self.path).is_ok_and(|known| known == noted) {
            return Ok(());
        }
        let text = serde_json::to_string(&noted).unwrap_or_default();
        files::replace(&self.path, &text, Mode::Secret)
    }
}

/// What cannot be read is not worth a failure.
fn read_uses(path: &Path) -> Result<HashMap<String, i64>, Error> {
    let text = files::read(path)?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const DAY: Duration = Duration::from_secs(86_400);

    fn open(dir: &Path) -> Tokens {
        Tokens::open(dir, Vec::new()).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked_and_is_on_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (server, tool) = (open(dir.path()), open(dir.path()));
        let text = tool.create("ci", &[Scope::Query], Some(DAY), NOW).unwrap();
        let file = std::fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(!file.contains(&text), "{file}");
        let Found::Good(principal) = server.find(&text, NOW) else { panic!("not found") };
        assert!(principal.scopes.contains(Scope::Query));
        assert!(!principal.scopes.contains(Scope::Ingest));
        assert_eq!(server.find(&text, NOW + DAY), Found::Expired("ci".to_owned()));
        tool.revoke("ci").unwrap();
        assert_eq!(server.find(&text, NOW), Found::Unknown);
    }

    #[test]
    fn the_last_use_is_known_to_other_processes_once_it_was_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let (server, tool) = (open(dir.path()), open(dir.path()));
        let text = tool.create("ci", &[Scope::Query], None, NOW).unwrap();
        server.find(&text, NOW + DAY);
        assert_eq!(tool.list()[0].last_used_unix_s, None);
        server.uses().save().unwrap();
        assert_eq!(tool.list()[0].last_used_unix_s, Some((NOW + DAY).unix_timestamp()));
    }

    #[test]
    fn names_are_unique_and_a_token_can_do_something() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(dir.path());
        tokens.create("ci", &[Scope::Query], None, NOW).unwrap();
        let again = tokens.create("ci", &[Scope::Admin], None, NOW);
        assert!(matches!(again, Err(AccessError::TokenExists(_))));
        let none = tokens.create("x", &[], None, NOW);
        assert!(matches!(none, Err(AccessError::NoScopes)));
        let hash = TokenHash::of("x");
        let agent = tokens.enrol("ci", hash, None, NOW);
        assert!(matches!(agent, Err(AccessError::TokenExists(_))));
    }
}
