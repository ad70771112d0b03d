//! What one query has read so far, shared by all of its leaves.

use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::DataFusionError;
use skep_promql::StorageError;
use tokio::time::Instant;

/// Counts samples against the limit and looks at the clock.
#[derive(Debug)]
pub(crate) struct Budget {
    n_samples: AtomicU64,
    n_samples_max: u64,
    deadline: Instant,
}

impl Budget {
    pub(crate) fn new(n_samples_max: u64, deadline: Instant) -> Self {
        Self { n_samples: AtomicU64::new(0), n_samples_max, deadline }
    }

    /// Call it once a batch.
    ///
    /// # Errors
    /// A [`StorageError`] as an external error, so that it comes through a plan unchanged.
    pub(crate) fn spend(&self, n_rows: usize) -> Result<(), DataFusionError> {
        let n_rows = u64::try_from(n_rows).unwrap_or(u64::MAX);
        let total = self.n_samples.fetch_add(n_rows, Ordering::Relaxed).saturating_add(n_rows);
        let max = self.n_samples_max;
        if total > max {
            let message = format!(
                "query processing would load too many samples: more than {max}; narrow the time \
                 range or the selector, or raise query.samples_max"
            );
            return Err(external(StorageError::Limit(message)));
        }
        if Instant::now() >= self.deadline {
            return Err(external(StorageError::Timeout));
        }
        Ok(())
    }

    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples.load(Ordering::Relaxed)
    }
}

fn external(error: StorageError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
