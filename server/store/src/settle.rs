//! Commits to object storage whose answer was lost, and which are there after all.

use std::sync::Arc;

use crate::{
    commit::{Commit, TableLog},
    flush::{FlushError, Tables},
    merge::Table,
    part::{Part, PartInfo},
    store::Store,
};

impl Store {
    /// Finds out about commits in doubt and has queries see what is there. Rows of a flush are then
    /// in parts and in heads for a while, which a merge makes one of again.
    pub(crate) fn follow_settled(&self, tables: &mut Tables) -> Result<(), FlushError> {
        tables.sync()?;
        for log in [&mut tables.series, &mut tables.streams] {
            for commit in log.take_settled() {
                commit.remove.iter().for_each(|it| log.remove_file(it));
            }
        }
        for table in [Table::Samples, Table::Logs] {
            let log = tables.log(table);
            for commit in log.take_settled() {
                self.follow(log, table, commit);
            }
        }
        Ok(())
    }

    fn follow(&self, log: &TableLog, table: Table, commit: Commit) {
        let new = self.open_parts(table, log, commit.add);
        let is_gone = |it: &PartInfo| commit.remove.iter().any(|gone| gone.name == it.name);
        let mut view = self.view();
        let parts: &mut Vec<Arc<Part>> = match table {
            Table::Samples => &mut view.samples.parts,
            Table::Logs => &mut view.logs.parts,
        };
        let gone: Vec<_> = parts.extract_if(.., |it| is_gone(&it.info)).collect();
        parts.extend(new);
        parts.sort_by_key(|it| it.info.rank);
        drop(view);
        gone.iter().for_each(|it| it.mark_removed());
    }
}
