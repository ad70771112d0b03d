//! Time as the scraper sees it: a wall clock for stamps, a steady one for waiting.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use skep_proto::{Clock, TimestampNs};
use tokio::time::Instant;

/// Where the time comes from and what waits for it; tests bring their own.
#[async_trait]
pub trait Timer: Send + Sync + std::fmt::Debug {
    /// The wall clock: it can jump in both directions.
    fn now(&self) -> TimestampNs;

    /// Since some beginning; it only grows.
    fn elapsed(&self) -> Duration;

    /// Returns once `elapsed` is this far.
    async fn sleep_until(&self, at: Duration);
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemTimer {
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl SystemTimer {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, start: Instant::now() }
    }
}

#[async_trait]
impl Timer for SystemTimer {
    fn now(&self) -> TimestampNs {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.start + at).await;
    }
}
