//! Which targets are scraped now: one that has gone must not end the series of one that is there.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_proto::Labels;

use crate::scrape::Scrape;

/// Targets by the number they were entered with.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    /// Held for an insert, a removal or a copy.
    active: BTreeMap<u64, Arc<Scrape>>,
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, scrape: &Arc<Scrape>) -> u64 {
        let mut entries = self.entries();
        entries.next += 1;
        let id = entries.next;
        entries.active.insert(id, Arc::clone(scrape));
        id
    }

    pub(crate) fn leave(&self, id: u64) {
        self.entries().active.remove(&id);
    }

    fn active(&self) -> Vec<Arc<Scrape>> {
        self.entries().active.values().cloned().collect()
    }

    /// Hashes of the series that targets had in their last scrapes.
    pub(crate) fn series(&self) -> HashSet<u64> {
        self.active().iter().flat_map(|it| it.tracked()).collect()
    }

    /// Whether a target has these labels.
    pub(crate) fn has_target(&self, labels: &Labels) -> bool {
        self.active().iter().any(|it| it.target().labels == *labels)
    }
}
