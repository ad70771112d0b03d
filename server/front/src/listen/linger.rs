//! Closes a connection so that its last answer arrives.
//!
//! A kernel that closes a connection with unread bytes resets it, and the peer loses what it had
//! not read yet: a refusal of a body that is too large would never be seen. So the end is told
//! first, and then what still comes is read and thrown away for a while.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A peer that goes on sending has this long to notice the end.
const LINGER: Duration = Duration::from_secs(1);
/// As much as Go reads of a body that nobody wants.
const DISCARD_BYTES_MAX: usize = 256 * 1024;

/// A stream whose shutdown waits for the peer's.
pub(super) struct Lingering<IO> {
    io: IO,
    is_shut: bool,
    n_discarded: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<IO> Lingering<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, is_shut: false, n_discarded: 0, deadline: None }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Lingering<IO> {
    /// Ready when the peer has ended, too, or will not.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.n_discarded < DISCARD_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.n_discarded += buf.filled().len();
                }
                Poll::Ready(_ended) => return Poll::Ready(()),
                Poll::Pending => {
                    let deadline = || Box::pin(tokio::time::sleep(LINGER));
                    return self.deadline.get_or_insert_with(deadline).as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Lingering<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        this.poll_discard(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
