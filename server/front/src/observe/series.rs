//! The counters: found without a lock by labels packed into a number, spread over shards so that
//! cores do not wait for each other.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::Method;

use super::Server;

/// More than a home has names; what comes beyond counts as `_other`.
const HOSTS_MAX: u16 = 4096;
/// Bounds memory to some 8 MiB: a site that answers with made-up status codes costs others nothing.
const SERIES_MAX: usize = 4096;
/// More than a few cores at once in one counter are rare.
const SHARDS_MAX: usize = 4;

pub(super) const OTHER_HOST: u16 = 0;
pub(super) const OTHER: &str = "_other";

/// Prometheus' default buckets, as Caddy uses them.
pub(super) const SECONDS_BOUNDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const NS_BOUNDS: [u64; 11] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// From 256 by four, as Caddy.
pub(super) const BYTES_BOUNDS: [u64; 8] =
    [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

/// What answered a request, in Caddy's words where it has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HandlerName {
    /// Nothing: the front said no.
    Refused,
    /// The front itself: login, the CA, redirects to HTTPS.
    Front,
    Page,
    Prometheus,
    Loki,
    StaticResponse,
    ReverseProxy,
    FileServer,
}

impl HandlerName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Front => "front",
            Self::Page => "page",
            Self::Prometheus => "prometheus",
            Self::Loki => "loki",
            Self::StaticResponse => "static_response",
            Self::ReverseProxy => "reverse_proxy",
            Self::FileServer => "file_server",
        }
    }
}

/// The methods that have a label of their own.
const METHODS: [&str; 10] =
    ["OTHER", "GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

fn method_id(method: &Method) -> u8 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 2,
        Method::PUT => 3,
        Method::POST => 4,
        Method::DELETE => 5,
        Method::CONNECT => 6,
        Method::OPTIONS => 7,
        Method::TRACE => 8,
        Method::PATCH => 9,
        _ => 0,
    }
}

/// The labels of what is counted whatever the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LineKey {
    pub(super) server: Server,
    pub(super) handler: HandlerName,
    pub(super) host: u16,
}

/// All labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub(super) line: LineKey,
    pub(super) code: u16,
    method: u8,
}

impl SeriesKey {
    pub(super) fn new(line: LineKey, method: &Method, code: u16) -> Self {
        Self { line, code, method: method_id(method) }
    }

    pub(super) fn method(self) -> &'static str {
        METHODS.get(usize::from(self.method)).copied().unwrap_or("OTHER")
    }
}

/// Keys are a few small numbers that nobody outside chooses freely.
#[derive(Debug, Default)]
struct Mix(u64);

