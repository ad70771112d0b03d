//! How an agent gets a credential of its own: a token that is good once, for one host, for a while.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::book::{Book, WhenBroken};
use super::error::{AccessError, check_name};
use super::tokens::{TokenKind, Tokens, expiry};
use crate::config::TokenHash;
use crate::error::Error;

/// Waiting at once.
const ENROLMENTS_MAX: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Enrolment {
    host: String,
    /// In hexadecimal.
    sha256: String,
    expires_unix_s: i64,
    /// The hash of the credential it was exchanged for: asking for the same again is a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential_sha256: Option<String>,
}

/// All enrolments that have not expired.
#[derive(Debug)]
pub(crate) struct Enrolments {
    file: Book<Enrolment>,
}

impl Enrolments {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Self { file: Book::open(dir.join("enrolments.json"), WhenBroken::Fail)? })
    }

    /// Makes a token for a host and returns it; an older one for the same host is void.
    pub(crate) fn create(
        &self,
        host: &str,
        lifetime: Duration,
        tokens: &Tokens,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        check_name(host)?;
        if tokens.has(host) && tokens.kind_of(host) != Some(TokenKind::Agent) {
            return Err(AccessError::TokenExists(host.to_owned()));
        }
        let (text, sha256) = TokenHash::generate();
        self.file.change(|enrolments| {
            enrolments.retain(|it| it.is_alive(now) && it.host != host);
            if enrolments.len() >= ENROLMENTS_MAX {
                return Err(AccessError::TooMany(ENROLMENTS_MAX));
            }
            enrolments.push(Enrolment {
                host: host.to_owned(),
                sha256: sha256.to_hex(),
                expires_unix_s: expiry(now, lifetime),
                credential_sha256: None,
            });
            Ok(())
        })?;
        Ok(text)
    }

    /// Exchanges a token for a credential of which the agent sends the hash; returns the host.
    ///
    /// Doing it again with the same hash answers the same: the first answer may have been lost.
    pub(crate) fn exchange(
        &self,
        text: &str,
        credential: TokenHash,
        key_sha256: Option<String>,
        tokens: &Tokens,
        now: OffsetDateTime,
    ) -> Result<String, AccessError> {
        let (sha256, credential_hex) = (TokenHash::of(text).to_hex(), credential.to_hex());
        // Used up first: if the rest fails, only who used it may come again.
        let host = self.file.change(|enrolments| {
            let found = enrolments.iter_mut().find(|it| it.sha256 == sha256 && it.is_alive(now));
            let enrolment = found.ok_or(AccessError::EnrolmentUnknown)?;
            match &enrolment.credential_sha256 {
                Some(used_by) if *used_by != credential_hex => {
                    return Err(AccessError::EnrolmentUsed(enrolment.host.clone()));
                }
                _unused_or_ours => enrolment.credential_sha256 = Some(credential_hex),
            }
            Ok(enrolment.host.clone())
        })?;
        tokens.enrol(&host, credential, key_sha256, now)?;
        Ok(host)
    }

    /// The host that a token is for, used or not: what installs an agent may be run again.
    pub(crate) fn host_of(&self, text: &str, now: OffsetDateTime) -> Result<String, AccessError> {
        let sha256 = TokenHash::of(text).to_hex();
        let enrolments = self.file.entries();
        let found = enrolments.iter().find(|it| it.sha256 == sha256 && it.is_alive(now));
        found.map(|it| it.host.clone()).ok_or(AccessError::EnrolmentUnknown)
    }

    /// Voids what a host could still enrol with.
    pub(crate) fn forget(&self, host: &str) -> Result<(), AccessError> {
        if !self.file.entries().iter().any(|it| it.host == host) {
            return Ok(());
        }
        self.file.change(|enrolments| {
            enrolments.retain(|it| it.host != host);
            Ok(())
        })
    }
}

impl Enrolment {
    fn is_alive(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() < self.expires_unix_s
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Found;
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_enrolment_is_exchanged_once_and_a_lost_answer_can_be_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path(), Vec::new()).unwrap();
        let enrolments = Enrolments::open(dir.path()).unwrap();
        let text = enrolments.create("bee-1", HOUR, &tokens, NOW).unwrap();
        let (credential, hash) = TokenHash::generate();
        for _ in 0..2 {
            let host = enrolments.exchange(&text, hash, None, &tokens, NOW).unwrap();
            assert_eq!(host, "bee-1");
        }
        assert!(matches!(tokens.find(&credential, NOW), Found::Agent(_)));
        assert_eq!(tokens.list().len(), 1);
        assert_eq!(enrolments.host_of(&text, NOW).unwrap(), "bee-1");
        assert!(enrolments.host_of(&credential, NOW).is_err());
        assert!(enrolments.host_of(&text, NOW + HOUR).is_err());
        let thief = TokenHash::of("other");
        let error = enrolments.exchange(&text, thief, None, &tokens, NOW).unwrap_err();
        assert!(matches!(error, AccessError::EnrolmentUsed(_)), "{error}");
        // Revoked is revoked: the token does not bring it back.
        tokens.revoke("bee-1").unwrap();
        enrolments.forget("bee-1").unwrap();
        let error = enrolments.exchange(&text, hash, None, &tokens, NOW).unwrap_err();
        assert!(matches!(error, AccessError::EnrolmentUnknown), "{error}");
    }

    #[test]
    fn an_enrolment_expires_and_a_newer_one_for_the_host_voids_it() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path(), Vec::new()).unwrap();
        let enrolments = Enrolments::open(dir.path()).unwrap();
        let hash = TokenHash::of("x");
        let exchange = |text: &str, at| enrolments.exchange(text, hash, None, &tokens, at);
        let first = enrolments.create("bee-1", HOUR, &tokens, NOW).unwrap();
        let second = enrolments.create("bee-1", HOUR, &tokens, NOW).unwrap();
        assert!(exchange(&first, NOW).is_err());
        assert!(exchange(&second, NOW + HOUR).is_err());
        assert!(exchange(&second, NOW).is_ok());
    }
}
