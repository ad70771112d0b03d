//! What ties a login at a provider to the browser that began it, without keeping anything here.
//!
//! ```text
//! cookie  secret                                     stays in the browser
//! state   id "." next "." hash(state, secret, id, next)     goes to the provider and comes back
//! nonce   hash(nonce, secret, id)                    comes back inside the ID token
//! PKCE    hash(pkce, secret, id)                     its hash goes ahead, itself with the code
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};

use crate::config::TokenHash;

const SECRET_BYTES: usize = 32;
const ID_BYTES: usize = 16;
/// It goes through the provider's address twice.
const NEXT_BYTES_MAX: usize = 1024;

/// One login on its way.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    secret: String,
    id: String,
    next: String,
}

impl Flow {
    /// Begins one; a browser that has begun another keeps its secret, so that both can end.
    pub(crate) fn begin(cookie: Option<&str>, next: &str) -> Self {
        let known = cookie.filter(|it| is_secret(it)).map(str::to_owned);
        let next = if next.len() > NEXT_BYTES_MAX { "/" } else { next };
        Self {
            secret: known.unwrap_or_else(random::<SECRET_BYTES>),
            id: random::<ID_BYTES>(),
            next: next.to_owned(),
        }
    }

    /// The one that comes back, if this browser began it.
    pub(crate) fn of(cookie: &str, state: &str) -> Option<Self> {
        let mut parts = state.split('.');
        let (id, next, hash) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_secret(cookie) {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        let flow = Self { secret: cookie.to_owned(), id: id.to_owned(), next: text };
        // By hash: how long it takes tells nothing.
        (TokenHash::of(&flow.hash("state", next)) == TokenHash::of(hash)).then_some(flow)
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.secret
    }

    pub(crate) fn next(&self) -> &str {
        &self.next
    }

    pub(crate) fn state(&self) -> String {
        let next = URL_SAFE_NO_PAD.encode(&self.next);
        format!("{}.{next}.{}", self.id, self.hash("state", &next))
    }

    pub(crate) fn nonce(&self) -> String {
        self.hash("nonce", "")
    }

    pub(crate) fn verifier(&self) -> String {
        self.hash("pkce", "")
    }

    /// S256 of RFC 7636.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }

    fn hash(&self, what: &str, more: &str) -> String {
        let mut digest = Sha256::new();
        for part in [what, &self.secret, &self.id, more] {
            digest.update(Sha256::digest(part));
        }
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }
}

fn random<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn is_secret(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == SECRET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_to_the_browser_that_began_it_and_to_no_other() {
        let flow = Flow::begin(None, "/explore?q=up");
        let back = Flow::of(flow.cookie(), &flow.state()).unwrap();
        assert_eq!(back.next(), "/explore?q=up");
        assert_eq!((back.nonce(), back.verifier()), (flow.nonce(), flow.verifier()));
        let other = Flow::begin(None, "/");
        assert!(Flow::of(other.cookie(), &flow.state()).is_none());
        assert!(Flow::of("", &flow.state()).is_none());
        let elsewhere = flow.state().replace(&URL_SAFE_NO_PAD.encode("/explore?q=up"), "Lw");
        assert!(Flow::of(flow.cookie(), &elsewhere).is_none());
        for state in ["", "..", "a.b.c.d", &format!("{}.", flow.state())] {
            assert!(Flow::of(flow.cookie(), state).is_none(), "{state}");
        }
    }

    #[test]
    fn two_tabs_of_a_browser_share_a_secret_and_nothing_else() {
        let first = Flow::begin(None, "/");
        let second = Flow::begin(Some(first.cookie()), "/");
        assert_eq!(first.cookie(), second.cookie());
        assert_ne!(first.nonce(), second.nonce());
        assert_ne!(first.verifier(), second.verifier());
        assert!(Flow::of(first.cookie(), &first.state()).is_some());
        assert_ne!(Flow::begin(Some("planted"), "/").cookie(), "planted");
    }
}
