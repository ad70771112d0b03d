//! Samples on their way in: from a request's rows to slots, to the log, to the heads.
//!
//! What can be done before the log has them is done in [`Store::prepare_samples`], so that a
//! request's bytes need not stay in memory while the disk works.

use std::sync::Arc;

use skep_proto::{Fingerprint, Labels, SampleRows, SeriesKey, SeriesRow, hash_sorted_pairs};
use tokio::sync::RwLockReadGuard;

use crate::{
    error::{AppendError, Appended, Rejection},
    heads::{SampleColumns, SampleHeads, SlotOf},
    index::KnownSpellings,
    record::encode_samples,
    store::{Bounds, RETRY_AFTER, Store, counted},
};

/// Samples that are checked and have a place in the heads, but are not stored yet.
#[derive(Debug)]
#[must_use = "nothing is stored before `commit`"]
pub struct PreparedSamples<'s> {
    store: &'s Store,
    /// Held until the rows are in the heads; see [`Store`].
    epoch: RwLockReadGuard<'s, u64>,
    heads: Arc<SampleHeads>,
    columns: SampleColumns,
    /// Those that the record registers.
    registered: Vec<SlotOf>,
    record: Vec<u8>,
    appended: Appended,
}

/// Rows by ordinal of their series.
#[derive(Default)]
struct Taken {
    /// Its slots are ordinals still.
    columns: SampleColumns,
    learnt: Vec<(Fingerprint, u32)>,
    appended: Appended,
}

impl Store {
    /// What this store knows of the spellings of label sets. Drop it before appending.
    pub fn known_series(&self) -> KnownSpellings<'_> {
        self.spellings.known()
    }

    /// Appends samples; returns once they are durable (as configured) and visible to snapshots.
    /// Of appends that run at the same time either may count as the earlier.
    ///
    /// # Errors
    /// Nothing of the request is stored; rows refused one by one are in [`Appended`] instead.
    pub async fn append_samples(&self, rows: &SampleRows<'_>) -> Result<Appended, AppendError> {
        self.prepare_samples(rows).await?.commit().await
    }

    /// The first half of [`Self::append_samples`]: all that needs the rows.
    ///
    /// # Errors
    /// As [`Self::append_samples`].
    pub async fn prepare_samples(
        &self,
        rows: &SampleRows<'_>,
    ) -> Result<PreparedSamples<'_>, AppendError> {
        self.wait_for_flush().await;
        self.admit()?;
        self.note_metadata(rows);
        let bounds = self.bounds(&self.series);
        let epoch = self.gate.read().await;
        let Taken { mut columns, learnt, appended } = self.take_samples(rows, bounds);
        self.spellings.learn(&learnt, self.series.n_entries());
        let heads = Arc::clone(&self.view().samples.active);
        // A series of the request may have been forgotten since its bytes were recognised; when it
        // comes again, its labels are read.
        let reserved = heads.reserve(&self.series, &mut columns.slots);
        let registered = reserved.ok_or(AppendError::Busy { retry_after: RETRY_AFTER })?;
        let record = match columns.ts.as_slice() {
            [] => Vec::new(),
            _ => encode_samples(&registered, &columns),
        };
        Ok(PreparedSamples { store: self, epoch, heads, columns, registered, record, appended })
    }

    fn take_samples(&self, rows: &SampleRows<'_>, bounds: Bounds) -> Taken {
        let mut taken = Taken::default();
        taken.columns.slots.reserve(rows.n_series());
        taken.columns.n_samples.reserve(rows.n_series());
        taken.columns.ts.reserve(rows.n_samples());
        taken.columns.bits.reserve(rows.n_samples());
        for row in rows.series() {
            let n_before = taken.columns.ts.len();
            for (&ts, &bits) in row.ts.iter().zip(row.bits) {
                match bounds.check(ts, || format!("sample of {}", self.display(&row))) {
                    Ok(()) => {
                        taken.columns.ts.push(ts);
                        taken.columns.bits.push(bits);
                    }
                    Err(rejection) => taken.appended.reject(1, rejection),
                }
            }
            let n_samples = taken.columns.ts.len() - n_before;
            let Ok(n_fitting) = u32::try_from(n_samples) else { continue };
            if n_samples == 0 {
                continue;
            }
            match self.ordinal(&row, &mut taken.learnt) {
                Ok(ordinal) => {
                    taken.columns.slots.push(ordinal);
                    taken.columns.n_samples.push(n_fitting);
                    taken.appended.n_accepted += n_samples;
                }
                Err(error) => {
                    taken.columns.ts.truncate(n_before);
                    taken.columns.bits.truncate(n_before);
                    taken.appended.reject(n_samples, Rejection::Labels(error));
                }
            }
        }
        taken
    }

    fn ordinal(
        &self,
        row: &SeriesRow<'_, '_>,
        learnt: &mut Vec<(Fingerprint, u32)>,
    ) -> Result<u32, skep_proto::LabelError> {
        let (labels, fingerprint) = match row.key {
            SeriesKey::Known(series) => return Ok(series.0),
            SeriesKey::Labels(labels, fingerprint) => (labels, fingerprint),
        };
        let pairs = labels.iter().copied();
        let ordinal = self.series.resolve(hash_sorted_pairs(pairs.clone()), &pairs)?.ordinal();
        learnt.extend(fingerprint.map(|it| (it, ordinal)));
        Ok(ordinal)
    }

    fn display(&self, row: &SeriesRow<'_, '_>) -> String {
        match row.key {
            SeriesKey::Known(series) => match self.series.entries(&[series.0]).as_slice() {
                [entry, ..] => entry.labels.to_string(),
                [] => String::new(),
            },
            SeriesKey::Labels(labels, _) => Labels::from_pairs(labels.iter().copied())
                .map_or_else(|error| error.to_string(), |it| it.to_string()),
        }
    }
}

impl PreparedSamples<'_> {
    /// Returns once the samples are durable (as configured) and visible to snapshots.
    ///
    /// # Errors
    /// As [`Store::append_samples`].
    pub async fn commit(self) -> Result<Appended, AppendError> {
        let Self { store, heads, columns, .. } = self;
        if !self.record.is_empty() {
            store.wal.append(self.record).await.map_err(AppendError::from)?;
            heads.append(&columns);
            heads.set_registered(&self.registered);
            let ts = &columns.ts;
            if let Some((min, max)) = ts.iter().copied().min().zip(ts.iter().copied().max()) {
                store.changes.note(min, max);
            }
            drop(self.epoch);
            store.ask_for_flush_if_due();
        }
        Ok(counted(&store.figures.n_samples_rejected, self.appended))
    }
}
