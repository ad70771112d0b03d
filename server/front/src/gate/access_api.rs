//! `/-/skep/v1/…`: logins, tokens and agents over HTTP, for the page and for agents that enrol.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Asked, Gate, changes_state, check_origin};
use crate::access::error::AccessError;
use crate::access::origin;
use crate::access::{Principal, Scope, Via};
use crate::certs::ca::AgentRequest;
use crate::certs::status::to_json;
use crate::config::TokenHash;
use crate::login::retry_after;
use crate::observe::HandlerName;
use crate::vhost::Target;

pub(super) const PREFIX: &str = "/-/skep/v1/";
/// A certificate request is a kilobyte.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// An enrolment that is made on the page.
const ENROLMENT_LIFETIME: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    scopes: Vec<Scope>,
    expires_in_s: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEnrolment {
    host: String,
}

#[derive(Debug, Deserialize)]
struct Enrol {
    token: String,
    /// Of the credential that the agent made up, in hexadecimal: the server never sees it before
    /// it is used.
    credential_sha256: String,
    /// For a certificate, in PEM.
    csr: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCertificate {
    csr: String,
}

#[derive(Debug, Default, Deserialize)]
struct WhoseSessions {
    #[serde(default)]
    user: String,
}

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the body is not what this call takes: {0}")]
    Body(String),
    #[error("there is no such call")]
    Unknown,
    #[error(
        "this server has no agent for {arch:?}; put one into {}", folder.join(format!("skep-agent-{arch}")).display()
    )]
    NoProgram { arch: String, folder: std::path::PathBuf },
    #[error("too many wrong tokens from this address; wait {} s", .0.as_secs().max(1))]
    TooMany(Duration),
}

