//! How long rows are kept, by table and selector: what is expired is never served, goes from the
//! disk with its day or when enough of a day is expired, and then its label sets leave memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::Duration,
};

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Int64Type, TimeUnit, TimestampMillisecondType, TimestampNanosecondType},
};
use datafusion::common::Result;
use skep_proto::{Labels, Matcher};

use crate::{
    commit::TableLog,
    compact::Merger,
    day::{NS_PER_MS, day_of_ms},
    encode::{SetRow, read_sets, write_sets},
    flush::FlushError,
    index::{IdOrder, Index},
    merge::Table,
    part::PartInfo,
    store::Store,
    view::LabelsOf,
};

/// For ever.
const KEEP: i64 = i64::MAX;
/// Of a day's label sets, in percent: with fewer expired its parts are not written anew.
const EXPIRED_PERCENT_MIN: usize = 20;

/// An exception from the store's retention.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    pub of: LabelsOf,
    /// All of them must match; none matches every label set.
    pub matchers: Vec<Matcher>,
    /// `None` for ever.
    pub period: Option<Duration>,
}

/// How long each label set of one table is kept, in milliseconds.
#[derive(Debug)]
pub(crate) struct Periods {
    default: i64,
    rules: Vec<(Vec<Matcher>, i64)>,
}

impl Default for Periods {
    /// For ever.
    fn default() -> Self {
        Self { default: KEEP, rules: Vec::new() }
    }
}

impl Periods {
    pub(crate) fn new(of: LabelsOf, default: Option<Duration>, rules: &[RetentionRule]) -> Self {
        let ms = |it: Option<Duration>| {
            it.map_or(KEEP, |it| i64::try_from(it.as_millis()).unwrap_or(KEEP))
        };
        let mut periods = Self { default: ms(default), rules: Vec::new() };
        for rule in rules.iter().filter(|it| it.of == of) {
            if rule.matchers.is_empty() {
                // What comes after it is never asked.
                periods.default = ms(rule.period);
                break;
            }
            periods.rules.push((rule.matchers.clone(), ms(rule.period)));
        }
        periods
    }

    pub(crate) fn of(&self, labels: &Labels) -> i64 {
        let matches =
            |matchers: &[Matcher]| matchers.iter().all(|it| it.matches(labels.get(it.name())));
        self.rules.iter().find(|(it, _)| matches(it)).map_or(self.default, |it| it.1)
    }

    pub(crate) fn default_ms(&self) -> i64 {
        self.default
    }

    fn longest(&self) -> i64 {
        self.rules.iter().map(|it| it.1).fold(self.default, i64::max)
    }

    fn shortest(&self) -> i64 {
        self.rules.iter().map(|it| it.1).fold(self.default, i64::min)
    }

    /// The oldest time stamp that any label set keeps.
    pub(crate) fn oldest_ms(&self, now_ms: i64) -> i64 {
        oldest(now_ms, self.longest())
    }

    /// The oldest time stamp of a label set without a rule of its own.
    pub(crate) fn oldest_by_default_ms(&self, now_ms: i64) -> i64 {
        oldest(now_ms, self.default)
    }

    /// From this day on nothing can have expired.
    fn first_whole_day(&self, now_ms: i64) -> i32 {
        day_of_ms(oldest(now_ms, self.shortest()))
    }
}

fn oldest(now_ms: i64, period_ms: i64) -> i64 {
    if period_ms == KEEP { i64::MIN } else { now_ms.saturating_sub(period_ms) }
}

/// What is expired at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    now_ms: i64,
    default: i64,
    /// Periods other than the default, by id.
    periods: Arc<HashMap<i64, i64>>,
    longest: i64,
}

impl Expiry {
    pub(crate) fn new(now_ms: i64, index: &Index) -> Self {
        let periods = index.periods();
        Self {
            now_ms,
            default: periods.default_ms(),
            longest: periods.longest(),
            periods: index.exceptions(),
        }
    }

    /// The oldest time stamp of an id that is kept, in milliseconds.
    pub(crate) fn oldest_ms(&self, id: i64) -> i64 {
        oldest(self.now_ms, self.periods.get(&id).copied().unwrap_or(self.default))
    }

    /// The oldest that is kept of any id, in a table's unit.
    pub(crate) fn oldest_of_all(&self, unit: TimeUnit) -> i64 {
        in_unit(oldest(self.now_ms, self.longest), unit)
    }

    /// The oldest time stamp that is kept of an id without a rule of its own, in milliseconds.
    pub(crate) fn oldest_by_default_ms(&self) -> i64 {
        oldest(self.now_ms, self.default)
    }

