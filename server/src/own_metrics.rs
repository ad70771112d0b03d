//! The server's own `/metrics` in its own store, as if it scraped itself.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use skep_api::Api;
use skep_proto::SystemClock;
use skep_scrape::{
    Client, Config, Fetch, FetchError, Request, Response, Scraper, SystemTimer, config::HttpConfig,
};
use skep_store::Store;
use tokio_util::sync::CancellationToken;

use crate::scrape::StoreSink;

/// The value of the label `job`.
const JOB: &str = "skep-server";

/// Stores what `/metrics` tells every `interval` until `shutdown`.
pub(crate) fn start(
    host: &str,
    interval: Duration,
    api: &Arc<Api>,
    store: &Arc<Store>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Scraper> {
    let scraper = Scraper::new(
        Arc::new(StoreSink(Arc::clone(store))),
        Arc::new(Own(Arc::clone(api))),
        Arc::new(SystemTimer::new(Arc::new(SystemClock))),
        shutdown.clone(),
    );
    let config = Config::parse(&job(host, interval)).context("the server's own job")?;
    scraper.apply(&config);
    Ok(scraper)
}

/// A scrape configuration for this server alone.
fn job(host: &str, interval: Duration) -> String {
    let ms = interval.as_millis();
    format!(
        "global: {{scrape_interval: {ms}ms, scrape_timeout: {ms}ms}}\n\
         scrape_configs:\n\
         - job_name: {JOB}\n  \
           static_configs: [{{targets: [localhost], labels: {{instance: {host:?}}}}}]\n"
    )
}

/// Answers whatever is asked with the server's figures; nothing goes over the network.
#[derive(Debug)]
struct Own(Arc<Api>);

#[derive(Debug)]
struct OwnClient(Arc<Api>);

impl Fetch for Own {
    fn client(&self, _config: &HttpConfig, _takes_gzip: bool) -> Arc<dyn Client> {
        Arc::new(OwnClient(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Client for OwnClient {
    async fn get(&self, _request: &Request<'_>) -> Result<Response, FetchError> {
        let content_type = skep_api::METRICS_CONTENT_TYPE.to_owned();
        Ok(Response { content_type, body: self.0.metrics_text().into_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_job_is_one() {
        for host in ["lab1", "", "a \"b\": {c}\n"] {
            let config = Config::parse(&job(host, Duration::from_millis(1500))).unwrap();
            assert_eq!(config.jobs.len(), 1, "{host:?}");
            assert_eq!(config.jobs[0].name, JOB);
        }
    }
}
