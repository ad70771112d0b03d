//! Answers that are sent while they are made: nothing of any size is held whole.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use tokio::sync::mpsc;

use crate::{error::ApiError, queries::Meter};

/// What is sent at once. An error before so much is made still becomes a status.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for a slow client.
const N_CHUNKS: usize = 2;

/// Where an answer is written to.
pub(crate) struct Sink {
    pub(crate) text: String,
    chunks: mpsc::Sender<Result<Bytes, ApiError>>,
    meter: Option<Arc<Meter>>,
}

impl Sink {
    /// Tells the meter of every byte that is sent from now on.
    pub(crate) fn count_into(&mut self, meter: &Arc<Meter>) {
        self.meter = Some(Arc::clone(meter));
    }

    /// Sends what has gathered, if it is worth it. Waits for the client.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) async fn flow(&mut self) -> Result<(), ApiError> {
        if self.text.len() < CHUNK_BYTES {
            return Ok(());
        }
        self.send().await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As [`Self::flow`].
    pub(crate) async fn bytes(&mut self, bytes: Vec<u8>) -> Result<(), ApiError> {
        if let Some(meter) = &self.meter {
            meter.answered(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        let sent = self.chunks.send(Ok(bytes.into())).await;
        sent.map_err(|_gone| ApiError::canceled())
    }

    /// Sends the rest.
    ///
    /// # Errors
    /// As [`Self::flow`].
    pub(crate) async fn finish(mut self) -> Result<(), ApiError> {
        self.send().await
    }

    async fn send(&mut self) -> Result<(), ApiError> {
        let text = std::mem::take(&mut self.text);
        self.bytes(text.into_bytes()).await
    }
}

/// Runs `make` until it is done or the client goes. What fails after the first chunk cuts the
/// connection, so that no client takes the part for the whole.
///
/// # Errors
/// What fails before that.
pub(crate) async fn streamed<F>(
    content_type: &'static str,
    make: impl FnOnce(Sink) -> F,
) -> Result<Response, ApiError>
where
    F: Future<Output = Result<(), ApiError>> + Send + 'static,
{
    let (chunks, mut made) = mpsc::channel(N_CHUNKS);
    let making = make(Sink { text: String::new(), chunks: chunks.clone(), meter: None });
    tokio::spawn(async move {
        tokio::select! {
            () = chunks.closed() => {}
            result = making => if let Err(error) = result {
                // If nobody listens any more, nobody needs to know.
                drop(chunks.send(Err(error)).await);
            }
        }
    });
    let Some(first) = made.recv().await else { return Ok(().into_response()) };
    let first = first?;
    let rest = futures::stream::unfold((Some(first), made), |(first, mut made)| async move {
        let next = match first {
            Some(first) => Ok(first),
            None => made.recv().await?,
        };
        let next = next.map_err(|error| std::io::Error::other(error.to_string()));
        Some((next, (None, made)))
    });
    // Compression asks once more after the end.
    Ok(([(CONTENT_TYPE, content_type)], Body::from_stream(rest.fuse())).into_response())
}
