//! Logins of people: random cookies, kept as hashes on disk so that a restart keeps them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Scope;
use super::book::{Book, WhenBroken};
use super::error::AccessError;
use super::people::{Account, People};
use crate::config::TokenHash;
use crate::error::Error;

/// Logins kept at once, of all people; the one that would expire first makes room.
const SESSIONS_MAX: usize = 1000;
/// As much of a browser's own name as helps to tell it from another.
const BROWSER_BYTES_MAX: usize = 160;
/// What stands for a login where people see it: enough of the hash to be the only one.
const ID_CHARS: usize = 12;

/// All logins.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Of those that begin; a reload changes it.
    lifetime_s: AtomicU64,
    file: Book<Session>,
}

/// One browser's login to one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Of the cookie's value, in hexadecimal.
    sha256: String,
    user: String,
    /// A changed password ends the logins made with the old one.
    password_fingerprint: String,
    expires_unix_s: i64,
    /// The name it is for; `None` where an older server made it.
    #[serde(default)]
    host: Option<String>,
    /// What it was handed over from; empty for where somebody typed a password.
    #[serde(default)]
    parent: String,
    #[serde(default)]
    created_unix_s: i64,
    #[serde(default)]
    peer: Option<IpAddr>,
    #[serde(default)]
    browser: String,
    /// Who let them in, if it was no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<ProviderLogin>,
}

/// What a login provider let somebody in for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProviderLogin {
    pub issuer: String,
    pub scopes: Vec<Scope>,
}

/// A login, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    pub id: String,
    pub user: String,
    pub host: Option<String>,
    pub created_unix_s: i64,
    pub expires_unix_s: i64,
    pub peer: Option<IpAddr>,
    pub browser: String,
    /// Where they logged in, if it was not here.
    pub provider: Option<String>,
}

/// Where a login is made.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub host: &'a str,
    pub peer: IpAddr,
    pub browser: &'a str,
}

