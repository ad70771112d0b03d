//! The targets of one job: what its discoveries find, relabelled, each with a task of its own.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_proto::Labels;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    config::{Group, Job},
    discovery::{self, Slot},
    fetch::{Client, Fetch},
    scrape::{Context, Scrape},
    status::PoolStatus,
    target::{self, Found},
};

/// Of a job; each has a task and a cache.
const TARGETS_MAX: usize = 100_000;
/// Dropped targets that are remembered for people to see.
const DROPPED_MAX: usize = 10_000;

/// A job that is being scraped.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) job: Arc<Job>,
    client: Arc<dyn Client>,
    /// What is wrong with all of it.
    fault: Arc<Mutex<Option<String>>>,
    /// Held while targets are exchanged.
    targets: Mutex<Targets>,
    /// Ends it; its targets' series with it.
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Targets {
    active: HashMap<u64, Running>,
    dropped: Vec<Labels>,
    n_dropped: usize,
}

#[derive(Debug)]
struct Running {
    scrape: Arc<Scrape>,
    registered: u64,
    stop: CancellationToken,
}

impl Pool {
    pub(crate) fn new(job: Arc<Job>, fetch: &dyn Fetch) -> Self {
        let client = fetch.client(&job.http, job.enable_compression);
        Self {
            job,
            client,
            fault: Arc::default(),
            targets: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its targets are no longer asked; two intervals later their series end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Finds and scrapes targets until it is stopped.
    pub(crate) async fn run(
        &self,
        context: &Arc<Context>,
        fetch: &Arc<dyn Fetch>,
        tasks: &TaskTracker,
    ) {
        let (sender, mut found) = watch::channel(vec![Vec::new(); self.job.discoveries.len()]);
        // Dropped with this future.
        let mut discoveries = JoinSet::new();
        for idx in 0..self.job.discoveries.len() {
            let (job, fetch) = (Arc::clone(&self.job), Arc::clone(fetch));
            let (slot, timer) = (Slot { idx, found: sender.clone() }, Arc::clone(&context.timer));
            discoveries.spawn(async move {
                if let Some(discovery) = job.discoveries.get(idx) {
                    discovery::run(discovery, slot, fetch, timer).await;
                }
            });
        }
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = context.shutdown.cancelled() => return,
                changed = found.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let groups: Vec<Group> =
                        found.borrow_and_update().iter().flatten().cloned().collect();
                    self.sync(&groups, context, tasks);
                }
            }
        }
        self.sync(&[], context, tasks);
    }

    /// Starts the targets that are new and stops those that have gone.
    fn sync(&self, groups: &[Group], context: &Arc<Context>, tasks: &TaskTracker) {
        let mut targets = self.targets();
        targets.dropped.clear();
        targets.n_dropped = 0;
        let mut wanted = HashSet::new();
        let addresses = groups.iter().flat_map(|it| it.targets.iter().map(move |to| (it, to)));
        for (group, address) in addresses {
            match target::find(address, group, &self.job) {
                Ok(Found::Active(_)) if wanted.len() >= TARGETS_MAX => {
                    warn!(
                        job = self.job.name,
                        "The job has more than {TARGETS_MAX} targets; the others are not scraped."
                    );
                    break;
                }
                Ok(Found::Active(target)) => {
                    wanted.insert(target.hash);
                    if !targets.active.contains_key(&target.hash) {
                        let hash = target.hash;
                        let running = self.start(*target, context, tasks);
                        targets.active.insert(hash, running);
                    }
                }
                Ok(Found::Dropped(labels)) => {
                    targets.n_dropped += 1;
                    if targets.dropped.len() < self.n_dropped_max() {
                        targets.dropped.push(labels);
                    }
                }
                Err(error) => {
                    warn!(%error, job = self.job.name, address, "An address is no target.");
                }
            }
        }
        let gone = targets.active.extract_if(|hash, _| !wanted.contains(hash));
        for (_, running) in gone {
            context.registry.leave(running.registered);
            running.stop.cancel();
        }
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = self.fault(wanted.len());
    }

    fn n_dropped_max(&self) -> usize {
        match usize::try_from(self.job.limits.dropped_targets).unwrap_or(usize::MAX) {
            0 => DROPPED_MAX,
            n => n.min(DROPPED_MAX),
        }
    }

    fn fault(&self, n_targets: usize) -> Option<String> {
        let max = self.job.limits.targets;
        let is_over = max > 0 && u64::try_from(n_targets).is_ok_and(|it| it > max);
        is_over.then(|| {
            format!("target_limit exceeded (number of targets: {n_targets}, limit: {max})")
        })
    }

    fn start(
        &self,
        target: target::Target,
        context: &Arc<Context>,
        tasks: &TaskTracker,
    ) -> Running {
        let scrape = Arc::new(Scrape::new(Arc::clone(&self.job), target));
        let registered = context.registry.enter(&scrape);
        let stop = CancellationToken::new();
        let running = Running { scrape: Arc::clone(&scrape), registered, stop: stop.clone() };
        let (context, client) = (Arc::clone(context), Arc::clone(&self.client));
        let fault = Arc::clone(&self.fault);
        tasks.spawn(async move { scrape.run(&context, &*client, &fault, &stop).await });
        running
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let targets = self.targets();
        let mut active: Vec<_> = targets.active.values().map(|it| it.scrape.status()).collect();
        active.sort_by(|left, right| (&left.url, &left.labels).cmp(&(&right.url, &right.labels)));
        PoolStatus {
            name: self.job.name.clone(),
            active,
            dropped: targets.dropped.clone(),
            n_dropped: targets.n_dropped,
        }
    }
}
