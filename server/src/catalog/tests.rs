//! Queries over samples that are gone and summed up, against the answers that the samples gave.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use skep_promql::{Grid, Value};
use skep_proto::{Clock, Matcher, Sample, SampleRows, TimeRange, TimestampNs};
use skep_query::{Engine, Limits, PromqlOptions};
use skep_store::{Durability, LabelsOf, RollupPeriod, RollupPeriods, StoreConfig};

use super::*;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight.
const START_MS: i64 = 20_700 * DAY_MS;
const SCRAPE_MS: i64 = 15_000;
const DAY_SCRAPES: i64 = DAY_MS / SCRAPE_MS;

const FINE: RollupPeriods = RollupPeriods { minutes_5: Some(RollupPeriod::Forever), hour_1: None };
const COARSE: RollupPeriods =
    RollupPeriods { minutes_5: None, hour_1: Some(RollupPeriod::Forever) };
const BOTH: RollupPeriods =
    RollupPeriods { minutes_5: Some(RollupPeriod::Forever), hour_1: Some(RollupPeriod::Forever) };

#[derive(Debug)]
pub(super) struct TestClock(pub(super) AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampNs {
        TimestampMs(self.0.load(Ordering::Relaxed)).to_ns()
    }
}

/// A store whose samples are kept for two days.
struct World {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    config: StoreConfig,
    store: Arc<Store>,
}

