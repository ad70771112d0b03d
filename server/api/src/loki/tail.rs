//! Live tail: a WebSocket that tells lines as they are stored, after the newest there are.
//!
//! Rows wait in three places, each bounded: the store's queue of this tail, the lines whose time
//! has not come ([`pending`]), and the connection. A client that is too slow loses lines, which
//! the next frame names; nobody else waits for it.

mod frame;
mod pending;

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    extract::{
        OriginalUri, State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use skep_logql::{
    Direction, Entry, EntryLabels, LiveLines, LogStream,
    ast::{Expr, LogExpr},
};
use skep_proto::TimestampNs;
use skep_query::LogqlOptions;
use skep_store::Following;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{frame::Shape, pending::Pending};
use super::params::{HOUR_NS, bounds, labels_as, limit};
use crate::{
    Api,
    error::{ApiError, LokiError},
    params::{Params, integer},
};

/// Tells dead connections from silent ones, as often as Loki asks.
const PING_PERIOD: Duration = Duration::from_secs(1);
/// A client that takes nothing for so long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Clients have nothing to say.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How far ahead of our clock a sender's may be: such lines are history too.
const AHEAD_NS: i64 = 600_000_000_000;
/// Seconds, as in Loki.
const DELAY_MAX: i64 = 5;
/// At the end of the server, open tails get so long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Bounds of tails; settings of `[query]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailLimits {
    /// `query.tails_max`: tails at once, as many as Loki's `max_concurrent_tail_requests`.
    pub n_tails_max: usize,
    /// `query.tail_buffer`: bytes of lines that wait for one slow client.
    pub buffer_bytes_max: usize,
    /// `query.tail_duration`: how long one tail lasts, as Loki's `tail_max_duration`.
    pub duration_max: Duration,
}

impl Default for TailLimits {
    fn default() -> Self {
        let duration_max = Duration::from_hours(1);
        Self { n_tails_max: 10, buffer_bytes_max: 8 << 20, duration_max }
    }
}

/// Tails that are open.
#[derive(Debug)]
pub(crate) struct Tails {
    limits: TailLimits,
    slots: Arc<Semaphore>,
    open: TaskTracker,
    shutdown: CancellationToken,
}

impl Tails {
    pub(crate) fn new(limits: TailLimits, shutdown: CancellationToken) -> Self {
        let slots = Arc::new(Semaphore::new(limits.n_tails_max));
        Self { limits, slots, open: TaskTracker::new(), shutdown }
    }

    pub(super) fn limits(&self) -> &TailLimits {
        &self.limits
    }

    /// Waits for tails to say goodbye once `shutdown` is cancelled.
    pub(crate) async fn ended(&self) {
        self.open.close();
        if timeout(GOODBYE, self.open.wait()).await.is_err() {
            tracing::debug!(n_tails = self.open.len(), "Cut off live tails.");
        }
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, String> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_full| {
            let max = self.limits.n_tails_max;
            format!(
                "max concurrent tail requests limit exceeded, count > limit ({} > {max})",
                max + 1
            )
        })
    }
}

