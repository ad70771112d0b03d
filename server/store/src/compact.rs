//! Keeping a day's parts few, and letting go of days that are too old.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use datafusion::{
    execution::{SendableRecordBatchStream, TaskContext, config::SessionConfig},
    physical_plan::ExecutionPlan as _,
};
use futures::StreamExt as _;

use crate::{
    commit::{Commit, TableLog},
    day::day_of_ms,
    encode::{
        Effort, EncodeError, HistogramWriter, LogWriter, SampleWriter, SetRow, Written, read_sets,
        write_sets,
    },
    filter::RowFilter,
    flush::{FlushError, PartName},
    index::{IdOrder, Index},
    merge::{Group, MergeExec, Table},
    part::{Part, PartInfo},
    samples,
    scan::part_source,
    store::Store,
    words::Lifetime,
};

/// A day is over this long after its end: senders that had to wait have come by then.
const OVER_MS: i64 = 3_600_000;
/// Log entries that are read of a part at once: a merge holds as many of each.
const MERGE_BATCH_ROWS: usize = 2_048;
/// The largest part of a finished day is merged with the others once they have a share of this of
/// its size.
const LATE_SHARE: u64 = 8;

/// Parts of one table, day and level, neighbours in rank: merged, they are one of the next level.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merger {
    pub(crate) day: i32,
    pub(crate) parts: Vec<PartInfo>,
}

impl Merger {
    /// Levels keep the cost down: a row is rewritten once a level, not once a flush. A day of
    /// which nothing more is expected becomes one part.
    fn plan<'a>(
        parts: impl Iterator<Item = &'a PartInfo>,
        parts_max: usize,
        is_finished: impl Fn(i32) -> bool,
    ) -> Vec<Self> {
        let mut days: BTreeMap<i32, Vec<PartInfo>> = BTreeMap::new();
        for part in parts {
            days.entry(part.day).or_default().push(part.clone());
        }
        let mut mergers = Vec::new();
        for (day, mut parts) in days {
            parts.sort_by_key(|it| it.rank);
            if is_finished(day) && is_worth_it(&parts) {
                mergers.push(Self { day, parts });
                continue;
            }
            let mut levels: BTreeMap<u32, Vec<PartInfo>> = BTreeMap::new();
            for part in parts {
                levels.entry(part.level).or_default().push(part);
            }
            let is_full = |parts: &Vec<PartInfo>| parts.len() > parts_max.max(1);
            mergers.extend(levels.into_values().filter(is_full).map(|parts| Self { day, parts }));
        }
        mergers
    }

    pub(crate) fn name(&self) -> PartName {
        PartName {
            day: self.day,
            rank: self.parts.iter().map(|it| it.rank).max().unwrap_or(0),
            level: self.parts.iter().map(|it| it.level).max().unwrap_or(0) + 1,
        }
    }
}

/// Of all parts of a day: a big part is not written anew for a few late rows.
fn is_worth_it(parts: &[PartInfo]) -> bool {
    let largest = parts.iter().map(|it| it.size_bytes).max().unwrap_or(0);
    let all: u64 = parts.iter().map(|it| it.size_bytes).sum();
    parts.len() > 1 && (all - largest).saturating_mul(LATE_SHARE) >= largest
}

/// Which days of samples are merged into one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    /// All: somebody asked for it.
    All,
    /// Those that are over, and all while no samples come in.
    Quiet,
}

impl Store {
    /// Merges the parts of each day that has too many, samples of each day into one part, and
    /// drops days past retention. Queries go on reading the old parts until they are done.
    ///
    /// # Errors
    /// The disk; what was not done is done by a later call.
    pub async fn compact(self: &Arc<Self>) -> Result<(), FlushError> {
        self.compact_finished(Finished::All).await
    }

