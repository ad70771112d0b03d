//! The kernel's ring buffer, read as it fills: records become log entries, at most so many a
//! second.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use skep_abi::{EVENT_KINDS, EventHeader, event_kind};
use skep_proto::{Clock, LabelsBuilder, LogEntry, TimestampNs};
use tokio::{
    io::unix::AsyncFd,
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tracing::{debug, warn};

use super::{family, oom_limit, raw};
use crate::sources::{
    LogRecord, Roots,
    units::{
        SharedUnits,
        groups::{Unit, path_of_process},
    },
};

/// Bounds what a fork bomb can put into the log; the counters stay exact. OOM kills are always
/// told.
const PER_SECOND_DEFAULT: u32 = 100;
/// A build or a boot starts many programs at once, and these are worth having: so many seconds'
/// worth of events may come at once.
const BURST_SECONDS: u64 = 20;
/// How often an event of a process that is gone, from a group not yet seen, may make us walk the
/// tree of groups.
const WALK_INTERVAL: Duration = Duration::from_secs(1);

/// `[ebpf.events]` of the configuration: which events become log entries, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EventSettings {
    pub(crate) oom: bool,
    pub(crate) exec: bool,
    pub(crate) exit: bool,
    pub(crate) signal: bool,
    /// Off unless asked for: a busy proxy makes more of them than of everything else.
    pub(crate) tcp_connect: bool,
    /// Of each event but OOM kills.
    pub(crate) per_second: NonZeroU32,
}

impl Default for EventSettings {
    fn default() -> Self {
        let per_second = NonZeroU32::new(PER_SECOND_DEFAULT).expect("it is not zero");
        Self { oom: true, exec: true, exit: true, signal: true, tcp_connect: false, per_second }
    }
}

impl EventSettings {
    fn is_on(&self, kind: u32) -> bool {
        match kind {
            event_kind::OOM_KILL => self.oom,
            event_kind::EXEC => self.exec,
            event_kind::EXIT => self.exit,
            event_kind::SIGNAL => self.signal,
            event_kind::TCP_CONNECT => self.tcp_connect,
            _ => false,
        }
    }

    /// The global `EVENTS_ON` of the kernel programs. OOM kills come always, since some kernels
    /// have their unit told by nothing else.
    pub(super) fn mask(&self) -> u32 {
        let is_on = |kind: &u32| self.is_on(*kind) || *kind == event_kind::OOM_KILL;
        (0..EVENT_KINDS).filter(is_on).fold(0, |mask, kind| mask | 1 << kind)
    }
}

/// What is in the log beside the record's own fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// The stream's label `event`.
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) line: String,
    /// Sorted by name.
    pub(super) metadata: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warning,
    Error,
}

/// Counters of the reader, read by the collection.
#[derive(Debug, Default)]
pub(super) struct Stats {
    kinds: [KindStats; EVENT_KINDS as usize],
    /// Units of OOM kills that the kernel gave no group for, to be counted by the collection.
    pub(super) oom_units: Mutex<Vec<Unit>>,
}

/// Counters of one kind of record.
#[derive(Debug, Default)]
pub(super) struct KindStats {
    pub(super) sent: AtomicU64,
    pub(super) over_rate: AtomicU64,
    pub(super) queue_full: AtomicU64,
}

impl Stats {
    /// `None` for a kind that no family knows.
    pub(super) fn of(&self, kind: u32) -> Option<&KindStats> {
        self.kinds.get(usize::try_from(kind).ok()?)
    }
}

/// Reads the ring until the receiver is gone; its owner aborts it at the end.
#[derive(Debug)]
pub(super) struct Reader<C> {
    pub(super) host: String,
    pub(super) roots: Roots,
    pub(super) units: SharedUnits,
    pub(super) stats: Arc<Stats>,
    pub(super) events_tx: mpsc::Sender<LogRecord>,
    pub(super) clock: C,
    pub(super) settings: EventSettings,
    /// By kind.
    pub(super) limiters: BTreeMap<u32, Limiter>,
    pub(super) walked: Option<Instant>,
}