pub(super) async fn tail(
    state: State<Arc<Api>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, LokiError> {
    let shape = Shape::Labels(labels_as(&headers));
    open(state, &Params::of_url(&uri)?, shape, upgrade)
}

/// `/api/prom/tail`: lines in the shape of Loki's first API.
pub(super) async fn legacy(
    state: State<Arc<Api>>,
    OriginalUri(uri): OriginalUri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, LokiError> {
    open(state, &Params::of_url(&uri)?, Shape::Legacy, upgrade)
}

fn open(
    State(api): State<Arc<Api>>,
    params: &Params,
    shape: Shape,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, LokiError> {
    let question = Question::new(&api, params)?;
    // What gorilla's upgrader tells a client that speaks plain HTTP.
    let upgrade = upgrade.map_err(|_rejection| ApiError::bad_data("Bad Request"))?;
    let guard = api.tails.open.token();
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let upgrade = upgrade.on_upgrade(async move |socket| {
        serve(&api, question, shape, socket).await;
        drop(guard);
    });
    Ok(upgrade.into_response())
}

/// A query and how much of the past goes before the present.
struct Question {
    expr: Expr,
    start: TimestampNs,
    n_past_lines: usize,
    delay_ns: i64,
}

impl Question {
    fn new(api: &Api, params: &Params) -> Result<Self, ApiError> {
        let expr = skep_logql::parse(params.get("query"))?;
        let n_past_lines = limit(params)?;
        let (start, _end) = bounds(params, api.clock.now(), HOUR_NS)?;
        let delay = match params.given("delay_for") {
            Some(text) => integer(text).map_err(ApiError::bad_data)?,
            None => 0,
        };
        if delay > DELAY_MAX {
            let fault = format!("delay_for can't be greater than {DELAY_MAX}");
            return Err(ApiError::bad_data(fault));
        }
        let delay_ns = delay.max(0).saturating_mul(1_000_000_000);
        Ok(Self { expr, start, n_past_lines, delay_ns })
    }
}

/// Of one stream, two of them that are equal are stored once.
type SentLine = (TimestampNs, Arc<EntryLabels>, String);

/// How a tail ends, as a code of the closing frame and its reason.
type Ending = (u16, String);

async fn serve(api: &Api, question: Question, shape: Shape, mut socket: WebSocket) {
    let ending = match begin(api, &question).await {
        Ok((session, _slot)) => session.run(api, shape, &mut socket).await,
        Err(fault) => Some((close_code::ERROR, fault)),
    };
    let Some((code, reason)) = ending else { return };
    let frame = CloseFrame { code, reason: short(&reason).into() };
    let goodbye = async {
        // A client that is gone needs no goodbye.
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    drop(timeout(GOODBYE, goodbye).await);
}

/// A closing frame holds 123 bytes of reason.
fn short(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(123)).unwrap_or_default()
}

/// # Errors
/// What the client reads in the closing frame: Loki, too, upgrades before it looks further.
async fn begin(api: &Api, question: &Question) -> Result<(Session, OwnedSemaphorePermit), String> {
    let slot = api.tails.slot()?;
    let Expr::Log(log) = &question.expr else {
        return Err("only log selector is supported".to_owned());
    };
    let lines = LiveLines::compile(log).map_err(|it| it.to_string())?;
    let bytes_max = api.tails.limits.buffer_bytes_max;
    let following = api.store.follow_logs(log.matchers.clone(), bytes_max);
    let mut session =
        Session { following, lines, pending: Pending::new(question.delay_ns, bytes_max) };
    let past = past(api, log, question).await.map_err(|it| it.to_string())?;
    // What was stored in the meantime may be in both.
    api.store.logs_told().await;
    let in_doubt = session.following.take();
    let mut seen = HashSet::new();
    for LogStream { labels, entries } in past {
        for Entry { ts, line } in entries.into_iter().rev() {
            seen.insert((ts, Arc::clone(&labels), line.clone()));
            session.pending.add(ts, Arc::clone(&labels), line);
        }
    }
    session.take(in_doubt, &seen);
    Ok((session, slot))
}

async fn past(api: &Api, log: &LogExpr, question: &Question) -> Result<Vec<LogStream>, ApiError> {
    let _turn = crate::watch::query_turn(api).await?;
    let end = TimestampNs(api.clock.now().0.saturating_add(AHEAD_NS));
    let limit = question.n_past_lines.min(api.engine.limits().n_lines_max);
    let options = LogqlOptions { timeout: None, direction: Direction::Backward, limit };
    let snapshot = api.engine.snapshot();
    let lines = api.engine.logql_lines(snapshot, log, (question.start, end), options);
    Ok(lines.await?)
}

/// An open tail.
struct Session {
    following: Following,
    lines: LiveLines,
    pending: Pending,
}

impl Session {
    /// Until either side has enough; `None` where the client is gone.
    async fn run(mut self, api: &Api, shape: Shape, socket: &mut WebSocket) -> Option<Ending> {
        let ends_at = Instant::now() + api.tails.limits.duration_max;
        let mut ping = interval(PING_PERIOD);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.tick().await;
        loop {
            while let Some(ready) = self.pending.take_due(api.clock.now()) {
                send(api, socket, Message::Text(frame::text(&ready, shape).into())).await?;
            }
            let wait = self.pending.wait(api.clock.now());
            let due_at = Instant::now() + wait.unwrap_or(PING_PERIOD);
            tokio::select! {
                () = api.tails.shutdown.cancelled() => {
                    return Some((close_code::AWAY, "the server is stopping".to_owned()));
                }
                () = sleep_until(ends_at) => {
                    return Some((close_code::ERROR, "reached tail max duration limit".to_owned()));
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                },
                told = self.following.next() => match told {
                    Some(told) => self.take(told, &HashSet::new()),
                    None => return Some((close_code::AWAY, "the server is stopping".to_owned())),
                },
                _ = ping.tick() => send(api, socket, Message::Ping(Vec::new().into())).await?,
                () = sleep_until(due_at), if wait.is_some() => {}
            }
        }
    }

    /// Takes what was told but for the lines that were sent already.
    fn take(&mut self, told: skep_store::Told, seen: &HashSet<SentLine>) {
        for rows in told.rows {
            self.lines.set_stream(&rows.labels);
            for entry in rows.entries {
                let ts = entry.ts;
                let Some((labels, line)) = self.lines.run(entry) else { continue };
                let line = (ts, labels, line);
                if seen.contains(&line) {
                    continue;
                }
                self.pending.add(line.0, line.1, line.2);
            }
        }
        self.pending.miss(told.missed);
    }
}

/// `None` where the client is gone, or the server is about to be.
async fn send(api: &Api, socket: &mut WebSocket, message: Message) -> Option<()> {
    tokio::select! {
        sent = timeout(SEND_TIMEOUT, socket.send(message)) => sent.ok()?.ok(),
        () = api.tails.shutdown.cancelled() => None,
    }
}
