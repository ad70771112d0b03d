//! Commits to object storage whose answer was lost, and which are there after all.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::Ordering,
};

use crate::{
    commit::{Commit, TableLog},
    encode::read_sets,
    flush::{FlushError, Tables},
    index::Index,
    merge::Table,
    part::PartInfo,
    store::Store,
};

impl Store {
    /// Finds out about commits in doubt and has queries see what is there. Rows of a flush are then
    /// in parts and in heads for a while, which a merge makes one of again.
    pub(crate) fn follow_settled(&self, tables: &mut Tables) -> Result<(), FlushError> {
        tables.sync()?;
        self.follow_sets(&mut tables.series, &self.series)?;
        self.follow_sets(&mut tables.streams, &self.streams)?;
        for table in Table::ALL {
            let log = tables.log(table);
            for commit in log.take_settled() {
                self.follow(log, table, commit);
            }
        }
        self.follow_settled_rollups(tables)
    }

    /// The index has to know exactly which label sets a day's table holds: one that it takes for
    /// written would be missing after a restart, and one that it takes for gone may come again
    /// under another id.
    fn follow_sets(&self, log: &mut TableLog, index: &Index) -> Result<(), FlushError> {
        let settled = log.take_settled();
        let changed = settled.iter().flat_map(|it| it.add.iter().chain(&it.remove));
        let days: BTreeSet<i32> = changed.map(|it| it.day).collect();
        if let Err(error) = days.into_iter().try_for_each(|day| restate(log, index, day)) {
            log.put_back_settled(settled);
            return Err(error);
        }
        if settled.iter().any(|it| !it.remove.is_empty()) {
            self.has_unused_sets.store(true, Ordering::Relaxed);
        }
        settled.iter().flat_map(|it| &it.remove).for_each(|it| log.remove_file(it));
        Ok(())
    }

    fn follow(&self, log: &TableLog, table: Table, commit: Commit) {
        let new = self.open_parts(table, log, commit.add);
        let is_gone = |it: &PartInfo| commit.remove.iter().any(|gone| gone.name == it.name);
        let mut view = self.view();
        let parts = view.parts_mut(table);
        let gone: Vec<_> = parts.extract_if(.., |it| is_gone(&it.info)).collect();
        parts.extend(new);
        parts.sort_by_key(|it| it.info.rank);
        drop(view);
        gone.iter().for_each(|it| it.mark_removed());
    }
}

/// Tells the index which label sets have a row in this day's table.
fn restate(log: &TableLog, index: &Index, day: i32) -> Result<(), FlushError> {
    let mut ids = HashSet::new();
    for part in log.live().filter(|it| it.day == day) {
        let _pin = log.pin(part)?;
        ids.extend(read_sets(&log.path_of(part))?.iter().map(|it| it.id));
    }
    index.restate_written(day, &ids);
    Ok(())
}
