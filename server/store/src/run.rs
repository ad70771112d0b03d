//! The store's background work and its end.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    compact::Finished, merge::Table, part_store::ObjectStats, space::SpaceStats, store::Store,
};

/// After a failure, so that a full disk is not hammered.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Bytes of the live parts of each table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableBytes {
    pub series: u64,
    pub streams: u64,
    pub samples: u64,
    pub histograms: u64,
    pub logs: u64,
    /// Samples summed up.
    pub rollups: u64,
}

impl TableBytes {
    pub(crate) fn total(self) -> u64 {
        self.series + self.streams + self.samples + self.histograms + self.logs + self.rollups
    }
}

/// Figures for metrics and status pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    pub n_series: usize,
    pub n_streams: usize,
    /// In memory, overwritten and repeated ones included.
    pub n_head_samples: usize,
    pub n_head_histograms: usize,
    pub n_head_entries: usize,
    pub head_bytes: usize,
    /// Live parts of samples, histograms and logs.
    pub n_parts: usize,
    /// As of the last flush or merge.
    pub disk_bytes: TableBytes,
    pub wal_bytes: u64,
    pub n_wal_segments: usize,
    pub n_wal_syncs: u64,
    pub n_wal_failures: u64,
    pub n_flushes: u64,
    pub n_flush_failures: u64,
    /// Unix time in milliseconds; 0 for never.
    pub last_flush_ms: i64,
    /// Files that the commit log names and that are missing, and those that lie set aside.
    pub n_damaged_parts: usize,
    /// Checkpoints of commit logs that the start could not read, and did without.
    pub n_damaged_checkpoints: usize,
    pub space: SpaceStats,
    /// Live parts of logs whose index of words cannot be used, as far as a search found out.
    pub n_damaged_indexes: usize,
    /// Rows that appends refused one by one ([`crate::Rejection`]), since the start.
    pub n_samples_rejected: u64,
    pub n_histograms_rejected: u64,
    pub n_entries_rejected: u64,
    /// If parts are in object storage.
    pub object_store: Option<ObjectStats>,
}

impl Store {
    /// Flushes by size and age, merges parts and drops old days, until told to stop. The caller
    /// then calls [`Self::close`].
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let watch = Arc::clone(&self).watch_space(shutdown.clone());
        let damage = Arc::clone(&self).watch_damage(shutdown.clone());
        // Beside the flushes: a merge takes seconds, and rows gather in memory meanwhile.
        let merging = Arc::clone(&self).keep_merged(shutdown.clone());
        tokio::join!(watch, damage, merging, self.keep_flushed(shutdown));
    }

    async fn keep_flushed(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.flush_wanted.notified() => {}
                () = tokio::time::sleep(self.config.flush_age) => {}
            }
            match self.write_heads().await {
                Ok(()) => self.merge_wanted.notify_one(),
                Err(error) => {
                    self.figures.n_flush_failures.fetch_add(1, Ordering::Relaxed);
                    let error = report(&error);
                    tracing::warn!(
                        error,
                        "Could not flush; the rows stay in memory and in the log."
                    );
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(RETRY_DELAY) => self.flush_wanted.notify_one(),
                    }
                }
            }
        }
    }

    async fn keep_merged(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.merge_wanted.notified() => {}
            }
            if let Err(error) = self.compact_finished(Finished::Quiet).await {
                let error = report(&error);
                tracing::warn!(error, "Could not merge parts; trying again later.");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(RETRY_DELAY) => self.merge_wanted.notify_one(),
                }
            }
        }
    }

    /// Refuses further appends, writes everything to parts and stops the log. What cannot be
    /// written stays in the log for the next start.
    pub async fn close(self: &Arc<Self>) {
        self.is_closed.store(true, Ordering::Release);
        self.followers.close();
        if let Err(error) = self.flush().await {
            let error = report(&error);
            tracing::warn!(error, "Could not flush at the end; the next start replays the log.");
        }
        let store = Arc::clone(self);
        if tokio::task::spawn_blocking(move || store.wal.close()).await.is_err() {
            tracing::error!("The log could not be closed.");
        }
    }

    pub fn stats(&self) -> StoreStats {
        let wal = self.wal.stats();
        let figures = &self.figures;
        let n_damaged_live = self.n_damaged_live();
        let view = self.view();
        StoreStats {
            n_series: self.series.n_entries(),
            n_streams: self.streams.n_entries(),
            n_head_samples: view.samples.heads().map(|it| it.n_samples()).sum(),
            n_head_histograms: view.histograms.heads().map(|it| it.n_histograms()).sum(),
            n_head_entries: view.logs.heads().map(|it| it.n_entries()).sum(),
            head_bytes: view.head_bytes(),
            n_parts: Table::ALL.iter().map(|it| view.parts(*it).len()).sum(),
            disk_bytes: self.disk_bytes(),
            wal_bytes: wal.n_bytes,
            n_wal_segments: wal.n_segments,
            n_wal_syncs: wal.n_syncs,
            n_wal_failures: wal.n_failures,
            n_flushes: figures.n_flushes.load(Ordering::Relaxed),
            n_flush_failures: figures.n_flush_failures.load(Ordering::Relaxed),
            last_flush_ms: figures.last_flush_ms.load(Ordering::Relaxed),
            n_damaged_parts: figures.n_damaged_parts.load(Ordering::Relaxed) + n_damaged_live,
            n_damaged_checkpoints: figures.n_damaged_checkpoints,
            n_damaged_indexes: view.logs.parts.iter().filter(|it| it.words.is_damaged()).count(),
            n_samples_rejected: figures.n_samples_rejected.load(Ordering::Relaxed),
            space: self.space.stats(wal.n_bytes),
            n_histograms_rejected: figures.n_histograms_rejected.load(Ordering::Relaxed),
            n_entries_rejected: figures.n_entries_rejected.load(Ordering::Relaxed),
            object_store: self.parts.object_stats(),
        }
    }

    /// As last noted.
    pub(crate) fn disk_bytes(&self) -> TableBytes {
        *self.figures.disk_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_disk_bytes(&self, bytes: TableBytes) {
        *self.figures.disk_bytes.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    pub(crate) fn note_flush(&self) {
        self.figures.n_flushes.fetch_add(1, Ordering::Relaxed);
        self.figures.last_flush_ms.store(self.clock.now().to_ms().0, Ordering::Relaxed);
    }
}

/// An error with its causes, in one line.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    text
}
