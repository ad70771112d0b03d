//! How fast rows come in against how fast they go out: when a flush is due, and who waits for it.

use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{store::Store, view::View};

/// Writes wait no longer than this for one flush: senders give up after ten seconds, and what does
/// not get done in a few seconds, as with a disk that is away, may take hours.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Whether a flush is at work.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    flushing: Mutex<Option<Flushing>>,
    /// Rung at its end.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Flushing {
    /// From when on writes wait for it no more; set by the first that does.
    waits_end: Option<Instant>,
}

impl Pace {
    pub(crate) fn begin_flush(&self) {
        *self.flushing() = Some(Flushing::default());
    }

    pub(crate) fn end_flush(&self) {
        *self.flushing() = None;
        self.ended.notify_waiters();
    }

    fn flushing(&self) -> MutexGuard<'_, Option<Flushing>> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    pub(crate) fn ask_for_flush_if_due(&self) {
        if self.is_flush_due(&self.view()) {
            self.flush_wanted.notify_one();
        }
    }

    /// While one flush is at work and the next is due already, a write waits, a while at most: its
    /// rows would lie in memory as long anyway, and then on top of others.
    pub(crate) async fn wait_for_flush(&self) {
        let Some(waits_end) = self.waits_end() else { return };
        let caught_up = async {
            loop {
                let ended = pin!(self.pace.ended.notified());
                if self.waits_end().is_none() {
                    return;
                }
                ended.await;
            }
        };
        // Where it takes longer, rows gather until `memory_bytes_max` refuses more.
        drop(timeout_at(waits_end, caught_up).await);
    }

    /// Until when a write waits, if it does.
    fn waits_end(&self) -> Option<Instant> {
        let mut flushing = self.pace.flushing();
        let flushing = flushing.as_mut()?;
        let is_behind = self.is_flush_due(&self.view());
        is_behind.then(|| *flushing.waits_end.get_or_insert_with(|| Instant::now() + WAIT_MAX))
    }

    fn is_flush_due(&self, view: &View) -> bool {
        let log_bytes = view.logs.active.n_bytes();
        // Text of lines is there once more while it is written, and a part of it more is no
        // smaller, as one of samples is.
        let histogram_bytes = view.histograms.active.n_bytes();
        let n_bytes = view.samples.active.n_bytes() + histogram_bytes + 2 * log_bytes;
        let n_series_bytes = view.samples.active.n_series_bytes();
        // With very many series there would be a part for every few samples of each.
        let worth_it = n_series_bytes.saturating_add(self.config.flush_bytes / 2);
        let due = self.config.flush_bytes.max(worth_it).min(self.config.memory_bytes_max / 2);
        n_bytes >= due.min(self.space.flush_bytes_max())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skep_proto::{Sample, SampleRows, SystemClock, TimestampMs};

    use super::*;
    use crate::{StoreConfig, test_fixture::NOW_MS};

    async fn append(store: &Store, ts: i64) -> usize {
        let mut rows = SampleRows::default();
        let sample = Sample { ts: TimestampMs(NOW_MS + ts), value: 1.0 };
        rows.push([("__name__", "up")], [sample]);
        store.append_samples(&rows).await.unwrap().n_accepted
    }

    /// With so many rows in memory that a flush is due.
    async fn filled(dir: &std::path::Path) -> Arc<Store> {
        let config =
            StoreConfig { group_interval: Duration::ZERO, flush_bytes: 1, ..StoreConfig::new(dir) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        append(&store, 0).await;
        store
    }

    #[tokio::test]
    async fn a_write_waits_while_a_flush_is_behind_and_goes_on_when_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path()).await;
        store.pace.begin_flush();
        let mut write = pin!(append(&store, 1));
        assert!(futures::poll!(write.as_mut()).is_pending());
        assert!(store.gate.try_write().is_ok(), "it is on its way into the log");
        store.pace.end_flush();
        assert_eq!(write.await, 1);
    }

    #[tokio::test]
    async fn for_a_flush_that_takes_too_long_no_write_waits() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path()).await;
        store.pace.begin_flush();
        *store.pace.flushing() = Some(Flushing { waits_end: Some(Instant::now()) });
        assert_eq!(append(&store, 1).await, 1);
        assert!(store.waits_end().is_some());
    }

    #[tokio::test]
    async fn nobody_waits_once_a_flush_has_ended_well_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path()).await;
        store.flush().await.unwrap();
        assert!(store.pace.flushing().is_none());
        append(&store, 1).await;
        let folder = dir.path().join("samples");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        store.flush().await.unwrap_err();
        assert!(store.pace.flushing().is_none());
    }
}
