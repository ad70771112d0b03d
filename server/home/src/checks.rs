//! The one task that asks whether services are there and what documents say: each at its own
//! pace, so many at once, until the shutdown.

mod http;
mod ping;
mod tcp;
mod tls;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::Rng as _;
use skep_proto::{Clock, TimestampMs};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::http::Clients;
use crate::{
    config::{Check, HomeFile, JsonSource, Limits, Target, WidgetKind},
    samples::{self, Measured, Sink},
    widget::{self, Shown},
};

/// All first checks are made within this time, or the interval if that is shorter.
const FIRST_WITHIN: Duration = Duration::from_secs(2);
/// Results wait for each other this long, so that the store is asked seldom.
const GATHER: Duration = Duration::from_secs(2);

/// What one check or question found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) is_up: bool,
    /// Until the answer began.
    pub(crate) seconds: Option<f64>,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    /// Seconds since the Unix epoch.
    pub(crate) certificate_expires_s: Option<i64>,
    /// Of a document.
    pub(crate) shown: Vec<Shown>,
}

impl Finding {
    fn up(seconds: f64) -> Self {
        Self {
            is_up: true,
            seconds: Some(seconds),
            status: None,
            error: None,
            certificate_expires_s: None,
            shown: Vec::new(),
        }
    }

    fn down(error: impl Into<String>) -> Self {
        Self { is_up: false, seconds: None, error: Some(error.into()), ..Self::up(0.0) }
    }
}

/// A finding and when it was made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) at: TimestampMs,
    pub(crate) finding: Finding,
}

/// Whom a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Service {
        group: Arc<str>,
        service: Arc<str>,
    },
    /// The values in a service's tile.
    ServiceValues {
        group: Arc<str>,
        service: Arc<str>,
    },
    Widget(Arc<str>),
}

/// The newest report of each.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<HashMap<Subject, Report>>);

impl Reports {
    pub(crate) fn of(&self, subject: &Subject) -> Option<Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    fn set(&self, subject: Subject, report: Report) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(subject, report);
    }

    fn keep(&self, is_kept: impl Fn(&Subject) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|subject, _| is_kept(subject));
    }
}

/// One thing to ask again and again.
#[derive(Debug, Clone)]
struct Job {
    subject: Subject,
    interval: Duration,
    work: Work,
}

#[derive(Debug, Clone)]
enum Work {
    Check(Check),
    Document(JsonSource),
}

fn jobs(file: &HomeFile) -> Vec<Job> {
    let mut jobs = Vec::new();
    for group in &file.groups {
        let group_name: Arc<str> = group.name.as_str().into();
        for service in &group.services {
            let (group, service_name) = (Arc::clone(&group_name), Arc::from(service.name.as_str()));
            if let Some(check) = &service.check {
                let subject = Subject::Service {
                    group: Arc::clone(&group),
                    service: Arc::clone(&service_name),
                };
                let work = Work::Check(check.clone());
                jobs.push(Job { subject, interval: check.interval, work });
            }
            if let Some(source) = &service.json {
                let subject = Subject::ServiceValues { group, service: service_name };
                let work = Work::Document(source.clone());
                jobs.push(Job { subject, interval: source.interval, work });
            }
        }
    }
    for widget in &file.widgets {
        if let WidgetKind::Json(source) = &widget.kind {
            let subject = Subject::Widget(widget.name.as_str().into());
            let work = Work::Document(source.clone());
            jobs.push(Job { subject, interval: source.interval, work });
        }
    }
    jobs
}

/// What the task works with.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) reports: Arc<Reports>,
    pub(crate) limits: Limits,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Which job is due when; the number of the file keeps jobs of an older one apart.
type Due = Reverse<(Instant, usize)>;

impl Checker {
    /// Until the shutdown, or until nobody can change the files any more.
    pub(crate) async fn run(
        self,
        mut files: watch::Receiver<Arc<HomeFile>>,
        shutdown: CancellationToken,
    ) {
        loop {
            let file = Arc::clone(&files.borrow_and_update());
            let ended = tokio::select! {
                () = shutdown.cancelled() => true,
                changed = files.changed() => changed.is_err(),
                () = self.follow(&file) => false,
            };
            if ended {
                return;
            }
        }
    }

    /// Asks what one state of the files names, for ever; what is at work ends with the future.
    async fn follow(&self, file: &HomeFile) {
        let jobs = jobs(file);
        self.reports.keep(|subject| jobs.iter().any(|it| it.subject == *subject));
        let clients = Arc::new(Clients::new(self.limits.clone()));
        let now = Instant::now();
        let firsts = jobs.iter().enumerate();
        let mut due: BinaryHeap<Due> = firsts
            .map(|(i, job)| Reverse((now + part_of(job.interval.min(FIRST_WITHIN)), i)))
            .collect();
        let mut running: JoinSet<(usize, Report)> = JoinSet::new();
        let mut gathered: Vec<Measured> = Vec::new();
        let mut flush_at = None;
        loop {
            while running.len() < self.limits.checks_at_once
                && due.peek().is_some_and(|Reverse((at, _))| *at <= Instant::now())
                && let Some(Reverse((_, i))) = due.pop()
                && let Some(job) = jobs.get(i)
            {
                let (clients, work) = (Arc::clone(&clients), job.work.clone());
                let at = self.clock.now().to_ms();
                running
                    .spawn(async move { (i, Report { at, finding: ask(&clients, &work).await }) });
            }
            let is_full = running.len() >= self.limits.checks_at_once;
            let next = due.peek().filter(|_| !is_full).map(|Reverse((at, _))| *at);
            tokio::select! {
                Some(done) = running.join_next() => {
                    // A check that panicked is one that never answers again; it cannot be told.
                    let Ok((i, report)) = done else { continue };
                    let Some(job) = jobs.get(i) else { continue };
                    gathered.extend(Measured::of(&job.subject, &report));
                    self.reports.set(job.subject.clone(), report);
                    due.push(Reverse((Instant::now() + paced(job.interval), i)));
                    flush_at.get_or_insert_with(|| Instant::now() + GATHER);
                }
                () = until(next) => {}
                () = until(flush_at) => {
                    flush_at = None;
                    samples::append(&*self.sink, &std::mem::take(&mut gathered)).await;
                }
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn ask(clients: &Clients, work: &Work) -> Finding {
    let (limit, asked) = match work {
        Work::Check(it) => (it.timeout, timeout(it.timeout, check(clients, it)).await),
        Work::Document(it) => (it.timeout, timeout(it.timeout, document(clients, it)).await),
    };
    asked.unwrap_or_else(|_elapsed| {
        Finding::down(format!("no answer in {}", humantime::format_duration(limit)))
    })
}

async fn check(clients: &Clients, check: &Check) -> Finding {
    match &check.target {
        Target::Http(url) => clients.check(url, &check.trust, &check.expected).await,
        Target::Tcp { host, port } => tcp::check(host, *port).await,
        Target::Ping { host } => ping::check(host).await,
    }
}

async fn document(clients: &Clients, source: &JsonSource) -> Finding {
    let shown = clients.document(source).await;
    match shown.and_then(|body| widget::values(&body, &source.fields)) {
        Ok(shown) => Finding { shown, ..Finding::up(0.0) },
        Err(text) => Finding::down(text),
    }
}

/// A random part, so that not all are asked in the same moment.
fn part_of(duration: Duration) -> Duration {
    duration.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// The interval, a little more or less.
fn paced(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.95..1.05))
}

#[cfg(test)]
mod tests;
