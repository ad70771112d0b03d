//! The front's access log as log entries of the store: what a push of the same lines would leave.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    mem,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_front::{AccessLog, AccessRecord, Front};
use skep_proto::{LogRow, LogRows, TimestampNs};
use skep_store::{AppendError, Store};
use tokio::{sync::Notify, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::config::{self, Own};

/// A line is asked for by its label and found a moment later.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// Written at once when there is so much: one write of a common size.
const BATCH_BYTES: usize = 512 << 10;
/// Bounds the memory of lines that a slow disk keeps waiting; some ten thousand requests.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// A store that is busy for longer loses the batch: the next one is waiting.
const TRIES: u32 = 10;

/// What the front tells about requests, on its way to `/metrics` and the store.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Without it no lines are wanted.
    log: Option<Arc<StoreLog>>,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Requests {
    pub(crate) fn start(own: &Own, host: &str, front: &Front, store: &Arc<Store>) -> Self {
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let log = (own.access_log == config::AccessLog::Stored).then(|| {
            let log = StoreLog::new(host.to_owned());
            front.log_to(Arc::clone(&log) as Arc<dyn AccessLog>);
            tasks.spawn(Arc::clone(&log).run(Arc::clone(store), end.clone()));
            log
        });
        tasks.close();
        Self { log, end, tasks }
    }

    pub(crate) fn figures(&self, front: &Front) -> Vec<Arc<dyn skep_api::Figures>> {
        let mut figures: Vec<Arc<dyn skep_api::Figures>> =
            vec![Arc::new(FrontFigures(front.figures()))];
        figures.extend(self.log.clone().map(|it| it as Arc<dyn skep_api::Figures>));
        figures
    }

    /// Returns once all lines are stored; call it when no request is open any more.
    pub(crate) async fn end(&self) {
        self.end.cancel();
        self.tasks.wait().await;
    }
}

#[derive(Debug)]
struct FrontFigures(skep_front::Figures);

impl skep_api::Figures for FrontFigures {
    fn push_text(&self, out: &mut String) {
        out.push_str(&self.0.to_text());
    }
}

/// Lines on their way into the store.
#[derive(Debug)]
pub(crate) struct StoreLog {
    /// This server's name, the label of all lines.
    host: String,
    queue: Mutex<Queue>,
    is_due: Notify,
    n_stored: AtomicU64,
    n_lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<Line>,
    size_bytes: usize,
}

/// A record as it is stored: texts only, so that nothing of its connection stays in memory.
#[derive(Debug)]
struct Line {
    ts: TimestampNs,
    site: Arc<str>,
    text: String,
    level: &'static str,
    handler: &'static str,
    client_ip: IpAddr,
    took: Duration,
    method: String,
    status: u16,
    user: String,
    upstream: String,
}

impl StoreLog {
    pub(crate) fn new(host: String) -> Arc<Self> {
        Arc::new(Self {
            host,
            queue: Mutex::default(),
            is_due: Notify::new(),
            n_stored: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what comes until `end`, and then what is left; cancel it once no request is open.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<Store>, end: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => return self.store_all(&store).await,
                () = self.is_due.notified() => {}
                () = sleep(BATCH_TIME) => {}
            }
            self.store_all(&store).await;
        }
    }

    async fn store_all(&self, store: &Store) {
        let lines = mem::take(&mut *self.queue()).lines;
        if lines.is_empty() {
            return;
        }
        let n_lines = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let rows = rows(&self.host, &lines);
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            match store.append_logs(&rows).await {
                Err(AppendError::Busy { retry_after }) if n_tries < TRIES => {
                    sleep(retry_after).await;
                }
                Err(error) => {
                    warn!(%error, n_lines, "Could not store lines of the access log.");
                    self.n_lost.fetch_add(n_lines, Ordering::Relaxed);
                    return;
                }
                Ok(appended) => {
                    let n_refused = u64::try_from(appended.n_rejected).unwrap_or(u64::MAX);
                    self.n_lost.fetch_add(n_refused, Ordering::Relaxed);
                    let n_stored = n_lines.saturating_sub(n_refused);
                    self.n_stored.fetch_add(n_stored, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

impl AccessLog for StoreLog {
    fn record(&self, record: AccessRecord) {
        let line = Line::of(&record);
        let size_bytes = size_of::<Line>() + line.text.len();
        let mut queue = self.queue();
        let before = queue.size_bytes;
        if before + size_bytes > QUEUE_BYTES_MAX {
            drop(queue);
            self.n_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.size_bytes += size_bytes;
        queue.lines.push(line);
        drop(queue);
        if before < BATCH_BYTES && before + size_bytes >= BATCH_BYTES {
            self.is_due.notify_one();
        }
    }
}

impl skep_api::Figures for StoreLog {
    fn push_text(&self, out: &mut String) {
        for (name, help, count) in [
            ("skep_front_access_log_lines_total", "Lines of the access log.", &self.n_stored),
            (
                "skep_front_access_log_lost_total",
                "Lines of the access log that the store was too slow for, or refused.",
                &self.n_lost,
            ),
        ] {
            let count = count.load(Ordering::Relaxed);
            let text =
                format_args!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}\n");
            out.write_fmt(text).expect("a String never fails");
        }
    }
}

impl Line {
    fn of(record: &AccessRecord) -> Self {
        let ns = i64::try_from(record.at.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        Self {
            ts: TimestampNs(ns),
            site: Arc::clone(&record.site),
            text: record.to_json(),
            level: record.level(),
            handler: record.handler,
            client_ip: record.client_ip(),
            took: record.took,
            method: record.method().to_owned(),
            status: record.status,
            user: record.user().to_owned(),
            upstream: record.upstream().unwrap_or_default().to_owned(),
        }
    }

    fn row(&self) -> LogRow<'_> {
        let metadata: [(&str, Cow<'_, str>); 8] = [
            ("client_ip", self.client_ip.to_string().into()),
            ("detected_level", self.level.into()),
            ("duration", self.took.as_secs_f64().to_string().into()),
            ("handler", self.handler.into()),
            ("method", self.method.as_str().into()),
            ("status", self.status.to_string().into()),
            ("upstream", self.upstream.as_str().into()),
            ("user", self.user.as_str().into()),
        ];
        let filled = metadata.into_iter().filter(|(_name, value)| !value.is_empty());
        LogRow {
            ts: self.ts,
            line: Cow::Borrowed(&self.text),
            metadata: filled.map(|(name, value)| (name.into(), value)).collect(),
        }
    }
}

/// A stream a site.
fn rows<'a>(host: &'a str, lines: &'a [Line]) -> LogRows<'a> {
    let mut sites: BTreeMap<&str, Vec<LogRow<'_>>> = BTreeMap::new();
    for line in lines {
        sites.entry(&line.site).or_default().push(line.row());
    }
    let streams = sites.into_iter().map(|(site, rows)| {
        let labels = [
            ("host", host),
            ("job", "skep-front"),
            ("service_name", "skep-front"),
            ("site", site),
            ("source", "http"),
        ];
        (labels.map(|(name, value)| (name.into(), value.into())).to_vec(), rows)
    });
    LogRows { streams: streams.collect() }
}
