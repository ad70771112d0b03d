//! The sites of the user's own services, made ready to answer.

mod basic_auth;
mod compress;
mod files;
mod forward_auth;
mod guard;
mod headers;
mod path;
mod proxy;
mod redirect;
mod rewrite;
mod values;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::http::header::{ALLOW, HeaderName, HeaderValue};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;

use self::compress::Accepted;
use self::guard::ServedGuard;
use self::proxy::Proxy;
pub use self::proxy::{Unreached, UpstreamStatus, unreached};
use self::rewrite::NotAPath;
use self::values::Values;
use crate::access::Principal;
use crate::access::attempts::Attempts;
use crate::clock::Clock;
use crate::config::{
    Action, Compress, FilesConfig, HeaderRules, Networks, PathPattern, RedirectConfig, RequestLog,
    Respond, Rewrite, Route, RouteGuard, SiteAccess, SiteConfig,
};
use crate::error::Error;
use crate::gate::Connection;
use crate::observe::{HandlerName, Note};
use crate::vhost::Host;

/// A site as the gate meets it: who may come is asked there, the rest is done here.
#[derive(Debug)]
pub(crate) struct Served {
    access: SiteAccess,
    allow: Networks,
    body_max: Option<usize>,
    guard: Arc<ServedGuard>,
    /// What auth servers say about a visitor; nobody else may.
    auth_headers: Vec<HeaderName>,
    request_headers: HeaderRules,
    response_headers: HeaderRules,
    compress: Compress,
    log: RequestLog,
    routes: Vec<ServedRoute>,
}

#[derive(Debug)]
struct ServedRoute {
    path: PathPattern,
    methods: Vec<Method>,
    allow: Networks,
    guard: Arc<ServedGuard>,
    request_headers: HeaderRules,
    response_headers: HeaderRules,
    rewrite: Rewrite,
    handler: Handler,
}

/// What answers, with all it keeps between requests.
#[derive(Debug)]
enum Handler {
    Files(FilesConfig),
    Redirect(RedirectConfig),
    Respond(Respond),
    Proxy(Box<Proxy>),
}

/// Who a request comes from.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub connection: &'a Connection,
    /// Takes what the access log should know.
    pub note: &'a Note,
    /// The peer, or whom a trusted proxy names.
    pub client: IpAddr,
    /// What the peer says about where a request comes from is passed on.
    pub peer_is_trusted: bool,
    pub host: &'a Host,
    /// Of a site that asks for one.
    pub principal: Option<Principal>,
    pub clock: &'a dyn Clock,
}

impl Served {
    /// `attempts` counts wrong passwords; what the site of `before` knows of its servers stays
    /// known.
    pub(crate) fn new(
        config: &SiteConfig,
        attempts: &Arc<Attempts>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let guard = Arc::new(ServedGuard::new(&config.guard, attempts)?);
        let before: Vec<&Proxy> = before.map(|it| it.proxies().collect()).unwrap_or_default();
        let route = |it| ServedRoute::new(it, &guard, attempts, &before);
        let routes = config.routes.iter().map(route);
        let routes: Vec<ServedRoute> = routes.collect::<Result<_, Error>>()?;
        let guards = routes.iter().map(|it| &it.guard).chain([&guard]);
        let mut auth_headers: Vec<HeaderName> = guards.flat_map(|it| it.auth_headers()).collect();
        auth_headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        auth_headers.dedup();
        Ok(Self {
            access: config.access,
            allow: config.allow.clone(),
            body_max: config.body_max,
            guard,
            auth_headers,
            request_headers: config.request_headers.clone(),
            response_headers: config.response_headers.clone(),
            compress: config.compress,
            log: config.log,
            routes,
        })
    }

    pub(crate) fn access(&self) -> SiteAccess {
        self.access
    }

    pub(crate) fn log(&self) -> RequestLog {
        self.log
    }

