//! The query log: a JSON object a line for each PromQL query, as Prometheus writes it, and a
//! warning in the server's log for a slow one.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use skep_promql::Grid;
use skep_proto::TimestampMs;
use skep_query::PromqlStats;
use time::{OffsetDateTime, macros::format_description};
use tokio::time::Instant;

use crate::{Api, asker::Asker, error::ApiError};

/// Lines that wait for a slow disk; more are lost rather than having queries wait.
const N_LINES_MAX: usize = 1_024;

/// What is logged.
#[derive(Debug, Clone, Default)]
pub struct QueryLogConfig {
    /// `query.log_file`: appended to; it may be moved away at any time.
    pub path: Option<PathBuf>,
    /// `query.slow`: what takes longer is in the server's log.
    pub slow: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct QueryLog {
    lines: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    slow: Option<Duration>,
}

impl QueryLog {
    pub(crate) fn new(QueryLogConfig { path, slow }: QueryLogConfig) -> Self {
        let Some(path) = path else { return Self { lines: None, writer: None, slow } };
        let (sender, lines) = sync_channel(N_LINES_MAX);
        let name = "query-log".to_owned();
        let writer = thread::Builder::new().name(name).spawn(move || write(&path, &lines));
        if let Err(error) = &writer {
            tracing::error!(%error, "No thread for the query log; nothing is written to it.");
        }
        Self { lines: Some(sender), writer: writer.ok(), slow }
    }

    fn is_off(&self) -> bool {
        self.lines.is_none() && self.slow.is_none()
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

/// Ends when nobody sends any more. The file is opened anew for what came together, so that it can be
/// moved away without a word.
fn write(path: &Path, lines: &Receiver<String>) {
    while let Ok(mut text) = lines.recv() {
        text.extend(lines.try_iter().take(N_LINES_MAX));
        let file = File::options().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            let path = path.display();
            tracing::warn!(%error, %path, "Could not write to the query log; lines are lost.");
        }
    }
}

/// A query on its way into the log: it is there however it ends, also if its client goes.
#[derive(Debug)]
pub(crate) struct Logged<'a> {
    api: &'a Api,
    asker: Asker,
    query: &'a str,
    grid: Grid,
    is_instant: bool,
    started: Instant,
    waited: Duration,
    end: End,
}

#[derive(Debug)]
enum End {
    Dropped,
    Failed(String),
    Done(PromqlStats),
}

impl<'a> Logged<'a> {
    pub(crate) fn instant(api: &'a Api, asker: Asker, query: &'a str, at: TimestampMs) -> Self {
        let mut logged = Self::range(api, asker, query, Grid::instant(at));
        logged.is_instant = true;
        logged
    }

    pub(crate) fn range(api: &'a Api, asker: Asker, query: &'a str, grid: Grid) -> Self {
        let (started, waited) = (Instant::now(), Duration::ZERO);
        Self { api, asker, query, grid, is_instant: false, started, waited, end: End::Dropped }
    }

    /// It has its turn: how long it has waited.
    pub(crate) fn begun(&mut self) -> Duration {
        self.waited = self.started.elapsed();
        self.waited
    }

    /// Notes how it went.
    pub(crate) fn ended<'r, T>(
        &mut self,
        stats: impl FnOnce(&'r T) -> &'r PromqlStats,
        result: &'r Result<T, ApiError>,
    ) {
        self.end = match result {
            Ok(answer) => End::Done(*stats(answer)),
            Err(error) => End::Failed(error.to_string()),
        };
    }

    fn line(&self, took: Duration) -> String {
        let (stats, error) = match &self.end {
            End::Done(stats) => (*stats, None),
            End::Failed(error) => (nothing(took), Some(error.as_str())),
            End::Dropped => (nothing(took), Some("query was canceled in expression evaluation")),
        };
        let step_ms = if self.is_instant { 0 } else { self.grid.step_ms() };
        let Asker { client_ip, method, path, .. } = &self.asker;
        let mut line = json!({
            "time": rfc3339(self.api.now()),
            "level": "INFO",
            "msg": "promql query logged",
            "params": {
                "query": self.query,
                "start": rfc3339(self.grid.start()),
                "end": rfc3339(self.grid.end()),
                "step": step_ms / 1_000,
            },
            "stats": stats_json(&stats, self.waited),
            "httpRequest": {"clientIP": client_ip, "method": method, "path": path},
        });
        if let (Some(error), Some(line)) = (error, line.as_object_mut()) {
            line.insert("error".to_owned(), json!(error));
        }
        format!("{line}\n")
    }
}

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        let log = &self.api.query_log;
        if log.is_off() {
            return;
        }
        let took = self.started.elapsed();
        if log.slow.is_some_and(|slow| took > slow) {
            let query = self.query;
            tracing::warn!(query, seconds = took.as_secs_f64(), end = ?self.end, "Slow query.");
        }
        if let Some(lines) = &log.lines
            && lines.try_send(self.line(took)).is_err()
        {
            self.api.telemetry.query_log_lost.add(1);
        }
    }
}

fn nothing(took: Duration) -> PromqlStats {
    PromqlStats { n_samples: 0, parse_time: Duration::ZERO, eval_time: took }
}

/// Prometheus' query statistics as far as there is a counterpart.
pub(crate) fn stats_json(stats: &PromqlStats, waited: Duration) -> Value {
    let PromqlStats { n_samples, parse_time, eval_time } = stats;
    json!({
        "timings": {
            "evalTotalTime": eval_time.as_secs_f64(),
            "resultSortTime": 0,
            "queryPreparationTime": parse_time.as_secs_f64(),
            "innerEvalTime": eval_time.as_secs_f64(),
            "execQueueTime": waited.as_secs_f64(),
            "execTotalTime": (waited + *parse_time + *eval_time).as_secs_f64(),
        },
        "samples": {
            "totalQueryableSamples": n_samples,
            "peakSamples": n_samples,
            "samplesRead": n_samples,
        },
    })
}

fn rfc3339(TimestampMs(ms): TimestampMs) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|it| it.format(&format).ok())
        .unwrap_or_default()
}
