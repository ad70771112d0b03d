//! The store against an in-memory model, over a disk that fails and loses power.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType},
};
use datafusion::{catalog::TableProvider, execution::SessionState, prelude::SessionContext};
use futures::TryStreamExt as _;
use skep_proto::{
    Clock, KnownSeries as _, LogRow, LogRows, Matcher, Sample, SampleRows, TimeRange, TimestampMs,
    TimestampNs,
};
use skep_wal::sim::{Faults, Seeded, SimFs, each_seed};

use crate::{
    Credentials, LabelsOf, ObjectStoreConfig, Store, StoreConfig,
    part_store::sim::{ObjectFaults, SimObjects},
};

const N_SEEDS: u64 = 200;
const N_STEPS: usize = 40;
/// 2026-11-22 23:59 UTC, so that steps cross into another day.
const START_MS: i64 = 1_795_391_940_000;
const METRICS: [&str; 3] = ["up", "node_load1", "node_cpu_seconds_total"];
const HOSTS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampNs {
        TimestampMs(self.0.load(Ordering::Relaxed)).to_ns()
    }
}

type LogRowKey = (String, i64, String, Vec<(String, String)>);

/// What must be there. A row whose append failed may be there or not.
#[derive(Debug, Default)]
struct Model {
    samples: BTreeMap<(String, i64), u64>,
    /// Values that may have taken the place of the one above, or of none.
    samples_maybe: BTreeMap<(String, i64), BTreeSet<u64>>,
    logs: BTreeSet<LogRowKey>,
    logs_maybe: BTreeSet<LogRowKey>,
}

impl Model {
    fn sample(&mut self, series: String, ts: i64, bits: u64, is_acked: bool) {
        let key = (series, ts);
        if is_acked {
            self.samples_maybe.remove(&key);
            self.samples.insert(key, bits);
        } else {
            self.samples_maybe.entry(key).or_default().insert(bits);
        }
    }

    fn log(&mut self, row: LogRowKey, is_acked: bool) {
        if is_acked {
            self.logs.insert(row);
        } else {
            self.logs_maybe.insert(row);
        }
    }

    /// A delete that failed may have been done or not, now or after a restart.
    fn delete_samples(&mut self, is_deleted: impl Fn(&str, i64) -> bool, is_acked: bool) {
        let gone = self.samples.extract_if(.., |(series, ts), _| is_deleted(series, *ts));
        for (key, bits) in gone.collect::<Vec<_>>() {
            if !is_acked {
                self.samples_maybe.entry(key).or_default().insert(bits);
            }
        }
    }

    fn delete_logs(&mut self, is_deleted: impl Fn(&str, i64) -> bool, is_acked: bool) {
        let gone = self.logs.extract_if(.., |(stream, ts, ..)| is_deleted(stream, *ts));
        for row in gone.collect::<Vec<_>>() {
            if !is_acked {
                self.logs_maybe.insert(row);
            }
        }
    }

    #[track_caller]
    fn check(&mut self, samples: &[((String, i64), u64)], logs: &[LogRowKey], context: &str) {
        let mut found = BTreeMap::new();
        for (key, bits) in samples {
            assert!(found.insert(key.clone(), *bits).is_none(), "{context}: {key:?} is twice");
            let maybe = self.samples_maybe.get(key);
            let is_known =
                self.samples.get(key) == Some(bits) || maybe.is_some_and(|it| it.contains(bits));
            assert!(is_known, "{context}: {key:?} has {bits:#x}, which nobody wrote last");
        }
        for key in self.samples.keys() {
            assert!(found.contains_key(key), "{context}: acknowledged {key:?} is gone");
        }
        let distinct: BTreeSet<_> = logs.iter().cloned().collect();
        assert_eq!(distinct.len(), logs.len(), "{context}: an entry is twice");
        for row in &self.logs {
            assert!(distinct.contains(row), "{context}: acknowledged {row:?} is gone");
        }
        for row in &distinct {
            let is_known = self.logs.contains(row) || self.logs_maybe.contains(row);
            assert!(is_known, "{context}: nobody wrote {row:?}");
        }
    }
}