impl<C: Clock> Reader<C> {
    pub(super) async fn run(mut self, mut ring: AsyncFd<RingBuf<MapData>>) {
        loop {
            let mut guard = match ring.readable_mut().await {
                Ok(guard) => guard,
                Err(error) => {
                    warn!(%error, "Cannot wait for events of the kernel any more.");
                    return;
                }
            };
            let since_boot = Since::now(&self.clock);
            while let Some(item) = guard.get_inner_mut().next() {
                let item = item.to_vec();
                if !self.take(&item, since_boot) {
                    return;
                }
            }
            guard.clear_ready();
        }
    }

    /// Hands on one record; `false` once nobody listens any more.
    fn take(&mut self, item: &[u8], since_boot: Since) -> bool {
        let Some(header) = raw::record::<EventHeader>(item) else { return true };
        let Some(kind) = family::event_kind(header.kind) else { return true };
        if !kind.is_rare && !self.allows(header.kind) {
            return true;
        }
        let unit = self.unit(&header, kind.is_rare);
        if header.kind == event_kind::OOM_KILL && header.group == 0 {
            let mut units = self.stats.oom_units.lock().unwrap_or_else(PoisonError::into_inner);
            units.push(unit.clone());
        }
        if !self.settings.is_on(header.kind) {
            return true;
        }
        let Some(mut event) = (kind.describe)(item, &unit.name) else { return true };
        if header.kind == event_kind::OOM_KILL
            && let Some((group, limit)) = oom_limit::find(&self.roots, header.pid)
        {
            event.line.push_str(&format!("; {group} may hold {} MiB", limit >> 20));
            event.metadata.push(("cgroup", group));
            event.metadata.push(("memory_limit_bytes", limit.to_string()));
            event.metadata.sort_unstable();
        }
        let record = to_record(event, &self.host, &unit.name, since_boot.wall(header.boot_ns));
        let Some(stats) = self.stats.of(header.kind) else { return true };
        match self.events_tx.try_send(record) {
            Ok(()) => stats.sent.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Full(_)) => stats.queue_full.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Closed(_)) => return false,
        };
        true
    }

    fn allows(&mut self, kind: u32) -> bool {
        let per_second = u64::from(self.settings.per_second.get());
        let limiter = self.limiters.entry(kind).or_insert_with(|| Limiter::new(per_second));
        let allows = limiter.allows(Instant::now());
        if !allows && let Some(stats) = self.stats.of(kind) {
            stats.over_rate.fetch_add(1, Ordering::Relaxed);
        }
        allows
    }

    fn unit(&mut self, header: &EventHeader, may_always_walk: bool) -> Unit {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = units.groups();
        if let Some(unit) = groups.unit(header.group) {
            return unit.clone();
        }
        // One file is cheaper than the whole tree; but the process may be gone by now.
        let file = self.roots.proc.join(header.pid.to_string()).join("cgroup");
        let text = fs::read_to_string(file).unwrap_or_default();
        let path = path_of_process(&text);
        if header.group == 0 {
            return path.map_or_else(Unit::other, Unit::of_path);
        }
        if let Some(path) = path {
            groups.learn(header.group, path);
        }
        let may_walk =
            may_always_walk || self.walked.is_none_or(|it| it.elapsed() >= WALK_INTERVAL);
        if groups.unit(header.group).is_none() && may_walk {
            self.walked = Some(Instant::now());
            if let Err(error) = groups.find_new() {
                debug!(%error, "Cannot read the tree of control groups.");
            }
        }
        groups.unit(header.group).cloned().unwrap_or_else(Unit::other)
    }
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Limiter {
    per_second: u64,
    tokens: u64,
    filled: Option<Instant>,
}

impl Limiter {
    fn new(per_second: u64) -> Self {
        Self { per_second, tokens: per_second * BURST_SECONDS, filled: None }
    }

