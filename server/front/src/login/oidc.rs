//! The login at a provider as a browser sees it: on the way there, and back with a code.

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::pages::{message, once_more};
use super::{CookieReach, Door, next_of, path_to, with_cookie};
use crate::access::credentials::cookie;
use crate::access::people::Account;
use crate::access::sessions::ProviderLogin;
use crate::gate::see_other;
use crate::oidc::flow::Flow;
use crate::oidc::{Oidc, OidcError, Person};

pub(crate) const BEGIN_PATH: &str = "/.skep/oidc";
pub(crate) const RETURN_PATH: &str = "/.skep/oidc/callback";
/// Tells the browser that began from every other.
const FLOW_COOKIE: &str = "__Host-skep-oidc";
/// Somebody looks for a password and a phone.
const FLOW_MAX_AGE_S: u64 = 3600;
/// As much as a person wants to read of what a provider says.
const REASON_CHARS_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
    #[serde(default)]
    error_description: String,
}

impl Door<'_> {
    /// Sends the browser to the provider.
    pub(crate) async fn begin_oidc(&self, oidc: &Oidc, parts: &Parts) -> Response {
        let next = next_of(&parts.uri);
        let flow = Flow::begin(cookie(&parts.headers, FLOW_COOKIE), &next);
        match oidc.begin(&flow, &self.redirect_uri(), self.now).await {
            Ok(url) => {
                let reach = CookieReach::AndLinks;
                with_cookie(see_other(&url), FLOW_COOKIE, flow.cookie(), FLOW_MAX_AGE_S, reach)
            }
            Err(error) => self.not_let_in(&error),
        }
    }

    /// The browser is back from the provider.
    pub(crate) async fn return_oidc(&self, oidc: &Oidc, parts: &Parts) -> Response {
        let returned = Query::<Returned>::try_from_uri(&parts.uri);
        let returned = returned.map(|it| it.0).unwrap_or_default();
        let begun = cookie(&parts.headers, FLOW_COOKIE);
        let Some(flow) = begun.and_then(|it| Flow::of(it, &returned.state)) else {
            tracing::warn!(peer = %self.place.peer, "Refused a login from the provider: it took too long, or began in another browser.");
            let text = "This login took too long, or began in another browser.";
            return message(StatusCode::FORBIDDEN, "Not logged in", text, (self.path, "Try again"));
        };
        if let Some(error) = &returned.error {
            let text: String = format!("{error} {}", returned.error_description)
                .chars()
                .take(REASON_CHARS_MAX)
                .collect();
            let text = format!("The login provider says: {}", text.trim());
            return message(
                StatusCode::FORBIDDEN,
                "Not logged in",
                &text,
                (self.path, "Try again"),
            );
        }
        // RFC 9207: the answer of another provider than the one that was asked.
        if returned.iss.is_some_and(|it| it != oidc.config().issuer.as_str()) {
            let text = "The answer is from another login provider than the one that was asked.";
            return message(StatusCode::FORBIDDEN, "Not logged in", text, (self.path, "Try again"));
        }
        if let Err(wait) = self.access.count_guess(self.place.peer, self.now) {
            return self.too_many("", flow.next(), wait);
        }
        match oidc.finish(&flow, &returned.code, &self.redirect_uri(), self.now).await {
            Ok(person) => {
                self.access.forgive_guess(self.place.peer);
                self.enter_from(oidc, parts, person, flow.next())
            }
            Err(error) => self.not_let_in(&error),
        }
    }

    fn enter_from(&self, oidc: &Oidc, parts: &Parts, person: Person, next: &str) -> Response {
        let Person { name, scopes } = person;
        // Or whoever chooses their name at the provider could be taken for somebody else.
        if self.access.records.people.find(&name).is_some() {
            tracing::warn!(name, peer = %self.place.peer, "Refused a login from the provider: a user of this server has the name.");
            let text = format!(
                "There is a user {name:?} of this server, too, with a password. An admin can remove it (`skep-server user remove {name}`), or log in with the password."
            );
            return message(
                StatusCode::FORBIDDEN,
                "Not logged in",
                &text,
                (self.path, "To the login"),
            );
        }
        let login = ProviderLogin {
            issuer: oidc.config().issuer.to_string(),
            scopes: scopes.iter().collect(),
        };
        let account = Account::of_provider(&name, login);
        let lifetime = oidc.config().session_lifetime;
        match self.start(&parts.headers, &account, lifetime) {
            Ok(started) => {
                // Not a redirect: the browser comes from the provider, and would keep back the
                // strict cookie that it gets here.
                let response = started.with(once_more(next), self.cookie);
                with_cookie(response, FLOW_COOKIE, "", 0, CookieReach::AndLinks)
            }
            Err(error) => self.not_written(&error, next),
        }
    }

    /// As this server is called in the browser: the provider must know the address.
    fn redirect_uri(&self) -> String {
        format!("{}{RETURN_PATH}", self.origin())
    }

    fn not_let_in(&self, error: &OidcError) -> Response {
        let why = crate::error::chain(error);
        tracing::warn!(peer = %self.place.peer, why, "Nobody was let in by the login provider.");
        let status = match error {
            OidcError::Away { .. }
            | OidcError::Refused { .. }
            | OidcError::Odd { .. }
            | OidcError::OtherIssuer { .. }
            | OidcError::Plain(_)
            | OidcError::Client(_)
            | OidcError::Secret(_) => StatusCode::BAD_GATEWAY,
            OidcError::Grant(_) | OidcError::Signature(_) | OidcError::Claims(_) => {
                StatusCode::FORBIDDEN
            }
        };
        message(status, "Not logged in", &sentence(&error.to_string()), (self.path, "Try again"))
    }
}

/// As people read it on a page.
fn sentence(text: &str) -> String {
    let mut text = text.replace('`', "");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !text.ends_with('?') {
        text.push('.');
    }
    text
}

/// Where the login page's button goes.
pub(super) fn begin_path(next: &str) -> String {
    next.parse::<Uri>().map_or_else(|_odd| BEGIN_PATH.to_owned(), |uri| path_to(BEGIN_PATH, &uri))
}
