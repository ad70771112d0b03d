//! Targets that come and go: files and HTTP servers that list them.

mod file;
mod http;

use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use crate::{
    config::{Discovery, Group},
    fetch::Fetch,
    timer::Timer,
};

/// The groups of each of a job's discoveries, in their order.
pub(crate) type Found = Vec<Vec<Group>>;

/// Where a discovery writes what it finds.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) idx: usize,
    pub(crate) found: watch::Sender<Found>,
}

impl Slot {
    fn put(&self, groups: Vec<Group>) {
        self.found.send_if_modified(|found| match found.get_mut(self.idx) {
            Some(it) if *it != groups => {
                *it = groups;
                true
            }
            _ => false,
        });
    }
}

/// Looks for targets until it is dropped; what cannot be read now leaves what was found before.
pub(crate) async fn run(
    discovery: &Discovery,
    slot: Slot,
    fetch: Arc<dyn Fetch>,
    timer: Arc<dyn Timer>,
) {
    match discovery {
        Discovery::Static(groups) => slot.put(groups.clone()),
        Discovery::File(config) => file::run(config, &slot, &*timer).await,
        Discovery::Http(config) => http::run(config, &slot, &*fetch, &*timer).await,
    }
}

fn warn_of(what: &str, error: &str) {
    warn!(error, "Could not read targets from {what}; keeping those that are known.");
}
