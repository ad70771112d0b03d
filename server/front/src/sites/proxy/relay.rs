//! The body of an answer on its way to the visitor, as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::connection::{Http1, poll_body};
use super::patience::Patience;
use super::upstream::Active;

/// Gives its connection back at its end; when it is dropped before, the connection is closed.
pub(super) struct Relay {
    body: Incoming,
    /// None once it has been given back, and over HTTP/2.
    connection: Option<Http1>,
    active: Active,
    patience: Patience,
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("the upstream broke off its answer")]
    Broken(#[source] hyper::Error),
    #[error("the upstream sent nothing for too long")]
    Stalled,
}

impl Relay {
    pub(super) fn new(
        body: Incoming,
        connection: Option<Http1>,
        active: Active,
        idle: Duration,
    ) -> Self {
        let mut relay = Self { body, connection, active, patience: Patience::new(idle) };
        if relay.body.is_end_stream() {
            relay.finish();
        }
        relay
    }

    fn finish(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.active.upstream().keep(connection);
        }
    }
}

impl HttpBody for Relay {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = self.get_mut();
        match poll_body(&mut this.body, this.connection.as_mut(), cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.note();
                if this.body.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.active.upstream().note_failure();
                Poll::Ready(Some(Err(RelayError::Broken(error))))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.patience.poll_over(cx));
                this.active.upstream().note_failure();
                Poll::Ready(Some(Err(RelayError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
