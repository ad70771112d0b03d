//! Decides what happens to a request: which site, who asks, may they; then hands it to a router.

mod access_api;
mod install;
mod login;
mod refusal;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, UPGRADE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use self::login::{Name, OwnPath, is_navigation};
use self::refusal::Refusal;
use crate::access::certificate::AgentCertificate;
use crate::access::credentials::{Access, Shown};
use crate::access::origin::{self, From};
use crate::access::{Principal, Scope, Via, is_home, needed};
use crate::certs::Certificates;
use crate::client_ip::client_ip;
use crate::clock::Clock;
use crate::config::{AgentPrograms, Networks, PlainAuth, RequestLog, SiteAccess};
use crate::lifeline::Lifeline;
use crate::observe::{HandlerName, Note};
use crate::oidc::Oidc;
use crate::sites::{self, Served, Visit};
use crate::vhost::{Host, Site, Sites, Target};

/// What the front serves; the paths are those of the clients (`/api/v1/…`, `/loki/api/v1/…`).
#[derive(Debug, Clone, Default)]
pub struct Routers {
    /// Everything that is no API path, on the apex, `lan.` and the local names.
    pub page: Router,
    /// All of `metrics.`; `/api/` but for `/api/prom/`, `/-/`, `/metrics` and `/federate` elsewhere.
    pub metrics: Router,
    /// All of `logs.`; `/loki/`, `/api/prom/`, `/prometheus/api/`, `/config` and `/ready` elsewhere.
    pub logs: Router,
    /// Who gets the home page.
    pub home: HomeAccess,
}

/// Who may fetch the home page and the files it is made of; it is told who asks and shows what
/// they may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HomeAccess {
    /// Whoever may query.
    #[default]
    LoggedIn,
    Anybody,
}

/// What every request passes.
#[derive(Debug)]
pub(crate) struct Gate {
    pub sites: Arc<ArcSwap<Sites>>,
    pub routers: Routers,
    pub access: Arc<Access>,
    pub oidc: ArcSwapOption<Oidc>,
    pub trusted_proxies: ArcSwap<Networks>,
    pub clock: Arc<dyn Clock>,
    pub certificates: Arc<Certificates>,
    pub programs: AgentPrograms,
}

/// What a request inherits from its connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub peer: SocketAddr,
    pub transport: Transport,
    /// For what a connection becomes when its protocol changes.
    pub lifeline: Lifeline,
}

#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Tls { sni: Option<String>, agent: Option<AgentCertificate> },
    Plain(PlainAuth),
}

impl Transport {
    fn sni(&self) -> Option<&str> {
        match self {
            Self::Tls { sni, .. } => sni.as_deref(),
            Self::Plain(_) => None,
        }
    }

    fn agent(&self) -> Option<&AgentCertificate> {
        match self {
            Self::Tls { agent, .. } => agent.as_ref(),
            Self::Plain(_) => None,
        }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Tls { .. } => "https",
            Self::Plain(_) => "http",
        }
    }
}

/// The local CA's root, open on every listener: a device needs it before it can trust us.
pub(crate) const CA_PATH: &str = "/ca.pem";

/// What the steps before a router have found out about a request.
struct Asked<'a> {
    connection: &'a Connection,
    note: &'a Note,
    /// The peer, or whom a trusted proxy names.
    client: IpAddr,
    host: Host,
    target: Target,
}

impl Asked<'_> {
    fn shown<'a>(&'a self, parts: &'a Parts) -> Shown<'a> {
        Shown {
            headers: &parts.headers,
            host: &self.host.name,
            client: self.client,
            certificate: self.connection.transport.agent(),
        }
    }
}

