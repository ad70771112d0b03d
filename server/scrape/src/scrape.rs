//! One target's life: wait, ask, store, and at its end say that its series have ended.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_proto::{TimestampMs, stale_marker};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    append::{Append, AppendError, Counts},
    batch::Batch,
    cache::Cache,
    config::{Job, Span},
    fetch::{Client, FetchError, Request, Response},
    protocol::{self, Encoding},
    registry::Registry,
    report::{Outcome, Report},
    schedule::Schedule,
    sink::Sink,
    status::{Health, TargetStatus},
    target::{Target, offset},
    timer::Timer,
};

/// A body without a limit of its own: what a server of a small fleet can hold.
const BODY_BYTES_MAX: u64 = 256 << 20;
/// Waits this much of an interval longer for a target that may have come back.
const GRACE_DIVISOR: u32 = 10;

/// What every target is scraped with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) registry: Registry,
    /// Ends everything at once, without stale markers: the server will be back.
    pub(crate) shutdown: CancellationToken,
}

/// A target with what is known of it. Locked for as long as a body is read.
#[derive(Debug)]
pub(crate) struct Scrape {
    job: Arc<Job>,
    target: Target,
    report: Report,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    health: Health,
    last_error: String,
    last_scrape: Option<TimestampMs>,
    last_took: Duration,
}

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("Get {url:?}: context deadline exceeded")]
    Timeout { url: String },
    #[error("{0}")]
    ContentType(String),
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The whole job is at fault.
    #[error("{0}")]
    Forced(String),
}

