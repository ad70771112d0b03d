//! What the tests of a store share: the hour they play in, and a clock that stands.

use std::sync::atomic::{AtomicI64, Ordering};

use skep_proto::{Clock, LogRow, TimestampMs, TimestampNs};

/// 10:00 UTC.
pub(crate) const NOW_MS: i64 = 1_795_341_600_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// In milliseconds; it goes on when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(NOW_MS))
    }
}

impl Clock for TestClock {
    fn now(&self) -> TimestampNs {
        TimestampMs(self.0.load(Ordering::Relaxed)).to_ns()
    }
}

/// A line without metadata.
pub(crate) fn line(ts_ms: i64, text: String) -> LogRow<'static> {
    LogRow { ts: TimestampMs(ts_ms).to_ns(), line: text.into(), metadata: Vec::new() }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