    fn allows(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let elapsed_ms = u64::try_from(now.duration_since(filled).as_millis()).unwrap_or(u64::MAX);
        let n_new = elapsed_ms.saturating_mul(self.per_second) / 1000;
        if n_new > 0 {
            self.tokens = self.tokens.saturating_add(n_new).min(self.per_second * BURST_SECONDS);
            self.filled = Some(now);
        }
        let allows = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allows
    }
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
struct Since {
    wall: TimestampNs,
    boot_ns: i64,
}

impl Since {
    fn now(clock: &impl Clock) -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        Self { wall: clock.now(), boot_ns: boot.tv_sec * 1_000_000_000 + boot.tv_nsec }
    }

    /// When an event was, by the clock on the wall as it is set now.
    fn wall(self, boot_ns: u64) -> TimestampNs {
        let age_ns = self.boot_ns.saturating_sub(i64::try_from(boot_ns).unwrap_or(i64::MAX));
        TimestampNs(self.wall.0.saturating_sub(age_ns))
    }
}

fn to_record(event: Event, host: &str, unit: &str, ts: TimestampNs) -> LogRecord {
    let level = match event.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let mut stream = LabelsBuilder::default();
    stream
        .set("event", event.name)
        .set("host", host)
        .set("job", "kernel")
        .set("level", level)
        .set("source", "kernel")
        .set("unit", unit);
    let metadata = event.metadata.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
    LogRecord { stream: stream.build(), entry: LogEntry { ts, line: event.line, metadata } }
}

/// The thread's name of a record.
pub(super) fn comm(header: &EventHeader) -> String {
    text(&header.comm)
}

/// Bytes up to the first NUL, whatever their encoding.
pub(super) fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|it| *it == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_SECOND: u64 = 100;
    const BURST: u64 = PER_SECOND * BURST_SECONDS;

    #[test]
    fn a_burst_is_let_through_and_then_a_steady_rate() {
        let mut limiter = Limiter::new(PER_SECOND);
        let start = Instant::now();
        let allowed = |limiter: &mut Limiter, n: u64, at: Duration| {
            (0..n).filter(|_| limiter.allows(start + at)).count() as u64
        };
        assert_eq!(allowed(&mut limiter, 3 * BURST, Duration::ZERO), BURST);
        let one_second = Duration::from_secs(1);
        assert_eq!(allowed(&mut limiter, 3 * BURST, one_second), PER_SECOND);
        let an_hour = Duration::from_secs(3600);
        assert_eq!(allowed(&mut limiter, 3 * BURST, an_hour), BURST);
    }

    #[test]
    fn slow_tokens_are_not_lost_between_two_looks() {
        let mut limiter = Limiter::new(PER_SECOND);
        let start = Instant::now();
        while limiter.allows(start) {}
        let n = (1..=1000).filter(|ms| limiter.allows(start + Duration::from_millis(*ms))).count();
        assert_eq!(n as u64, PER_SECOND);
    }

    #[test]
    fn an_event_is_stamped_when_it_was_not_when_it_was_read() {
        let now = Since { wall: TimestampNs(1_000_000), boot_ns: 500 };
        assert_eq!(now.wall(400), TimestampNs(999_900));
        assert_eq!(now.wall(600), TimestampNs(1_000_100));
    }

    #[test]
    fn the_stream_names_where_an_event_is_from() {
        let event = Event {
            name: "exec",
            level: Level::Info,
            line: "started x".to_owned(),
            metadata: vec![("pid", "1".to_owned())],
        };
        let record = to_record(event, "h1", "a.service", TimestampNs(5));
        assert_eq!(
            record.stream.to_string(),
            r#"{event="exec", host="h1", job="kernel", level="info", source="kernel", unit="a.service"}"#
        );
        assert_eq!(record.entry.metadata, [("pid".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn events_that_nobody_wants_are_not_made_but_for_oom_kills() {
        let settings: EventSettings = toml::from_str("exec = false\noom = false").unwrap();
        let wanted = [event_kind::EXIT, event_kind::OOM_KILL, event_kind::SIGNAL];
        assert_eq!(settings.mask(), wanted.iter().fold(0, |mask, kind| mask | 1 << kind));
        assert!(!settings.is_on(event_kind::OOM_KILL));
        assert!(toml::from_str::<EventSettings>("per_second = 0").is_err());
    }
}
