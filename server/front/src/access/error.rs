//! Why a change to users, tokens or agents was refused.

use crate::config::ConfigError;
use crate::error::Error;

/// Each variant is a different thing to do for who asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(
        "name {0:?} is not allowed; write 1 to 64 letters, digits and . _ @ -, the first no dot"
    )]
    Name(String),
    #[error("there is no user {0:?}; `skep-server user list` shows them")]
    NoSuchUser(String),
    #[error("there is a user {0:?} already; `skep-server user passwd {0}` gives a new password")]
    UserExists(String),
    #[error("user {0:?} is in the configuration; change or remove the [[users]] entry there")]
    UserInConfig(String),
    #[error("the password has {0} characters; use at least {1}")]
    PasswordTooShort(usize, usize),
    #[error("the password has {0} bytes; use at most {1}")]
    PasswordTooLong(usize, usize),
    #[error("there is no role {0:?}; write viewer or admin")]
    Role(String),
    #[error(
        "this is not the code of this moment; is the clock right, here and on the phone? nothing was changed"
    )]
    WrongCode,
    #[error("there is no token or agent {0:?}; `skep-server token list` shows them")]
    NoSuchToken(String),
    #[error("there is a token or agent {0:?} already; revoke it first, or choose another name")]
    TokenExists(String),
    #[error("token {0:?} is in the configuration; remove the [[tokens]] entry there")]
    TokenInConfig(String),
    #[error("a token without scopes can do nothing; give it ingest, query or admin")]
    NoScopes,
    #[error("there is no session {0:?}; `skep-server session list` shows them")]
    NoSuchSession(String),
    #[error("there are {0} already, as many as there may be; remove some first")]
    TooMany(usize),
    #[error("this enrolment token is unknown or has expired; `skep-server enrol` makes another")]
    EnrolmentUnknown,
    #[error("this enrolment token was used by somebody else; if that was not you, revoke {0:?}")]
    EnrolmentUsed(String),
    #[error("{0:?} has a certificate for another key; show that, or enrol again")]
    OtherKey(String),
    #[error("the certificate request is not usable: {0}")]
    BadRequest(String),
    #[error(transparent)]
    Hash(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] Error),
}

/// Names go into logs, addresses and headers, and into HTTP Basic, which ends them at a colon.
pub(crate) fn check_name(name: &str) -> Result<(), AccessError> {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(ok) && !name.starts_with('.') {
        Ok(())
    } else {
        Err(AccessError::Name(name.to_owned()))
    }
}