impl Gate {
    pub(super) async fn access_api(&self, asked: &Asked<'_>, parts: Parts, body: Body) -> Response {
        asked.note.handled(HandlerName::Front);
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().replace("%40", "@");
        let steps: Vec<&str> = path.split('/').collect();
        let answer = match (&parts.method, steps.as_slice()) {
            (&Method::POST, ["enrol"]) => self.enrol(asked, body).await.map(success),
            (&Method::GET, ["enrol", "install.sh"]) => self.install_script(asked, &parts),
            (&Method::GET, ["enrol", "agent", arch]) => {
                self.agent_program(arch, asked, &parts).await
            }
            (&Method::POST, ["certificate"]) => {
                self.certify(asked, &parts, body).await.map(success)
            }
            (method, steps) => match self.known(asked, &parts).await {
                Ok(principal) => {
                    self.call(method, steps, &principal, asked, &parts, body).await.map(success)
                }
                Err(refusal) => Err(refusal.into()),
            },
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(Fault::Refused(refusal)) => refusal.response(&parts, Target::Metrics),
            Err(fault) => fault.response(),
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Who calls; nobody may do it from a page of another site.
    async fn known(&self, asked: &Asked<'_>, parts: &Parts) -> Result<Principal, Refusal> {
        let principal = self.principal(asked, parts).await?.ok_or(Refusal::Anonymous)?;
        if changes_state(parts) {
            let from = origin::of(&parts.headers, asked.connection.transport.scheme(), &asked.host);
            check_origin(from, principal.via)?;
        }
        Ok(principal)
    }

    async fn call(
        &self,
        method: &Method,
        steps: &[&str],
        principal: &Principal,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<(StatusCode, Value), Fault> {
        let records = &self.access.records;
        let now = self.clock.now();
        let admin = || allow(principal, Scope::Admin);
        match (method.as_str(), steps) {
            ("GET", ["me"]) => Ok(ok(self.me(principal, asked, parts))),
            ("GET", ["users"]) => {
                admin()?;
                Ok(ok(records.users()))
            }
            ("GET", ["tokens"]) => {
                admin()?;
                Ok(ok(records.tokens()))
            }
            ("GET", ["certificates"]) => {
                admin()?;
                Ok(ok(to_json(&self.certificates.status())))
            }
            ("POST", ["tokens"]) => {
                admin()?;
                let new: NewToken = read(body).await?;
                let lifetime = new.expires_in_s.map(Duration::from_secs);
                let token = tokio::task::block_in_place(|| {
                    records.new_token(&new.name, &new.scopes, lifetime, now)
                })?;
                tracing::info!(by = &*principal.name, token = new.name, "Made a token.");
                Ok((StatusCode::CREATED, json!({"name": new.name, "token": token})))
            }
            ("DELETE", ["tokens", name]) => {
                admin()?;
                tokio::task::block_in_place(|| records.revoke(name))?;
                tracing::info!(by = &*principal.name, token = name, "Revoked a token.");
                Ok(ok(json!({})))
            }
            ("POST", ["enrolments"]) => {
                admin()?;
                self.new_enrolment(asked, principal, read(body).await?)
                    .map(|it| (StatusCode::CREATED, it))
            }
            ("GET", ["sessions"]) => {
                let whose = Query::<WhoseSessions>::try_from_uri(&parts.uri);
                let user = whose.map(|it| it.0.user).unwrap_or_default();
                if user.is_empty() || user == *principal.name {
                    return Ok(ok(records.sessions(Some(&principal.name), now)));
                }
                admin()?;
                let user = Some(user.as_str()).filter(|user| *user != "*");
                Ok(ok(records.sessions(user, now)))
            }
            ("DELETE", ["sessions"]) => {
                let ended =
                    tokio::task::block_in_place(|| records.end_sessions(Some(&principal.name)))?;
                Ok(ok(json!({"ended": ended})))
            }
            ("DELETE", ["sessions", id]) => {
                let is_admin = principal.scopes.contains(Scope::Admin);
                let user = Some(&*principal.name).filter(|_| !is_admin);
                tokio::task::block_in_place(|| records.end_session(id, user))?;
                Ok(ok(json!({})))
            }
            _other => Err(Fault::Unknown),
        }
    }

    /// A token for one agent, and what is pasted on its host.
    fn new_enrolment(
        &self,
        asked: &Asked<'_>,
        principal: &Principal,
        NewEnrolment { host }: NewEnrolment,
    ) -> Result<Value, Fault> {
        let now = self.clock.now();
        let token = tokio::task::block_in_place(|| {
            self.access.records.new_enrolment(&host, ENROLMENT_LIFETIME, now)
        })?;
        tracing::info!(by = &*principal.name, host, "Made an enrolment token.");
        let command = self.install_line(asked, &host, &token)?;
        let expires_in_s = ENROLMENT_LIFETIME.as_secs();
        Ok(json!({"host": host, "token": token, "expires_in_s": expires_in_s, "command": command}))
    }

    fn me(&self, principal: &Principal, asked: &Asked<'_>, parts: &Parts) -> Value {
        let scopes: Vec<Scope> = principal.scopes.iter().collect();
        let session = match principal.via {
            Via::Session => self.access.session(asked.shown(parts), self.clock.now()),
            _other => None,
        };
        let session = session.map(|(session, _)| session.id().to_owned());
        json!({"name": &*principal.name, "scopes": scopes, "session": session})
    }

    /// Gives an agent a credential of its own for a token that is good once.
    async fn enrol(&self, asked: &Asked<'_>, body: Body) -> Result<(StatusCode, Value), Fault> {
        let now = self.clock.now();
        self.access.count_guess(asked.client, now).map_err(Fault::TooMany)?;
        let sent: Enrol = read(body).await?;
        let credential = TokenHash::from_hex(&sent.credential_sha256).map_err(AccessError::from)?;
        let request = sent.csr.as_deref().map(request).transpose()?;
        let key_sha256 = request.as_ref().map(AgentRequest::key_sha256);
        let enrolled = tokio::task::block_in_place(|| {
            self.access.records.enrol(&sent.token, credential, key_sha256, now)
        });
        match enrolled {
            Ok(name) => {
                self.access.forgive_guess(asked.client);
                tracing::info!(host = name, peer = %asked.client, "An agent has enrolled.");
                match request {
                    Some(request) => Ok(ok(self.certificate(request, &name)?)),
                    None => Ok(ok(json!({"name": name}))),
                }
            }
            Err(error) => {
                tracing::warn!(%error, peer = %asked.client, "Refused to enrol an agent.");
                Err(error.into())
            }
        }
    }
}

impl Gate {
    /// Gives an agent a certificate for its key, or another in time before that one ends.
    async fn certify(
        &self,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<(StatusCode, Value), Fault> {
        let found = self.access.asking_agent(asked.shown(parts), self.clock.now()).await;
        let principal = found.map_err(Refusal::Denied)?.ok_or(Refusal::Anonymous)?;
        let (name, via) = (&*principal.name, principal.via);
        asked.note.set_user(&principal.name);
        let sent: NewCertificate = read(body).await?;
        let request = request(&sent.csr)?;
        let records = &self.access.records;
        tokio::task::block_in_place(|| records.tokens.set_key(name, &request.key_sha256(), via))?;
        tracing::info!(host = name, peer = %asked.client, "An agent got a certificate.");
        Ok(ok(self.certificate(request, name)?))
    }

    fn certificate(&self, request: AgentRequest, name: &str) -> Result<Value, Fault> {
        let leaf = self.certificates.ca().issue_agent(request, name, self.clock.now());
        let leaf = leaf.map_err(AccessError::from)?;
        let ends = leaf.not_after.unix_timestamp();
        Ok(json!({"name": name, "certificate": leaf.pem, "not_after_unix_s": ends}))
    }
}

fn request(pem: &str) -> Result<AgentRequest, AccessError> {
    AgentRequest::parse(pem).map_err(|error| AccessError::BadRequest(error.to_string()))
}

const JSON: [(axum::http::HeaderName, &str); 1] =
    [(axum::http::header::CONTENT_TYPE, "application/json")];

fn success((status, data): (StatusCode, Value)) -> Response {
    (status, JSON, json!({"status": "success", "data": data}).to_string()).into_response()
}

fn ok(data: impl Serialize) -> (StatusCode, Value) {
    (StatusCode::OK, json!(data))
}

fn allow(principal: &Principal, scope: Scope) -> Result<(), Refusal> {
    if principal.scopes.contains(scope) {
        return Ok(());
    }
    Err(Refusal::Scope { name: std::sync::Arc::clone(&principal.name), scope })
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Fault> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX);
    let bytes = tokio::time::timeout(BODY_TIMEOUT, bytes).await;
    let bytes = bytes.map_err(|_slow| Fault::Body("it did not arrive in time".to_owned()))?;
    let bytes = bytes.map_err(|error| Fault::Body(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| Fault::Body(error.to_string()))
}

impl Fault {
    fn response(&self) -> Response {
        let status = match self {
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Unknown | Self::NoProgram { .. } => StatusCode::NOT_FOUND,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::Access(error) => of_access(error),
        };
        let text = match self {
            // The path of a file is nobody's business; the log has it.
            Self::Access(AccessError::File(error)) => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "Could not read or write who may do what.");
                "the server could not write it down; see its log".to_owned()
            }
            told => told.to_string(),
        };
        let body = json!({"status": "error", "errorType": "access", "error": text}).to_string();
        let mut response = (status, JSON, body).into_response();
        if let Self::TooMany(wait) = self {
            response.headers_mut().insert(RETRY_AFTER, retry_after(*wait));
        }
        response
    }
}

fn of_access(error: &AccessError) -> StatusCode {
    match error {
        AccessError::NoSuchUser(_)
        | AccessError::NoSuchToken(_)
        | AccessError::NoSuchSession(_) => StatusCode::NOT_FOUND,
        AccessError::UserExists(_)
        | AccessError::UserInConfig(_)
        | AccessError::TokenInConfig(_)
        | AccessError::OtherKey(_)
        | AccessError::TokenExists(_)
        | AccessError::TooMany(_) => StatusCode::CONFLICT,
        AccessError::EnrolmentUnknown | AccessError::EnrolmentUsed(_) => StatusCode::FORBIDDEN,
        AccessError::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        AccessError::Name(_)
        | AccessError::PasswordTooShort(..)
        | AccessError::PasswordTooLong(..)
        | AccessError::Role(_)
        | AccessError::WrongCode
        | AccessError::NoScopes
        | AccessError::BadRequest(_)
        | AccessError::Hash(_) => StatusCode::BAD_REQUEST,
    }
}
