//! Points and ranges of time in the two resolutions of the wire: milliseconds for samples,
//! nanoseconds for log entries.

/// Milliseconds since the Unix epoch: the resolution of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampMs(pub i64);

/// Nanoseconds since the Unix epoch: the resolution of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampNs(pub i64);

impl TimestampMs {
    /// Saturates at the ends of what nanoseconds can say (years 1677 and 2262).
    pub fn to_ns(self) -> TimestampNs {
        TimestampNs(self.0.saturating_mul(1_000_000))
    }
}

impl TimestampNs {
    /// The millisecond this point lies in (rounded down, also before 1970).
    pub fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(1_000_000))
    }
}

/// Where the time comes from; tests bring their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock: it can jump in both directions.
    fn now(&self) -> TimestampNs;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> TimestampNs {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        TimestampNs(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// From `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub start: TimestampMs,
    pub end: TimestampMs,
}

impl TimeRange {
    pub const ALL: Self = Self { start: TimestampMs(i64::MIN), end: TimestampMs(i64::MAX) };

    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    pub fn contains(self, at: TimestampMs) -> bool {
        self.start <= at && at <= self.end
    }
}