impl Sessions {
    /// Reads the file; a broken one only makes people log in again.
    pub(crate) fn open(path: PathBuf, lifetime: Duration) -> Result<Self, Error> {
        let lifetime_s = AtomicU64::new(lifetime.as_secs());
        Ok(Self { lifetime_s, file: Book::open(path, WhenBroken::StartEmpty)? })
    }

    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_s.load(Ordering::Relaxed))
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime_s.store(lifetime.as_secs(), Ordering::Relaxed);
    }

    /// Starts a login that lasts no longer than `lifetime`; returns the cookie's value once it is
    /// on disk. Blocks on the disk.
    pub(crate) fn start(
        &self,
        account: &Account,
        place: &Place<'_>,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<String, Error> {
        let until = (now + lifetime.min(self.lifetime())).unix_timestamp();
        self.insert(account, place, String::new(), until, now)
    }

    /// Starts a login to another name for who has this one; it ends with it.
    pub(crate) fn start_below(
        &self,
        parent: &Session,
        account: &Account,
        place: &Place<'_>,
        now: OffsetDateTime,
    ) -> Result<String, Error> {
        self.insert(account, place, parent.sha256.clone(), parent.expires_unix_s, now)
    }

    fn insert(
        &self,
        account: &Account,
        place: &Place<'_>,
        parent: String,
        expires_unix_s: i64,
        now: OffsetDateTime,
    ) -> Result<String, Error> {
        let mut secret = [0u8; 32];
        rand::rng().fill_bytes(&mut secret);
        let cookie = URL_SAFE_NO_PAD.encode(secret);
        let session = Session {
            sha256: TokenHash::of(&cookie).to_hex(),
            user: account.name.to_string(),
            password_fingerprint: account.proof.clone(),
            expires_unix_s,
            host: Some(place.host.to_owned()),
            parent,
            created_unix_s: now.unix_timestamp(),
            peer: Some(place.peer),
            browser: start_of(place.browser),
            provider: account.provider.clone(),
        };
        self.file.change(|sessions| {
            sessions.retain(|old| old.is_alive(now));
            sessions.sort_by_key(|old| std::cmp::Reverse(old.expires_unix_s));
            sessions.truncate(SESSIONS_MAX - 1);
            sessions.push(session);
            Ok::<(), Error>(())
        })?;
        Ok(cookie)
    }

    /// The login of a cookie for this name and its user, if it is alive and the password still the
    /// same.
    pub(crate) fn find(
        &self,
        cookie: &str,
        host: &str,
        people: &People,
        now: OffsetDateTime,
    ) -> Option<(Session, Account)> {
        let sha256 = TokenHash::of(cookie).to_hex();
        let sessions = self.file.entries();
        let session = sessions.iter().find(|session| session.sha256 == sha256)?;
        let account = session.owner(people)?;
        let is_here = session.host.as_deref().is_none_or(|it| it == host);
        let is_valid = session.is_alive(now) && session.password_fingerprint == account.proof;
        (is_here && is_valid).then(|| (session.clone(), account))
    }

    /// The login that another was handed over from, as long as it is there.
    pub(crate) fn by_hash(&self, sha256: &str, now: OffsetDateTime) -> Option<Session> {
        let sessions = self.file.entries();
        sessions.iter().find(|it| it.sha256 == sha256 && it.is_alive(now)).cloned()
    }

    /// Ends the login of a cookie, where it came from, and what came from there. Blocks on the disk.
    pub(crate) fn end(&self, cookie: &str) -> Result<(), Error> {
        let sha256 = TokenHash::of(cookie).to_hex();
        let Some(root) = self
            .file
            .entries()
            .iter()
            .find(|it| it.sha256 == sha256)
            .map(|it| it.root().to_owned())
        else {
            return Ok(());
        };
        self.end_where(|session| session.root() == root).map(drop)
    }

    /// Ends a login that people see under this id, and what was handed over from it.
    pub(crate) fn end_id(&self, id: &str, user: Option<&str>) -> Result<(), AccessError> {
        let is_meant = |it: &Session| it.id() == id && user.is_none_or(|user| it.user == user);
        let found = self.file.entries().iter().find(|it| is_meant(it)).map(|it| it.sha256.clone());
        let sha256 = found.ok_or_else(|| AccessError::NoSuchSession(id.to_owned()))?;
        self.end_where(|it| it.sha256 == sha256 || it.parent == sha256)?;
        Ok(())
    }

    /// Ends all logins of somebody, or of everybody; returns how many.
    pub(crate) fn end_all(&self, user: Option<&str>) -> Result<usize, Error> {
        self.end_where(|session| user.is_none_or(|user| session.user == user))
    }

    /// Those that are alive, of somebody or of everybody, the newest first.
    pub(crate) fn list(&self, user: Option<&str>, now: OffsetDateTime) -> Vec<SessionInfo> {
        let sessions = self.file.entries();
        let mut infos: Vec<_> = sessions
            .iter()
            .filter(|it| it.is_alive(now) && user.is_none_or(|user| it.user == user))
            .map(Session::info)
            .collect();
        infos.sort_by_key(|it| std::cmp::Reverse(it.created_unix_s));
        infos
    }

    fn end_where(&self, is_meant: impl Fn(&Session) -> bool) -> Result<usize, Error> {
        self.file.change(|sessions| {
            let n_before = sessions.len();
            sessions.retain(|session| !is_meant(session));
            Ok(n_before - sessions.len())
        })
    }
}

impl Session {
    pub(crate) fn id(&self) -> &str {
        self.sha256.get(..ID_CHARS).unwrap_or_default()
    }

    /// Whose it is, if they may still come in.
    pub(crate) fn owner(&self, people: &People) -> Option<Account> {
        match &self.provider {
            Some(login) => people.of_provider(&self.user, login),
            None => people.find(&self.user),
        }
    }

    pub(crate) fn seconds_left(&self, now: OffsetDateTime) -> u64 {
        u64::try_from(self.expires_unix_s - now.unix_timestamp()).unwrap_or(0)
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    fn root(&self) -> &str {
        if self.parent.is_empty() { &self.sha256 } else { &self.parent }
    }

    fn is_alive(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() < self.expires_unix_s
    }

    fn info(&self) -> SessionInfo {
        SessionInfo {
            id: self.id().to_owned(),
            user: self.user.clone(),
            host: self.host.clone(),
            created_unix_s: self.created_unix_s,
            expires_unix_s: self.expires_unix_s,
            peer: self.peer,
            browser: self.browser.clone(),
            provider: self.provider.as_ref().map(|it| it.issuer.clone()),
        }
    }
}

/// What is written into a terminal later holds nothing but what can be seen.
fn start_of(browser: &str) -> String {
    browser.chars().filter(|it| !it.is_control()).take(BROWSER_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scopes;
    use crate::config::{PasswordHash, User};

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);
    const HERE: Place<'_> =
        Place { host: "home.lan", peer: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), browser: "x" };

