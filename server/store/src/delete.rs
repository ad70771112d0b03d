//! Taking rows out of sight at once, and out of the parts later.
//!
//! A delete writes the heads to parts, so that everything it is about has a rank and what comes
//! later has a higher one; then it commits a record, which is a mask over the parts up to that
//! rank; then it strikes label sets that have no row left. [`Store::compact`] rewrites what the
//! mask hides, after which the mask is gone. What was in the log is in parts by then, so no replay
//! brings a row back.

mod file;
mod mask;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    path::PathBuf,
    sync::{Arc, MutexGuard, atomic::Ordering},
};

use arrow::{array::AsArray as _, datatypes::Int64Type};
use datafusion::{execution::TaskContext, physical_plan::ExecutionPlan as _};
use futures::StreamExt as _;
use skep_proto::{Matcher, TimeRange, TimestampMs};

pub(crate) use file::{Document, FILE as DELETES_FILE};
use file::{Progress, Record, TableName};
pub(crate) use mask::{Mask, MaskExec};

use crate::{
    compact::Merger,
    day::{MS_PER_DAY, NS_PER_MS, day_of_ms, start_ms},
    encode::{EncodeError, SetRow, read_sets, write_sets},
    filter::RowFilter,
    flush::{FlushError, PartName, Tables},
    index::IndexSnapshot,
    merge::Table,
    part::Part,
    scan::unmasked_source,
    store::Store,
    table::StoredTable,
    view::LabelsOf,
};

/// Deletes that wait to be rewritten out of the parts: each costs every query a look.
const N_PENDING_MAX: usize = 256;

/// Why nothing was deleted, or not for certain; the same delete can be asked for again.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("cannot write what is in memory to parts")]
    Flush(#[from] FlushError),
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{N_PENDING_MAX} deletes wait to be rewritten out of the parts; POST /-/compact does it"
    )]
    TooMany,
}

/// One delete as clients list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteInfo {
    pub id: u64,
    pub of: LabelsOf,
    /// As the client wrote it.
    pub query: String,
    pub range: TimeRange,
    pub created: TimestampMs,
    /// Whether the rows are gone from the disk too; queries see none of them from the start.
    pub is_finished: bool,
}

/// The deletes, and the masks of those that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Deletes {
    document: Document,
    masks: Vec<Arc<Mask>>,
}

impl Deletes {
    pub(crate) fn new(document: Document) -> Self {
        let masks = document.pending().map(|it| Arc::new(it.mask())).collect();
        Self { document, masks }
    }

    /// Hides in a part what pending deletes are about.
    pub(crate) fn attach(&self, table: Table, part: &Part) {
        self.attach_within(table, part, part.info.ts);
    }

    /// As [`Self::attach`], where rows stand for other times than their own.
    pub(crate) fn attach_within(&self, table: Table, part: &Part, ts: (i64, i64)) {
        let concerns =
            |it: &&Arc<Mask>| it.hides_rows_of(table) && it.concerns_within(&part.info, ts);
        self.masks.iter().filter(concerns).for_each(|it| part.hide(it));
    }
}

