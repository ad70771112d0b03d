//! Delivers one spool to the server: the oldest batch first, one request at a time, so that the
//! order of every stream is kept. The only file that sends anything.
//!
//! | answer | what becomes of the batch |
//! | :-- | :-- |
//! | 2xx | acknowledged: it leaves the spool |
//! | 415 to remote-write 2.0, or 2xx without 2.0's headers (`version = "auto"`) | sent again as 1.0, and so is all that follows |
//! | 401, 403 | the token file is read again, or an enrolment token that is new is traded; tried for ever |
//! | 404, 405, 407, 408, 415, 421, 425, 429, 5xx, no answer | tried for ever, with backoff or after `Retry-After` |
//! | any other 4xx | set aside with the server's words; the next batch goes on |

pub(crate) mod answer;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod credential;

#[cfg(test)]
mod ship_test;

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use skep_proto::remote_write::downgrade::v2_to_v1;
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use self::{
    answer::{Answer, Verdict, judge},
    client::{Client, ClientError, Request},
};
use crate::{
    config::RemoteWriteVersion,
    own_metrics::OwnMetrics,
    spool::{Kind, Record, Spool, SpoolError},
};

/// Bounds what a server can tell us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// What a batch of ours may unpack to.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// How long to wait between tries; each try doubles it, with jitter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub(crate) min: Duration,
    /// Bounds how long a server that is back has to wait for us.
    pub(crate) max: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { min: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

impl Delays {
    fn backoff(self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.min)
            .with_max_delay(self.max)
            .without_max_times()
            .with_jitter()
            .build()
    }
}

/// How far the end of the agent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    /// The sources have stopped: deliver what is there until then, and then end.
    Drain(Instant),
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Shipper {
    /// `metrics` or `logs`.
    kind: &'static str,
    spool: Arc<Spool>,
    client: Client,
    own: Arc<OwnMetrics>,
    version: RemoteWriteVersion,
    /// The server has shown that it does not speak 2.0.
    is_downgraded: bool,
    delays: Delays,
}

/// Why the server does not get anything at the moment.
struct Outage {
    cause: Cause,
    backoff: ExponentialBackoff,
}

/// What a person would do something else about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It does not answer, or cannot take anything.
    Away,
    /// It answers, and does not let this agent in.
    Refused,
}

impl Shipper {
    pub(crate) fn new(
        kind: &'static str,
        spool: Arc<Spool>,
        client: Client,
        own: Arc<OwnMetrics>,
        version: RemoteWriteVersion,
        delays: Delays,
    ) -> Self {
        Self { kind, spool, client, own, version, is_downgraded: false, delays }
    }