impl World {
    fn new(rollups: RollupPeriods) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS + DAY_MS + HOUR_MS)));
        let config = StoreConfig {
            durability: Durability::Interval(Duration::from_secs(60)),
            group_interval: Duration::ZERO,
            retention: Some(Duration::from_hours(48)),
            rollups,
            ..StoreConfig::new(dir.path().join("data"))
        };
        let store = Store::open(config.clone(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { dir, clock, config, store }
    }

    /// Flushed, merged, and summed up where days are over.
    async fn settle(&self) {
        self.store.flush().await.unwrap();
        self.store.compact().await.unwrap();
    }

    async fn advance(&self, by_ms: i64) {
        self.clock.0.fetch_add(by_ms, Ordering::Relaxed);
        self.settle().await;
    }

    /// After a start.
    fn again(self) -> Self {
        let Self { dir, clock, config, store } = self;
        drop(store);
        let store = Store::open(config.clone(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { dir, clock, config, store }
    }

    async fn append(&self, metric: &str, host: &str, samples: impl Iterator<Item = Sample>) {
        let mut rows = SampleRows::default();
        rows.push([("__name__", metric), ("host", host)], samples);
        let appended = self.store.append_samples(&rows).await.unwrap();
        assert_eq!(appended.n_rejected, 0, "{:?}", appended.first_rejection);
    }

    /// Samples of a day on the grid of scrapes, midnight among them.
    async fn append_day(&self, start_ms: i64) {
        let all = 0..DAY_SCRAPES;
        let temperature = |n: i64| float(n * 7_919 % 101 - 50);
        self.append("temperature", "a", scrapes(start_ms, all.clone(), temperature)).await;
        let fraction = |n: i64| float(n * 7_919 % 101) / 7.0;
        self.append("fraction", "a", scrapes(start_ms, all.clone(), fraction)).await;
        let steady = |n: i64| float(n * 3);
        self.append("requests_total", "a", scrapes(start_ms + 7_321, all, steady)).await;
        // It falls now and then, comes late, has a gap, and goes.
        let falling = |n: i64| float(n % 577 * 5 + n % 7);
        for part in [1_300..2_000, 2_100..4_201] {
            self.append("requests_total", "b", scrapes(start_ms, part, falling)).await;
        }
        let gone = |_: i64| skep_proto::stale_marker();
        self.append("requests_total", "b", scrapes(start_ms, 4_201..4_202, gone)).await;
    }

    async fn answer(&self, query: &str, grid: Grid) -> String {
        answer(&self.store, query, grid).await
    }

    fn parts_of(&self, table: &str) -> usize {
        n_files(&self.dir.path().join("data").join(table))
    }
}

fn n_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let count = |it: std::fs::DirEntry| {
        if it.path().is_dir() {
            n_files(&it.path())
        } else {
            usize::from(it.path().extension().is_some_and(|it| it == "parquet"))
        }
    };
    entries.flatten().map(count).sum()
}

fn float(n: i64) -> f64 {
    f64::from(i32::try_from(n).unwrap())
}

fn scrapes(
    start_ms: i64,
    numbers: std::ops::Range<i64>,
    value: impl Fn(i64) -> f64,
) -> impl Iterator<Item = Sample> {
    numbers.map(move |n| Sample { ts: TimestampMs(start_ms + n * SCRAPE_MS), value: value(n) })
}

/// Every series of an answer with its values, as text.
async fn answer(store: &Arc<Store>, query: &str, grid: Grid) -> String {
    let catalog = Arc::new(StoreCatalog(Arc::clone(store)));
    let engine = Engine::new(catalog, Limits::default()).unwrap();
    let answer = engine.promql_range(query, grid, PromqlOptions::default()).await.unwrap();
    let Value::Vector(matrix) = answer.value else { panic!("{query} gives no vector") };
    let rows = matrix.rows.iter().filter(|it| it.values.iter().any(|it| !it.is_nan()));
    let mut rows: Vec<String> = rows.map(|it| format!("{} {:?}", it.labels, it.values)).collect();
    rows.sort();
    rows.join("\n")
}

fn hours(from: i64, to: i64, step: i64) -> Grid {
    let at = |hour| TimestampMs(START_MS + hour * HOUR_MS);
    Grid::range(at(from), at(to), step * HOUR_MS).unwrap()
}

/// Of whole numbers, so that sums are the same in any order.
const EXACT: [&str; 17] = [
    "temperature",
    "min_over_time(temperature[1h])",
    "max_over_time(temperature[1h])",
    "sum_over_time(temperature[2h])",
    "count_over_time(temperature[2h])",
    "avg_over_time(temperature[2h])",
    "last_over_time(temperature[1h])",
    "present_over_time(temperature[1h])",
    "rate(requests_total[1h])",
    "rate(requests_total[2h])",
    "increase(requests_total[3h])",
    "sum(rate(requests_total[1h]))",
    "sum by (host) (count_over_time(requests_total[1h]))",
    "max(avg_over_time(requests_total[1h]))",
    "sum(requests_total)",
    "count(requests_total)",
    "timestamp(requests_total)",
];
const ROUNDED: [&str; 4] = [
    "sum_over_time(fraction[6h])",
    "avg_over_time(fraction[6h])",
    "increase(fraction[6h])",
    "rate(fraction[1h])",
];

async fn answers(world: &World, grid: Grid) -> Vec<String> {
    let mut found = Vec::new();
    for query in EXACT {
        let answer = world.answer(query, grid).await;
        assert!(!answer.is_empty(), "{query} gave nothing");
        found.push(answer);
    }
    found
}

#[track_caller]
fn check_close(left: &str, right: &str, query: &str) {
    let numbers = |it: &str| -> Vec<f64> {
        it.split([' ', ',', '[', ']']).filter_map(|it| it.parse().ok()).collect()
    };
    let (left, right) = (numbers(left), numbers(right));
    assert_eq!(left.len(), right.len(), "{query}");
    for (left, right) in left.iter().zip(&right) {
        assert!((left - right).abs() <= left.abs() * 1e-12, "{query}: {left} became {right}");
    }
}

#[tokio::test]
async fn over_whole_buckets_answers_stay_what_they_were_when_the_samples_are_gone() {
    for rollups in [FINE, COARSE, BOTH] {
        let world = World::new(rollups);
        world.append_day(START_MS).await;
        world.settle().await;
        let grid = hours(4, 23, 1);
        let before = answers(&world, grid).await;
        let mut rounded = Vec::new();
        for query in ROUNDED {
            rounded.push(world.answer(query, grid).await);
        }
        // Samples are gone, and a day of new ones is there.
        world.clock.0.fetch_add(5 * DAY_MS, Ordering::Relaxed);
        world.append_day(START_MS + 5 * DAY_MS).await;
        world.settle().await;
        assert!(world.store.stats().disk_bytes.rollups > 0);
        let check = async |world: &World, when: &str| {
            for (query, before) in EXACT.iter().zip(&before) {
                assert_eq!(&world.answer(query, grid).await, before, "{query} {when}");
            }
            for (query, before) in ROUNDED.iter().zip(&rounded) {
                check_close(before, &world.answer(query, grid).await, query);
            }
        };
        check(&world, "when samples are gone").await;
        let name = world.store.make_snapshot().await.unwrap();
        let world = world.again();
        check(&world, "after a start").await;
        let config = StoreConfig {
            dir: world.config.dir.join("snapshots").join(name),
            ..world.config.clone()
        };
        let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
        let copy = World { store: Store::open(config, clock).unwrap(), ..world };
        check(&copy, "in a snapshot").await;
    }
}

#[tokio::test]
async fn where_samples_end_and_buckets_begin_answers_are_what_they_were() {
    for rollups in [FINE, COARSE, BOTH] {
        let world = World::new(rollups);
        world.append_day(START_MS).await;
        world.advance(DAY_MS).await;
        world.append_day(START_MS + DAY_MS).await;
        world.settle().await;
        let grid = hours(4, 46, 1);
        let before = answers(&world, grid).await;
        // The oldest that is kept: 02:00 and a bit of the first day, noon, midnight, the next day.
        for (hour, offset_ms) in [(2, 61_000), (12, 130_000), (24, 0), (24, 1), (27, 61_000)] {
            let now = START_MS + hour * HOUR_MS + offset_ms + 2 * DAY_MS;
            world.clock.0.store(now, Ordering::Relaxed);
            for is_settled in [false, true] {
                if is_settled {
                    world.settle().await;
                }
                for (query, before) in EXACT.iter().zip(&before) {
                    let found = world.answer(query, grid).await;
                    assert_eq!(&found, before, "{query}, kept from {hour} h {offset_ms} ms");
                }
            }
        }
    }
}

#[tokio::test]
async fn samples_answer_where_they_exist_and_late_ones_are_summed_up_too() {
    let world = World::new(FINE);
    world.append_day(START_MS).await;
    world.settle().await;
    let late = Sample { ts: TimestampMs(START_MS + HOUR_MS - 60_000), value: 4_000.0 };
    world.append("temperature", "a", [late].into_iter()).await;
    world.settle().await;
    let grid = Grid::instant(TimestampMs(START_MS + HOUR_MS));
    let expected = world.answer("max_over_time(temperature[1h])", grid).await;
    assert!(expected.contains("4000"), "{expected}");
    // Off the buckets' grid only samples know.
    let odd = Grid::instant(TimestampMs(START_MS + HOUR_MS - 30_000));
    let odd_expected = world.answer("count_over_time(temperature[1m])", odd).await;
    world.advance(12 * HOUR_MS).await;
    assert_eq!(world.answer("count_over_time(temperature[1m])", odd).await, odd_expected);
    world.advance(5 * DAY_MS).await;
    assert_eq!(world.store.stats().n_parts, 0);
    assert_eq!(world.answer("max_over_time(temperature[1h])", grid).await, expected);
}

#[tokio::test]
async fn a_series_that_went_is_gone_from_the_bucket_on_and_steps_inside_a_bucket_see_its_first() {
    let world = World::new(FINE);
    world.append_day(START_MS).await;
    world.settle().await;
    world.advance(5 * DAY_MS).await;
    // The last sample of host b is at 17:30, its stale marker 15 s later.
    let at = |minutes: i64| Grid::instant(TimestampMs(START_MS + minutes * 60_000));
    assert!(world.answer("requests_total{host=\"b\"}", at(17 * 60 + 30)).await.contains("host"));
    for minutes in [17 * 60 + 35, 17 * 60 + 36] {
        assert_eq!(world.answer("requests_total{host=\"b\"}", at(minutes)).await, "");
    }
    // 10:07 sees the first sample after 10:05.
    let first_n = (10 * 60 + 5) * 60_000 / SCRAPE_MS + 1;
    let expected = float(first_n * 7_919 % 101 - 50);
    let found = world.answer("temperature", at(10 * 60 + 7)).await;
    assert!(found.ends_with(&format!("[{expected:?}]")), "{found}");
}

#[tokio::test]
async fn what_is_deleted_is_in_no_sum() {
    let delete = async |world: &World, from_min: i64, to_min: i64| {
        let at = |minutes: i64| TimestampMs(START_MS + minutes * 60_000);
        let range = TimeRange { start: at(from_min), end: at(to_min) };
        let matchers = vec![Matcher::equal("__name__", "temperature")];
        world.store.delete(LabelsOf::Series, &[matchers], "", range).await.unwrap();
    };
    let query = "count_over_time(temperature[1h])";
    let grid = hours(4, 12, 1);
    // While the samples are there: exactly what was asked for is gone.
    let world = World::new(BOTH);
    world.append_day(START_MS).await;
    world.settle().await;
    delete(&world, 5 * 60 + 2, 5 * 60 + 22).await;
    let expected = world.answer(query, grid).await;
    assert!(expected.contains("240.0, 240.0, 159.0, 240.0"), "{expected}");
    let world = world.again();
    world.settle().await;
    let world = world.again();
    world.advance(5 * DAY_MS).await;
    assert_eq!(world.store.stats().n_parts, 0);
    assert_eq!(world.answer(query, grid).await, expected);
    // When they are gone: every bucket that may hold one of them.
    delete(&world, 7 * 60 + 2, 7 * 60 + 12).await;
    let grid = Grid::instant(TimestampMs(START_MS + 8 * HOUR_MS + 5 * 60_000));
    let query = "count_over_time(temperature[65m])";
    let expected = world.answer(query, grid).await;
    assert!(expected.ends_with("[200.0]"), "{expected}");
    let world = world.again();
    assert_eq!(world.answer(query, grid).await, expected, "after a start");
    world.settle().await;
    assert_eq!(world.answer(query, grid).await, expected, "after the rewrite");
    assert!(world.store.deletes(LabelsOf::Series).iter().all(|it| it.is_finished));
    // All of it.
    delete(&world, 0, 24 * 60).await;
    assert_eq!(world.answer(query, grid).await, "");
    let listed = world.store.snapshot().series().select(&[], TimeRange::ALL);
    let mut names: Vec<_> = listed.iter().map(|it| it.1.metric_name().to_owned()).collect();
    names.dedup();
    assert_eq!(names, ["fraction", "requests_total"]);
    let world = world.again();
    world.settle().await;
    assert_eq!(world.answer(query, grid).await, "");
}

#[tokio::test]
async fn each_tier_goes_in_its_time_and_the_series_with_the_last() {
    let days = |n: u64| Some(RollupPeriod::For(Duration::from_hours(24 * n)));
    let world = World::new(RollupPeriods { minutes_5: days(5), hour_1: days(10) });
    world.append_day(START_MS).await;
    world.settle().await;
    let grid = hours(4, 5, 1);
    assert_eq!((world.parts_of("samples_5m"), world.parts_of("samples_1h")), (1, 1));
    world.advance(6 * DAY_MS).await;
    assert_eq!((world.parts_of("samples_5m"), world.parts_of("samples_1h")), (0, 1));
    assert!(world.answer("temperature", grid).await.contains("host"));
    world.advance(6 * DAY_MS).await;
    assert_eq!((world.parts_of("samples_5m"), world.parts_of("samples_1h")), (0, 0));
    assert_eq!(world.answer("temperature", grid).await, "");
    assert_eq!(world.store.stats().n_series, 0);
    assert_eq!(world.parts_of("series"), 0);
}

#[tokio::test]
async fn a_step_of_an_hour_reads_buckets_of_an_hour() {
    let world = World::new(BOTH);
    world.append_day(START_MS).await;
    world.settle().await;
    world.advance(5 * DAY_MS).await;
    let catalog = Arc::new(StoreCatalog(Arc::clone(&world.store)));
    let engine = Engine::new(catalog, Limits::default()).unwrap();
    let n_samples = async |query: &str, grid: Grid| {
        engine.promql_range(query, grid, PromqlOptions::default()).await.unwrap().stats.n_samples
    };
    let query = "sum_over_time(temperature[1h])";
    assert_eq!(n_samples(query, hours(4, 13, 1)).await, 10);
    let at = |minutes: i64| TimestampMs(START_MS + minutes * 60_000);
    let fine = Grid::range(at(4 * 60 + 5), at(13 * 60 + 5), HOUR_MS).unwrap();
    assert_eq!(n_samples(query, fine).await, 120);
}

#[tokio::test]
async fn below_a_cap_sums_outlive_the_samples_that_were_let_go() {
    const CAP_BYTES: u64 = 2 << 20;
    const N_DAYS: i64 = 24;
    let mut world = World::new(COARSE);
    world.config.retention = None;
    world.config.max_bytes = Some(CAP_BYTES);
    let mut world = world.again();
    for day in 0..N_DAYS {
        world.clock.0.store(START_MS + (day + 1) * DAY_MS + HOUR_MS, Ordering::Relaxed);
        for (host, factor) in [("a", 1.1), ("b", 1.3), ("c", 1.7)] {
            // Nothing that would compress well.
            let noise = |n: i64| (float(n) * 12.9898).sin() * factor;
            let samples = scrapes(START_MS + day * DAY_MS, 0..DAY_SCRAPES, noise);
            world.append("noise", host, samples).await;
        }
        world.settle().await;
        world = world.again();
    }
    world.settle().await;
    let stats = world.store.stats();
    assert!(stats.space.used_bytes <= CAP_BYTES, "{stats:?}");
    let (n_samples, n_sums) = (stats.n_parts, world.parts_of("samples_1h"));
    assert!(0 < n_samples && n_samples < n_sums, "{n_samples} of samples, {n_sums} of sums");
    // The newest day whose samples went.
    let day = N_DAYS - i64::try_from(n_samples).unwrap() - 1;
    let grid = hours(day * 24 + 5, day * 24 + 5, 1);
    let found = world.answer("sum(count_over_time(noise[1h]))", grid).await;
    assert!(found.ends_with("[720.0]"), "day {day} of {n_samples} and {n_sums}: {found}");
}
