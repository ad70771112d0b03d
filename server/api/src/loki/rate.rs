//! How many bytes of log lines may come in a second, as Loki limits a tenant.

use std::sync::{Mutex, PoisonError};

use skep_proto::{LogRows, TimestampNs};

use crate::error::ApiError;

/// Who pushes, where Loki knows no tenants either.
const TENANT: &str = "fake";

/// `ingestion_rate` and `ingestion_burst_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestionRate {
    pub bytes_per_second: u32,
    /// What may come at once; a request that is larger never passes.
    pub burst_bytes: u32,
}

/// A bucket that fills at a steady rate, and that requests empty.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    rate: IngestionRate,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    bytes: f64,
    filled: Option<TimestampNs>,
}

impl RateLimiter {
    pub(crate) fn new(rate: IngestionRate) -> Self {
        let bucket = Bucket { bytes: f64::from(rate.burst_bytes), filled: None };
        Self { rate, bucket: Mutex::new(bucket) }
    }

    /// # Errors
    /// A request that comes too soon is refused whole.
    pub(crate) fn admit(&self, rows: &LogRows<'_>, now: TimestampNs) -> Result<(), ApiError> {
        let n_bytes: usize = rows.streams.iter().flat_map(|(_, it)| it).map(size_bytes).sum();
        let wanted = f64::from(u32::try_from(n_bytes).unwrap_or(u32::MAX));
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filled) = bucket.filled {
            let ms = now.to_ms().0.saturating_sub(filled.to_ms().0).clamp(0, 3_600_000);
            let seconds = f64::from(i32::try_from(ms).unwrap_or_default()) / 1_000.0;
            bucket.bytes += seconds * f64::from(self.rate.bytes_per_second);
        }
        bucket.filled = Some(bucket.filled.map_or(now, |it| it.max(now)));
        bucket.bytes = bucket.bytes.min(f64::from(self.rate.burst_bytes));
        if wanted > bucket.bytes {
            return Err(ApiError::rate_limited(format!(
                "ingestion rate limit exceeded for user {TENANT} (limit: {} bytes/sec) while \
                 attempting to ingest '{}' lines totaling '{n_bytes}' bytes, reduce log volume or \
                 contact your Loki administrator to see if the limit can be increased",
                self.rate.bytes_per_second,
                rows.n_entries(),
            )));
        }
        bucket.bytes -= wanted;
        Ok(())
    }
}

/// What Loki counts of an entry: its line and its metadata.
fn size_bytes(entry: &skep_proto::LogRow<'_>) -> usize {
    let metadata: usize = entry.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    entry.line.len() + metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_too_fast_is_taken_once_time_has_passed() {
        let limiter = RateLimiter::new(IngestionRate { bytes_per_second: 10, burst_bytes: 20 });
        let rows = |n: usize| {
            let line = "x".repeat(n).into();
            let entry = skep_proto::LogRow { ts: TimestampNs(0), line, metadata: Vec::new() };
            LogRows { streams: vec![(Vec::new(), vec![entry])] }
        };
        let admit = |n, second: i64| limiter.admit(&rows(n), TimestampNs(second * 1_000_000_000));
        assert!(admit(15, 100).is_ok());
        let error = admit(6, 100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ingestion rate limit exceeded for user fake (limit: 10 bytes/sec) while attempting to \
             ingest '1' lines totaling '6' bytes, reduce log volume or contact your Loki \
             administrator to see if the limit can be increased"
        );
        assert!(admit(5, 100).is_ok());
        assert!(admit(11, 101).is_err());
        assert!(admit(10, 101).is_ok());
        assert!(admit(21, 1_000).is_err());
        assert!(admit(20, 1_000).is_ok());
        // A clock that was set back fills nothing.
        assert!(admit(1, 900).is_err());
    }
}
