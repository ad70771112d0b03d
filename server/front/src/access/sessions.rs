//! Logins of people: random cookies, kept as hashes on disk so that a restart keeps them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::config::{TokenHash, User};
use crate::error::Error;
use crate::files::{self, Mode};

/// Logins kept at once, of all people; the one that would expire first makes room.
const SESSIONS_MAX: usize = 1000;

/// All logins.
#[derive(Debug)]
pub(crate) struct Sessions {
    path: PathBuf,
    lifetime: Duration,
    /// What the file says. Held while writing it, so that the last write is the newest state.
    sessions: Mutex<Vec<Session>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    /// Of the cookie's value, in hexadecimal.
    sha256: String,
    user: String,
    /// A changed password ends the logins made with the old one.
    password_fingerprint: String,
    expires_unix_s: i64,
}

impl Sessions {
    /// Reads the file; a broken one is left behind, which only makes people log in again.
    pub(crate) fn open(path: PathBuf, lifetime: Duration) -> Result<Self, Error> {
        let sessions = match files::read(&path)? {
            None => Vec::new(),
            Some(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "The sessions file is broken; everybody must log in again.");
                Vec::new()
            }),
        };
        Ok(Self { path, lifetime, sessions: Mutex::new(sessions) })
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Starts a login; returns the cookie's value once it is on disk. Blocks on the disk.
    pub(crate) fn start(&self, user: &User, now: OffsetDateTime) -> Result<String, Error> {
        let mut secret = [0u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let cookie = URL_SAFE_NO_PAD.encode(secret);
        let session = Session {
            sha256: TokenHash::of(&cookie).to_hex(),
            user: user.name.clone(),
            password_fingerprint: fingerprint(user),
            expires_unix_s: (now + self.lifetime).unix_timestamp(),
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Vec<_> = sessions.iter().filter(|old| old.is_alive(now)).cloned().collect();
        next.sort_by_key(|old| std::cmp::Reverse(old.expires_unix_s));
        next.truncate(SESSIONS_MAX - 1);
        next.push(session);
        self.save(&next)?;
        *sessions = next;
        Ok(cookie)
    }

    /// The user of a cookie, if the login is alive and the password still the same.
    pub(crate) fn find<'a>(
        &self,
        cookie: &str,
        users: &'a [User],
        now: OffsetDateTime,
    ) -> Option<&'a User> {
        let sha256 = TokenHash::of(cookie).to_hex();
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.iter().find(|session| session.sha256 == sha256)?;
        let user = users.iter().find(|user| user.name == session.user)?;
        let valid = session.is_alive(now) && session.password_fingerprint == fingerprint(user);
        valid.then_some(user)
    }

    /// Ends a login. Blocks on the disk.
    pub(crate) fn end(&self, cookie: &str) -> Result<(), Error> {
        let sha256 = TokenHash::of(cookie).to_hex();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let n_before = sessions.len();
        sessions.retain(|session| session.sha256 != sha256);
        if sessions.len() == n_before { Ok(()) } else { self.save(&sessions) }
    }

    fn save(&self, sessions: &[Session]) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(sessions).unwrap_or_default();
        files::replace(&self.path, &text, Mode::Secret)
    }
}

impl Session {
    fn is_alive(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() < self.expires_unix_s
    }
}

/// Tells one password hash from another without being one.
fn fingerprint(user: &User) -> String {
    let digest = Sha256::digest(user.password.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scopes;
    use crate::config::PasswordHash;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);

    fn user(name: &str, password: &str) -> User {
        let password = PasswordHash::cheap(password).unwrap();
        User { name: name.to_owned(), password, scopes: Scopes::ALL }
    }

    fn found(sessions: &Sessions, cookie: &str, users: &[User], now: OffsetDateTime) -> bool {
        sessions.find(cookie, users, now).is_some()
    }

    #[test]
    fn a_login_outlives_a_restart_until_it_expires_and_its_cookie_is_not_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        let users = [user("ada", "x")];
        let cookie = Sessions::open(path.clone(), HOUR).unwrap().start(&users[0], NOW).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&cookie));
        let sessions = Sessions::open(path, HOUR).unwrap();
        assert!(found(&sessions, &cookie, &users, NOW + HOUR - Duration::from_secs(1)));
        assert!(!found(&sessions, &cookie, &users, NOW + HOUR));
        assert!(!found(&sessions, "other", &users, NOW));
    }

    #[test]
    fn logout_a_new_password_and_a_removed_user_each_end_a_login() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        let sessions = Sessions::open(path.clone(), HOUR).unwrap();
        let users = [user("ada", "x")];
        let cookie = sessions.start(&users[0], NOW).unwrap();
        assert!(!found(&sessions, &cookie, &[user("ada", "y")], NOW));
        assert!(!found(&sessions, &cookie, &[], NOW));
        sessions.end(&cookie).unwrap();
        assert!(!found(&sessions, &cookie, &users, NOW));
        assert!(!found(&Sessions::open(path, HOUR).unwrap(), &cookie, &users, NOW));
    }

    #[test]
    fn a_broken_file_only_means_logging_in_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        std::fs::write(&path, "{").unwrap();
        let sessions = Sessions::open(path, HOUR).unwrap();
        let users = [user("ada", "x")];
        let cookie = sessions.start(&users[0], NOW).unwrap();
        assert!(found(&sessions, &cookie, &users, NOW));
    }
}
