//! What all commits of a table come to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Covered,
    action::{Action, IDS_RETIRED, Removed, Txn, WAL_ALL, WAL_TABLE},
};
use crate::part::PartInfo;

/// How long a file is remembered that was taken out of its table. Nobody but the server removes
/// files, and it does so at once; an hour is for readers that are in the middle of it.
const REMOVED_REMEMBERED_MS: i64 = 3_600_000;

/// A table as of its last commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) protocol: Option<Value>,
    pub(super) meta_data: Option<Value>,
    /// By application.
    txns: BTreeMap<String, Txn>,
    /// By name, with when they were committed.
    live: BTreeMap<String, (PartInfo, i64)>,
    removed: BTreeMap<String, Removed>,
}

impl State {
    pub(super) fn apply(&mut self, action: Action) {
        match action {
            Action::Protocol(protocol) => self.protocol = Some(protocol),
            Action::MetaData(meta_data) => self.meta_data = Some(meta_data),
            Action::Add { part, modified_ms } => {
                self.removed.remove(&part.name);
                self.live.insert(part.name.clone(), (part, modified_ms));
            }
            Action::Remove { name, removed } => {
                self.live.remove(&name);
                self.removed.insert(name, removed);
            }
            Action::Txn { app_id, txn } => drop(self.txns.insert(app_id, txn)),
            Action::Other(_) => {}
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &PartInfo> {
        self.live.values().map(|it| &it.0)
    }

    pub(super) fn is_live(&self, name: &str) -> bool {
        self.live.contains_key(name)
    }

    pub(super) fn covered(&self) -> Covered {
        let (table, all) = (self.txn(WAL_TABLE), self.txn(WAL_ALL));
        Covered { table: table.max(all), all }
    }

    pub(super) fn retired_id(&self) -> i64 {
        i64::try_from(self.txn(IDS_RETIRED)).unwrap_or(i64::MAX)
    }

    fn txn(&self, app_id: &str) -> u64 {
        self.txns.get(app_id).map_or(0, |it| it.version)
    }

    /// Whether it is that of a table at all.
    pub(super) fn is_table(&self) -> bool {
        self.protocol.is_some() && self.meta_data.is_some()
    }

    pub(super) fn n_live(&self) -> usize {
        self.live.len()
    }

    pub(super) fn forget_removed(&mut self, now_ms: i64) {
        let oldest_ms = now_ms.saturating_sub(REMOVED_REMEMBERED_MS);
        self.removed.retain(|_, it| it.removed_ms >= oldest_ms);
    }

    /// The fewest actions that come to the same.
    pub(super) fn actions(&self) -> impl Iterator<Item = Action> {
        let protocol = self.protocol.iter().cloned().map(Action::Protocol);
        let meta_data = self.meta_data.iter().cloned().map(Action::MetaData);
        let txns =
            self.txns.iter().map(|(app_id, txn)| Action::Txn { app_id: app_id.clone(), txn: *txn });
        let live = self.live.values().map(|(part, modified_ms)| Action::Add {
            part: part.clone(),
            modified_ms: *modified_ms,
        });
        let removed = self
            .removed
            .iter()
            .map(|(name, removed)| Action::Remove { name: name.clone(), removed: *removed });
        protocol.chain(meta_data).chain(txns).chain(live).chain(removed)
    }
}