impl Mix {
    fn add(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add(u64::from(*byte)));
    }

    fn write_u8(&mut self, n: u8) {
        self.add(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.add(u64::from(n));
    }

    fn write_isize(&mut self, n: isize) {
        self.add(n.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits.
        self.0 ^ (self.0 >> 32)
    }
}

type Table<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// All counters; tables are replaced as a whole when something new comes, which is rare.
#[derive(Debug)]
pub(super) struct Series {
    lines: ArcSwap<Table<LineKey, Arc<Line>>>,
    measured: ArcSwap<Table<SeriesKey, Arc<Measures>>>,
    hosts: ArcSwap<Hosts>,
    /// What comes when there are too many, under no label's name.
    overflow: (Arc<Line>, Arc<Measures>),
    /// Held while a table is replaced.
    growing: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Hosts {
    /// By name, or by `*.` and the name without its first label.
    ids: HashMap<Arc<str>, u16>,
    /// By id; the first is [`OTHER`].
    names: Vec<Arc<str>>,
}

impl Default for Series {
    fn default() -> Self {
        let hosts = Hosts { ids: HashMap::new(), names: vec![Arc::from(OTHER)] };
        Self {
            lines: ArcSwap::default(),
            measured: ArcSwap::default(),
            hosts: ArcSwap::from_pointee(hosts),
            overflow: (Arc::default(), Arc::new(Measures::new())),
            growing: Mutex::new(()),
        }
    }
}

impl Series {
    pub(super) fn learn_hosts(&self, names: impl IntoIterator<Item = String>) {
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = Hosts::clone(&self.hosts.load());
        for name in names {
            let next = u16::try_from(hosts.names.len()).unwrap_or(HOSTS_MAX);
            if next < HOSTS_MAX && !hosts.ids.contains_key(name.as_str()) {
                let name: Arc<str> = Arc::from(name);
                hosts.names.push(Arc::clone(&name));
                hosts.ids.insert(name, next);
            }
        }
        self.hosts.store(Arc::new(hosts));
    }

    /// Of a name in lower case.
    pub(super) fn host(&self, name: &str) -> u16 {
        let hosts = self.hosts.load();
        let wildcard = || {
            let (_label, rest) = name.split_once('.')?;
            hosts.ids.get(format!("*.{rest}").as_str()).copied()
        };
        hosts.ids.get(name).copied().or_else(wildcard).unwrap_or(OTHER_HOST)
    }

    pub(super) fn host_name(&self, id: u16) -> Arc<str> {
        let hosts = self.hosts.load();
        hosts.names.get(usize::from(id)).cloned().unwrap_or_else(|| Arc::from(OTHER))
    }

    pub(super) fn line(&self, key: LineKey) -> Arc<Line> {
        if let Some(line) = self.lines.load().get(&key) {
            return Arc::clone(line);
        }
        self.grow(&self.lines, key, Arc::default, &self.overflow.0)
    }

    pub(super) fn of(&self, key: SeriesKey) -> Arc<Measures> {
        if let Some(measures) = self.measured.load().get(&key) {
            return Arc::clone(measures);
        }
        self.grow(&self.measured, key, || Arc::new(Measures::new()), &self.overflow.1)
    }

    fn grow<K: Copy + Eq + std::hash::Hash, V>(
        &self,
        tables: &ArcSwap<Table<K, Arc<V>>>,
        key: K,
        new: impl FnOnce() -> Arc<V>,
        overflow: &Arc<V>,
    ) -> Arc<V> {
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&tables.load());
        if let Some(found) = table.get(&key) {
            return Arc::clone(found);
        }
        if table.len() >= SERIES_MAX {
            return Arc::clone(overflow);
        }
        let value = new();
        table.insert(key, Arc::clone(&value));
        tables.store(Arc::new(table));
        value
    }

    /// In the order of their labels.
    pub(super) fn all_lines(&self) -> Vec<(LineKey, Arc<Line>)> {
        sorted(&self.lines.load())
    }

    /// In the order of their labels.
    pub(super) fn all(&self) -> Vec<(SeriesKey, Arc<Measures>)> {
        sorted(&self.measured.load())
    }

    /// Requests that had no counter of their own left.
    pub(super) fn n_uncounted(&self) -> u64 {
        self.overflow.1.sums().n_requests()
    }
}

fn sorted<K: Copy + Ord, V>(table: &Table<K, Arc<V>>) -> Vec<(K, Arc<V>)> {
    let mut all: Vec<_> = table.iter().map(|(key, it)| (*key, Arc::clone(it))).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all
}

/// Whether what should have answered did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Failed,
}

/// What is counted before the answer is known.
#[derive(Debug, Default)]
pub(super) struct Line {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
}

impl Line {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that nothing answered.
    pub(super) fn refuse(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn n_in_flight(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed).saturating_sub(ended)
    }

    pub(super) fn n_failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Of one request.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) took: Duration,
    pub(super) first_byte: Duration,
    pub(super) bytes_asked: u64,
    pub(super) bytes_sent: u64,
}

/// Four histograms.
#[derive(Debug)]
pub(super) struct Measures(Box<[Shard]>);

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    took: Histogram<12>,
    first_byte: Histogram<12>,
    asked: Histogram<9>,
    sent: Histogram<9>,
}

#[derive(Debug)]
struct Histogram<const N: usize> {
    /// One a bound and one above all bounds; not cumulative.
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_idx| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&self, bounds: &[u64], value: u64) {
        let bucket_idx = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket_idx) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn add_to(&self, sums: &mut Sum) {
        sums.counts.resize(N, 0);
        for (sum, count) in sums.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        sums.sum += self.sum.load(Ordering::Relaxed);
    }
}

/// Of all shards of a histogram.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Not cumulative.
    pub(super) counts: Vec<u64>,
    pub(super) sum: u64,
}

/// Of all shards; durations in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) took: Sum,
    pub(super) first_byte: Sum,
    pub(super) asked: Sum,
    pub(super) sent: Sum,
}

impl Sums {
    pub(super) fn n_requests(&self) -> u64 {
        self.took.counts.iter().sum()
    }
}

impl Measures {
    fn new() -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self((0..n_cores.min(SHARDS_MAX)).map(|_idx| Shard::default()).collect())
    }

    pub(super) fn measure(&self, measured: &Measured) {
        let Some(shard) = self.0.get(shard_of_thread() % self.0.len().max(1)) else { return };
        let ns = |it: Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX);
        shard.took.observe(&NS_BOUNDS, ns(measured.took));
        shard.first_byte.observe(&NS_BOUNDS, ns(measured.first_byte));
        shard.asked.observe(&BYTES_BOUNDS, measured.bytes_asked);
        shard.sent.observe(&BYTES_BOUNDS, measured.bytes_sent);
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for shard in &self.0 {
            shard.took.add_to(&mut sums.took);
            shard.first_byte.add_to(&mut sums.first_byte);
            shard.asked.add_to(&mut sums.asked);
            shard.sent.add_to(&mut sums.sent);
        }
        sums
    }
}

/// The same for a thread all its life.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    SHARD.with(Cell::get)
}
