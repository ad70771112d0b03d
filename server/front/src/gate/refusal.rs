//! Says no in the caller's own language: Prometheus JSON, Loki text, or a way to the login page.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::access::Scope;
use crate::access::credentials::Denied;
use crate::gate::login::is_navigation;
use crate::gate::see_other;
use crate::login;
use crate::vhost::{HostError, Target};

/// Why a request does not reach a router.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Host(HostError),
    #[error("log in, or send \"Authorization: Bearer <token>\"")]
    Anonymous,
    #[error(transparent)]
    Denied(Denied),
    #[error("{name:?} lacks the scope {scope}; use credentials that have it")]
    Scope { name: Arc<str>, scope: Scope },
    #[error("refused a request that another site made in this browser; open the page itself")]
    OtherSite,
}

impl Refusal {
    pub(crate) fn response(&self, parts: &Parts, target: Target) -> Response {
        if self.asks_for_login() && target == Target::Page && is_navigation(parts) {
            return see_other(&login::path_to("/login", &parts.uri));
        }
        let status = self.status();
        let mut response = match target {
            Target::Metrics => (status, JSON, self.prometheus_json(status)).into_response(),
            Target::Logs | Target::Page => (status, format!("{self}\n")).into_response(),
        };
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER));
            // A script of our page must not make the browser ask for a password of its own.
            if !parts.headers.contains_key("sec-fetch-site") {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
            }
        }
        if let Self::Denied(Denied::TooMany(wait)) = self {
            headers.insert(RETRY_AFTER, login::retry_after(*wait));
        }
        response
    }

    fn asks_for_login(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Host(HostError::Malformed) => StatusCode::BAD_REQUEST,
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Denied(Denied::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Anonymous | Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Scope { .. } | Self::OtherSite => StatusCode::FORBIDDEN,
        }
    }

    fn prometheus_json(&self, status: StatusCode) -> String {
        let error_type = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
            _other => "forbidden",
        };
        let error = self.to_string();
        serde_json::json!({"status": "error", "errorType": error_type, "error": error}).to_string()
    }
}

const BEARER: &str = "Bearer realm=\"skep\"";
const BASIC: &str = "Basic realm=\"skep\", charset=\"UTF-8\"";
const JSON: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];
