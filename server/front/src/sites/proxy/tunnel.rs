//! A connection that has changed its protocol (a websocket, say): bytes both ways until it ends.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderValue;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::connection::Http1;
use super::upstream::Active;

/// Of each direction.
const BUFFER_BYTES: usize = 8 * 1024;
/// For last words.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A change of protocol that both sides have agreed on.
pub(super) struct Tunnel {
    pub visitor: OnUpgrade,
    pub server: OnUpgrade,
    pub protocol: HeaderValue,
    /// Keeps the connection to the server alive.
    pub connection: Http1,
    /// Counts as a request under way.
    pub active: Active,
    /// Without a byte in either direction for so long, it ends.
    pub idle: Duration,
}

impl Tunnel {
    /// Until either side ends it, nothing was said for too long, or `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let Self { visitor, server, protocol, connection, active, idle } = self;
        match tokio::try_join!(visitor, server) {
            Ok((visitor, server)) => {
                let mut visitor = TokioIo::new(visitor);
                let mut server = TokioIo::new(server);
                let ended = tokio::select! {
                    ended = copy(&mut visitor, &mut server, idle) => ended,
                    () = shutdown.cancelled() => {
                        say_goodbye(&mut visitor, &protocol).await;
                        Ok(())
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, upstream = %active.upstream().url, "A tunnel broke off.");
                }
            }
            Err(error) => {
                tracing::debug!(%error, upstream = %active.upstream().url, "A tunnel did not open.");
            }
        }
        drop(connection);
    }
}

/// Both directions: a visitor who has ended still hears the server out; when the server has ended,
/// the visitor may finish its word.
async fn copy(
    visitor: &mut TokioIo<Upgraded>,
    server: &mut TokioIo<Upgraded>,
    idle: Duration,
) -> io::Result<()> {
    let n_moved = AtomicU64::new(0);
    let (mut visitor_in, mut visitor_out) = tokio::io::split(visitor);
    let (mut server_in, mut server_out) = tokio::io::split(server);
    let mut up = std::pin::pin!(pipe(&mut visitor_in, &mut server_out, &n_moved));
    let mut down = std::pin::pin!(pipe(&mut server_in, &mut visitor_out, &n_moved));
    let both = async {
        tokio::select! {
            ended = &mut up => {
                ended?;
                down.await
            }
            ended = &mut down => {
                ended?;
                // Many a server closes the whole connection so; what the visitor still says then
                // interests nobody, and when it ends is not for us to wait for.
                tokio::time::timeout(GOODBYE_TIMEOUT, up).await.unwrap_or(Ok(()))
            }
        }
    };
    tokio::select! {
        ended = both => ended,
        () = silence(&n_moved, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn pipe(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    n_moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        n_moved.fetch_add(1, Ordering::Relaxed);
        let Some(bytes) = buffer.get(..n).filter(|it| !it.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(bytes).await?;
        to.flush().await?;
    }
}

/// Ends when nothing was counted for `limit`, or for up to twice as long.
async fn silence(n_moved: &AtomicU64, limit: Duration) {
    let mut before = n_moved.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(limit).await;
        let now = n_moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// A browser's script learns from it that it may connect again. A frame that was under way is cut
/// off by this, but so it is by the end of the connection.
async fn say_goodbye(visitor: &mut TokioIo<Upgraded>, protocol: &HeaderValue) {
    /// A close frame with status 1001, going away.
    const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
    if !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return;
    }
    let said = async {
        visitor.write_all(&GOING_AWAY).await?;
        visitor.shutdown().await
    };
    // Whether it arrives or not, the tunnel ends.
    drop(tokio::time::timeout(GOODBYE_TIMEOUT, said).await);
}
