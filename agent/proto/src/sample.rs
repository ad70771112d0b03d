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

/// In memory only, where a few samples stand for a bucket of them: a NaN whose low half says how
/// many more (or fewer) there were.
const UNCOUNTED_NAN_BITS: u64 = 0x7ff4_534b_0000_0000;
const UNCOUNTED_MASK: u64 = 0xffff_ffff_0000_0000;

/// See [`uncounted`].
pub fn uncounted_marker(n: i32) -> f64 {
    f64::from_bits(UNCOUNTED_NAN_BITS | u64::from(n.cast_unsigned()))
}

/// How many samples there were here beyond those that stand for them; `None` for a sample.
pub fn uncounted(value: f64) -> Option<i32> {
    let bits = value.to_bits();
    let n = u32::try_from(bits & !UNCOUNTED_MASK).unwrap_or_default();
    (bits & UNCOUNTED_MASK == UNCOUNTED_NAN_BITS).then(|| n.cast_signed())
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
