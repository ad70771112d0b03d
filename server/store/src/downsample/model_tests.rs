//! Samples and what is summed up of them against an in-memory model, over days, deletes, crashes
//! and a disk that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::AsArray as _,
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::{catalog::TableProvider, execution::SessionState, prelude::SessionContext};
use skep_proto::{Clock, Matcher, Sample, SampleRows, TimeRange, TimestampMs, is_stale_marker};
use skep_wal::sim::{Faults, Seeded, SimFs, each_seed};

use super::{Rollup, RollupPeriod, RollupPeriods};
use crate::{
    LabelsOf, Store, StoreConfig,
    day::{MS_PER_DAY, day_of_ms, start_ms},
    model_tests::faults::object_store_config,
    part_store::sim::{ObjectFaults, SimObjects},
    test_fixture::{TestClock, runtime},
};

const N_SEEDS: u64 = 30;
const N_STEPS: usize = 40;
const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 20_000 * MS_PER_DAY;
const RETENTION_MS: i64 = 3 * MS_PER_DAY;
/// Of one step.
const ADVANCE_MAX_MS: i64 = 12 * HOUR_MS;
const SERIES: [&str; 3] = ["a", "b", "c"];

/// A series and the end of an hour of it.
type Hour = (&'static str, i64);

#[derive(Default)]
struct Model {
    samples: BTreeMap<(&'static str, i64), f64>,
    /// Of which a delete may have taken more than it was about.
    cut: BTreeSet<Hour>,
}

struct World {
    store: Option<Arc<Store>>,
    config: StoreConfig,
    clock: Arc<TestClock>,
    disk: SimFs,
    objects: Option<SimObjects>,
    random: Seeded,
    model: Model,
    next_value: f64,
}

fn hour_end(ts: i64) -> i64 {
    (ts - 1).div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS
}

impl World {
    fn now(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    fn store(&mut self, context: &str) -> Arc<Store> {
        if let Some(store) = &self.store {
            return Arc::clone(store);
        }
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (config, disk) = (self.config.clone(), Arc::new(self.disk.clone()));
        let opened = match self.objects.clone() {
            None => Store::open_on(config, clock, disk),
            Some(objects) => Store::open_with(config, clock, disk, move |dir, fs| {
                Ok(Arc::new(object_store_config(60_000).open_on(Arc::new(objects), dir, fs)?))
            }),
        };
        let store = opened.unwrap_or_else(|error| panic!("{context}: {error:?}"));
        self.store = Some(Arc::clone(&store));
        store
    }

    fn set_faults(&mut self, is_faulty: bool) {
        let one_in = |random: &mut Seeded| if is_faulty { [0, 3, 10][random.below(3)] } else { 0 };
        self.disk.set_faults(Faults {
            write_one_in: one_in(&mut self.random),
            sync_one_in: one_in(&mut self.random),
            name_one_in: one_in(&mut self.random),
            ..Faults::default()
        });
        if let Some(objects) = &self.objects {
            objects.set_faults(ObjectFaults {
                put_one_in: one_in(&mut self.random),
                get_one_in: one_in(&mut self.random),
                delete_one_in: one_in(&mut self.random),
                ..ObjectFaults::default()
            });
        }
    }

    /// The first day of which nothing will have expired when it is merged next.
    fn first_whole_day(&self) -> i32 {
        day_of_ms(self.now() + ADVANCE_MAX_MS - RETENTION_MS) + 1
    }

    /// A multiple of `step_ms` after the start, up to the end.
    fn time_between(&mut self, start: i64, end: i64, step_ms: i64) -> i64 {
        let n_steps = usize::try_from((end - start) / step_ms).unwrap();
        start + step_ms * i64::try_from(self.random.below(n_steps + 1)).unwrap()
    }

    fn ts(&mut self) -> i64 {
        let first_day = self.first_whole_day();
        // Time stamps at the ends of buckets and of days among them.
        self.time_between(start_ms(first_day), self.now(), 150_000)
    }

    async fn append(&mut self, context: &str) {
        let store = self.store(context);
        let mut rows = SampleRows::default();
        for _ in 0..1 + self.random.below(30) {
            let series = SERIES[self.random.below(3)];
            let ts = self.ts();
            self.next_value += 1.0;
            let value = self.next_value;
            rows.push([("__name__", series)], [Sample { ts: TimestampMs(ts), value }]);
            self.model.samples.insert((series, ts), value);
        }
        let appended = store.append_samples(&rows).await.unwrap();
        assert_eq!(appended.n_rejected, 0, "{context}: {:?}", appended.first_rejection);
    }

    async fn delete(&mut self, context: &str) {
        let store = self.store(context);
        let series = SERIES[self.random.below(3)];
        let oldest = self.model.samples.keys().map(|it| it.1).min().unwrap_or(START_MS);
        let mut ends = [0; 2].map(|_| self.time_between(oldest, self.now(), 60_000));
        ends.sort_unstable();
        let [start, end] = ends;
        let range = TimeRange { start: TimestampMs(start), end: TimestampMs(end) };
        let matchers = vec![Matcher::equal("__name__", series)];
        println!("{context}: delete {series} {start}..={end}");
        store.delete(LabelsOf::Series, &[matchers], "", range).await.unwrap();
        self.model.samples.retain(|(its, ts), _| *its != series || *ts < start || end < *ts);
        // Later days are summed up again.
        let whole_from = start_ms(self.first_whole_day());
        for at in [start, end].into_iter().filter(|it| *it <= whole_from) {
            self.model.cut.insert((series, hour_end(at)));
        }
    }

    async fn advance(&mut self, context: &str) {
        let now = self.now();
        let then = self.time_between(now, now + ADVANCE_MAX_MS, 1);
        self.clock.0.store(then, Ordering::Relaxed);
        let store = self.store(context);
        store.flush().await.unwrap();
        store.compact().await.unwrap();
    }

    async fn step(&mut self, context: &str) {
        let action = self.random.below(16);
        println!("{context}: action {action}");
        match action {
            0..5 => self.append(context).await,
            5..8 => self.advance(context).await,
            8 => self.delete(context).await,
            9 | 10 => {
                let store = self.store(context);
                self.set_faults(true);
                println!("flush: {:?}", store.flush().await);
                println!("compact: {:?}", store.compact().await);
                self.set_faults(false);
            }
            11 => {
                self.store = None;
                self.disk.crash().unwrap();
            }
            12 => self.store = None,
            13 => drop(self.store(context).flush().await),
            _ => self.check(context).await,
        }
    }

    async fn check(&mut self, context: &str) {
        let store = self.store(context);
        let snapshot = store.snapshot();
        let names: BTreeMap<i64, String> = snapshot
            .series()
            .select(&[], TimeRange::ALL)
            .into_iter()
            .map(|(id, labels)| (id.0, labels.metric_name().to_owned()))
            .collect();
        let mut expected: BTreeMap<Hour, Vec<f64>> = BTreeMap::new();
        for (&(series, ts), value) in &self.model.samples {
            expected.entry((series, hour_end(ts))).or_default().push(*value);
        }
        for grain_ms in [300_000, HOUR_MS] {
            let rollups = snapshot.rollups(grain_ms);
            let table =
                |it| rollups.as_ref().map_or_else(|| snapshot.samples(), |all| all.table(it));
            let is_raw = rollups.is_none();
            let context = format!("{context}, buckets that divide {grain_ms}");
            let all = async |it| by_hour(table(it), &names).await;
            let counts = all(Rollup::Count).await;
            let found: BTreeSet<&Hour> = counts.keys().collect();
            for hour in expected.keys().filter(|it| !self.model.cut.contains(*it)) {
                assert!(found.contains(hour), "{context}: {hour:?} is gone");
            }
            let (sums, minima, maxima, lasts) = (
                all(Rollup::Sum).await,
                all(Rollup::Min).await,
                all(Rollup::Max).await,
                all(Rollup::Last).await,
            );
            for (hour, counts) in &counts {
                let known = expected.get(hour);
                let known = known.unwrap_or_else(|| panic!("{context}: {hour:?} was deleted"));
                let sum = |values: &[f64]| values.iter().sum::<f64>();
                let n = if is_raw { counts.len() as f64 } else { sum(counts) };
                let (min, max) = (least(&minima[hour]), -least(&negated(&maxima[hour])));
                let last = *lasts[hour].last().unwrap();
                if self.model.cut.contains(hour) {
                    assert!(n <= known.len() as f64, "{context}: {hour:?} has {n} of {known:?}");
                    for value in [min, max, last] {
                        assert!(known.contains(&value), "{context}: {value} in {hour:?} is gone");
                    }
                    continue;
                }
                let found = (n, sum(&sums[hour]), min, max, last);
                let least_of_all = least(known);
                let most = -least(&negated(known));
                let wanted =
                    (known.len() as f64, sum(known), least_of_all, most, *known.last().unwrap());
                assert_eq!(found, wanted, "{context}: {hour:?}");
            }
        }
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|it| -it).collect()
}

/// What a table holds of each hour of each series, in order of time.
async fn by_hour(
    table: Arc<dyn TableProvider>,
    names: &BTreeMap<i64, String>,
) -> BTreeMap<Hour, Vec<f64>> {
    let mut rows = Vec::new();
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    static STATE: LazyLock<SessionState> = LazyLock::new(|| CONTEXT.state());
    let context = &*CONTEXT;
    let plan = table.scan(&*STATE, None, &[], None).await.unwrap();
    for batch in datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap() {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let ts = batch.column(1).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let name = names.get(&ids.value(row)).expect("a row's series is listed");
            let series = *SERIES.iter().find(|it| *it == name).unwrap();
            rows.push((series, ts.value(row), values.value(row)));
        }
    }
    rows.sort_by_key(|it| (it.0, it.1));
    let mut hours: BTreeMap<Hour, Vec<f64>> = BTreeMap::new();
    for (series, ts, value) in rows.into_iter().filter(|it| !is_stale_marker(it.2)) {
        hours.entry((series, hour_end(ts))).or_default().push(value);
    }
    hours
}

fn run_seed(seed: u64, objects: Option<SimObjects>) {
    let dir = tempfile::tempdir().unwrap();
    let forever = Some(RollupPeriod::Forever);
    let config = StoreConfig {
        group_interval: Duration::ZERO,
        parts_per_day_max: 2,
        retention: Some(Duration::from_millis(RETENTION_MS.unsigned_abs())),
        rollups: RollupPeriods { minutes_5: forever, hour_1: forever },
        ..StoreConfig::new(dir.path().join("data"))
    };
    let mut world = World {
        store: None,
        config,
        clock: Arc::new(TestClock(AtomicI64::new(START_MS + 2 * MS_PER_DAY))),
        disk: SimFs::new(seed),
        objects,
        random: Seeded::new(seed ^ 0x5005),
        model: Model::default(),
        next_value: 0.0,
    };
    runtime().block_on(async {
        for step in 0..N_STEPS {
            world.step(&format!("seed {seed} step {step}")).await;
        }
        let context = format!("seed {seed} at the end");
        // All samples go, what is summed up stays.
        world.advance(&context).await;
        for _ in 0..5 {
            world.clock.0.fetch_add(MS_PER_DAY, Ordering::Relaxed);
            world.store(&context).compact().await.unwrap();
        }
        world.check(&context).await;
        world.store = None;
        world.disk.crash().unwrap();
        world.check(&context).await;
    });
}

#[test]
fn samples_that_are_gone_are_summed_up_exactly_after_faults_crashes_and_deletes() {
    each_seed(N_SEEDS, |seed| run_seed(seed, None));
}

#[test]
fn samples_that_are_gone_are_summed_up_exactly_in_object_storage() {
    each_seed(N_SEEDS, |seed| run_seed(seed, Some(SimObjects::new(seed ^ 0x0b1ec7))));
}