impl Scrape {
    pub(crate) fn new(job: Arc<Job>, target: Target) -> Self {
        let report = Report::new(&target.labels, job.extra_metrics);
        Self { job, target, report, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Hashes of the series that it had the last time.
    pub(crate) fn tracked(&self) -> Vec<u64> {
        self.state().cache.tracked().collect()
    }

    pub(crate) fn status(&self) -> TargetStatus {
        let state = self.state();
        let metadata = state.cache.metadata();
        TargetStatus {
            discovered: self.target.discovered.clone(),
            labels: self.target.labels.clone(),
            url: self.target.url.clone(),
            health: state.health,
            last_error: state.last_error.clone(),
            last_scrape: state.last_scrape,
            last_took: state.last_took,
            interval: Span(self.target.interval).to_string(),
            timeout: Span(self.target.timeout).to_string(),
            metadata: metadata.map(|(name, it)| (name.to_owned(), it.clone())).collect(),
        }
    }

    /// Scrapes until `stop`, then says that its series have ended, unless another target has them.
    /// `fault`: what is wrong with the whole job, if anything.
    pub(crate) async fn run(
        &self,
        context: &Context,
        client: &dyn Client,
        fault: &Mutex<Option<String>>,
        stop: &CancellationToken,
    ) {
        let life = self.scrape_until(context, client, fault, stop);
        tokio::select! {
            () = context.shutdown.cancelled() => {}
            () = life => {}
        }
    }

    async fn scrape_until(
        &self,
        context: &Context,
        client: &dyn Client,
        fault: &Mutex<Option<String>>,
        stop: &CancellationToken,
    ) {
        let timer = &*context.timer;
        let wait = offset(timer.now().0, self.target.interval, self.target.hash);
        let first = timer.elapsed() + wait;
        tokio::select! {
            // Never scraped: nothing of it has ended.
            () = stop.cancelled() => return,
            () = timer.sleep_until(first) => {}
        }
        let mut schedule = Schedule::new(self.target.interval, first, timer.now());
        while !stop.is_cancelled() {
            let ts_ms = schedule.stamp(timer.now());
            let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.scrape(context, client, fault, ts_ms).await;
            schedule.advance(timer.elapsed());
            tokio::select! {
                () = stop.cancelled() => {}
                () = timer.sleep_until(schedule.due()) => {}
            }
        }
        self.end(context, &mut schedule).await;
    }

    async fn scrape(
        &self,
        context: &Context,
        client: &dyn Client,
        fault: Option<String>,
        ts_ms: i64,
    ) {
        let started = context.timer.elapsed();
        let fetched = match fault {
            Some(fault) => Err(ScrapeError::Forced(fault)),
            None => tokio::select! {
                fetched = self.fetch(client) => fetched,
                () = context.timer.sleep_until(started + self.target.timeout) => {
                    Err(ScrapeError::Timeout { url: self.target.url.clone() })
                }
            },
        };
        let batch = self.record(fetched, ts_ms, &*context.timer, started);
        store(context, &self.target, &batch).await;
    }

    async fn fetch(&self, client: &dyn Client) -> Result<Response, ScrapeError> {
        let seconds = self.target.timeout.as_secs_f64().to_string();
        let body_bytes_max = match self.job.limits.body_bytes {
            0 => BODY_BYTES_MAX,
            limit => limit,
        };
        let headers = vec![
            ("Accept", protocol::accept(&self.job.protocols, self.job.is_legacy)),
            ("X-Prometheus-Scrape-Timeout-Seconds", seconds),
        ];
        let request = Request { url: &self.target.url, headers, body_bytes_max };
        Ok(client.get(&request).await?)
    }

    /// What is to be stored of a scrape, failed or not.
    fn record(
        &self,
        fetched: Result<Response, ScrapeError>,
        ts_ms: i64,
        timer: &dyn Timer,
        started: Duration,
    ) -> Batch {
        let mut state = self.state();
        let mut batch = Batch::default();
        let mut append = Append {
            job: &self.job,
            labels: &self.target.labels,
            ts_ms,
            cache: &mut state.cache,
            batch: &mut batch,
            counts: Counts::default(),
        };
        let body_bytes = match &fetched {
            Ok(response) => i64::try_from(response.body.len()).unwrap_or(i64::MAX),
            Err(ScrapeError::Fetch(FetchError::BodySize)) => -1,
            Err(_) => 0,
        };
        let done = fetched.and_then(|response| self.append(&mut append, &response));
        let counts = append.counts;
        let gone = match &done {
            Ok(()) => state.cache.end_scrape(),
            Err(_) => {
                batch.clear_samples();
                state.cache.fail_scrape()
            }
        };
        for labels in gone {
            batch.push(&labels, ts_ms, stale_marker());
        }
        // With the time that reading took, as there.
        let took = timer.elapsed().saturating_sub(started);
        let outcome = Outcome {
            is_up: done.is_ok(),
            took,
            counts,
            timeout: self.target.timeout,
            sample_limit: self.job.limits.samples,
            body_bytes,
        };
        self.report.push(&mut batch, ts_ms, &outcome);
        state.health = if done.is_ok() { Health::Up } else { Health::Down };
        state.last_error = done.err().map(|it| it.to_string()).unwrap_or_default();
        state.last_scrape = Some(TimestampMs(ts_ms));
        state.last_took = took;
        if !state.last_error.is_empty() {
            debug!(url = self.target.url, error = state.last_error, "A scrape failed.");
        }
        batch
    }

    fn append(&self, append: &mut Append<'_>, response: &Response) -> Result<(), ScrapeError> {
        let encoding = protocol::encoding(&response.content_type, self.job.fallback)
            .map_err(ScrapeError::ContentType)?;
        match encoding {
            Encoding::Text(syntax) => Ok(append.text(&response.body, syntax)?),
        }
    }

    /// The target has gone. It may be back under another name: its series end only if nobody has
    /// them two intervals later.
    async fn end(&self, context: &Context, schedule: &mut Schedule) {
        let timer = &*context.timer;
        timer.sleep_until(schedule.due()).await;
        let ts_ms = schedule.stamp(timer.now());
        let grace = self.target.interval + self.target.interval / GRACE_DIVISOR;
        timer.sleep_until(schedule.due() + grace).await;

        let mut batch = Batch::default();
        let elsewhere = context.registry.series();
        for labels in self.state().cache.fail_scrape() {
            if !elsewhere.contains(&labels.stable_hash()) {
                batch.push(&labels, ts_ms, stale_marker());
            }
        }
        if !context.registry.has_target(&self.target.labels) {
            self.report.push_stale(&mut batch, ts_ms);
        }
        store(context, &self.target, &batch).await;
    }
}

async fn store(context: &Context, target: &Target, batch: &Batch) {
    if batch.is_empty() {
        return;
    }
    if let Err(error) = context.sink.append(&batch.rows()).await {
        warn!(%error, url = target.url, "A scrape could not be stored; its samples are lost.");
    }
}
