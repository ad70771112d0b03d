//! The people who may log in: those of the configuration, and those of the file beside it.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::book::{Book, WhenBroken};
use super::error::{AccessError, check_name};
use super::passwords::PASSWORD_BYTES_MAX;
use super::second_factor::{Answer, CodeSecret, NewFactor, SecondFactor};
use super::sessions::ProviderLogin;
use super::{Scope, Scopes, Source};
use crate::config::{Issuer, PasswordHash, User};
use crate::error::Error;

/// In the file; each login reads it through.
const USERS_MAX: usize = 1000;
/// As NIST SP 800-63B asks; longer is better than odder.
const PASSWORD_CHARS_MIN: usize = 8;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: queries, the page, sites for viewers.
    Viewer,
    /// Everything.
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    pub fn scopes(self) -> Scopes {
        match self {
            Self::Viewer => [Scope::Query].into_iter().collect(),
            Self::Admin => Scopes::ALL,
        }
    }

    /// The role that means just these.
    pub fn of(scopes: Scopes) -> Option<Self> {
        [Self::Viewer, Self::Admin].into_iter().find(|role| role.scopes() == scopes)
    }
}

impl FromStr for Role {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Viewer, Self::Admin].into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| AccessError::Role(text.to_owned()))
    }
}

/// Somebody who can log in, wherever it is written.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub name: Arc<str>,
    pub password: PasswordHash,
    pub scopes: Scopes,
    pub asks_for_code: bool,
    /// Of what a login is made with: another ends the logins made before.
    pub proof: String,
    /// Who let them in, if it was no password.
    pub provider: Option<ProviderLogin>,
}

impl Account {
    fn new(
        name: &str,
        password: PasswordHash,
        scopes: Scopes,
        code_secret: Option<&CodeSecret>,
    ) -> Self {
        let proof = proof(&password, code_secret);
        Self {
            name: Arc::from(name),
            password,
            scopes,
            asks_for_code: code_secret.is_some(),
            proof,
            provider: None,
        }
    }

    /// Of somebody who has no password here.
    pub(crate) fn of_provider(name: &str, login: ProviderLogin) -> Self {
        Self {
            name: Arc::from(name),
            password: PasswordHash::of_nobody(),
            scopes: login.scopes.iter().copied().collect(),
            asks_for_code: false,
            proof: String::new(),
            provider: Some(login),
        }
    }
}

