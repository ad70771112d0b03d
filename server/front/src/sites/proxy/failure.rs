//! Why a request got no answer from a server, and what the visitor is told: nothing internal.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::connect::ConnectError;
use super::upload::Fault;

/// Each is another status.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("every upstream is down")]
    AllDown,
    #[error("could not connect")]
    Connect(#[source] ConnectError),
    #[error("broke off before it answered")]
    Broken(#[source] hyper::Error),
    #[error("sent no answer in time")]
    NoAnswer,
    #[error("changed to another protocol than was asked for")]
    OtherProtocol,
    #[error("the request's body did not come through: {0:?}")]
    Upload(Fault),
    #[error("the request has come back here again and again")]
    Loop,
}

impl Failure {
    /// Whether it says something about the server.
    pub(super) fn is_upstreams(&self) -> bool {
        !matches!(self, Self::AllDown | Self::Upload(_) | Self::Loop)
    }

    fn told(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AllDown => {
                (StatusCode::SERVICE_UNAVAILABLE, "the service is down; try again later\n")
            }
            Self::Connect(ConnectError::Timeout(_)) | Self::NoAnswer => {
                (StatusCode::GATEWAY_TIMEOUT, "the service did not answer in time\n")
            }
            Self::Connect(_) => (StatusCode::BAD_GATEWAY, "the service cannot be reached\n"),
            Self::Broken(_) | Self::OtherProtocol => {
                (StatusCode::BAD_GATEWAY, "the service gave no usable answer\n")
            }
            Self::Upload(Fault::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large\n")
            }
            Self::Upload(Fault::Stalled) => {
                (StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time\n")
            }
            Self::Upload(Fault::Broken) => {
                (StatusCode::BAD_REQUEST, "the request's body broke off\n")
            }
            Self::Loop => (StatusCode::LOOP_DETECTED, "this site leads back to itself\n"),
        }
    }

    pub(super) fn response(&self) -> Response {
        self.told().into_response()
    }
}
