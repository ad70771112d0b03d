//! Checks a name and password against an account, at a bounded cost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordVerifier};
use rand::RngCore;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::people::Account;
use crate::config::PasswordHash;

/// One argon2 check takes 19 MiB and a core for tens of milliseconds: two at a time.
const CHECKS_MAX: usize = 2;
/// HTTP Basic repeats the password with each request; a check that succeeded holds this long.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Remembered checks at once.
const REMEMBERED_MAX: usize = 256;
/// argon2 reads all of it before any limit of its own.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// The slots for checks, and what was checked of late.
#[derive(Debug)]
pub(crate) struct Passwords {
    slots: Semaphore,
    /// Keys the hashes below; they mean nothing outside this process.
    salt: [u8; 32],
    /// When a right name and password must be checked again; never more than `REMEMBERED_MAX`.
    remembered: Mutex<HashMap<[u8; 32], OffsetDateTime>>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let mut salt = [0u8; 32];
        rand::rng().fill_bytes(&mut salt);
        let remembered = Mutex::new(HashMap::new());
        Self { slots: Semaphore::new(CHECKS_MAX), salt, remembered }
    }

    /// Whether this very password was right for the account a moment ago.
    pub(crate) fn recalls(&self, account: &Account, password: &str, now: OffsetDateTime) -> bool {
        let key = self.key(account, password);
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(&key).is_some_and(|until| now < *until)
    }

    /// Whether the password is right. Waits for a free slot, then blocks a thread of its own.
    ///
    /// For nobody, `stand_in` is checked, so that an answer takes as long as with a user.
    pub(crate) async fn check(
        &self,
        account: Option<&Account>,
        stand_in: PasswordHash,
        password: &str,
        now: OffsetDateTime,
    ) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let hash = account.map_or(stand_in, |account| account.password.clone());
        let text = password.to_owned();
        let slot = self.slots.acquire().await;
        let right = tokio::task::spawn_blocking(move || is_right(&hash, &text)).await;
        drop(slot);
        match (right, account) {
            (Ok(true), Some(account)) => {
                self.remember(account, password, now);
                true
            }
            _wrong_or_nobody => false,
        }
    }

    /// With the hash in it: a changed password is not remembered.
    fn key(&self, account: &Account, password: &str) -> [u8; 32] {
        let name_hash = Sha256::digest(account.name.as_bytes());
        let old_hash = Sha256::digest(account.password.as_str().as_bytes());
        Sha256::new()
            .chain_update(self.salt)
            .chain_update(name_hash)
            .chain_update(old_hash)
            .chain_update(password.as_bytes())
            .finalize()
            .into()
    }

    fn remember(&self, account: &Account, password: &str, now: OffsetDateTime) {
        let key = self.key(account, password);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|_key, until| *until > now);
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(key, now + REMEMBERED_FOR);
        }
    }
}

fn is_right(hash: &PasswordHash, password: &str) -> bool {
    if hash.is_bcrypt() {
        return bcrypt::verify(password, hash.as_str()).unwrap_or(false);
    }
    let parsed = argon2::PasswordHash::new(hash.as_str());
    parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::Scopes;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    fn ada(password: &PasswordHash) -> Account {
        Account {
            name: Arc::from("ada"),
            password: password.clone(),
            scopes: Scopes::ALL,
            asks_for_code: false,
            proof: String::new(),
            provider: None,
        }
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes_and_is_recalled_for_a_while() {
        let hash = PasswordHash::cheap("right").unwrap();
        let (ada, passwords) = (ada(&hash), Passwords::new());
        assert!(!passwords.check(Some(&ada), hash.clone(), "wrong", NOW).await);
        // Right for the stand-in hash, but nobody has that name.
        assert!(!passwords.check(None, hash.clone(), "right", NOW).await);
        assert!(!passwords.recalls(&ada, "right", NOW));
        assert!(passwords.check(Some(&ada), hash, "right", NOW).await);
        assert!(passwords.recalls(&ada, "right", NOW));
        assert!(!passwords.recalls(&ada, "wrong", NOW));
        assert!(!passwords.recalls(&ada, "right", NOW + REMEMBERED_FOR));
    }

    #[tokio::test]
    async fn a_changed_password_is_not_recalled() {
        let hash = PasswordHash::cheap("right").unwrap();
        let passwords = Passwords::new();
        assert!(passwords.check(Some(&ada(&hash)), hash, "right", NOW).await);
        let changed = PasswordHash::cheap("other").unwrap();
        assert!(!passwords.recalls(&ada(&changed), "right", NOW));
    }
}