    /// Ends once told to drain and the spool is empty, the deadline has passed or the server is
    /// away.
    pub(crate) async fn run(mut self, mut phase: watch::Receiver<Phase>) {
        let mut outage: Option<Outage> = None;
        loop {
            let drain_until = match *phase.borrow_and_update() {
                Phase::Run => None,
                Phase::Drain(deadline) => Some(deadline),
            };
            if drain_until.is_some_and(|it| Instant::now() >= it) {
                break;
            }
            let wait = match self.front().await {
                Some(record) => match drain_until {
                    None => self.deliver(record, &mut outage).await,
                    Some(deadline) => {
                        let delivery = self.deliver(record, &mut outage);
                        tokio::time::timeout_at(deadline, delivery).await.ok().flatten()
                    }
                },
                None if drain_until.is_some() => break,
                None => {
                    tokio::select! {
                        () = self.spool.arrived() => {}
                        _ = phase.changed() => {}
                    }
                    None
                }
            };
            let Some(wait) = wait else { continue };
            if drain_until.is_some() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = phase.changed() => {}
            }
        }
        let n_batches = self.spool.waiting().n_batches;
        if n_batches > 0 {
            info!(kind = self.kind, n_batches, "Left batches in the spool for the next start.");
        }
    }

    /// The oldest batch; `None` also while the disk does not answer, which is tried again.
    async fn front(&self) -> Option<Record> {
        let spool = Arc::clone(&self.spool);
        let front = on_disk(move || spool.front()).await;
        front.unwrap_or_else(|error| {
            error!(error = %anyhow::Error::new(error), kind = self.kind, "Could not read the spool.");
            None
        })
    }

    /// Sends one batch once. Returns how long to wait before the next try, if it has to be tried
    /// again.
    async fn deliver(&mut self, record: Record, outage: &mut Option<Outage>) -> Option<Duration> {
        let request = match self.request(&record) {
            Ok(request) => request,
            Err(error) => {
                self.set_aside(record, &format!("{error:#}")).await;
                return None;
            }
        };
        if let Err(error) = self.client.prepare().await {
            let cause = match &error {
                ClientError::Http(_) => Cause::Away,
                ClientError::Enrol(_) => Cause::Refused,
            };
            let reason = format!("{:#}", anyhow::Error::new(error));
            return Some(self.note_away(outage, cause, &reason, None));
        }
        let answer = self.client.send(&request).await;
        let code = answer.as_ref().map_or("error".to_owned(), |it| it.status.to_string());
        self.own.count_request(self.kind, code);
        let can_downgrade =
            self.version == RemoteWriteVersion::Auto && request.kind == Kind::RemoteWriteV2;
        match answer.map(|answer| (judge(&answer, can_downgrade), answer)) {
            Ok((Verdict::Delivered, _)) => {
                self.note_back(outage);
                self.ack(record).await;
                None
            }
            Ok((Verdict::Downgrade, answer)) => {
                info!(
                    status = answer.status,
                    "The server does not speak remote-write 2.0; going on with 1.0."
                );
                self.is_downgraded = true;
                None
            }
            Ok((Verdict::Reject, answer)) => {
                self.note_back(outage);
                self.set_aside(record, &format!("{} {}", answer.status, answer.text)).await;
                None
            }
            Ok((Verdict::RereadToken, answer)) => {
                let advice = self.client.refused().await;
                let reason = format!("{answer}; {advice}");
                Some(self.note_away(outage, Cause::Refused, &reason, None))
            }
            Ok((Verdict::Retry { after }, answer)) => {
                Some(self.note_away(outage, Cause::Away, &answer.to_string(), after))
            }
            Err(error) => {
                let reason = format!("{:#}", anyhow::Error::new(error));
                Some(self.note_away(outage, Cause::Away, &reason, None))
            }
        }
    }

    fn request(&self, record: &Record) -> anyhow::Result<Request> {
        use anyhow::Context as _;
        let batch = &record.batch;
        let is_old = self.is_downgraded || self.version == RemoteWriteVersion::V1;
        if batch.kind == Kind::RemoteWriteV2 && is_old {
            let body = v2_to_v1(&batch.body, UNPACKED_BYTES_MAX)
                .context("saying a spooled batch again in remote-write 1.0")?;
            return Ok(Request { kind: Kind::RemoteWriteV1, body: body.into() });
        }
        Ok(Request { kind: batch.kind, body: batch.body.clone().into() })
    }

    async fn ack(&self, record: Record) {
        let spool = Arc::clone(&self.spool);
        if let Err(error) = on_disk(move || spool.ack(&record)).await {
            let error = anyhow::Error::new(error);
            warn!(
                error = format!("{error:#}"),
                kind = self.kind,
                "A restart would send a batch twice."
            );
        }
    }

    async fn set_aside(&self, record: Record, reason: &str) {
        let (seq, n_items) = (record.seq, record.batch.n_items);
        error!(
            reason,
            seq,
            n_items,
            kind = self.kind,
            "Set a batch aside that was refused for good."
        );
        self.own.count_rejected(self.kind, n_items);
        let spool = Arc::clone(&self.spool);
        let reason = reason.to_owned();
        if let Err(error) = on_disk(move || spool.reject(&record, &reason)).await {
            let error = anyhow::Error::new(error);
            warn!(
                error = format!("{error:#}"),
                kind = self.kind,
                "A restart would send a batch twice."
            );
        }
    }

    /// Says so once an outage and cause. Returns how long to wait.
    fn note_away(
        &self,
        outage: &mut Option<Outage>,
        cause: Cause,
        reason: &str,
        after: Option<Duration>,
    ) -> Duration {
        if outage.as_ref().is_none_or(|it| it.cause != cause) {
            match cause {
                Cause::Away => {
                    warn!(reason, kind = self.kind, "The server takes nothing; buffering.");
                }
                Cause::Refused => {
                    warn!(reason, kind = self.kind, "The server refuses this agent; buffering.");
                }
            }
        }
        let outage = outage.get_or_insert_with(|| Outage { cause, backoff: self.delays.backoff() });
        outage.cause = cause;
        let next = outage.backoff.next().unwrap_or(self.delays.max);
        after.map_or(next, |it| it.min(RETRY_AFTER_MAX))
    }

    fn note_back(&self, outage: &mut Option<Outage>) {
        if outage.take().is_some() {
            let n_batches = self.spool.waiting().n_batches;
            info!(n_batches, kind = self.kind, "The server is back.");
        }
    }
}

/// The spool blocks while the disk works.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    tokio::task::spawn_blocking(work).await.expect("the spool does not panic")
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "status {}: {}", self.status, self.text)
    }
}
