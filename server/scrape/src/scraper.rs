//! All jobs: started, exchanged when the configuration is read again, stopped together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config, fetch::Fetch, pool::Pool, registry::Registry, scrape::Context, sink::Sink,
    status::PoolStatus, timer::Timer,
};

/// Scrapes what a [`Config`] says.
#[derive(Debug)]
pub struct Scraper {
    context: Arc<Context>,
    fetch: Arc<dyn Fetch>,
    tasks: TaskTracker,
    /// By job name; held while jobs are exchanged.
    pools: Mutex<BTreeMap<String, Arc<Pool>>>,
}

impl Scraper {
    /// Scrapes nothing yet. It ends with `shutdown`, without stale markers: what is scraped goes
    /// on after a restart.
    pub fn new(
        sink: Arc<dyn Sink>,
        fetch: Arc<dyn Fetch>,
        timer: Arc<dyn Timer>,
        shutdown: CancellationToken,
    ) -> Self {
        let context = Context { sink, timer, registry: Registry::default(), shutdown };
        Self {
            context: Arc::new(context),
            fetch,
            tasks: TaskTracker::new(),
            pools: Mutex::default(),
        }
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scrapes what this says from now on. Jobs that stay as they are go on undisturbed.
    pub fn apply(&self, config: &Config) {
        let mut pools = self.pools();
        let mut before = std::mem::take(&mut *pools);
        for job in &config.jobs {
            let pool = match before.remove(&job.name) {
                Some(pool) if pool.job == *job => pool,
                changed => {
                    before.extend(changed.map(|it| (job.name.clone(), it)));
                    let pool = Arc::new(Pool::new(Arc::clone(job), &*self.fetch));
                    self.start(&pool);
                    pool
                }
            };
            pools.insert(job.name.clone(), pool);
        }
        for pool in before.values() {
            pool.stop();
        }
    }

    fn start(&self, pool: &Arc<Pool>) {
        let (pool, context) = (Arc::clone(pool), Arc::clone(&self.context));
        let (fetch, tasks) = (Arc::clone(&self.fetch), self.tasks.clone());
        self.tasks.spawn(async move { pool.run(&context, &fetch, &tasks).await });
    }

    /// Of each job, by name.
    pub fn status(&self) -> Vec<PoolStatus> {
        let pools: Vec<_> = self.pools().values().cloned().collect();
        pools.iter().map(|it| it.status()).collect()
    }

    /// Returns once nothing is scraped or stored any more; call it after the shutdown.
    pub async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests;
