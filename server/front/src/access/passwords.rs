//! Checks a name and password against the configured users, at a bounded cost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordVerifier};
use rand::RngCore;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::config::{PasswordHash, User};

/// One argon2 check takes 19 MiB and a core for tens of milliseconds: two at a time.
const CHECKS_MAX: usize = 2;
/// HTTP Basic repeats the password with each request; a check that succeeded holds this long.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Remembered checks at once.
const REMEMBERED_MAX: usize = 256;
/// argon2 reads all of it before any limit of its own.
const PASSWORD_BYTES_MAX: usize = 1024;

/// The users and what was checked of late.
#[derive(Debug)]
pub(crate) struct Passwords {
    users: Arc<[User]>,
    /// Checked when there is no such user, so that an answer takes as long as with one.
    nobody: PasswordHash,
    slots: Semaphore,
    /// Keys the hashes below; they mean nothing outside this process.
    salt: [u8; 32],
    /// When a right name and password must be checked again; never more than `REMEMBERED_MAX`.
    remembered: Mutex<HashMap<[u8; 32], OffsetDateTime>>,
}

impl Passwords {
    pub(crate) fn new(users: Arc<[User]>, nobody: PasswordHash) -> Self {
        let mut salt = [0u8; 32];
        rand::rng().fill_bytes(&mut salt);
        let remembered = Mutex::new(HashMap::new());
        Self { users, nobody, slots: Semaphore::new(CHECKS_MAX), salt, remembered }
    }

    pub(crate) fn users(&self) -> &[User] {
        &self.users
    }

    /// The user whose name and password were checked a moment ago.
    pub(crate) fn recall(&self, name: &str, password: &str, now: OffsetDateTime) -> Option<&User> {
        let key = self.key(name, password);
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let until = remembered.get(&key)?;
        if now < *until { self.user(name) } else { None }
    }

    /// The user, if the password is right. Waits for a free slot, then blocks a thread of its own.
    pub(crate) async fn check(
        &self,
        name: &str,
        password: &str,
        now: OffsetDateTime,
    ) -> Option<&User> {
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let user = self.user(name);
        let hash = user.map_or(&self.nobody, |user| &user.password).clone();
        let text = password.to_owned();
        let slot = self.slots.acquire().await;
        let right = tokio::task::spawn_blocking(move || is_right(&hash, &text)).await;
        drop(slot);
        if !matches!(right, Ok(true)) {
            return None;
        }
        self.remember(name, password, now);
        user
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    fn key(&self, name: &str, password: &str) -> [u8; 32] {
        let name_hash = Sha256::digest(name.as_bytes());
        Sha256::new()
            .chain_update(self.salt)
            .chain_update(name_hash)
            .chain_update(password.as_bytes())
            .finalize()
            .into()
    }

    fn remember(&self, name: &str, password: &str, now: OffsetDateTime) {
        let key = self.key(name, password);
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
    use super::*;
    use crate::access::Scopes;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes_and_is_recalled_for_a_while() {
        let password = PasswordHash::cheap("right").unwrap();
        let ada = User { name: "ada".to_owned(), password: password.clone(), scopes: Scopes::ALL };
        let passwords = Passwords::new(Arc::from([ada]), password);
        assert!(passwords.check("ada", "wrong", NOW).await.is_none());
        // Right for the stand-in hash, but nobody has that name.
        assert!(passwords.check("bob", "right", NOW).await.is_none());
        assert!(passwords.recall("ada", "right", NOW).is_none());
        assert!(passwords.check("ada", "right", NOW).await.is_some());
        assert!(passwords.recall("ada", "right", NOW).is_some());
        assert!(passwords.recall("ada", "wrong", NOW).is_none());
        assert!(passwords.recall("ada", "right", NOW + REMEMBERED_FOR).is_none());
    }
}
