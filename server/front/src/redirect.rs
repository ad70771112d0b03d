//! The plain HTTP port of the network: sends browsers to HTTPS, hands out the CA, nothing else.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::gate::{CA_PATH, ca_pem};
use crate::vhost::{Host, HostError, Sites};

/// The default port of HTTPS need not be written.
const HTTPS_PORT: u16 = 443;

#[derive(Debug)]
pub(crate) struct Redirect {
    sites: Arc<ArcSwap<Sites>>,
    https_port: Option<u16>,
    ca_pem: String,
}

impl Redirect {
    pub(crate) fn new(sites: Arc<ArcSwap<Sites>>, https_port: Option<u16>, ca_pem: String) -> Self {
        Self { sites, https_port, ca_pem }
    }

    pub(crate) fn answer(&self, request: &Request<Body>) -> Response {
        if request.uri().path() == CA_PATH {
            return ca_pem(&self.ca_pem);
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        // Only to names of ours: an open redirect would lend our name to anybody.
        let host =
            Host::of(&parts).and_then(|host| self.sites.load().find(&host, None).map(|_site| host));
        match host {
            Ok(host) => self.to_https(&host, request),
            Err(error @ HostError::Malformed) => {
                (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
            }
            Err(error) => (StatusCode::MISDIRECTED_REQUEST, format!("{error}\n")).into_response(),
        }
    }

    fn to_https(&self, host: &Host, request: &Request<Body>) -> Response {
        let port = match self.https_port {
            None | Some(HTTPS_PORT) => String::new(),
            Some(port) => format!(":{port}"),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match HeaderValue::from_str(&format!("https://{}{port}{path}", host.name)) {
            Ok(to) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response(),
            Err(_not_a_header) => StatusCode::BAD_REQUEST.into_response(),
        }
    }
}
