//! The wall clock as an argument, so that tests can move time.

use time::OffsetDateTime;

/// Says when certificates and sessions expire; tests bring their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock: it can jump in both directions.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}
