//! Scraping into the store: what the scraper brings takes the way of a remote write.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use async_trait::async_trait;
use skep_proto::{SampleRows, SystemClock};
use skep_scrape::{HttpFetch, PoolStatus, Scraper, Sink, SinkError, SystemTimer};
use skep_store::{AppendError, Store};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Scrape;

/// A store that is busy for longer loses the scrape: the next one is due.
const TRIES: u32 = 10;

/// The scraper and the file that tells it what to do.
#[derive(Debug)]
pub(crate) struct Scrapes {
    file: PathBuf,
    scraper: Scraper,
}

impl Scrapes {
    /// Scrapes until the shutdown.
    pub(crate) fn start(
        config: Scrape,
        store: &Arc<Store>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let scraper = Scraper::new(
            Arc::new(StoreSink(Arc::clone(store))),
            Arc::new(HttpFetch),
            Arc::new(SystemTimer::new(Arc::new(SystemClock))),
            shutdown.clone(),
        );
        tell(&config.jobs);
        scraper.apply(&config.jobs);
        let scrapes = Arc::new(Self { file: config.file, scraper });
        reload_on_hangup(&scrapes, shutdown)?;
        Ok(scrapes)
    }

    /// Returns once nothing of it is on its way into the store.
    pub(crate) async fn wait(&self) {
        self.scraper.wait().await;
    }
}

fn tell(config: &skep_scrape::Config) {
    for warning in &config.warnings {
        warn!("The scrape configuration: {warning}.");
    }
    info!(n_jobs = config.jobs.len(), "Scraping as configured.");
}

fn reload_on_hangup(scrapes: &Arc<Scrapes>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    let (scrapes, shutdown) = (Arc::clone(scrapes), shutdown.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => {}
            }
            if let Err(fault) = skep_api::Targets::reload(&*scrapes) {
                error!(fault, "Could not read the scrape configuration; the old one counts.");
            }
        }
    });
    Ok(())
}

impl skep_api::Targets for Scrapes {
    fn status(&self) -> Vec<PoolStatus> {
        self.scraper.status()
    }

    fn reload(&self) -> Result<(), String> {
        let config = skep_scrape::Config::load(&self.file).context("scrape.config_file");
        let config = config.map_err(|error| format!("{error:#}"))?;
        tell(&config);
        self.scraper.apply(&config);
        Ok(())
    }
}

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