impl Store {
    /// Deletes the rows of `range` (ends included) of every label set that one of `selectors`
    /// matches. Once it returns no query sees them, also after a crash; rows that are written
    /// later, even with the same time stamps, are kept. `query` is what [`Self::deletes`] tells.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete(
        self: &Arc<Self>,
        of: LabelsOf,
        selectors: &[Vec<Matcher>],
        query: &str,
        range: TimeRange,
    ) -> Result<u64, DeleteError> {
        if self.deletes_held().masks.len() >= N_PENDING_MAX {
            return Err(DeleteError::TooMany);
        }
        let tables = Arc::clone(&self.tables).lock_owned().await;
        let mut tables = self.flush_holding(tables).await?;
        // It waits for the disk and the network, which is not for a thread that serves requests.
        let (store, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let (selectors, query) = (selectors.to_vec(), query.to_owned());
        let deleted = tokio::task::spawn_blocking(move || {
            runtime.block_on(store.delete_waiting(&mut tables, of, &selectors, query, range))
        });
        deleted.await.or(Err(FlushError::Panicked))?
    }

    /// The second half of [`Self::delete`], when everything is in parts.
    async fn delete_waiting(
        &self,
        tables: &mut Tables,
        of: LabelsOf,
        selectors: &[Vec<Matcher>],
        query: String,
        range: TimeRange,
    ) -> Result<u64, DeleteError> {
        let ids = self.ids_of(of, selectors);
        let (table, ts) = match of {
            LabelsOf::Series => (TableName::Samples, (range.start.0, range.end.0)),
            LabelsOf::Streams => (TableName::Logs, (range.start.to_ns().0, range.end.to_ns().0)),
        };
        let rollups = tables.tiers.0.iter().flat_map(|(_, log)| log.live());
        let rows = tables.samples.live().chain(tables.histograms.live()).chain(tables.logs.live());
        let rows = rows.chain(rollups);
        let through = rows.map(|it| it.rank).max();
        let record = Record {
            id: self.deletes_held().document.next_id(),
            table,
            query,
            ts,
            created_ms: self.clock.now().to_ms().0,
            through: through.unwrap_or(0),
            progress: if ids.is_empty() { Progress::Finished } else { Progress::Hidden },
            ids: mask::ranges_of(ids.into_iter()),
        };
        let (id, progress) = (record.id, record.progress);
        self.change_deletes(|document| document.push(record.clone()))?;
        if progress < Progress::Finished {
            let mask = Arc::new(record.mask());
            self.hide(&mask);
            self.unlist(tables, &mask).await?;
        }
        Ok(id)
    }

    /// Every delete of one table that is still known, oldest first.
    pub fn deletes(&self, of: LabelsOf) -> Vec<DeleteInfo> {
        let deletes = self.deletes_held();
        let table = match of {
            LabelsOf::Series => TableName::Samples,
            LabelsOf::Streams => TableName::Logs,
        };
        let of_table = deletes.document.records().iter().filter(|it| it.table == table);
        let ms = |ts: i64| match of {
            LabelsOf::Series => TimestampMs(ts),
            LabelsOf::Streams => TimestampMs(ts.div_euclid(NS_PER_MS)),
        };
        of_table
            .map(|it| DeleteInfo {
                id: it.id,
                of,
                query: it.query.clone(),
                range: TimeRange { start: ms(it.ts.0), end: ms(it.ts.1) },
                created: TimestampMs(it.created_ms),
                is_finished: it.progress == Progress::Finished,
            })
            .collect()
    }

    /// Rewrites the parts that hold deleted rows.
    ///
    /// # Errors
    /// The disk; what was not done is done by a later call or [`Self::compact`].
    pub async fn clean_deleted(self: &Arc<Self>) -> Result<(), DeleteError> {
        let (store, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let cleaned = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let _one_at_a_time = store.compaction.lock().await;
                store.purge_deleted().await
            })
        });
        cleaned.await.or(Err(FlushError::Panicked))?
    }

    /// As [`Self::clean_deleted`]; the caller holds `compaction`.
    pub(crate) async fn purge_deleted(&self) -> Result<(), DeleteError> {
        let masks = self.deletes_held().masks.clone();
        for mask in masks {
            self.unlist_if_left(&mask).await?;
            if !self.rewrite_hidden(&mask).await? {
                continue;
            }
            let _nobody_else_changes_them = self.tables.lock().await;
            self.change_deletes(|it| it.set_progress(mask.delete, Progress::Finished))?;
            // A query that began earlier may still hold the old parts, and they their masks.
            self.deletes_held().masks.retain(|it| it.delete != mask.delete);
            let parts = self.parts_under(&mask).into_iter().map(|it| it.1);
            parts.chain(self.rollups_under(&mask)).for_each(|it| it.unhide(mask.delete));
        }
        Ok(())
    }

    /// Rewrites the parts that hold rows of the mask; whether there was room on the disk for all.
    async fn rewrite_hidden(&self, mask: &Mask) -> Result<bool, DeleteError> {
        let mut is_done = true;
        for (table, part) in self.parts_under(mask) {
            if !self.holds_hidden(table, &part, mask).await? {
                continue;
            }
            let Some(room) = self.room_for_rewrite(&part.info) else {
                is_done = false;
                continue;
            };
            let merger = Merger { day: part.info.day, parts: vec![part.info.clone()] };
            self.merge_rows(table, merger).await?;
            drop(room);
        }
        self.clean_rollups(mask).await?;
        Ok(is_done)
    }

    pub(crate) fn deletes_held(&self) -> MutexGuard<'_, Deletes> {
        self.deletes.lock().expect("nothing panics while it holds the deletes")
    }

    /// Every id a selector matches, in order.
    fn ids_of(&self, of: LabelsOf, selectors: &[Vec<Matcher>]) -> BTreeSet<i64> {
        let index = IndexSnapshot::new(match of {
            LabelsOf::Series => &self.series,
            LabelsOf::Streams => &self.streams,
        });
        let select = |it: &Vec<Matcher>| index.select_entries(it, TimeRange::ALL);
        selectors.iter().flat_map(select).map(|it| it.id).collect()
    }

    /// Changes the file of deletes and then what is in memory. The caller holds `tables`.
    fn change_deletes(&self, change: impl FnOnce(&mut Document)) -> Result<(), DeleteError> {
        let mut document = self.deletes_held().document.clone();
        change(&mut document);
        document
            .save(&self.config.dir, self.fs.as_ref())
            .map_err(|(path, source)| DeleteError::Io { path, source })?;
        self.deletes_held().document = document;
        Ok(())
    }

    fn hide(&self, mask: &Arc<Mask>) {
        self.deletes_held().masks.push(Arc::clone(mask));
        let parts = self.parts_under(mask).into_iter().map(|it| it.1);
        parts.chain(self.rollups_under(mask)).for_each(|it| it.hide(mask));
        self.changes.note_all();
    }

    /// The live parts that a mask is about.
    fn parts_under(&self, mask: &Mask) -> Vec<(Table, Arc<Part>)> {
        let view = self.view();
        let mut under = Vec::new();
        for &table in mask.table.with_same_sets() {
            let parts = view.parts(table).iter().filter(|it| mask.concerns(&it.info));
            under.extend(parts.map(|it| (table, Arc::clone(it))));
        }
        under
    }

    /// Whether any row of the part is hidden by the mask.
    async fn holds_hidden(
        &self,
        table: Table,
        part: &Part,
        mask: &Mask,
    ) -> Result<bool, FlushError> {
        let _pin = part.pin_if_room().await.map_err(|source| pin_error(part, source))?;
        let filter = RowFilter::of_ids(mask.each_id().collect(), mask.ts);
        let source = unmasked_source(table, part, &filter, None).map_err(EncodeError::Merge)?;
        let mut rows =
            source.execute(0, Arc::new(TaskContext::default())).map_err(EncodeError::Merge)?;
        let masks = [Arc::new(mask.clone())];
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(EncodeError::Merge)?;
            let n_rows = batch.num_rows();
            let visible = mask::visible(batch, &masks).map_err(EncodeError::Merge)?;
            if visible.num_rows() < n_rows {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does what a delete that was cut short left to do.
    async fn unlist_if_left(&self, mask: &Mask) -> Result<(), DeleteError> {
        let is_left = |it: &Record| it.id == mask.delete && it.progress == Progress::Hidden;
        if !self.deletes_held().document.records().iter().any(is_left) {
            return Ok(());
        }
        self.unlist(&mut *self.tables.lock().await, mask).await
    }

    /// Strikes the label sets that have no row left on their day.
    async fn unlist(&self, tables: &mut Tables, mask: &Mask) -> Result<(), DeleteError> {
        // Rows of a commit that was in doubt are left too.
        self.follow_settled(tables)?;
        let to_ms = |ts: i64| match mask.table {
            Table::Samples | Table::Histograms => ts,
            Table::Logs => ts.div_euclid(NS_PER_MS),
        };
        let days = (day_of_ms(to_ms(mask.ts.0)), day_of_ms(to_ms(mask.ts.1)));
        let sets = tables.sets(mask.table);
        let listed: BTreeSet<i32> =
            sets.live().map(|it| it.day).filter(|it| days.0 <= *it && *it <= days.1).collect();
        for day in listed {
            let mut left = HashSet::new();
            for table in mask.table.with_same_sets() {
                left.extend(self.ids_left(*table, mask, day).await?);
            }
            left.extend(self.ids_summed_up(mask, day).await?);
            self.strike(tables, mask, day, &left)?;
        }
        self.recount_days(mask).await;
        self.change_deletes(|it| it.set_progress(mask.delete, Progress::Unlisted))
    }

    /// The ids of the mask that still have rows on that day.
    async fn ids_left(
        &self,
        table: Table,
        mask: &Mask,
        day: i32,
    ) -> Result<HashSet<i64>, FlushError> {
        let (start, end) = (start_ms(day), start_ms(day).saturating_add(MS_PER_DAY - 1));
        let parts = self.view().parts(table).clone();
        let ts = match table {
            Table::Samples | Table::Histograms => (start, end),
            Table::Logs => {
                let end = end.saturating_mul(NS_PER_MS).saturating_add(NS_PER_MS - 1);
                (start.saturating_mul(NS_PER_MS), end)
            }
        };
        let parts: Vec<_> = parts.into_iter().filter(|it| it.info.day == day).collect();
        let is_whole_day = mask.ts.0 <= ts.0 && ts.1 <= mask.ts.1;
        if is_whole_day && parts.iter().all(|it| it.info.rank <= mask.through) {
            return Ok(HashSet::new());
        }
        let filter = RowFilter::of_ids(mask.each_id().collect(), ts);
        let plan = StoredTable::new(table, parts, Vec::new())
            .plan(&filter, None, Some(vec![0]))
            .map_err(EncodeError::Merge)?;
        let mut rows =
            plan.execute(0, Arc::new(TaskContext::default())).map_err(EncodeError::Merge)?;
        let mut left = HashSet::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(EncodeError::Merge)?;
            left.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
        Ok(left)
    }

    /// Rewrites the day's label sets without those of the mask that are not `left`.
    fn strike(
        &self,
        tables: &mut Tables,
        mask: &Mask,
        day: i32,
        left: &HashSet<i64>,
    ) -> Result<(), FlushError> {
        let (index, order) = self.index_of(mask.table);
        let log = tables.sets(mask.table);
        let parts: Vec<_> = log.live().filter(|it| it.day == day).cloned().collect();
        let mut rows: BTreeMap<i64, SetRow> = BTreeMap::new();
        let mut n_struck = 0_usize;
        for part in &parts {
            let _pin = log.pin(part)?;
            for row in read_sets(&log.path_of(part))? {
                if mask.hides_id(row.id) && !left.contains(&row.id) {
                    n_struck += 1;
                    continue;
                }
                rows.entry(row.id).and_modify(|it| it.widen(&row)).or_insert(row);
            }
        }
        if n_struck == 0 {
            return Ok(());
        }
        let mut add = Vec::new();
        if !rows.is_empty() {
            let name = PartName {
                day,
                rank: parts.iter().map(|it| it.rank).max().unwrap_or(0),
                level: parts.iter().map(|it| it.level).max().unwrap_or(0) + 1,
            };
            let path = name.prepare(log, self.fs.as_ref())?;
            let rows: Vec<_> = rows.into_values().collect();
            let written = write_sets(&path, order, &rows, self.fs.as_ref())?;
            add.push(name.finish(log, written)?);
        }
        self.swap_sets(log, parts, add, "DELETE")?;
        index.unmark_written(day, &|id| mask.hides_id(id) && !left.contains(&id));
        self.has_unused_sets.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the index which days are left of the mask's label sets.
    async fn recount_days(&self, mask: &Mask) {
        // No append may note a day in between.
        let _no_appends = self.gate.write().await;
        let (in_heads, head_days) = {
            let view = self.view();
            (view.head_ids(mask.table), view.head_days(mask.table))
        };
        let (index, _) = self.index_of(mask.table);
        index.recount_days(&|id| mask.hides_id(id), &|id| in_heads.contains(&id), &head_days);
    }
}

fn pin_error(part: &Part, source: io::Error) -> FlushError {
    FlushError::Io { path: part.path.clone(), source }
}
