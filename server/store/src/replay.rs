//! From the log to the heads at the start: what no part holds yet.
//!
//! The heads never grow far beyond what a flush would have written: between two segments they are
//! written to parts when they are large enough. Those commits say which rows are in parts, not that
//! segments may go, since later records use the registrations of earlier ones.

use std::{collections::HashMap, sync::Arc};

use skep_wal::{Replay, SegmentSeq};

use crate::{
    commit::Covered,
    day::NS_PER_MS,
    error::OpenError,
    heads::{LogHeads, SampleColumns, SampleHeads},
    index::{Entry, Index},
    open::mark_days,
    record::{Content, LogColumns, Record, RecordError, SampleRegistration},
    run::report,
    store::Store,
};

impl Store {
    /// Puts what no part holds yet into the heads, or into parts where it is too much.
    pub(crate) fn replay(
        &self,
        replay: &Replay,
        (samples, logs): (Covered, Covered),
    ) -> Result<(), OpenError> {
        let mut slots = Slots::default();
        // Later records use what earlier ones registered, or what a part has.
        let mut known = self.streams.by_id();
        let mut current = SegmentSeq(0);
        let replayed = replay.run(|seq, record| {
            if seq != current {
                self.flush_replayed(current);
                current = seq;
            }
            let record = Record::decompress(record)?;
            match record.parse()? {
                Content::Samples { registrations, columns } => {
                    slots.restore(&self.series, registrations);
                    if seq.0 > samples.table {
                        let heads = Arc::clone(&self.view().samples.active);
                        slots.append(&heads, &self.series, columns);
                    }
                }
                Content::Logs { registrations, columns } => {
                    for (id, labels) in registrations {
                        known.insert(id, self.streams.restore(id, labels));
                    }
                    if seq.0 > logs.table {
                        let heads = Arc::clone(&self.view().logs.active);
                        append_logs(&heads, &known, &columns);
                    }
                }
            }
            Ok::<(), RecordError>(())
        })?;
        if replayed.n_records > 0 {
            tracing::info!(
                n_segments = replayed.n_segments,
                n_records = replayed.n_records,
                n_bytes = replayed.n_bytes,
                "Replayed the log."
            );
        }
        Ok(())
    }

    /// Writes the heads to parts if they are large; they hold all of `through`, and nothing newer.
    fn flush_replayed(&self, through: SegmentSeq) {
        if self.view().head_bytes() < self.config.flush_bytes {
            return;
        }
        let Ok(mut tables) = self.tables.try_lock() else { return };
        if let Err(error) = self.write_replayed(&mut tables, through.0) {
            // On a full disk, say: the rows stay in memory, as after a flush that failed.
            let error = report(&error);
            tracing::warn!(error, "Could not write replayed rows to parts; they stay in memory.");
        }
    }
}

/// Which series the slots of the log's records are of, by its ordinal: each process and each flush
/// numbers anew, and registers before it uses.
#[derive(Default)]
struct Slots(HashMap<u32, u32>);

impl Slots {
    fn restore(&mut self, index: &Index, registrations: Vec<SampleRegistration>) {
        for it in registrations {
            self.0.insert(it.slot, index.restore(it.id, it.labels).ordinal());
        }
    }

    fn append(&self, heads: &SampleHeads, index: &Index, mut columns: SampleColumns) {
        let n_series = columns.slots.len();
        let ordinals: Option<Vec<u32>> =
            columns.slots.iter().map(|it| self.0.get(it).copied()).collect();
        let Some(ordinals) = ordinals else {
            tracing::error!(n_series, "A record of the log names a series that it does not know.");
            return;
        };
        columns.slots = ordinals;
        if heads.reserve(index, &mut columns.slots).is_some() {
            heads.append(&columns);
        }
    }
}

fn append_logs(heads: &LogHeads, known: &HashMap<i64, Arc<Entry>>, columns: &LogColumns<'_>) {
    for (id, ts, entries) in columns.groups() {
        match known.get(&id) {
            Some(entry) => mark_days(entry, ts.iter().map(|it| it.div_euclid(NS_PER_MS))),
            None => {
                tracing::error!(id, "A record of the log names a stream that it does not know.");
            }
        }
        heads.append(id, ts, entries);
    }
}
