//! Queries at work and those that ended: who asked what, what it took, and a way to end it.

mod meter;
mod ticket;

pub(crate) use self::{meter::Meter, ticket::Ticket};

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use skep_promql::Grid;
use skep_proto::{TimestampMs, TimestampNs};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::asker::Asker;

/// Of a query's text: a page shows no more, and each list keeps many.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// What was slow longer ago says little of the server as it is.
const SLOW_AGE_MS: i64 = 86_400_000;

/// All that were asked.
#[derive(Debug)]
pub(crate) struct Queries {
    /// `query.history`: of the newest and of the slowest, each.
    n_kept: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    running: BTreeMap<u64, Running>,
    /// The newest first.
    recent: VecDeque<Arc<Ended>>,
    slowest: BTreeMap<(Duration, u64), Arc<Ended>>,
}

impl State {
    /// Notes a query that is over, and forgets others for it.
    fn keep(&mut self, ended: Arc<Ended>, took: Duration, n_kept: usize) {
        let Question { id, started_unix_ms: now_ms, .. } = *ended.question;
        self.recent.push_front(Arc::clone(&ended));
        self.recent.truncate(n_kept);
        self.slowest.retain(|_, it| now_ms - it.question.started_unix_ms < SLOW_AGE_MS);
        self.slowest.insert((took, id), ended);
        while self.slowest.len() > n_kept {
            self.slowest.pop_first();
        }
    }
}

#[derive(Debug)]
struct Running {
    question: Arc<Question>,
    meter: Arc<Meter>,
    began: Instant,
    cancel: CancellationToken,
}

/// What is asked.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Question {
    id: u64,
    language: Language,
    /// Tells an instant query from one over a range, and both from EXPLAIN.
    path: String,
    query: String,
    is_cut: bool,
    user: Option<Arc<str>>,
    client_ip: Option<String>,
    started_unix_ms: i64,
    /// The times that it is about.
    span: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Promql,
    Logql,
    Sql,
}

/// Times of a query, in milliseconds; an instant query has a step of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

impl Span {
    pub(crate) fn at(TimestampMs(ms): TimestampMs) -> Self {
        Self { start_ms: ms, end_ms: ms, step_ms: 0 }
    }

    pub(crate) fn of(grid: Grid) -> Self {
        let step_ms = if grid.n_steps() == 1 { 0 } else { grid.step_ms() };
        Self { start_ms: grid.start().0, end_ms: grid.end().0, step_ms }
    }

    pub(crate) fn between(start: TimestampNs, end: TimestampNs, step_ms: i64) -> Self {
        Self { start_ms: start.to_ms().0, end_ms: end.to_ms().0, step_ms }
    }
}

/// What it took, so far or in all.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    /// Since it was asked, the time it waited for its turn included.
    seconds: f64,
    queued_seconds: f64,
    /// Of the thread that evaluates it; what other threads read for it is not in it.
    cpu_seconds: f64,
    /// Samples, lines, or rows of an answer in SQL.
    rows: u64,
    /// Of log lines that were read.
    read_bytes: u64,
    answer_bytes: u64,
}

/// How it went.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "error")]
pub(crate) enum End {
    Done,
    Failed(String),
    /// Its client is gone, or somebody has ended it.
    Canceled,
}

/// A query that is over.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    #[serde(flatten)]
    question: Arc<Question>,
    #[serde(flatten)]
    cost: Cost,
    #[serde(flatten)]
    end: End,
}

/// A query at work.
#[derive(Debug, Serialize)]
pub(crate) struct AtWork {
    #[serde(flatten)]
    question: Arc<Question>,
    #[serde(flatten)]
    cost: Cost,
    /// `queued` until it has its turn.
    state: &'static str,
}

/// What there is to tell.
#[derive(Debug, Serialize)]
pub(crate) struct Lists {
    /// The oldest first.
    running: Vec<AtWork>,
    slowest: Vec<Arc<Ended>>,
    recent: Vec<Arc<Ended>>,
}

impl Queries {
    pub(crate) fn new(n_kept: usize) -> Arc<Self> {
        Arc::new(Self { n_kept, state: Mutex::default() })
    }

    /// Lists it until the ticket is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        now: TimestampMs,
        asker: &Asker,
        (language, query): (Language, &str),
        span: Option<Span>,
    ) -> Ticket {
        let meter = Arc::new(Meter::default());
        let (cancel, began) = (CancellationToken::new(), Instant::now());
        let mut state = self.held();
        state.last_id += 1;
        let id = state.last_id;
        let text = query.get(..query.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
        let question = Arc::new(Question {
            id,
            language,
            path: asker.path.clone(),
            query: text.to_owned(),
            is_cut: text.len() < query.len(),
            user: asker.user.clone(),
            client_ip: asker.client_ip.clone(),
            started_unix_ms: now.0,
            span,
        });
        let running = Running {
            question: Arc::clone(&question),
            meter: Arc::clone(&meter),
            began,
            cancel: cancel.clone(),
        };
        state.running.insert(id, running);
        Ticket::new(Arc::clone(self), id, meter, cancel)
    }

    fn end(&self, id: u64, end: End) {
        let mut state = self.held();
        let Some(Running { question, meter, began, .. }) = state.running.remove(&id) else {
            return;
        };
        if self.n_kept == 0 {
            return;
        }
        let took = began.elapsed();
        let ended = Ended { question, cost: meter.cost(took), end };
        state.keep(Arc::new(ended), took, self.n_kept);
    }

    /// At most `limit` of each.
    pub(crate) fn lists(&self, now: TimestampMs, limit: usize) -> Lists {
        let state = self.held();
        let running = state.running.values().take(limit).map(|it| AtWork {
            question: Arc::clone(&it.question),
            cost: it.meter.cost(it.began.elapsed()),
            state: if it.meter.is_begun() { "running" } else { "queued" },
        });
        let is_new = |it: &&Arc<Ended>| now.0 - it.question.started_unix_ms < SLOW_AGE_MS;
        let slowest = state.slowest.values().rev().filter(is_new).take(limit);
        Lists {
            running: running.collect(),
            slowest: slowest.cloned().collect(),
            recent: state.recent.iter().take(limit).cloned().collect(),
        }
    }

    /// Ends a query at work; whether there is one.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let state = self.held();
        let found = state.running.get(&id);
        found.inspect(|it| it.cancel.cancel()).is_some()
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