impl Gate {
    pub(crate) async fn answer(
        &self,
        connection: &Connection,
        note: &Note,
        request: Request<Body>,
    ) -> Response {
        let mut response = self.route(connection, note, request).await;
        if note.is_too_slow() {
            // Whoever read the body can only have failed.
            response = too_slow();
        }
        if note.is_http1() && LEAVES_BODY.contains(&response.status()) {
            // Said in time, or a client's next request would meet a connection that ends.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.extensions_mut().remove::<FromService>().is_some() {
            return response;
        }
        let headers = response.headers_mut();
        for (name, value) in HARDENING {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    }

    async fn route(
        &self,
        connection: &Connection,
        note: &Note,
        request: Request<Body>,
    ) -> Response {
        let (parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let found = Host::of(&parts).and_then(|host| {
            self.sites.load().find(&host, connection.transport.sni()).map(|site| (host, site))
        });
        let (host, site) = match found {
            Ok(found) => found,
            Err(error) => return Refusal::Host(error).response(&parts, Target::Page),
        };
        let path = parts.uri.path();
        let client = client_ip(connection.peer.ip(), &parts.headers, &self.trusted_proxies.load());
        note.found(&host.name);
        note.set_client_ip(client);
        let asked = Asked { connection, note, client, host, target: site.target(path) };
        match (site, path) {
            (Site::Served(served), _path) => self.serve(&served, &asked, parts, body).await,
            (_any, CA_PATH) => {
                note.handled(HandlerName::Front);
                ca_pem(self.certificates.ca().root_pem())
            }
            (Site::Everything, path) if let Some(own) = OwnPath::of_page(path) => {
                self.own(own, Name::Page, &asked, parts, body).await
            }
            // The home page's data stands below the same prefix, and is its router's.
            (Site::Everything, path)
                if path.starts_with(access_api::PREFIX) && !is_home(&parts.method, path) =>
            {
                self.access_api(&asked, parts, body).await
            }
            (Site::Everything, path)
                if self.routers.home == HomeAccess::Anybody && is_home(&parts.method, path) =>
            {
                match self.principal(&asked, &parts).await {
                    Ok(principal) => self.hand_over(&asked, parts, body, principal).await,
                    Err(refusal) => refusal.response(&parts, asked.target),
                }
            }
            (_any, path) => {
                match self.admit(&asked, needed(asked.target, &parts.method, path), &parts).await {
                    Ok(principal) => self.hand_over(&asked, parts, body, principal).await,
                    Err(refusal) => refusal.response(&parts, asked.target),
                }
            }
        }
    }

    /// A site of the user's: everything below its name is the service's own but what it asks for.
    async fn serve(
        &self,
        served: &Served,
        asked: &Asked<'_>,
        parts: Parts,
        body: Body,
    ) -> Response {
        if served.log() == RequestLog::Off {
            asked.note.leave_out_of_log();
        }
        if !served.is_open_to(asked.client) {
            return sites::forbidden();
        }
        let needed = match served.access() {
            SiteAccess::Public => None,
            SiteAccess::Scope(scope) => Some(scope),
        };
        let name = || match self.sites.load().is_below_domain(&asked.host.name) {
            true => Name::BelowDomain,
            false => Name::Elsewhere,
        };
        if let Some(own) = needed.and_then(|_| OwnPath::of_site(parts.uri.path())) {
            return self.own(own, name(), asked, parts, body).await;
        }
        match self.admit(asked, needed, &parts).await {
            Ok(principal) => {
                let visit = Visit {
                    connection: asked.connection,
                    note: asked.note,
                    client: asked.client,
                    peer_is_trusted: self
                        .trusted_proxies
                        .load()
                        .contains(asked.connection.peer.ip()),
                    host: &asked.host,
                    principal,
                    clock: &*self.clock,
                };
                let mut response = served.answer(&visit, Request::from_parts(parts, body)).await;
                response.extensions_mut().insert(FromService);
                response
            }
            Err(Refusal::Anonymous) if is_navigation(&parts) => {
                self.to_login(name(), asked, &parts)
            }
            Err(refusal) => refusal.response(&parts, asked.target),
        }
    }

    /// The caller, if they may do what needs this scope; `None` when nobody needs to be asked.
    async fn admit(
        &self,
        asked: &Asked<'_>,
        needed: Option<Scope>,
        parts: &Parts,
    ) -> Result<Option<Principal>, Refusal> {
        let Some(scope) = needed else { return Ok(None) };
        let principal = self.principal(asked, parts).await?.ok_or(Refusal::Anonymous)?;
        asked.note.set_user(&principal.name);
        if changes_state(parts) {
            let from = origin::of(&parts.headers, asked.connection.transport.scheme(), &asked.host);
            check_origin(from, principal.via)?;
        }
        if principal.scopes.contains(scope) {
            Ok(Some(principal))
        } else {
            Err(Refusal::Scope { name: principal.name, scope })
        }
    }

    async fn principal(
        &self,
        asked: &Asked<'_>,
        parts: &Parts,
    ) -> Result<Option<Principal>, Refusal> {
        if let Transport::Plain(PlainAuth::Open) = asked.connection.transport {
            return Ok(Some(Principal::loopback()));
        }
        let found = self.access.principal(asked.shown(parts), self.clock.now()).await;
        found.map_err(Refusal::Denied)
    }

    async fn hand_over(
        &self,
        asked: &Asked<'_>,
        parts: Parts,
        body: Body,
        principal: Option<Principal>,
    ) -> Response {
        let mut request = Request::from_parts(parts, body);
        request.extensions_mut().insert(ConnectInfo(asked.connection.peer));
        if let Some(principal) = principal {
            request.extensions_mut().insert(principal);
        }
        let (router, handler) = match asked.target {
            Target::Page => (&self.routers.page, HandlerName::Page),
            Target::Metrics => (&self.routers.metrics, HandlerName::Prometheus),
            Target::Logs => (&self.routers.logs, HandlerName::Loki),
        };
        asked.note.handled(handler);
        router.clone().oneshot(request).await.into_response()
    }
}

/// What is answered before all of a body was read: its connection can bring no other request.
const LEAVES_BODY: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE];

/// Marks answers of the user's own sites: what they may be embedded in is their own business.
#[derive(Debug, Clone, Copy)]
struct FromService;

/// On every response of our own that does not say otherwise.
const HARDENING: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
];

/// A websocket is opened by a GET, but then carries anything.
fn changes_state(parts: &Parts) -> bool {
    let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    !safe || parts.headers.contains_key(UPGRADE)
}

/// Credentials that a browser sends by itself are only good for our own page's requests.
fn check_origin(from: From, via: Via) -> Result<(), Refusal> {
    match (via, from) {
        (Via::Token | Via::Certificate, _) | (_, From::OurPage) => Ok(()),
        // Every browser says where a POST comes from; promtool and Grafana do not.
        (Via::Basic | Via::Loopback, From::Unknown) => Ok(()),
        (Via::Session, From::Unknown) | (_, From::OtherSite) => Err(Refusal::OtherSite),
    }
}

/// 408: what is missing of the body does not come in time.
fn too_slow() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "the request's body comes too slowly\n").into_response()
}

/// The root as a download that phones offer to install.
pub(crate) fn ca_pem(pem: &str) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/x-x509-ca-cert"))];
    (headers, pem.to_owned()).into_response()
}

/// 303: fetch the next page by GET.
pub(crate) fn see_other(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_not_a_header) => StatusCode::BAD_REQUEST.into_response(),
    }
}
