//! The body of a request on its way to a server: waited for, watched, and told apart when it fails.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::LengthLimitError;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::patience::Patience;

/// A server that says nothing to `Expect: 100-continue` may not know it; as long as Go waits.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The body that a server is sent.
pub(super) enum Upload {
    Empty,
    Streamed(Box<Streamed>),
}

pub(super) struct Streamed {
    body: Body,
    patience: Patience,
    watch: Arc<Watch>,
    /// Ends when the server wants the body.
    wanted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What whoever waits for the answer sees of the body.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    /// Milliseconds after `began`; 0 is none yet.
    moved_at: AtomicU64,
    fault: AtomicU8,
}

/// Why a body did not get through, by the visitor's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    Stalled,
    Broken,
}

/// What the connection to the server is told.
#[derive(Debug, thiserror::Error)]
#[error("the request's body ended early")]
pub(super) struct UploadError;

impl Upload {
    /// The body as it comes; `idle` is how long the visitor may send nothing.
    pub(super) fn streamed(body: Body, idle: Duration, watch: &Arc<Watch>) -> Self {
        let watch = Arc::clone(watch);
        Self::Streamed(Box::new(Streamed {
            body,
            patience: Patience::new(idle),
            watch,
            wanted: None,
        }))
    }

    /// Begins when `go_on` is notified, or when the server has been silent for too long.
    pub(super) fn wait_for(&mut self, go_on: Arc<Notify>) {
        if let Self::Streamed(it) = self {
            it.wanted = Some(Box::pin(async move {
                // Either will do.
                drop(tokio::time::timeout(CONTINUE_TIMEOUT, go_on.notified()).await);
            }));
        }
    }

    /// The body, of which nothing was taken yet.
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::Streamed(it) => it.body,
        }
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), moved_at: AtomicU64::new(0), fault: AtomicU8::new(0) }
    }

    /// When the last piece went through, or the watch began.
    pub(super) fn moved_at(&self) -> Instant {
        self.began + Duration::from_millis(self.moved_at.load(Ordering::Relaxed))
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        match self.fault.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Fault::TooLarge),
            2 => Some(Fault::Stalled),
            _broken => Some(Fault::Broken),
        }
    }

    fn note_moved(&self) {
        let since = self.began.elapsed().as_millis();
        self.moved_at.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn note_fault(&self, fault: Fault) {
        let code = match fault {
            Fault::TooLarge => 1,
            Fault::Stalled => 2,
            Fault::Broken => 3,
        };
        self.fault.store(code, Ordering::Relaxed);
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(wanted) = &mut self.wanted {
            ready!(wanted.as_mut().poll(cx));
            self.wanted = None;
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.note();
                self.watch.note_moved();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(fault_of(&error)))),
            Poll::Ready(None) => {
                self.watch.note_moved();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.patience.poll_over(cx));
                Poll::Ready(Some(Err(Fault::Stalled)))
            }
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(it) => it.poll(cx).map(|next| {
                next.map(|it_came| {
                    it_came.map_err(|fault| {
                        it.watch.note_fault(fault);
                        UploadError
                    })
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(it) => it.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(it) => it.body.size_hint(),
        }
    }
}

fn fault_of(error: &axum::Error) -> Fault {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Fault::TooLarge;
        }
        cause = error.source();
    }
    Fault::Broken
}
