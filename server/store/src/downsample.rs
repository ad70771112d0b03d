//! Samples summed up: one row for 5 minutes or an hour of a series, kept when the samples are gone.
//!
//! A bucket is `(end - width, end]`, as PromQL's windows are, and of one day: a sample at midnight
//! has a bucket of its own. It is written once its day is over, and again when late samples arrive. It holds what makes window functions over whole
//! buckets exact: minimum, maximum, sum and count; the first and last sample with their times; and
//! what a counter lost at resets, so that `rate` over buckets is what it was over samples.

mod bucket;
mod clean;
#[cfg(test)]
mod model_tests;
mod read;
mod scan;
mod scope;
mod table;
mod uncovered;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::StreamExt as _;

use crate::{
    commit::{Commit, TableLog},
    day::{MS_PER_DAY, day_of_ms, start_ms},
    delete::Mask,
    encode::{EncodeError, Written},
    filter::RowFilter,
    flush::{FlushError, PartName, Tables},
    merge::Table,
    part::{Part, PartInfo},
    retention::Expiry,
    samples::SampleTable,
    store::Store,
};

use bucket::Buckets;
pub(crate) use scope::{Scope, Served};
use table::RollupWriter;
pub use table::{Rollup, Rollups};

/// After its end a day waits this long for stragglers before it is summed up.
const GRACE_MS: i64 = 3_600_000;

/// How finely samples are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tier {
    Minutes5,
    Hour1,
}

impl Tier {
    pub(crate) const ALL: [Self; 2] = [Self::Minutes5, Self::Hour1];

    pub(crate) fn width_ms(self) -> i64 {
        match self {
            Self::Minutes5 => 300_000,
            Self::Hour1 => 3_600_000,
        }
    }

    /// Of the table, which is its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minutes5 => "samples_5m",
            Self::Hour1 => "samples_1h",
        }
    }

    /// Between which times (ends included) the samples lie that a part's buckets stand for.
    pub(crate) fn ts_within(self, part: &PartInfo) -> (i64, i64) {
        (self.ts_of(part.day, part.ts.0).0, self.ts_of(part.day, part.ts.1).1)
    }

    /// Between which times (ends included) the samples of a day's bucket lie.
    fn ts_of(self, day: i32, end: i64) -> (i64, i64) {
        let (first, start) = (end.saturating_sub(self.width_ms()).saturating_add(1), start_ms(day));
        (first.max(start), end.min(start.saturating_add(MS_PER_DAY - 1)))
    }

    /// Whether a delete is about a sample that a day's bucket may hold.
    fn hides(self, mask: &Mask, day: i32, id: i64, end: i64) -> bool {
        mask.hides_id(id) && mask.overlaps(self.ts_of(day, end))
    }
}

/// How long each tier is kept; it is not made where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RollupPeriods {
    pub minutes_5: Option<RollupPeriod>,
    pub hour_1: Option<RollupPeriod>,
}

/// How long a tier is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollupPeriod {
    Forever,
    For(Duration),
}

impl RollupPeriods {
    pub(crate) fn of(self, tier: Tier) -> Option<RollupPeriod> {
        match tier {
            Tier::Minutes5 => self.minutes_5,
            Tier::Hour1 => self.hour_1,
        }
    }
}

/// The tiers' logs: empty where a tier is neither made nor there.
#[derive(Debug, Default)]
pub(crate) struct TierLogs(pub(crate) Vec<(Tier, TableLog)>);

impl TierLogs {
    pub(crate) fn days(&self) -> BTreeSet<i32> {
        self.0.iter().flat_map(|(_, log)| log.live().map(|it| it.day)).collect()
    }
}

impl Store {
    /// Sums up days that are complete, and again those that got late samples; lets go of tiers'
    /// days that are too old.
    pub(crate) async fn downsample(&self) -> Result<(), FlushError> {
        self.drop_old_rollups().await?;
        for (day, parts) in self.days_to_sum_up().await {
            self.sum_up(day, newest(&parts)).await?;
        }
        Ok(())
    }

    async fn drop_old_rollups(&self) -> Result<(), FlushError> {
        let now_ms = self.clock.now().to_ms().0;
        let mut tables = self.tables.lock().await;
        let mut days = BTreeSet::new();
        for (tier, log) in &mut tables.tiers.0 {
            // One that is not made any more stays until it is wanted again.
            if self.config.rollups.of(*tier).is_none() {
                continue;
            }
            let is_old = |it: &&PartInfo| !self.is_made(*tier, it.day, now_ms);
            let old: Vec<PartInfo> = log.live().filter(is_old).cloned().collect();
            if !old.is_empty() {
                days.extend(old.iter().map(|it| it.day));
                self.replace_rollups(*tier, log, old, Vec::new())?;
            }
        }
        self.drop_sets_of(&mut tables, days)
    }

