//! Scraping into the store: what the scraper brings takes the way of a remote write.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use skep_proto::{SampleRows, SystemClock};
use skep_scrape::{HttpFetch, PoolStatus, Scraper, Sink, SinkError, SystemTimer};
use skep_store::{AppendError, Store};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Scrape;

/// A store that is busy for longer loses the scrape: the next one is due.
const TRIES: u32 = 10;

/// The scraper and the file that tells it what to do.
#[derive(Debug)]
pub(crate) struct Scrapes {
    file: Mutex<Option<PathBuf>>,
    scraper: Scraper,
}

impl Scrapes {
    /// Scrapes nothing yet, and nothing any more after the shutdown.
    pub(crate) fn new(store: &Arc<Store>, shutdown: &CancellationToken) -> Arc<Self> {
        let scraper = Scraper::new(
            Arc::new(StoreSink(Arc::clone(store))),
            Arc::new(HttpFetch),
            Arc::new(SystemTimer::new(Arc::new(SystemClock))),
            shutdown.clone(),
        );
        Arc::new(Self { file: Mutex::new(None), scraper })
    }

    /// Scrapes what this says from now on.
    pub(crate) fn apply(&self, config: Option<Scrape>) {
        let (file, jobs) = match config {
            Some(Scrape { file, jobs }) => (Some(file), jobs),
            None => (None, skep_scrape::Config::default()),
        };
        for warning in &jobs.warnings {
            warn!("The scrape configuration: {warning}.");
        }
        if file.is_some() {
            info!(n_jobs = jobs.jobs.len(), "Scraping as configured.");
        }
        self.scraper.apply(&jobs);
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// What says what is scraped, if anything is.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of each job, by name.
    pub(crate) fn status(&self) -> Vec<PoolStatus> {
        self.scraper.status()
    }

    /// Returns once nothing of it is on its way into the store.
    pub(crate) async fn wait(&self) {
        self.scraper.wait().await;
    }
}

/// What this server measures itself, on its way into the store.
#[derive(Debug)]
pub(crate) struct StoreSink(pub(crate) Arc<Store>);

#[async_trait]
impl Sink for StoreSink {
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), SinkError> {
        let mut n_tries = 0;
        let appended = loop {
            n_tries += 1;
            match self.0.append_samples(rows).await {
                Err(AppendError::Busy { retry_after }) if n_tries < TRIES => {
                    sleep(retry_after).await;
                }
                Err(error) => return Err(SinkError(error.to_string())),
                Ok(appended) => break appended,
            }
        };
        if let Some(rejection) = &appended.first_rejection {
            let n_rejected = appended.n_rejected;
            warn!(n_rejected, %rejection, "Samples of a target were refused.");
        }
        Ok(())
    }
}
