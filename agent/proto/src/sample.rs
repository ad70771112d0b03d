//! One measured value, one log line.

use crate::{TimestampMs, TimestampNs};

/// The bit pattern Prometheus writes where a series ends (`value.StaleNaN`). Compare bits, not
/// values: it is a NaN.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value that says "this series has ended here".
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

pub fn is_stale_marker(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub ts: TimestampMs,
    pub value: f64,
}

/// One line of one stream, with its structured metadata (fields that are not part of the
/// stream's identity), sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEntry {
    pub ts: TimestampNs,
    pub line: String,
    pub metadata: Vec<(String, String)>,
}
