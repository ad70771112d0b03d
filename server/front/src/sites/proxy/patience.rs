//! How long nothing may happen, with one timer however often something does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Ends when nothing was noted for its limit.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// Set up by the first wait: most messages never have one.
    timer: Option<Pin<Box<Sleep>>>,
    has_moved: bool,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, has_moved: false }
    }

    /// Something happened.
    pub(super) fn note(&mut self) {
        self.has_moved = true;
    }

    /// Ready when nothing has happened for at least the limit, and at most for twice as long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| {
            self.has_moved = false;
            Box::pin(tokio::time::sleep(limit))
        });
        loop {
            ready!(timer.as_mut().poll(cx));
            if !std::mem::take(&mut self.has_moved) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(Instant::now() + limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn over(patience: &mut Patience) {
        std::future::poll_fn(|cx| patience.poll_over(cx)).await;
    }

    #[tokio::test]
    async fn it_ends_after_silence_and_lasts_longer_where_something_happened() {
        let limit = Duration::from_millis(50);
        let began = Instant::now();
        over(&mut Patience::new(limit)).await;
        assert!(began.elapsed() >= limit);

        let mut patience = Patience::new(limit);
        std::future::poll_fn(|cx| Poll::Ready(patience.poll_over(cx).is_pending())).await;
        patience.note();
        let began = Instant::now();
        over(&mut patience).await;
        assert!(began.elapsed() > limit);
    }
}