fn series_name(metric: &str, host: &str) -> String {
    format!("{metric}{{host=\"{host}\"}}")
}

struct World {
    store: Option<Arc<Store>>,
    config: StoreConfig,
    clock: Arc<TestClock>,
    disk: SimFs,
    /// Where parts are, if not on the disk.
    objects: Option<SimObjects>,
    random: Seeded,
    model: Model,
    /// A delete failed, so label sets without rows may be listed until the next merge.
    may_list_more: bool,
}

impl World {
    fn open(&mut self, context: &str) {
        self.disk.set_faults(Faults::default());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (config, disk) = (self.config.clone(), Arc::new(self.disk.clone()));
        let opened = match &self.objects {
            None => Store::open_on(config, clock, disk),
            Some(objects) => {
                // Listings lag behind also while all else is well.
                let list_lag = self.random.below(8);
                objects.set_faults(ObjectFaults { list_lag, ..ObjectFaults::default() });
                let cache_bytes = [60_000, 1_000_000][self.random.below(2)];
                let settings = object_store_config(cache_bytes);
                let objects = Arc::new(objects.clone());
                Store::open_with(config, clock, disk, move |dir, fs| {
                    Ok(Arc::new(settings.open_on(objects, dir, fs)?))
                })
            }
        };
        self.store = Some(opened.unwrap_or_else(|error| panic!("{context}: {error:?}")));
    }

    fn ts(&mut self) -> i64 {
        START_MS + 5_000 * self.random.below(60) as i64
    }

    fn value(&mut self) -> f64 {
        match self.random.below(6) {
            0 => skep_proto::stale_marker(),
            1 => -0.0,
            2 => std::f64::consts::PI * self.random.below(100) as f64,
            3 => self.random.below(1000) as f64 / 100.0,
            _ => self.random.below(1000) as f64,
        }
    }

    async fn append_samples(&mut self, store: &Arc<Store>) {
        let mut written = Vec::new();
        let mut rows = SampleRows::default();
        let mut known = store.known_series();
        for _ in 0..1 + self.random.below(4) {
            let metric = METRICS[self.random.below(3)];
            let host = HOSTS[self.random.below(3)];
            let samples: Vec<_> = (0..1 + self.random.below(4))
                .map(|_| Sample { ts: TimestampMs(self.ts()), value: self.value() })
                .collect();
            for sample in &samples {
                written.push((series_name(metric, host), sample.ts.0, sample.value.to_bits()));
                rows.push_sample(sample.ts.0, sample.value.to_bits());
            }
            // Two senders that spell in their own ways.
            let sender = ["", " "][rows.n_samples() % 2];
            let spelling = [metric, host, sender].concat();
            let fingerprint = known.secret().fingerprint(spelling.as_bytes());
            match known.find(fingerprint) {
                Some(series) => rows.end_known(series),
                None => {
                    rows.end_unknown([("__name__", metric), ("host", host)], Some(fingerprint));
                }
            }
        }
        drop(known);
        let is_acked = store.append_samples(&rows).await.is_ok();
        for (series, ts, bits) in written {
            self.model.sample(series, ts, bits, is_acked);
        }
    }

    async fn append_logs(&mut self, store: &Arc<Store>) {
        let mut written = Vec::new();
        let mut rows = LogRows::default();
        for _ in 0..1 + self.random.below(3) {
            let host = HOSTS[self.random.below(3)];
            let entries: Vec<_> = (0..1 + self.random.below(4))
                .map(|_| {
                    let ts = self.ts() * 1_000_000 + self.random.below(3) as i64;
                    let line = format!("line {}", self.random.below(4));
                    let level = ["info", "error"][self.random.below(2)];
                    written.push((
                        format!("{{host=\"{host}\"}}"),
                        ts,
                        line.clone(),
                        vec![("level".to_owned(), level.to_owned())],
                    ));
                    LogRow {
                        ts: TimestampNs(ts),
                        line: line.into(),
                        metadata: vec![("level".into(), level.into())],
                    }
                })
                .collect();
            rows.streams.push((vec![("host".into(), host.into())], entries));
        }
        let is_acked = store.append_logs(&rows).await.is_ok();
        for row in written {
            self.model.log(row, is_acked);
        }
    }

