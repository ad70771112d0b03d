//! Who asks, and how.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;

/// The name of a token or user, as whoever mounts the routers knows it: an extension of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub Arc<str>);

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) user: Option<Arc<str>>,
    pub(crate) client_ip: Option<String>,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let caller = parts.extensions.get::<Caller>();
        Ok(Self {
            user: caller.map(|Caller(name)| Arc::clone(name)),
            client_ip: peer.map(|ConnectInfo(peer)| peer.ip().to_string()),
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
        })
    }
}
