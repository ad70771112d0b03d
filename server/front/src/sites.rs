//! The sites of the user's own services, made ready to answer.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::access::Principal;
use crate::config::{Action, PathPattern, Respond, SiteAccess, SiteConfig};
use crate::error::Error;
use crate::gate::Connection;
use crate::observe::{HandlerName, Note};
use crate::vhost::Host;

/// A site as the gate meets it: who may come is asked there, the rest is done here.
#[derive(Debug)]
pub(crate) struct Served {
    access: SiteAccess,
    routes: Vec<(PathPattern, Handler)>,
}

/// What answers, with all it keeps between requests.
#[derive(Debug)]
enum Handler {
    Respond(Respond),
}

/// Who a request comes from.
#[derive(Debug)]
#[expect(dead_code, reason = "what forwards a request tells the service")]
pub(crate) struct Visit<'a> {
    pub connection: &'a Connection,
    /// Takes what the access log should know.
    pub note: &'a Note,
    /// The peer, or whom a trusted proxy names.
    pub client: IpAddr,
    pub host: &'a Host,
    /// Of a site that asks for one.
    pub principal: Option<Principal>,
}

impl Served {
    pub(crate) fn new(config: &SiteConfig) -> Result<Self, Error> {
        let routes = config.routes.iter();
        let routes = routes.map(|it| Ok((it.path.clone(), Handler::new(&it.action)?)));
        Ok(Self { access: config.access, routes: routes.collect::<Result<_, Error>>()? })
    }

    pub(crate) fn access(&self) -> SiteAccess {
        self.access
    }

    pub(crate) async fn answer(&self, visit: &Visit<'_>, request: Request<Body>) -> Response {
        let path = request.uri().path();
        match self.routes.iter().find(|(pattern, _)| pattern.takes(path)) {
            Some((_, handler)) => {
                visit.note.handled(handler.name());
                handler.answer(visit, request).await
            }
            None => (StatusCode::NOT_FOUND, "no route takes this path\n").into_response(),
        }
    }
}

impl Handler {
    /// As metrics and the access log call it.
    fn name(&self) -> HandlerName {
        match self {
            Self::Respond(_) => HandlerName::StaticResponse,
        }
    }

    fn new(action: &Action) -> Result<Self, Error> {
        match action {
            Action::Respond(it) => Ok(Self::Respond(it.clone())),
        }
    }

    #[expect(clippy::unused_async, reason = "a proxied answer is waited for")]
    async fn answer(&self, _visit: &Visit<'_>, _request: Request<Body>) -> Response {
        match self {
            Self::Respond(it) => (it.status, it.body.clone()).into_response(),
        }
    }
}