    async fn check(&mut self, store: &Arc<Store>, context: &str) {
        let faults = self.objects.as_ref().map(SimObjects::faults);
        if let Some(objects) = &self.objects {
            // What a query answers that cannot fetch its parts is another test.
            objects.set_faults(ObjectFaults::default());
            self.disk.set_faults(Faults::default());
        }
        let samples = read_samples(store).await;
        let logs = read_logs(store).await;
        self.model.check(&samples, &logs, context);
        let host = HOSTS[self.random.below(3)];
        let selected =
            store.snapshot().series().select(&[Matcher::equal("host", host)], TimeRange::ALL);
        let selected: BTreeSet<_> = selected.iter().map(|(_, it)| it.to_string()).collect();
        let has_host = |series: &str| series.contains(&format!("host=\"{host}\""));
        let found: BTreeSet<_> =
            samples.into_iter().map(|it| it.0.0).filter(|it| has_host(it)).collect();
        check_listed(&selected, &found, self.may_list_more, context);
        let selected =
            store.snapshot().streams().select(&[Matcher::equal("host", host)], TimeRange::ALL);
        let selected: BTreeSet<_> = selected.iter().map(|(_, it)| it.to_string()).collect();
        let found: BTreeSet<_> =
            logs.into_iter().map(|it| it.0).filter(|it| has_host(it)).collect();
        check_listed(&selected, &found, self.may_list_more, context);
        if let (Some(objects), Some(faults)) = (&self.objects, faults) {
            objects.set_faults(faults);
        }
    }

    async fn delete(&mut self, store: &Arc<Store>) {
        let host = HOSTS[self.random.below(3)];
        let metric = METRICS[self.random.below(3)];
        let (a, b) = (self.ts(), self.ts());
        let range = match self.random.below(3) {
            0 => TimeRange::ALL,
            _ => TimeRange { start: TimestampMs(a.min(b)), end: TimestampMs(a.max(b)) },
        };
        let mut matchers = vec![Matcher::equal("host", host)];
        let is_acked;
        if self.random.is_one_in(2) {
            if self.random.is_one_in(2) {
                matchers.push(Matcher::equal("__name__", metric));
            }
            let by_metric = matchers.len() == 2;
            let deleted = store.delete(LabelsOf::Series, &[matchers], "samples", range).await;
            println!("delete {host} {by_metric} {range:?}: {deleted:?}");
            is_acked = deleted.is_ok();
            let is_deleted = |series: &str, ts| {
                series.contains(&format!("host=\"{host}\""))
                    && (!by_metric || series.starts_with(&format!("{metric}{{")))
                    && range.contains(TimestampMs(ts))
            };
            self.model.delete_samples(is_deleted, is_acked);
        } else {
            let deleted = store.delete(LabelsOf::Streams, &[matchers], "logs", range).await;
            println!("delete {host} {range:?}: {deleted:?}");
            is_acked = deleted.is_ok();
            let (start, end) = (range.start.to_ns().0, range.end.to_ns().0);
            let is_deleted = |stream: &str, ts| {
                stream == format!("{{host=\"{host}\"}}") && start <= ts && ts <= end
            };
            self.model.delete_logs(is_deleted, is_acked);
        }
        self.may_list_more |= !is_acked;
    }

