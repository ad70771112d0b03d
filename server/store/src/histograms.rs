//! Native histograms: on their way in, and as columns.

mod columns;

use std::sync::Arc;

use skep_proto::{HistogramRows, HistogramSample, KeyedRow, Labels, SeriesKey, hash_sorted_pairs};

pub use columns::read_batch;
pub(crate) use columns::{batches, hint_code, hint_of};

use crate::{
    error::{AppendError, Appended, Rejection},
    index::Entry,
    open::mark_days,
    record::{HistogramColumns, Registration, encode_histograms},
    store::{Bounds, RETRY_AFTER, Store, counted},
};

/// Rows of one append on their way into the log and the heads.
#[derive(Default)]
struct Intake {
    entries: Vec<Arc<Entry>>,
    columns: HistogramColumns,
    appended: Appended,
}

impl Store {
    /// Appends native histograms, as [`Self::append_samples`]. Where a series has a float of the
    /// same time stamp, the histogram counts.
    ///
    /// # Errors
    /// As [`Self::append_samples`].
    pub async fn append_histograms(
        &self,
        rows: &HistogramRows<'_>,
    ) -> Result<Appended, AppendError> {
        self.wait_for_flush().await;
        self.admit()?;
        let bounds = self.bounds(&self.series);
        let epoch = self.gate.read().await;
        let intake = self.take_histograms(rows, bounds)?;
        let Intake { entries, columns, appended } = intake;
        if columns.0.is_empty() {
            return Ok(counted(&self.figures.n_histograms_rejected, appended));
        }
        let new = entries.iter().filter(|it| !it.is_registered_in(*epoch));
        let registrations: Vec<Registration> =
            new.map(|it| (it.id, Arc::clone(&it.labels))).collect();
        let record = encode_histograms(&registrations, &columns);
        self.wal.append(record).await.map_err(AppendError::from)?;
        let heads = Arc::clone(&self.view().histograms.active);
        for (entry, (id, histograms)) in entries.iter().zip(&columns.0) {
            entry.set_registered_in(*epoch);
            mark_days(entry, histograms.iter().map(|it| it.ts.0));
            heads.append(*id, histograms);
        }
        if let Some((min, max)) = heads_range(&columns) {
            self.changes.note(min, max);
        }
        drop(epoch);
        self.ask_for_flush_if_due();
        Ok(counted(&self.figures.n_histograms_rejected, appended))
    }

    fn take_histograms(
        &self,
        rows: &HistogramRows<'_>,
        bounds: Bounds,
    ) -> Result<Intake, AppendError> {
        let mut intake = Intake::default();
        let mut learnt = Vec::new();
        for row in &rows.series {
            let mut histograms = Vec::with_capacity(row.items.len());
            for it in &row.items {
                match bounds.check(it.ts.0, || format!("histogram of {}", self.labels_of(row))) {
                    Ok(()) => histograms.push(HistogramSample::clone(it)),
                    Err(rejection) => intake.appended.reject(1, rejection),
                }
            }
            if histograms.is_empty() {
                continue;
            }
            let entry = match row.key() {
                // One that was forgotten since it was recognised: its labels are read next time.
                SeriesKey::Known(series) => match self.series.entries(&[series.0]).pop() {
                    Some(entry) => Ok(entry),
                    None => return Err(AppendError::Busy { retry_after: RETRY_AFTER }),
                },
                SeriesKey::Labels(labels, fingerprint) => {
                    let pairs = labels.iter().copied();
                    let entry = self.series.resolve(hash_sorted_pairs(pairs.clone()), &pairs);
                    if let (Ok(entry), Some(fingerprint)) = (&entry, fingerprint) {
                        learnt.push((fingerprint, entry.ordinal()));
                    }
                    entry
                }
            };
            match entry {
                Ok(entry) => {
                    intake.appended.n_accepted += histograms.len();
                    intake.columns.0.push((entry.id, histograms));
                    intake.entries.push(entry);
                }
                Err(error) => intake.appended.reject(histograms.len(), Rejection::Labels(error)),
            }
        }
        self.spellings.learn(&learnt, self.series.n_entries());
        Ok(intake)
    }

    fn labels_of(&self, row: &KeyedRow<'_, HistogramSample>) -> String {
        match row.key() {
            SeriesKey::Known(series) => {
                let entry = self.series.entries(&[series.0]).pop();
                entry.map_or_else(String::new, |it| it.labels.to_string())
            }
            SeriesKey::Labels(labels, _) => Labels::from_pairs(labels.iter().copied())
                .map_or_else(|error| error.to_string(), |it| it.to_string()),
        }
    }
}

fn heads_range(columns: &HistogramColumns) -> Option<(i64, i64)> {
    let ts = || columns.0.iter().flat_map(|(_, it)| it).map(|it| it.ts.0);
    ts().min().zip(ts().max())
}
