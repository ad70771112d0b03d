//! HTTP over one connection to a server, and the body of its answer.
//!
//! An HTTP/1.1 connection has no task of its own where that can be: whoever waits for the answer
//! drives it, so that a request costs no wake-up of another thread, and a visitor who leaves ends
//! it at once. Only a request with a body gets a task for its connection, as a body must go on
//! while the visitor does not read the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use axum::http::{Request, Response};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Stream, Version};
use super::upload::Upload;

/// The head of an answer may be this long, and this much of a body is read at once.
const READ_BUFFER_MAX: usize = 128 * 1024;
/// What one stream of HTTP/2, and all of a connection, may send before we have passed it on.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A connection that can be asked.
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// One request at a time.
pub(super) struct Http1 {
    sender: http1::SendRequest<Upload>,
    driver: Driver,
}

enum Driver {
    /// Whoever holds it polls it.
    Holder(Box<http1::Connection<TokioIo<Stream>, Upload>>),
    Task {
        _task: AbortOnDropHandle<()>,
    },
    Ended,
}

/// Many requests at a time; its task ends after the last clone and the last answer.
#[derive(Clone)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Upload>,
}

/// Why there is no answer.
pub(super) struct SendError {
    pub source: hyper::Error,
    /// The request, if the server has seen nothing of it.
    pub unsent: Option<Box<Request<Upload>>>,
}

impl Connection {
    pub(super) async fn handshake(stream: Stream, version: Version) -> hyper::Result<Self> {
        let io = TokioIo::new(stream);
        match version {
            Version::Http1 => {
                let (sender, connection) = http1_builder().handshake(io).await?;
                let driver = Driver::Holder(Box::new(connection));
                Ok(Self::Http1(Http1 { sender, driver }))
            }
            Version::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .handshake(io)
                    .await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "A connection to an upstream broke off.");
                    }
                });
                Ok(Self::Http2(Http2 { sender }))
            }
        }
    }
}

/// A connection whose protocol an answer may change.
pub(super) async fn upgradeable(stream: Stream) -> hyper::Result<Http1> {
    let (sender, connection) = http1_builder().handshake(TokioIo::new(stream)).await?;
    Ok(Http1 { sender, driver: spawn(connection.with_upgrades()) })
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // As Go and so Caddy write them; there are devices that know no other.
    builder.title_case_headers(true).max_buf_size(READ_BUFFER_MAX);
    builder
}

fn spawn(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Driver {
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "A connection to an upstream broke off.");
        }
    });
    Driver::Task { _task: AbortOnDropHandle::new(task) }
}

impl Http1 {
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        if !request.body().is_end_stream() {
            self.give_task();
        }
        let Self { sender, driver } = self;
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        let answered = std::future::poll_fn(|cx| {
            driver.poll(cx);
            answer.as_mut().poll(cx)
        });
        answered.await.map_err(SendError::from)
    }

    /// Whether the server has not closed it meanwhile, as far as is known here.
    pub(super) fn is_usable(&mut self) -> bool {
        // Nobody waits for anything yet; whoever asks next polls again.
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        self.sender.is_ready()
    }

    /// Whether it could take a request, when it was polled last.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn has_task(&self) -> bool {
        matches!(self.driver, Driver::Task { .. })
    }

    fn give_task(&mut self) {
        self.driver = match std::mem::replace(&mut self.driver, Driver::Ended) {
            Driver::Holder(connection) => spawn(*connection),
            other => other,
        };
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        self.driver.poll(cx);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Holder(connection) = self {
            // An error is told to whoever waits for the answer.
            if Pin::new(&mut **connection).poll(cx).is_ready() {
                *self = Self::Ended;
            }
        }
    }
}

impl Http2 {
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        self.sender.try_send_request(request).await.map_err(SendError::from)
    }

    pub(super) fn is_usable(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }
}

impl From<TrySendError<Request<Upload>>> for SendError {
    fn from(mut error: TrySendError<Request<Upload>>) -> Self {
        let unsent = error.take_message().map(Box::new);
        Self { source: error.into_error(), unsent }
    }
}

/// Polls a body, and the connection it comes over where nobody else does.
pub(super) fn poll_body(
    body: &mut Incoming,
    connection: Option<&mut Http1>,
    cx: &mut Context<'_>,
) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
    let first = Pin::new(&mut *body).poll_frame(cx);
    match connection {
        Some(connection) if first.is_pending() => {
            // The poll above asked for more; this one reads it.
            connection.poll(cx);
            Pin::new(body).poll_frame(cx)
        }
        _other => first,
    }
}