    /// The servers behind its routes.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = UpstreamStatus> + '_ {
        self.proxies().flat_map(Proxy::status)
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.routes.iter().filter_map(|it| match &it.handler {
            Handler::Proxy(it) => Some(&**it),
            Handler::Files(_) | Handler::Redirect(_) | Handler::Respond(_) => None,
        })
    }

    /// Asked before anything else, a login too.
    pub(crate) fn is_open_to(&self, client: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.contains(client)
    }

    pub(crate) async fn answer(&self, visit: &Visit<'_>, request: Request<Body>) -> Response {
        let values = Values { visit, method: request.method().clone(), uri: request.uri().clone() };
        let accepted = match self.compress {
            Compress::On => Some(Accepted::by(request.headers())),
            Compress::Off => None,
        };
        let mut response = self.routed(&values, request).await;
        headers::apply(&self.response_headers, response.headers_mut(), &values);
        match accepted {
            Some(accepted) => accepted.compressed(response).await,
            None => response,
        }
    }

    async fn routed(&self, values: &Values<'_>, mut request: Request<Body>) -> Response {
        let Some(path) = path::cleaned(values.uri.path()) else { return malformed() };
        guard::remove_nominated(request.headers_mut());
        guard::remove_claims(&self.auth_headers, request.headers_mut());
        let taking = || self.routes.iter().filter(|it| it.path.takes(&path));
        let route = taking().find(|it| it.takes_method(&values.method));
        let guard = route.map_or(&self.guard, |it| &it.guard);
        if let Some(refusal) = guard.refusal(values, request.headers_mut()).await {
            return refusal;
        }
        let Some(route) = route else { return no_route(taking().flat_map(|it| &it.methods)) };
        if !route.is_open_to(values.visit.client) {
            return forbidden();
        }
        if let Some(limit) = self.body_max {
            if request.body().size_hint().lower() > limit as u64 {
                return too_large();
            }
            request = request.map(|body| Body::new(Limited::new(body, limit)));
        }
        if let Handler::Proxy(_) = &route.handler {
            // Before the rules, which may say otherwise.
            proxy::introduce(values.visit, &mut request);
        }
        headers::apply(&self.request_headers, request.headers_mut(), values);
        headers::apply(&route.request_headers, request.headers_mut(), values);
        match rewrite::rewritten(&route.rewrite, &path, values) {
            Ok(Some(uri)) => *request.uri_mut() = uri,
            Ok(None) => {}
            Err(NotAPath) => return malformed(),
        }
        values.visit.note.handled(route.handler.name());
        let mut response = route.handler.answer(values, request).await;
        headers::apply(&route.response_headers, response.headers_mut(), values);
        response
    }
}

/// 403: the client's address is on no list.
pub(crate) fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, "not from this address\n").into_response()
}

fn malformed() -> Response {
    (StatusCode::BAD_REQUEST, "the path is malformed\n").into_response()
}

/// 413: the body is longer than the site takes.
fn too_large() -> Response {
    (StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large\n").into_response()
}

/// 405 where another method would be answered, else 404.
fn no_route<'a>(methods: impl Iterator<Item = &'a Method>) -> Response {
    let mut names: Vec<&str> = methods.map(Method::as_str).collect();
    names.sort_unstable();
    names.dedup();
    match HeaderValue::from_str(&names.join(", ")) {
        Ok(names) if !names.is_empty() => {
            let text = "no route takes this method\n";
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, names)], text).into_response()
        }
        _none => (StatusCode::NOT_FOUND, "no route takes this path\n").into_response(),
    }
}

impl ServedRoute {
    fn new(
        config: &Route,
        site: &Arc<ServedGuard>,
        attempts: &Arc<Attempts>,
        before: &[&Proxy],
    ) -> Result<Self, Error> {
        Ok(Self {
            path: config.path.clone(),
            methods: config.methods.clone(),
            allow: config.allow.clone(),
            guard: match &config.guard {
                RouteGuard::AsSite => Arc::clone(site),
                RouteGuard::Open => Arc::new(ServedGuard::default()),
                RouteGuard::Own(guard) => Arc::new(ServedGuard::new(guard, attempts)?),
            },
            request_headers: config.request_headers.clone(),
            response_headers: config.response_headers.clone(),
            rewrite: config.rewrite.clone(),
            handler: Handler::new(&config.action, before)?,
        })
    }

    fn takes_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    fn is_open_to(&self, client: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.contains(client)
    }
}

impl Handler {
    /// As metrics and the access log call it.
    fn name(&self) -> HandlerName {
        match self {
            Self::Files(_) => HandlerName::FileServer,
            Self::Redirect(_) | Self::Respond(_) => HandlerName::StaticResponse,
            Self::Proxy(_) => HandlerName::ReverseProxy,
        }
    }

    fn new(action: &Action, before: &[&Proxy]) -> Result<Self, Error> {
        Ok(match action {
            Action::Files(it) => Self::Files(it.clone()),
            Action::Redirect(it) => Self::Redirect(it.clone()),
            Action::Respond(it) => Self::Respond(it.clone()),
            Action::Proxy(it) => Self::Proxy(Box::new(Proxy::new(it, before)?)),
        })
    }

    async fn answer(&self, values: &Values<'_>, request: Request<Body>) -> Response {
        match self {
            Self::Files(it) => files::answer(it, request).await,
            Self::Redirect(it) => redirect::answer(it, values),
            Self::Respond(it) => (it.status, it.body.clone()).into_response(),
            Self::Proxy(it) => it.answer(values.visit, request).await,
        }
    }
}
