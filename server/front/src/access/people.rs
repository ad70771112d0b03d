//! The people who may log in: those of the configuration, and those of the file beside it.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Scopes;
use super::book::{Book, WhenBroken};
use super::error::{AccessError, check_name};
use super::passwords::PASSWORD_BYTES_MAX;
use super::second_factor::{Answer, NewFactor, SecondFactor};
use crate::config::{PasswordHash, User};
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
            Self::Viewer => [super::Scope::Query].into_iter().collect(),
            Self::Admin => Scopes::ALL,
        }
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
}

/// A user of the file, as others may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserInfo {
    pub name: String,
    pub role: Role,
    pub created_unix_s: i64,
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

/// Everybody.
#[derive(Debug)]
pub(crate) struct People {
    /// Their entries count where both have a name.
    configured: ArcSwap<Vec<User>>,
    file: Book<StoredUser>,
}

impl People {
    pub(crate) fn open(dir: &Path, configured: Vec<User>) -> Result<Self, Error> {
        let file = Book::open(dir.join("users.json"), WhenBroken::Fail)?;
        Ok(Self { configured: ArcSwap::from_pointee(configured), file })
    }

    /// Puts other users in the place of the configuration's.
    pub(crate) fn configure(&self, configured: Vec<User>) {
        self.configured.store(Arc::new(configured));
    }

    pub(crate) fn find(&self, name: &str) -> Option<Account> {
        let configured = self.configured.load();
        if let Some(user) = configured.iter().find(|user| user.name == name) {
            return Some(Account {
                name: Arc::from(name),
                password: user.password.clone(),
                scopes: user.scopes,
                asks_for_code: false,
            });
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
        self.file.change(|users| {
            let user = users.iter_mut().find(|user| user.name == name);
            let factor = user.and_then(|user| user.second_factor.as_mut());
            Ok(factor.is_some_and(|factor| factor.take(code, now) == Answer::Right))
        })
    }

    pub(crate) fn list(&self) -> Vec<UserInfo> {
        self.file.entries().iter().map(StoredUser::info).collect()
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
        Some(Account {
            name: Arc::from(self.name.as_str()),
            password: PasswordHash::parse(&self.password_hash).ok()?,
            scopes: self.role.scopes(),
            asks_for_code: self.second_factor.is_some(),
        })
    }

    fn info(&self) -> UserInfo {
        UserInfo {
            name: self.name.clone(),
            role: self.role,
            created_unix_s: self.created_unix_s,
            has_second_factor: self.second_factor.is_some(),
            recovery_codes_left: self.second_factor.as_ref().map_or(0, SecondFactor::n_recovery),
        }
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
        let eve =
            User { name: "eve".into(), password: PasswordHash::of_nobody(), scopes: Scopes::ALL };
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
