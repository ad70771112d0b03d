//! One server: whether it is up, what it has to do, and connections that wait for the next request.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use tokio::time::Instant;

use super::balance::{self, Standing};
use super::connection::{Connection, Http1, Http2};
use crate::config::{Scheme, UpstreamUrl};

/// Each idle connection has its buffers; a burst must not keep hundreds of them.
const IDLE_MAX: usize = 128;

/// A server as requests meet it.
#[derive(Debug)]
pub(super) struct Upstream {
    pub url: UpstreamUrl,
    /// The URL's text, for the log.
    pub name: Arc<str>,
    /// As its URL names it.
    pub host: HeaderValue,
    seed: u64,
    pool_idle: Duration,
    began: Instant,
    is_up: AtomicBool,
    /// Milliseconds after `began` until which it is asked last.
    shunned_until: AtomicU64,
    n_active: AtomicUsize,
    n_requests: AtomicU64,
    n_failures: AtomicU64,
    idle: Mutex<Idle>,
}

/// Guarded by its mutex, never held across an await.
#[derive(Default)]
struct Idle {
    /// The one used last is last, and used first.
    http1: Vec<(Http1, Instant)>,
    http2: Option<(Http2, Instant)>,
    is_swept: bool,
}

/// How a server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Its URL.
    pub upstream: String,
    /// False while health checks fail.
    pub is_up: bool,
    /// It could not be reached a moment ago, and is asked last.
    pub is_shunned: bool,
    /// Requests and tunnels under way.
    pub n_active: usize,
    /// Tries so far, and those that brought no answer.
    pub n_requests: u64,
    pub n_failures: u64,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("http1", &self.http1.len()).finish_non_exhaustive()
    }
}

/// A request under way; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Active(Arc<Upstream>);

impl Upstream {
    pub(super) fn new(url: &UpstreamUrl, pool_idle: Duration) -> Self {
        Self {
            url: url.clone(),
            name: Arc::from(url.as_str()),
            host: HeaderValue::from_str(&url.authority())
                .unwrap_or(HeaderValue::from_static("localhost")),
            seed: balance::seed(url.as_str()),
            pool_idle,
            began: Instant::now(),
            is_up: AtomicBool::new(true),
            shunned_until: AtomicU64::new(0),
            n_active: AtomicUsize::new(0),
            n_requests: AtomicU64::new(0),
            n_failures: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// Takes over what was found out about the same server, but for whether it is up.
    pub(super) fn recall(&mut self, before: &Self) {
        let copy = |it: &AtomicU64| AtomicU64::new(it.load(Ordering::Relaxed));
        self.began = before.began;
        self.shunned_until = copy(&before.shunned_until);
        self.n_requests = copy(&before.n_requests);
        self.n_failures = copy(&before.n_failures);
    }

    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.n_active.fetch_add(1, Ordering::Relaxed);
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    pub(super) fn standing(&self, was_tried: bool) -> Standing {
        Standing {
            is_up: self.is_up(),
            is_shunned: self.is_shunned(),
            was_tried,
            n_active: self.n_active.load(Ordering::Relaxed),
            seed: self.seed,
        }
    }

    pub(super) fn status(&self) -> UpstreamStatus {
        UpstreamStatus {
            upstream: self.url.to_string(),
            is_up: self.is_up(),
            is_shunned: self.is_shunned(),
            n_active: self.n_active.load(Ordering::Relaxed),
            n_requests: self.n_requests.load(Ordering::Relaxed),
            n_failures: self.n_failures.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn is_shunned(&self) -> bool {
        self.shunned_until.load(Ordering::Relaxed) > self.now_ms()
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
    }

    pub(super) fn note_failure(&self) {
        self.n_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Asked last for a while; true if it was not so already.
    pub(super) fn shun(&self, for_how_long: Duration) -> bool {
        let now = self.now_ms();
        let until = now.saturating_add(millis(for_how_long));
        self.shunned_until.swap(until, Ordering::Relaxed) <= now
    }

    /// It has answered.
    pub(super) fn forgive(&self) {
        // A load is cheaper than a store where all cores look.
        if self.shunned_until.load(Ordering::Relaxed) != 0 {
            self.shunned_until.store(0, Ordering::Relaxed);
        }
    }

    /// A connection that waits, if there is one.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if self.url.scheme != Scheme::Http {
            match &mut idle.http2 {
                Some((http2, used)) if http2.is_usable() => {
                    *used = Instant::now();
                    return Some(Connection::Http2(http2.clone()));
                }
                _gone => idle.http2 = None,
            }
        }
        while let Some((mut http1, since)) = idle.http1.pop() {
            if since.elapsed() >= self.pool_idle {
                // Those below it have waited longer.
                idle.http1.clear();
                return None;
            }
            if http1.is_usable() {
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(self: &Arc<Self>, http1: Http1) {
        // A task may not have come round to it yet; whether it did is asked when it is taken.
        let is_good = if http1.has_task() { !http1.is_closed() } else { http1.is_ready() };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good || idle.http1.len() >= IDLE_MAX || self.pool_idle.is_zero() {
            return;
        }
        idle.http1.push((http1, Instant::now()));
        self.sweep(&mut idle);
    }

    /// Later requests go over this connection, too.
    pub(super) fn share(self: &Arc<Self>, http2: &Http2) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.http2 = Some((http2.clone(), Instant::now()));
        self.sweep(&mut idle);
    }

    /// Those that wait are dead, as one of them was.
    pub(super) fn forget_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.http1.clear();
        idle.http2 = None;
    }

    /// Sees to it that what waits too long is closed; ends when nothing waits.
    fn sweep(self: &Arc<Self>, idle: &mut Idle) {
        if std::mem::replace(&mut idle.is_swept, true) {
            return;
        }
        let upstream = Arc::downgrade(self);
        let pool_idle = self.pool_idle;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pool_idle).await;
                let Some(upstream) = upstream.upgrade() else { return };
                let mut idle = upstream.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.http1.retain(|(_, since)| since.elapsed() < pool_idle);
                if idle.http2.as_ref().is_some_and(|(_, used)| used.elapsed() >= pool_idle) {
                    idle.http2 = None;
                }
                if idle.http1.is_empty() && idle.http2.is_none() {
                    idle.is_swept = false;
                    idle.http1.shrink_to_fit();
                    return;
                }
            }
        });
    }

    fn now_ms(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Active {
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.n_active.fetch_sub(1, Ordering::Relaxed);
    }
}