/// Tells one set of secrets from another without being one.
fn proof(password: &PasswordHash, code_secret: Option<&CodeSecret>) -> String {
    let mut digest = Sha256::new_with_prefix(password.as_str());
    if let Some(secret) = code_secret {
        digest.update(secret.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// Somebody who can log in, as others may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    pub name: String,
    pub source: Source,
    /// `None` for scopes that are no role's.
    pub role: Option<Role>,
    pub scopes: Vec<Scope>,
    /// `None` for the configuration's.
    pub created_unix_s: Option<i64>,
    pub has_second_factor: bool,
    pub recovery_codes_left: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredUser {
    name: String,
    role: Role,
    /// In PHC form.
    password_hash: String,
    created_unix_s: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_factor: Option<SecondFactor>,
}

/// Which code a user of the configuration has used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct UsedCode {
    user: String,
    /// The newest: nothing up to it is good again.
    last_step: u64,
}

/// Everybody.
#[derive(Debug)]
pub(crate) struct People {
    /// Their entries count where both have a name.
    configured: ArcSwap<Vec<User>>,
    /// Whose logins count besides.
    issuer: ArcSwapOption<Issuer>,
    file: Book<StoredUser>,
    /// The configuration's secrets stand in files that are not ours to write.
    used_codes: Book<UsedCode>,
}

impl People {
    pub(crate) fn open(dir: &Path, configured: Vec<User>) -> Result<Self, Error> {
        let file = Book::open(dir.join("users.json"), WhenBroken::Fail)?;
        let used_codes = Book::open(dir.join("used-codes.json"), WhenBroken::Fail)?;
        let configured = ArcSwap::from_pointee(configured);
        Ok(Self { configured, issuer: ArcSwapOption::empty(), file, used_codes })
    }

    /// Puts other users in the place of the configuration's.
    pub(crate) fn configure(&self, configured: Vec<User>) {
        self.configured.store(Arc::new(configured));
    }

    /// Puts another provider in the place of the configuration's.
    pub(crate) fn trust(&self, issuer: Option<Issuer>) {
        self.issuer.store(issuer.map(Arc::new));
    }

    /// Who logged in at a provider, as long as it counts and nobody here has the name.
    pub(crate) fn of_provider(&self, name: &str, login: &ProviderLogin) -> Option<Account> {
        let issuer = self.issuer.load();
        let counts = issuer.as_ref().is_some_and(|it| it.as_str() == login.issuer);
        (counts && self.find(name).is_none()).then(|| Account::of_provider(name, login.clone()))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Account> {
        let configured = self.configured.load();
        if let Some(user) = configured.iter().find(|user| user.name == name) {
            let password = user.password.clone();
            return Some(Account::new(name, password, user.scopes, user.code_secret.as_ref()));
        }
        let users = self.file.entries();
        users.iter().find(|user| user.name == name).and_then(StoredUser::account)
    }

    /// Somebody's hash, so that a check for nobody costs as much as one for a user.
    pub(crate) fn any_password(&self) -> Option<PasswordHash> {
        let configured = self.configured.load().first().map(|user| user.password.clone());
        configured.or_else(|| {
            let users = self.file.entries();
            users.iter().find_map(StoredUser::account).map(|it| it.password)
        })
    }

    /// Whether a code is right; it is used up then. Blocks on the disk.
    pub(crate) fn check_code(
        &self,
        name: &str,
        code: &str,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        if let Some(user) = self.configured.load().iter().find(|user| user.name == name) {
            let secret = user.code_secret.as_ref();
            return secret.map_or(Ok(false), |secret| self.use_code(name, secret, code, now));
        }
        self.file.change(|users| {
            let user = users.iter_mut().find(|user| user.name == name);
            let factor = user.and_then(|user| user.second_factor.as_mut());
            Ok(factor.is_some_and(|factor| factor.take(code, now) == Answer::Right))
        })
    }

    fn use_code(
        &self,
        name: &str,
        secret: &CodeSecret,
        code: &str,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        self.used_codes.change(|used| {
            let last_step = used.iter().find(|it| it.user == name).map_or(0, |it| it.last_step);
            let Some(step) = secret.step_of(code, last_step, now) else { return Ok(false) };
            used.retain(|it| it.user != name);
            used.push(UsedCode { user: name.to_owned(), last_step: step });
            Ok(true)
        })
    }

    /// The configuration's first: they count where both have a name.
    pub(crate) fn list(&self) -> Vec<UserInfo> {
        let configured = self.configured.load();
        let file = self.file.entries();
        let stored = file.iter().filter(|it| !configured.iter().any(|user| user.name == it.name));
        configured.iter().map(configured_info).chain(stored.map(StoredUser::info)).collect()
    }

    pub(crate) fn add(
        &self,
        name: &str,
        role: Role,
        password: &str,
        now: OffsetDateTime,
    ) -> Result<(), AccessError> {
        check_name(name)?;
        self.refuse_configured(name)?;
        let password_hash = hash(password)?.as_str().to_owned();
        self.file.change(|users| {
            if users.iter().any(|user| user.name == name) {
                return Err(AccessError::UserExists(name.to_owned()));
            }
            if users.len() >= USERS_MAX {
                return Err(AccessError::TooMany(USERS_MAX));
            }
            users.push(StoredUser {
                name: name.to_owned(),
                role,
                password_hash,
                created_unix_s: now.unix_timestamp(),
                second_factor: None,
            });
            Ok(())
        })
    }

    pub(crate) fn set_password(&self, name: &str, password: &str) -> Result<(), AccessError> {
        let password_hash = hash(password)?.as_str().to_owned();
        self.change(name, |user| user.password_hash = password_hash)
    }

    pub(crate) fn set_role(&self, name: &str, role: Role) -> Result<(), AccessError> {
        self.change(name, |user| user.role = role)
    }

    /// Puts a factor in the place of an older one, or of none; `None` takes it away.
    pub(crate) fn set_factor(
        &self,
        name: &str,
        factor: Option<&NewFactor>,
    ) -> Result<(), AccessError> {
        self.change(name, |user| user.second_factor = factor.map(NewFactor::stored))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), AccessError> {
        self.refuse_configured(name)?;
        self.file.change(|users| {
            let n_before = users.len();
            users.retain(|user| user.name != name);
            if users.len() < n_before {
                Ok(())
            } else {
                Err(AccessError::NoSuchUser(name.to_owned()))
            }
        })
    }

    /// Says where somebody is found who cannot be changed here.
    pub(crate) fn refuse_configured(&self, name: &str) -> Result<(), AccessError> {
        if self.configured.load().iter().any(|user| user.name == name) {
            return Err(AccessError::UserInConfig(name.to_owned()));
        }
        Ok(())
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut StoredUser)) -> Result<(), AccessError> {
        self.refuse_configured(name)?;
        self.file.change(|users| {
            let user = users.iter_mut().find(|user| user.name == name);
            change(user.ok_or_else(|| AccessError::NoSuchUser(name.to_owned()))?);
            Ok(())
        })
    }
}

impl StoredUser {
    /// `None` for a hash that somebody broke by hand: nobody logs in with it.
    fn account(&self) -> Option<Account> {
        let password = PasswordHash::parse(&self.password_hash).ok()?;
        let account = Account::new(&self.name, password, self.role.scopes(), None);
        Some(Account { asks_for_code: self.second_factor.is_some(), ..account })
    }

    fn info(&self) -> UserInfo {
        UserInfo {
            name: self.name.clone(),
            source: Source::File,
            role: Some(self.role),
            scopes: self.role.scopes().iter().collect(),
            created_unix_s: Some(self.created_unix_s),
            has_second_factor: self.second_factor.is_some(),
            recovery_codes_left: self.second_factor.as_ref().map_or(0, SecondFactor::n_recovery),
        }
    }
}

fn configured_info(user: &User) -> UserInfo {
    UserInfo {
        name: user.name.clone(),
        source: Source::Config,
        role: Role::of(user.scopes),
        scopes: user.scopes.iter().collect(),
        created_unix_s: None,
        has_second_factor: user.code_secret.is_some(),
        recovery_codes_left: 0,
    }
}

fn hash(password: &str) -> Result<PasswordHash, AccessError> {
    let n_chars = password.chars().count();
    if n_chars < PASSWORD_CHARS_MIN {
        return Err(AccessError::PasswordTooShort(n_chars, PASSWORD_CHARS_MIN));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(AccessError::PasswordTooLong(password.len(), PASSWORD_BYTES_MAX));
    }
    Ok(PasswordHash::of(password)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn what_the_command_line_writes_the_server_sees_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let server = People::open(dir.path(), Vec::new()).unwrap();
        let tool = People::open(dir.path(), Vec::new()).unwrap();
        tool.add("ada", Role::Viewer, "long enough", NOW).unwrap();
        let before = server.find("ada").unwrap();
        assert_eq!(before.scopes, Role::Viewer.scopes());
        tool.set_password("ada", "another one").unwrap();
        assert_ne!(server.find("ada").unwrap().password, before.password);
        tool.remove("ada").unwrap();
        assert!(server.find("ada").is_none());
    }

    #[test]
    fn names_and_passwords_that_would_not_work_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let eve = User {
            name: "eve".into(),
            password: PasswordHash::of_nobody(),
            scopes: Scopes::ALL,
            code_secret: None,
        };
        let people = People::open(dir.path(), vec![eve]).unwrap();
        for name in ["", "a:b", "a b", "../x", "ä", &"x".repeat(65)] {
            let refused = people.add(name, Role::Viewer, "long enough", NOW);
            assert!(matches!(refused, Err(AccessError::Name(_))), "{name:?}");
        }
        let short = people.add("ada", Role::Viewer, "short", NOW).unwrap_err();
        assert_eq!(short.to_string(), "the password has 5 characters; use at least 8");
        let configured = people.add("eve", Role::Admin, "long enough", NOW).unwrap_err();
        assert!(matches!(configured, AccessError::UserInConfig(_)), "{configured}");
        assert!(matches!(people.remove("bob"), Err(AccessError::NoSuchUser(_))));
    }
}
