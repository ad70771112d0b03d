//! The logins that a site or a route asks for besides the front's own.

use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;

use super::basic_auth::BasicAuth;
use super::forward_auth::AuthServer;
use super::values::Values;
use crate::config::{Guard, Limits};
use crate::error::Error;

/// Asks nobody by default.
#[derive(Debug, Default)]
pub(super) struct ServedGuard {
    basic_auth: Option<BasicAuth>,
    forward_auth: Option<AuthServer>,
}

impl ServedGuard {
    pub(super) fn new(config: &Guard) -> Result<Self, Error> {
        let forward_auth = config.forward_auth.as_ref().map(AuthServer::new).transpose()?;
        let basic_auth = BasicAuth::new(&config.basic_auth, &Limits::default());
        Ok(Self { basic_auth, forward_auth })
    }

    /// The names that this guard's auth server answers for.
    pub(super) fn auth_headers(&self) -> impl Iterator<Item = HeaderName> {
        self.forward_auth.iter().flat_map(AuthServer::copied_headers).cloned()
    }

    /// What the client gets instead, if it may not pass.
    pub(super) async fn refusal(
        &self,
        values: &Values<'_>,
        headers: &mut HeaderMap,
    ) -> Option<Response> {
        if let Some(basic_auth) = &self.basic_auth
            && let Some(refusal) = basic_auth.refusal(values.visit, headers).await
        {
            return Some(refusal);
        }
        match &self.forward_auth {
            Some(server) => server.refusal(values, headers).await,
            None => None,
        }
    }
}

/// Takes out what a client says in the auth server's name, also as `Remote_User`, which some
/// services read as the same.
pub(super) fn remove_claims(auth_headers: &[HeaderName], headers: &mut HeaderMap) {
    if auth_headers.is_empty() {
        return;
    }
    let is_claim = |name: &&HeaderName| {
        auth_headers.contains(name)
            || (name.as_str().contains('_')
                && auth_headers.iter().any(|it| it.as_str() == name.as_str().replace('_', "-")))
    };
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_go_however_they_are_spelled() {
        let mut headers = HeaderMap::new();
        for name in ["remote-user", "remote_user", "remote-users", "x_y"] {
            headers.insert(name, "x".parse().unwrap());
        }
        remove_claims(&[HeaderName::from_static("remote-user")], &mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["remote-users", "x_y"]);
    }
}