    fn people(password: &str) -> People {
        let password = PasswordHash::cheap(password).unwrap();
        let name = "ada".to_owned();
        let ada = User { name, password, scopes: Scopes::ALL, code_secret: None };
        People::open(tempfile::tempdir().unwrap().path(), vec![ada]).unwrap()
    }

    fn found(sessions: &Sessions, cookie: &str, people: &People, now: OffsetDateTime) -> bool {
        sessions.find(cookie, "home.lan", people, now).is_some()
    }

    #[test]
    fn a_login_outlives_a_restart_until_it_expires_and_its_cookie_is_not_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        let people = people("x");
        let ada = people.find("ada").unwrap();
        let first = Sessions::open(path.clone(), HOUR).unwrap();
        let cookie = first.start(&ada, &HERE, HOUR, NOW).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&cookie));
        let sessions = Sessions::open(path, HOUR).unwrap();
        assert!(found(&sessions, &cookie, &people, NOW + HOUR - Duration::from_secs(1)));
        assert!(!found(&sessions, &cookie, &people, NOW + HOUR));
        assert!(!found(&sessions, "other", &people, NOW));
        assert!(sessions.find(&cookie, "photos.home.lan", &people, NOW).is_none());
    }

    #[test]
    fn logout_a_new_password_and_a_removed_user_each_end_a_login() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        let sessions = Sessions::open(path.clone(), HOUR).unwrap();
        let before = people("x");
        let cookie = sessions.start(&before.find("ada").unwrap(), &HERE, HOUR, NOW).unwrap();
        assert!(found(&sessions, &cookie, &before, NOW));
        assert!(!found(&sessions, &cookie, &people("y"), NOW));
        before.configure(Vec::new());
        assert!(!found(&sessions, &cookie, &before, NOW));
        let after = people("x");
        sessions.end(&cookie).unwrap();
        assert!(!found(&sessions, &cookie, &after, NOW));
        assert!(!found(&Sessions::open(path, HOUR).unwrap(), &cookie, &after, NOW));
    }

    #[test]
    fn a_login_that_was_handed_over_ends_with_where_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path().join("sessions.json"), HOUR).unwrap();
        let people = people("x");
        let ada = people.find("ada").unwrap();
        let photos = Place { host: "photos.home.lan", ..HERE };
        let login = || {
            let cookie = sessions.start(&ada, &HERE, HOUR, NOW).unwrap();
            let (parent, _) = sessions.find(&cookie, "home.lan", &people, NOW).unwrap();
            let below = sessions.start_below(&parent, &ada, &photos, NOW).unwrap();
            (cookie, parent.id().to_owned(), below)
        };
        let is_in = |below: &str| sessions.find(below, "photos.home.lan", &people, NOW).is_some();

        let (_, id, below) = login();
        assert!(is_in(&below));
        assert!(sessions.end_id(&id, Some("bob")).is_err());
        sessions.end_id(&id, Some("ada")).unwrap();
        assert!(!is_in(&below));

        let (cookie, _, below) = login();
        sessions.end(&below).unwrap();
        assert!(!found(&sessions, &cookie, &people, NOW));

        let (_, _, below) = login();
        assert_eq!(sessions.list(Some("ada"), NOW).len(), 2);
        assert_eq!(sessions.end_all(Some("ada")).unwrap(), 2);
        assert!(!is_in(&below));
    }

    #[test]
    fn a_broken_file_only_means_logging_in_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        std::fs::write(&path, "{").unwrap();
        let sessions = Sessions::open(path, HOUR).unwrap();
        let people = people("x");
        let cookie = sessions.start(&people.find("ada").unwrap(), &HERE, HOUR, NOW).unwrap();
        assert!(found(&sessions, &cookie, &people, NOW));
    }
}