    /// As [`Self::compact`], of samples only the days that are finished.
    pub(crate) async fn compact_finished(
        self: &Arc<Self>,
        finished: Finished,
    ) -> Result<(), FlushError> {
        // It waits for the disk and the network, and computes: none of it where requests are served.
        let (store, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let compacted =
            tokio::task::spawn_blocking(move || runtime.block_on(store.compact_waiting(finished)));
        compacted.await.or(Err(FlushError::Panicked))?
    }

    async fn compact_waiting(&self, finished: Finished) -> Result<(), FlushError> {
        let _one_at_a_time = self.compaction.lock().await;
        self.follow_settled(&mut *self.tables.lock().await)?;
        self.set_aside_damaged().await?;
        // Before rows go, and after those that are late have come.
        if let Err(error) = self.downsample().await {
            let error = crate::run::report(&error);
            tracing::warn!(error, "Could not sum up samples; the next merge tries again.");
        }
        self.drop_old_days().await?;
        self.drop_expired_rows().await?;
        self.forget_unused_sets().await;
        for table in Table::ALL {
            let mut tables = self.tables.lock().await;
            let parts_max = self.config.parts_per_day_max;
            let is_finished = |day| table != Table::Logs && self.is_finished(day, finished);
            let mergers = Merger::plan(tables.log(table).live(), parts_max, is_finished);
            drop(tables);
            for merger in mergers {
                let Some((fitting, room)) = self.room_for_merge(&merger.parts) else { continue };
                let merger = Merger { day: merger.day, parts: fitting.to_vec() };
                self.merge_rows(table, merger).await?;
                drop(room);
                self.note_merged();
            }
        }
        self.purge_deleted().await.map_err(Box::new)?;
        let mut tables = self.tables.lock().await;
        let tables = &mut *tables;
        let series = self.merge_sets(&mut tables.series, IdOrder::BySource);
        let merged =
            series.and_then(|()| self.merge_sets(&mut tables.streams, IdOrder::Sequential));
        self.note_disk_bytes(tables.size_bytes());
        merged
    }

    /// Whether few more samples are to be expected of a day.
    fn is_finished(&self, day: i32, finished: Finished) -> bool {
        let is_quiet = || self.view().samples.heads().all(|it| it.n_samples() == 0);
        let is_over = || day < day_of_ms(self.clock.now().to_ms().0.saturating_sub(OVER_MS));
        finished == Finished::All || is_over() || is_quiet()
    }

    /// Waits for the disk and computes: not to be called where requests are served.
    pub(crate) async fn merge_rows(&self, table: Table, merger: Merger) -> Result<(), FlushError> {
        let parts = self.live_parts(table, &merger);
        if parts.len() != merger.parts.len() {
            return Ok(());
        }
        for part in &parts {
            if part.pin().await.is_err() && part.health.is_damaged() {
                // What is left of them is merged by the next call.
                return Ok(());
            }
        }
        let name = merger.name();
        let path = name.prepare(self.tables.lock().await.log(table), self.fs.as_ref())?;
        let written = match table {
            Table::Samples => self.merge_samples(&parts, &path).await?,
            Table::Histograms => self.merge_histograms(parts.clone(), &path).await?,
            Table::Logs => self.merge_logs(parts.clone(), &path).await?,
        };
        if parts.iter().any(|it| it.health.is_damaged()) {
            // It was left out, and must not be taken for merged.
            return Ok(());
        }
        let mut tables = self.tables.lock().await;
        let log = tables.log(table);
        // Nothing is left where all of it was deleted; the file is an orphan then.
        let is_empty = written.n_rows == 0;
        let part = name.finish(log, written)?;
        let orphan = is_empty.then(|| log.path_of(&part));
        let add = if is_empty { Vec::new() } else { vec![part] };
        self.replace(log, table, merger.parts, add)?;
        if let Some(path) = orphan
            && let Err(error) = log.store().remove(&path)
        {
            tracing::debug!(%error, "Could not remove an empty part.");
        }
        Ok(())
    }

    /// What is left of the parts' rows, in order, as files have them.
    fn merged(
        &self,
        table: Table,
        parts: Vec<Arc<Part>>,
    ) -> Result<SendableRecordBatchStream, EncodeError> {
        let expiry = self.expiry(table);
        let filter = RowFilter::between(expiry.oldest_of_all(table.key().unit), i64::MAX);
        let sources = parts.iter().map(|it| part_source(table, it, &filter, None));
        let sources = sources.collect::<Result<_, _>>().map_err(EncodeError::Merge)?;
        let group = Group { sources, parts, ..Group::new(filter) };
        let plan = MergeExec::of_files(table, group).map_err(EncodeError::Merge)?;
        let plan = plan.with_expiry(expiry);
        let session = SessionConfig::new().with_batch_size(MERGE_BATCH_ROWS);
        let context = TaskContext::default().with_session_config(session);
        plan.execute(0, Arc::new(context)).map_err(EncodeError::Merge)
    }

    async fn merge_histograms(
        &self,
        parts: Vec<Arc<Part>>,
        path: &Path,
    ) -> Result<Written, FlushError> {
        let mut rows = self.merged(Table::Histograms, parts)?;
        let mut writer = HistogramWriter::create(path, self.fs.as_ref())?;
        while let Some(batch) = rows.next().await {
            writer.push(&batch.map_err(EncodeError::Merge)?)?;
        }
        Ok(writer.finish()?)
    }

    async fn merge_logs(&self, parts: Vec<Arc<Part>>, path: &Path) -> Result<Written, FlushError> {
        let mut rows = self.merged(Table::Logs, parts)?;
        let mut writer = LogWriter::create(path, Lifetime::Long, self.fs.as_ref())?;
        while let Some(batch) = rows.next().await {
            writer.push(&batch.map_err(EncodeError::Merge)?)?;
        }
        Ok(writer.finish()?)
    }

    async fn merge_samples(&self, parts: &[Arc<Part>], path: &Path) -> Result<Written, FlushError> {
        let mut pins = Vec::new();
        for part in parts {
            let pin = part.pin_if_room().await;
            pins.push(pin.map_err(|source| FlushError::Io { path: part.path.clone(), source })?);
        }
        let mut writer = SampleWriter::create(path, Effort::Merge, self.fs.as_ref());
        samples::merge(parts, &self.expiry(Table::Samples), &mut writer)?;
        Ok(writer.finish()?)
    }

    /// Swaps parts for others, in the log and then for queries.
    pub(crate) fn replace(
        &self,
        log: &mut TableLog,
        table: Table,
        remove: Vec<PartInfo>,
        add: Vec<PartInfo>,
    ) -> Result<(), FlushError> {
        let operation = if add.is_empty() { "DELETE" } else { "OPTIMIZE" };
        let gone = remove.clone();
        let commit = Commit { operation, add: add.clone(), remove, ..Commit::default() };
        log.commit(commit, self.clock.now().to_ms().0)?;
        let new = self.open_parts(table, log, add);
        let mut old = Vec::new();
        {
            let mut view = self.view();
            let parts = view.parts_mut(table);
            parts.retain(|it| {
                let is_gone = gone.iter().any(|gone| gone.name == it.info.name);
                if is_gone {
                    old.push(Arc::clone(it));
                }
                !is_gone
            });
            parts.extend(new);
            parts.sort_by_key(|it| it.info.rank);
        }
        if operation == "DELETE" {
            self.changes.note_all();
        }
        // A crash must not bring back a commit that names files which are gone.
        log.sync()?;
        old.iter().for_each(|it| it.mark_removed());
        Ok(())
    }

    fn live_parts(&self, table: Table, merger: &Merger) -> Vec<Arc<Part>> {
        let view = self.view();
        let is_input = |it: &&Arc<Part>| merger.parts.contains(&it.info);
        view.parts(table).iter().filter(is_input).map(Arc::clone).collect()
    }

    /// Label sets are small: one file a day is read and written whole.
    fn merge_sets(&self, log: &mut TableLog, order: IdOrder) -> Result<(), FlushError> {
        for merger in Merger::plan(log.live(), self.config.parts_per_day_max, |_| false) {
            let mut rows: BTreeMap<i64, SetRow> = BTreeMap::new();
            for part in &merger.parts {
                let _pin = log.pin(part)?;
                for row in read_sets(&log.path_of(part))? {
                    rows.entry(row.id).and_modify(|it| it.widen(&row)).or_insert(row);
                }
            }
            let rows: Vec<_> = rows.into_values().collect();
            let name = merger.name().not_live(log);
            let path = name.prepare(log, self.fs.as_ref())?;
            let written = write_sets(&path, order, &rows, self.fs.as_ref())?;
            let part = name.finish(log, written)?;
            self.swap_sets(log, merger.parts, vec![part], "OPTIMIZE")?;
        }
        Ok(())
    }

    pub(crate) fn swap_sets(
        &self,
        log: &mut TableLog,
        remove: Vec<PartInfo>,
        add: Vec<PartInfo>,
        operation: &'static str,
    ) -> Result<(), FlushError> {
        let gone = remove.clone();
        let commit = Commit { operation, add, remove, ..Commit::default() };
        log.commit(commit, self.clock.now().to_ms().0)?;
        log.sync()?;
        gone.iter().for_each(|it| log.remove_file(it));
        Ok(())
    }

    async fn drop_old_days(&self) -> Result<(), FlushError> {
        let now_ms = self.clock.now().to_ms().0;
        // A day goes when all of it is too old.
        let first_kept = |index: &Index| day_of_ms(index.periods().oldest_ms(now_ms));
        let (first_samples, first_logs) = (first_kept(&self.series), first_kept(&self.streams));
        let mut tables = self.tables.lock().await;
        for (table, first) in [
            (Table::Samples, first_samples),
            (Table::Histograms, first_samples),
            (Table::Logs, first_logs),
        ] {
            let log = tables.log(table);
            let old = days_before(log, first);
            if !old.is_empty() {
                self.replace(log, table, old, Vec::new())?;
            }
        }
        // Label sets last: rows without them could not be found.
        let summed_up = tables.tiers.days();
        let tables = &mut *tables;
        for (log, index, first, kept) in [
            (&mut tables.series, &self.series, first_samples, summed_up),
            (&mut tables.streams, &self.streams, first_logs, BTreeSet::new()),
        ] {
            let mut old = days_before(log, first);
            old.retain(|it| !kept.contains(&it.day));
            if !old.is_empty() {
                let days = old.iter().map(|it| it.day).collect();
                self.swap_sets(log, old, Vec::new(), "DELETE")?;
                index.forget_days(&days);
                self.has_unused_sets.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn days_before(log: &TableLog, day: i32) -> Vec<PartInfo> {
    log.live().filter(|it| it.day < day).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rank: u64, level: u32, day: i32) -> PartInfo {
        let (ids, ts) = ((0, 0), (0, 0));
        let (name, size_bytes, crc32c, n_rows) = (format!("{rank}-{level}"), 0, 0, 0);
        PartInfo { name, day, rank, level, size_bytes, crc32c, n_rows, ids, ts }
    }

    #[test]
    fn only_parts_of_one_day_and_level_are_merged_and_only_when_they_are_many() {
        let parts = [part(5, 0, 1), part(1, 1, 1), part(4, 0, 1), part(6, 0, 1), part(7, 0, 2)];
        let mergers = Merger::plan(parts.iter(), 2, |_| false);
        let expected = Merger { day: 1, parts: vec![part(4, 0, 1), part(5, 0, 1), part(6, 0, 1)] };
        assert_eq!(mergers, [expected]);
        assert_eq!((mergers[0].name().rank, mergers[0].name().level), (6, 1));
        assert_eq!(Merger::plan(parts.iter(), 3, |_| false), []);
    }

    #[test]
    fn a_finished_day_becomes_one_part_but_a_big_part_is_not_written_anew_for_a_small_one() {
        let sized = |rank, size_bytes| PartInfo { size_bytes, ..part(rank, 0, 1) };
        let plan = |parts: &[PartInfo]| Merger::plan(parts.iter(), 8, |day| day == 1);
        let even = [sized(1, 700), sized(2, 90)];
        assert_eq!(plan(&even), [Merger { day: 1, parts: even.to_vec() }]);
        assert_eq!(plan(&[sized(1, 900), sized(2, 90)]), []);
        assert_eq!(plan(&[sized(1, 900)]), []);
        assert_eq!(plan(&[part(1, 0, 2), part(2, 0, 2)]), []);
    }
}
