//! A login on its way from the apex to the name of a site, where no cookie can follow.

use crate::config::TokenHash;

/// What a code stands for that the browser carries from one name to the other.
#[derive(Debug, Clone)]
pub(crate) struct Handover {
    /// The login at the apex.
    pub session_sha256: String,
    /// The only name it is good for.
    pub host: String,
    /// Of the cookie that the site gave the browser which asked: good in no other.
    pub state: TokenHash,
    /// Where the browser wanted to go.
    pub next: String,
}