    /// Object storage holds the live parts, and nothing that was left behind.
    async fn check_objects(&self, store: &Arc<Store>, context: &str) {
        let Some(objects) = &self.objects else { return };
        let is_part = |it: &String| it.contains("/day=");
        let found: Vec<_> = objects.names().into_iter().filter(is_part).collect();
        let tables = store.tables.lock().await;
        let mut live: Vec<_> = [
            ("logs", &tables.logs),
            ("samples", &tables.samples),
            ("series", &tables.series),
            ("streams", &tables.streams),
        ]
        .iter()
        .flat_map(|(table, log)| log.live().map(move |it| format!("prefix/{table}/{}", it.name)))
        .collect();
        live.sort_unstable();
        assert_eq!(found, live, "{context}");
    }

    async fn step(&mut self, context: &str) {
        let Some(store) = self.store.clone() else {
            self.open(context);
            let store = self.store.clone().unwrap();
            self.check(&store, context).await;
            return;
        };
        let action = self.random.below(22);
        println!("{context}: action {action}");
        match action {
            0..6 => self.append_samples(&store).await,
            6..10 => self.append_logs(&store).await,
            10..13 => println!("flush: {:?}", store.flush().await),
            13 => {
                let compacted = store.compact().await;
                println!("compact: {compacted:?}");
                self.may_list_more &= compacted.is_err();
            }
            14 => self.check(&store, context).await,
            15..17 if self.objects.is_some() && self.random.is_one_in(2) => {
                let one_in = |random: &mut Seeded| [0, 3, 10][random.below(3)];
                let faults = ObjectFaults {
                    put_one_in: one_in(&mut self.random),
                    get_one_in: one_in(&mut self.random),
                    list_one_in: one_in(&mut self.random),
                    delete_one_in: one_in(&mut self.random),
                    list_lag: self.random.below(8),
                    is_away: self.random.is_one_in(6),
                };
                self.objects.as_ref().unwrap().set_faults(faults);
            }
            15..17 => self.disk.set_faults(Faults {
                write_one_in: [0, 5, 20][self.random.below(3)],
                sync_one_in: [0, 5, 20][self.random.below(3)],
                name_one_in: [0, 5, 20][self.random.below(3)],
                is_full: self.random.is_one_in(6),
            }),
            17 => {
                self.disk.set_faults(Faults::default());
                if let Some(objects) = &self.objects {
                    objects.set_faults(ObjectFaults::default());
                }
            }
            18 => {
                drop(store);
                self.store = None;
                self.disk.crash().unwrap();
            }
            20..22 => self.delete(&store).await,
            _ => {
                if self.random.is_one_in(2) {
                    store.close().await;
                }
                drop(store);
                self.store = None;
            }
        }
    }
}

/// Label APIs tell every label set that has rows, and no other.
#[track_caller]
fn check_listed(
    selected: &BTreeSet<String>,
    found: &BTreeSet<String>,
    may_list_more: bool,
    context: &str,
) {
    let missing: Vec<_> = found.difference(selected).collect();
    assert!(missing.is_empty(), "{context}: {missing:?} have rows and are not listed");
    let empty: Vec<_> = selected.difference(found).collect();
    assert!(may_list_more || empty.is_empty(), "{context}: {empty:?} are listed without rows");
}

async fn collect(table: Arc<dyn TableProvider>) -> Vec<RecordBatch> {
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    static STATE: LazyLock<SessionState> = LazyLock::new(|| CONTEXT.state());
    let plan = table.scan(&*STATE, None, &[], None).await.unwrap();
    plan.execute(0, CONTEXT.task_ctx()).unwrap().try_collect().await.unwrap()
}