    /// Whether less is kept of an id than of most.
    pub(crate) fn is_shorter(&self, id: i64) -> bool {
        self.periods.get(&id).is_some_and(|it| *it < self.default)
    }

    /// Whether ids differ, so that rows have to be looked at one by one.
    pub(crate) fn differs(&self) -> bool {
        !self.periods.is_empty()
    }

    /// The rows of `(id, ts, …)`, sorted by id, that are not expired.
    pub(crate) fn keep(&self, batch: RecordBatch, unit: TimeUnit) -> Result<RecordBatch> {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let ts = match unit {
            TimeUnit::Nanosecond => {
                batch.column(1).as_primitive::<TimestampNanosecondType>().values()
            }
            _ => batch.column(1).as_primitive::<TimestampMillisecondType>().values(),
        };
        let mut last = None;
        let mut oldest = i64::MIN;
        let mut is_kept = |(&id, &ts): (&i64, &i64)| {
            if last.replace(id) != Some(id) {
                oldest = in_unit(self.oldest_ms(id), unit);
            }
            ts >= oldest
        };
        let kept: Vec<bool> = ids.iter().zip(ts).map(&mut is_kept).collect();
        if kept.iter().all(|it| *it) {
            return Ok(batch);
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(kept))?)
    }
}

pub(crate) fn in_unit(ms: i64, unit: TimeUnit) -> i64 {
    if unit == TimeUnit::Nanosecond { ms.saturating_mul(NS_PER_MS) } else { ms }
}

/// Label sets of one day's table that are expired for the whole day.
struct ExpiredSets {
    parts: Vec<PartInfo>,
    kept: Vec<SetRow>,
    /// Of which only what was summed up is left.
    summed_up: Vec<SetRow>,
    expired: Vec<i64>,
}

impl Store {
    pub(crate) fn expiry(&self, table: Table) -> Expiry {
        let index = match table {
            Table::Samples | Table::Histograms => &self.series,
            Table::Logs => &self.streams,
        };
        Expiry::new(self.clock.now().to_ms().0, index)
    }

    /// Writes days anew of whose label sets enough are expired, without the expired ones. Looks
    /// once a day, and once after a start.
    pub(crate) async fn drop_expired_rows(&self) -> Result<(), FlushError> {
        let now_ms = self.clock.now().to_ms().0;
        let today = day_of_ms(now_ms);
        if self.expired_on.load(Ordering::Relaxed) == today {
            return Ok(());
        }
        for table in Table::OF_SETS {
            let (index, order) = self.index_of(table);
            let first_whole = index.periods().first_whole_day(now_ms);
            let days: BTreeSet<i32> = {
                let mut tables = self.tables.lock().await;
                let mut days = BTreeSet::new();
                for table in table.with_same_sets() {
                    days.extend(tables.log(*table).live().map(|it| it.day));
                }
                days.retain(|it| *it < first_whole);
                days
            };
            for day in days {
                let expiry = Expiry::new(now_ms, index);
                self.drop_expired_of_day(table, day, &expiry, order).await?;
            }
        }
        self.expired_on.store(today, Ordering::Relaxed);
        Ok(())
    }

