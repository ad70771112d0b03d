//! HTTP Basic with the names and passwords of one site.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Visit;
use crate::access::Scopes;
use crate::access::attempts::Attempts;
use crate::access::credentials::name_and_password;
use crate::access::passwords::Passwords;
use crate::access::people::Account;
use crate::config::{BasicUser, PasswordHash};
use crate::login;

/// Checked off the async threads, remembered shortly, and counted for the client when wrong.
#[derive(Debug)]
pub(super) struct BasicAuth {
    users: Vec<Account>,
    /// Checked for a name that nobody has.
    stand_in: PasswordHash,
    passwords: Passwords,
    attempts: Arc<Attempts>,
}

/// The names mean nothing elsewhere; the browser shows no realm.
const CHALLENGE: &str = "Basic realm=\"restricted\", charset=\"UTF-8\"";

impl BasicAuth {
    /// `None` if there is nobody: then nobody is asked.
    pub(super) fn new(users: &[BasicUser], attempts: &Arc<Attempts>) -> Option<Self> {
        let nobody = users.first()?.password.clone();
        let users = users.iter().map(|it| Account {
            name: Arc::from(it.name.as_str()),
            password: it.password.clone(),
            scopes: Scopes::default(),
            asks_for_code: false,
            proof: String::new(),
            provider: None,
        });
        Some(Self {
            users: users.collect(),
            stand_in: nobody,
            passwords: Passwords::new(),
            attempts: Arc::clone(attempts),
        })
    }

    /// Why the request may not pass. A password that was right goes no further.
    pub(super) async fn refusal(
        &self,
        visit: &Visit<'_>,
        headers: &mut HeaderMap,
    ) -> Option<Response> {
        let Some((name, password)) = credentials(headers) else { return Some(challenge()) };
        let now = visit.clock.now();
        let account = self.users.iter().find(|account| *account.name == *name);
        if !account.is_some_and(|it| self.passwords.recalls(it, &password, now)) {
            if let Err(wait) = self.attempts.take(visit.client, now) {
                return Some(too_many(wait));
            }
            let stand_in = self.stand_in.clone();
            if !self.passwords.check(account, stand_in, &password, now).await {
                let name = name.escape_debug().to_string();
                tracing::warn!(client = %visit.client, site = visit.host.name, name, "Wrong name or password for a site.");
                return Some(challenge());
            }
            self.attempts.give_back(visit.client);
        }
        headers.remove(AUTHORIZATION);
        visit.note.set_user(&Arc::from(name));
        None
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") { name_and_password(rest.trim()) } else { None }
}

fn challenge() -> Response {
    let headers = [(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE))];
    (StatusCode::UNAUTHORIZED, headers, "name and password, please\n").into_response()
}

fn too_many(wait: Duration) -> Response {
    let headers = [(RETRY_AFTER, login::retry_after(wait))];
    let text = "too many wrong passwords from this address; wait\n";
    (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response()
}