async fn read_samples(store: &Arc<Store>) -> Vec<((String, i64), u64)> {
    let snapshot = store.snapshot();
    let names: BTreeMap<i64, String> = snapshot
        .series()
        .select(&[], TimeRange::ALL)
        .into_iter()
        .map(|(id, labels)| (id.0, labels.to_string()))
        .collect();
    let mut rows = Vec::new();
    let mut last = None;
    for batch in collect(snapshot.samples()).await {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let ts = batch.column(1).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        for i in 0..batch.num_rows() {
            let key = (ids.value(i), ts.value(i));
            assert!(last < Some(key), "out of order: {last:?} before {key:?}");
            last = Some(key);
            let name = names.get(&key.0).expect("a sample's series is in the index").clone();
            rows.push(((name, key.1), values.value(i).to_bits()));
        }
    }
    rows
}

async fn read_logs(store: &Arc<Store>) -> Vec<LogRowKey> {
    let snapshot = store.snapshot();
    let names: BTreeMap<i64, String> = snapshot
        .streams()
        .select(&[], TimeRange::ALL)
        .into_iter()
        .map(|(id, labels)| (id.0, labels.to_string()))
        .collect();
    let mut rows = Vec::new();
    let mut last = None;
    for batch in collect(snapshot.logs()).await {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let ts = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let lines = batch.column(2).as_string::<i32>();
        let metadata = batch.column(3).as_map();
        for i in 0..batch.num_rows() {
            let key = (ids.value(i), ts.value(i));
            assert!(last <= Some(key), "out of order: {last:?} before {key:?}");
            last = Some(key);
            let entries = metadata.value(i);
            let (keys, values) =
                (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
            let pairs = keys
                .iter()
                .zip(values)
                .map(|(key, value)| (key.unwrap().to_owned(), value.unwrap().to_owned()))
                .collect();
            let name = names.get(&key.0).expect("an entry's stream is in the index").clone();
            rows.push((name, key.1, lines.value(i).to_owned(), pairs));
        }
    }
    rows
}

fn config(dir: &std::path::Path) -> StoreConfig {
    StoreConfig {
        group_interval: Duration::ZERO,
        // A replay writes parts wherever it can.
        replay_bytes_max: Some(1),
        parts_per_day_max: 2,
        ..StoreConfig::new(dir.join("data"))
    }
}

fn object_store_config(cache_bytes: u64) -> ObjectStoreConfig {
    ObjectStoreConfig {
        bucket: "bucket".to_owned(),
        prefix: "prefix".to_owned(),
        endpoint: None,
        region: None,
        credentials: Credentials::Environment,
        ca_file: None,
        virtual_hosted: false,
        cache_bytes,
    }
}

fn run_seed(seed: u64, objects: Option<SimObjects>) {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World {
        store: None,
        config: config(dir.path()),
        clock: Arc::new(TestClock(AtomicI64::new(START_MS))),
        disk: SimFs::new(seed),
        objects,
        random: Seeded::new(seed ^ 0x5eed),
        model: Model::default(),
        may_list_more: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for step in 0..N_STEPS {
            world.step(&format!("seed {seed} step {step}")).await;
        }
        world.store = None;
        world.disk.crash().unwrap();
        let context = format!("seed {seed} at the end");
        world.open(&context);
        let store = world.store.clone().unwrap();
        world.check(&store, &context).await;
        drop(store);
        // Once more, with nothing hidden from the search for orphans.
        if let Some(objects) = world.objects.clone() {
            objects.set_faults(ObjectFaults::default());
            world.store = None;
            let settings = object_store_config(1_000_000);
            let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
            let disk = Arc::new(world.disk.clone());
            let opened = Store::open_with(world.config.clone(), clock, disk, move |dir, fs| {
                Ok(Arc::new(settings.open_on(Arc::new(objects), dir, fs)?))
            });
            world.check_objects(&opened.unwrap(), &context).await;
        }
    });
}

#[test]
fn what_was_acknowledged_is_there_once_after_faults_and_crashes() {
    each_seed(N_SEEDS, |seed| run_seed(seed, None));
}

#[test]
fn what_was_acknowledged_is_there_once_with_parts_in_failing_object_storage() {
    each_seed(N_SEEDS, |seed| run_seed(seed, Some(SimObjects::new(seed ^ 0x0b1ec7))));
}