    async fn drop_expired_of_day(
        &self,
        table: Table,
        day: i32,
        expiry: &Expiry,
        order: IdOrder,
    ) -> Result<(), FlushError> {
        let (sets, parts) = {
            let mut tables = self.tables.lock().await;
            let is_summed_up = table == Table::Samples && tables.tiers.days().contains(&day);
            let sets = ExpiredSets::read(tables.sets(table), day, expiry, is_summed_up)?;
            let parts = table.with_same_sets().iter().map(|&table| {
                let parts = tables.log(table).live().filter(|it| it.day == day).cloned();
                (table, parts.collect::<Vec<_>>())
            });
            (sets, parts.collect::<Vec<_>>())
        };
        let n_expired = sets.summed_up.len() + sets.expired.len();
        let n_sets = sets.kept.len() + n_expired;
        let is_cleaned =
            !sets.summed_up.is_empty() && self.cleaned_held().get(&day) == Some(&n_expired);
        if n_expired * 100 < n_sets.max(1) * EXPIRED_PERCENT_MIN || is_cleaned {
            return Ok(());
        }
        if sets.kept.is_empty() {
            let mut tables = self.tables.lock().await;
            for (table, parts) in parts.into_iter().filter(|it| !it.1.is_empty()) {
                self.replace(tables.log(table), table, parts, Vec::new())?;
            }
        } else {
            let of_tables = parts.into_iter();
            let parts = of_tables.flat_map(|(table, it)| it.into_iter().map(move |it| (table, it)));
            for (table, part) in parts.collect::<Vec<_>>() {
                let Some(room) = self.room_for_rewrite(&part) else { return Ok(()) };
                self.merge_rows(table, Merger { day, parts: vec![part] }).await?;
                drop(room);
                self.note_merged();
            }
        }
        tracing::info!(
            day = crate::day::format_day(day),
            n_expired,
            n_kept = sets.kept.len(),
            table = ?table,
            "Dropped expired rows."
        );
        if !sets.summed_up.is_empty() {
            self.cleaned_held().insert(day, n_expired);
        }
        // Rows first: sets without rows are looked at again, rows without sets could not be found.
        let mut tables = self.tables.lock().await;
        let gone: HashSet<i64> = sets.expired.iter().copied().collect();
        if !gone.is_empty() {
            self.rewrite_sets(tables.sets(table), sets, order, day)?;
        }
        let is_expired = |id| gone.contains(&id);
        self.index_of(table).0.unmark_written(day, &is_expired);
        self.has_unused_sets.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn rewrite_sets(
        &self,
        log: &mut TableLog,
        mut sets: ExpiredSets,
        order: IdOrder,
        day: i32,
    ) -> Result<(), FlushError> {
        sets.kept.append(&mut sets.summed_up);
        sets.kept.sort_unstable_by_key(|it| it.id);
        let mut add = Vec::new();
        if !sets.kept.is_empty() {
            let name = Merger { day, parts: sets.parts.clone() }.name();
            let path = name.prepare(log, self.fs.as_ref())?;
            let written = write_sets(&path, order, &sets.kept, self.fs.as_ref())?;
            add.push(name.finish(log, written)?);
        }
        self.swap_sets(log, sets.parts, add, "DELETE")
    }

    fn cleaned_held(&self) -> MutexGuard<'_, HashMap<i32, usize>> {
        self.cleaned.lock().expect("nothing panics while it holds what was cleaned")
    }

    pub(crate) fn index_of(&self, table: Table) -> (&Index, IdOrder) {
        match table {
            Table::Samples | Table::Histograms => (&self.series, IdOrder::BySource),
            Table::Logs => (&self.streams, IdOrder::Sequential),
        }
    }

    /// Takes label sets out of the index that no day's table and no head has any more.
    pub(crate) async fn forget_unused_sets(&self) {
        if !self.has_unused_sets.swap(false, Ordering::Relaxed) {
            return;
        }
        // Nobody is between looking a label set up and having its rows in a head.
        let gate = self.gate.write().await;
        let (series, streams): (HashSet<i64>, HashSet<i64>) = {
            let view = self.view();
            (view.head_ids(Table::Samples), view.head_ids(Table::Logs))
        };
        let n_series = self.series.forget_unused(|id| series.contains(&id));
        let n_streams = self.streams.forget_unused(|id| streams.contains(&id));
        if n_series > 0 {
            self.spellings.clear();
        }
        drop(gate);
        if n_series + n_streams > 0 {
            tracing::info!(n_series, n_streams, "Forgot label sets that have no rows any more.");
        }
    }
}

impl ExpiredSets {
    fn read(
        log: &TableLog,
        day: i32,
        expiry: &Expiry,
        is_summed_up: bool,
    ) -> Result<Self, FlushError> {
        let parts: Vec<PartInfo> = log.live().filter(|it| it.day == day).cloned().collect();
        let mut rows: BTreeMap<i64, SetRow> = BTreeMap::new();
        for part in &parts {
            let _pin = log.pin(part)?;
            for row in read_sets(&log.path_of(part))? {
                rows.entry(row.id)
                    .and_modify(|it| {
                        it.first_seen = it.first_seen.min(row.first_seen);
                        it.last_seen = it.last_seen.max(row.last_seen);
                    })
                    .or_insert(row);
            }
        }
        let (expired, kept): (Vec<_>, Vec<_>) =
            rows.into_values().partition(|it| day < day_of_ms(expiry.oldest_ms(it.id)));
        let (summed_up, expired): (Vec<_>, Vec<_>) =
            expired.into_iter().partition(|it| is_summed_up && !expiry.is_shorter(it.id));
        let expired = expired.into_iter().map(|it| it.id).collect();
        Ok(Self { parts, kept, summed_up, expired })
    }
}
