//! The logins that a site or a route asks for besides the front's own.

use std::sync::Arc;

use axum::http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use super::basic_auth::BasicAuth;
use super::forward_auth::AuthServer;
use super::values::Values;
use crate::access::attempts::Attempts;
use crate::config::Guard;
use crate::error::Error;

/// Asks nobody by default.
#[derive(Debug, Default)]
pub(super) struct ServedGuard {
    basic_auth: Option<BasicAuth>,
    forward_auth: Option<AuthServer>,
}

impl ServedGuard {
    pub(super) fn new(config: &Guard, attempts: &Arc<Attempts>) -> Result<Self, Error> {
        let forward_auth = config.forward_auth.as_ref().map(AuthServer::new).transpose()?;
        let basic_auth = BasicAuth::new(&config.basic_auth, attempts);
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

/// Takes out what a client calls its connection's own but is not: were it left to what forwards the
/// request, a client could take away headers that rules and auth servers have put there.
pub(super) fn remove_nominated(headers: &mut HeaderMap) {
    const REAL: [&str; 5] = ["close", "keep-alive", "upgrade", "te", "http2-settings"];
    let values = headers.get_all(CONNECTION).iter().filter_map(|it| it.to_str().ok());
    let tokens: Vec<String> =
        values.flat_map(|it| it.split(',')).map(|it| it.trim().to_ascii_lowercase()).collect();
    if tokens.iter().all(|it| REAL.contains(&it.as_str())) {
        return;
    }
    let (real, others): (Vec<String>, Vec<String>) =
        tokens.into_iter().partition(|it| REAL.contains(&it.as_str()));
    headers.remove(CONNECTION);
    if let Ok(value) = HeaderValue::from_str(&real.join(", "))
        && !real.is_empty()
    {
        headers.insert(CONNECTION, value);
    }
    // A message cannot do without them.
    let kept = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, COOKIE];
    let named = others.iter().filter_map(|it| it.parse::<HeaderName>().ok());
    for name in named.filter(|it| !kept.contains(it)) {
        headers.remove(name);
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
    fn only_a_connections_own_headers_go_with_it() {
        let mut headers = HeaderMap::new();
        headers
            .insert("connection", "Upgrade, X-Secret, content-length, keep-alive".parse().unwrap());
        headers.append("connection", "x-other".parse().unwrap());
        for name in ["x-secret", "x-other", "content-length", "upgrade"] {
            headers.insert(name, "1".parse().unwrap());
        }
        remove_nominated(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["connection", "content-length", "upgrade"]);
        assert_eq!(headers["connection"], "upgrade, keep-alive");
        remove_nominated(&mut headers);
        assert_eq!(headers["connection"], "upgrade, keep-alive");
    }

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
