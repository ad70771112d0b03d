//! What outlives a connection's HTTP: its place among the connections, and the word to stop.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listen::slots::Slot;

/// Of one connection.
#[derive(Clone)]
pub(crate) struct Lifeline {
    slot: Arc<Slot>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Lifeline {
    pub(crate) fn new(slot: Slot, connections: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { slot: Arc::new(slot), connections, shutdown }
    }

    /// Runs what a connection becomes when it speaks HTTP no more: it counts as a connection until
    /// it ends, and the front's end waits for it.
    pub(crate) fn outlive<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let slot = Arc::clone(&self.slot);
        let task = task(self.shutdown.clone());
        self.connections.spawn(async move {
            task.await;
            drop(slot);
        });
    }
}

impl fmt::Debug for Lifeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifeline").finish_non_exhaustive()
    }
}
