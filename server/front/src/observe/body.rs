//! Bodies that count what passes through them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::pace::Pace;
use super::{Note, Watch};

fn len(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX))
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) body: Incoming,
    pub(super) note: Arc<Note>,
    pub(super) pace: Pace,
}

/// Why a request's body ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Broken(hyper::Error),
    #[error("the request's body comes too slowly")]
    TooSlow,
}

impl HttpBody for Read {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let n_bytes = len(&frame);
                self.note.bytes_read.fetch_add(n_bytes, Ordering::Relaxed);
                self.pace.note(n_bytes);
                Poll::Ready(Some(Ok(frame)))
            }
            // Some talk for hours in both directions; both sides want that.
            Poll::Pending if !self.note.is_answered.load(Ordering::Relaxed) => {
                ready!(self.pace.poll_over(cx));
                self.note.is_too_slow.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(ReadError::TooSlow)))
            }
            other => other.map_err(ReadError::Broken),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body; the request has ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(super) body: Body,
    pub(super) watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.watch.bytes_sent += len(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