    /// Days that are over and not summed up, or got samples since, and what those are in.
    async fn days_to_sum_up(&self) -> Vec<(i32, Vec<Arc<Part>>)> {
        let now_ms = self.clock.now().to_ms().0;
        let tables = self.tables.lock().await;
        let mut days: BTreeMap<i32, Vec<Arc<Part>>> = BTreeMap::new();
        for part in &self.view().samples.parts {
            days.entry(part.info.day).or_default().push(Arc::clone(part));
        }
        let is_due = |day: i32, parts: &[Arc<Part>]| {
            let tiers = tables.tiers.0.iter().filter(|it| self.is_made(it.0, day, now_ms));
            let mut ranks = tiers.map(|(_, log)| rank_of(log, day));
            if self.is_whole(day, now_ms) {
                ranks.any(|it| it.is_none_or(|it| it < newest(parts)))
            } else {
                // Better than nothing, but never instead of what was made of more.
                ranks.all(|it| it.is_none())
            }
        };
        days.retain(|day, parts| {
            let is_over = start_ms(*day) + MS_PER_DAY + GRACE_MS <= now_ms;
            let is_made = tables.tiers.0.iter().any(|it| self.is_made(it.0, *day, now_ms));
            is_over && is_made && is_due(*day, parts)
        });
        days.into_iter().collect()
    }

    /// Whether a tier has this day.
    fn is_made(&self, tier: Tier, day: i32, now_ms: i64) -> bool {
        match self.config.rollups.of(tier) {
            None => false,
            Some(RollupPeriod::Forever) => true,
            Some(RollupPeriod::For(period)) => {
                let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
                day >= day_of_ms(now_ms.saturating_sub(period_ms))
            }
        }
    }

    /// Whether no sample of a day can have expired that is summed up.
    fn is_whole(&self, day: i32, now_ms: i64) -> bool {
        self.series.periods().oldest_by_default_ms(now_ms) <= start_ms(day)
    }

    /// Of the samples in parts up to this rank, and of those in memory.
    async fn sum_up(&self, day: i32, rank: u64) -> Result<(), FlushError> {
        let mut writers = Vec::new();
        {
            let tables = self.tables.lock().await;
            let now_ms = self.clock.now().to_ms().0;
            for (tier, log) in &tables.tiers.0 {
                if !self.is_made(*tier, day, now_ms) {
                    continue;
                }
                let level = log.live().filter(|it| it.day == day).map(|it| it.level + 1).max();
                let name = PartName { day, rank, level: level.unwrap_or(0) };
                let path = name.prepare(log, self.fs.as_ref())?;
                writers.push(Summing { tier: *tier, name, path, rows: Buckets::new(*tier) });
            }
        }
        let mut files = Vec::new();
        for it in &writers {
            files.push(RollupWriter::create(&it.path, self.fs.as_ref())?);
        }
        let filter = RowFilter::between(start_ms(day), start_ms(day) + MS_PER_DAY - 1);
        let expiry = self.expiry(Table::Samples);
        let mut rows = self.rows_of(filter)?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(EncodeError::Merge)?;
            for (summing, file) in writers.iter_mut().zip(&mut files) {
                add_rows(&mut summing.rows, &batch, &expiry, file)?;
            }
        }
        let mut written = Vec::new();
        for (summing, mut file) in writers.iter_mut().zip(files) {
            summing.rows.finish(|id, bucket| file.push(id, &bucket))?;
            written.push(file.finish()?);
        }
        let summed = writers.into_iter().zip(written).collect();
        self.commit_rollups(day, summed).await
    }

    fn rows_of(&self, filter: RowFilter) -> Result<SendableRecordBatchStream, FlushError> {
        let (parts, heads) = {
            let view = self.view();
            let heads = view.samples.heads().map(Arc::clone).collect();
            (view.samples.parts.clone(), heads)
        };
        let table = SampleTable::new(parts, heads, Arc::clone(&self.sample_cache));
        let rows =
            table.plan(filter, None).and_then(|it| it.execute(0, Arc::new(TaskContext::default())));
        Ok(rows.map_err(EncodeError::Merge)?)
    }

    async fn commit_rollups(
        &self,
        day: i32,
        summed: Vec<(Summing, Written)>,
    ) -> Result<(), FlushError> {
        let mut tables = self.tables.lock().await;
        for (summing, written) in summed {
            let Some((_, log)) = tables.tiers.0.iter_mut().find(|it| it.0 == summing.tier) else {
                continue;
            };
            let old: Vec<PartInfo> = log.live().filter(|it| it.day == day).cloned().collect();
            let mut new = Vec::new();
            if written.n_rows > 0 {
                new.push(summing.name.finish(log, written)?);
            } else if let Err(error) = self.fs.remove(&summing.path) {
                tracing::debug!(%error, "Could not remove an empty part; the next start does.");
            }
            if !old.is_empty() || !new.is_empty() {
                self.replace_rollups(summing.tier, log, old, new)?;
            }
        }
        Ok(())
    }

    fn replace_rollups(
        &self,
        tier: Tier,
        log: &mut TableLog,
        remove: Vec<PartInfo>,
        add: Vec<PartInfo>,
    ) -> Result<(), FlushError> {
        let operation = if add.is_empty() { "DELETE" } else { "WRITE" };
        let gone = remove.clone();
        let commit = Commit { operation, add: add.clone(), remove, ..Commit::default() };
        log.commit(commit, self.clock.now().to_ms().0)?;
        let new = self.open_rollups(tier, log, add);
        let old = self.show_rollups(tier, &gone, new);
        log.sync()?;
        old.iter().for_each(|it| it.mark_removed());
        Ok(())
    }

    fn open_rollups(&self, tier: Tier, log: &TableLog, add: Vec<PartInfo>) -> Vec<Arc<Part>> {
        let parts = self.open_parts(Table::Samples, log, add);
        // A bucket before a part's first row may hold what a delete is about: it is attached twice
        // to no harm.
        let deletes = self.deletes_held();
        for part in &parts {
            deletes.attach_within(Table::Samples, part, tier.ts_within(&part.info));
        }
        drop(deletes);
        parts
    }

    /// Returns the parts that queries do not see any more.
    fn show_rollups(&self, tier: Tier, gone: &[PartInfo], new: Vec<Arc<Part>>) -> Vec<Arc<Part>> {
        let mut view = self.view();
        let is_gone = |it: &mut (Tier, Arc<Part>)| {
            it.0 == tier && gone.iter().any(|gone| gone.name == it.1.info.name)
        };
        let old = view.tiers.extract_if(.., is_gone).map(|it| it.1).collect();
        view.tiers.extend(new.into_iter().map(|it| (tier, it)));
        drop(view);
        self.changes.note_all();
        old
    }

    /// Lets go of the tiers' oldest day; how many bytes it had.
    pub(crate) fn evict_rollups(&self, tables: &mut Tables) -> Result<u64, FlushError> {
        let Some(oldest) = tables.tiers.days().first().copied() else { return Ok(0) };
        // What still has its samples would be summed up again.
        if tables.samples.live().any(|it| it.day == oldest) {
            return Ok(0);
        }
        let mut n_bytes = 0;
        for (tier, log) in &mut tables.tiers.0 {
            let old: Vec<PartInfo> = log.live().filter(|it| it.day == oldest).cloned().collect();
            n_bytes += old.iter().map(|it| it.size_bytes).sum::<u64>();
            if !old.is_empty() {
                self.replace_rollups(*tier, log, old, Vec::new())?;
            }
        }
        self.drop_sets_of(tables, BTreeSet::from([oldest]))?;
        Ok(n_bytes)
    }

    /// Label sets of days that went from a tier and of which nothing else is left.
    fn drop_sets_of(&self, tables: &mut Tables, mut days: BTreeSet<i32>) -> Result<(), FlushError> {
        let kept = tables.tiers.days();
        let in_heads: BTreeSet<i32> = {
            let view = self.view();
            view.samples.heads().flat_map(|it| it.days()).collect()
        };
        days.retain(|it| !kept.contains(it) && !in_heads.contains(it));
        tables.samples.live().for_each(|it| {
            days.remove(&it.day);
        });
        let old = tables.series.live().filter(|it| days.contains(&it.day));
        let old: Vec<PartInfo> = old.cloned().collect();
        if !old.is_empty() {
            self.swap_sets(&mut tables.series, old, Vec::new(), "DELETE")?;
            self.series.forget_days(&days);
            self.has_unused_sets.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has queries see commits that were in doubt and are there.
    pub(crate) fn follow_settled_rollups(&self, tables: &mut Tables) -> Result<(), FlushError> {
        for (tier, log) in &mut tables.tiers.0 {
            log.sync()?;
            for Commit { add, remove, .. } in log.take_settled() {
                let new = self.open_rollups(*tier, log, add);
                self.show_rollups(*tier, &remove, new);
            }
        }
        Ok(())
    }
}

/// One tier of a day on its way into a file.
struct Summing {
    tier: Tier,
    name: PartName,
    path: PathBuf,
    rows: Buckets,
}

fn newest(parts: &[Arc<Part>]) -> u64 {
    parts.iter().map(|it| it.info.rank).max().unwrap_or(0)
}

/// Of what is summed up of a day.
fn rank_of(log: &TableLog, day: i32) -> Option<u64> {
    log.live().filter(|it| it.day == day).map(|it| it.rank).max()
}

fn add_rows(
    buckets: &mut Buckets,
    batch: &RecordBatch,
    expiry: &Expiry,
    file: &mut RollupWriter,
) -> Result<(), EncodeError> {
    let ids = batch.column(0).as_primitive::<Int64Type>().values();
    let ts = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
    let values = batch.column(2).as_primitive::<Float64Type>().values();
    for ((&id, &ts), &value) in ids.iter().zip(ts).zip(values) {
        // Who wants a series gone early does not want it summed up.
        if !expiry.is_shorter(id) {
            buckets.add(id, ts, value, |id, bucket| file.push(id, &bucket))?;
        }
    }
    Ok(())
}
