//! Answers made of what was kept, against answers computed anew, while samples come live, late and
//! twice, and go.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use skep_promql::{Grid, Value};
use skep_proto::{Clock, Matcher, Sample, SampleRows, TimeRange};
use skep_query::{Engine, Limits, PromqlOptions};
use skep_store::{Durability, LabelsOf, StoreConfig};

use super::{tests::TestClock, *};

const START_MS: i64 = 20_700 * 86_400_000;
const SCRAPE_MS: i64 = 15_000;
const N_SEEDS: u64 = 12;
const N_ACTIONS: usize = 120;

const QUERIES: [&str; 12] = [
    "requests_total",
    "rate(requests_total[5m])",
    "sum by (host) (increase(requests_total[2m]))",
    "requests_total offset 3m",
    "requests_total offset -2m",
    "max_over_time(requests_total[10m:1m])",
    "sum(requests_total) / count(requests_total offset 5m)",
    "topk(1, requests_total)",
    "absent(requests_total{host=\"b\"})",
    "requests_total @ start()",
    "last_over_time(requests_total[1m] @ end())",
    "requests_total > 50 or vector(time())",
];

struct World {
    store: Arc<Store>,
    engine: Engine,
    clock: Arc<TestClock>,
    random: StdRng,
    n_samples_kept: u64,
    n_samples_fresh: u64,
}

impl World {
    fn open(dir: &std::path::Path, seed: u64) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let config = StoreConfig {
            durability: Durability::Interval(Duration::from_secs(60)),
            group_interval: Duration::ZERO,
            ..StoreConfig::new(dir.join("data"))
        };
        let store = Store::open(config, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let catalog = Arc::new(StoreCatalog(Arc::clone(&store)));
        let engine = Engine::new(catalog, Limits::default()).unwrap();
        let random = StdRng::seed_from_u64(seed);
        Self { store, engine, clock, random, n_samples_kept: 0, n_samples_fresh: 0 }
    }

    fn now(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    async fn append(&mut self, ts: i64) {
        for host in ["a", "b", "c"] {
            if self.random.random_bool(0.8) {
                let value = if self.random.random_bool(0.05) {
                    skep_proto::stale_marker()
                } else {
                    f64::from(self.random.random_range(0..100_u8))
                };
                let sample = Sample { ts: TimestampMs(ts), value };
                let mut rows = SampleRows::default();
                rows.push([("__name__", "requests_total"), ("host", host)], [sample]);
                self.store.append_samples(&rows).await.unwrap();
            }
        }
    }

    async fn act(&mut self) {
        match self.random.random_range(0..40) {
            0 => self.store.flush().await.unwrap(),
            1 => self.store.compact().await.unwrap(),
            2 => {
                let host = Matcher::new("host", skep_proto::MatchOp::Equal, "a").unwrap();
                let (from, to) = (self.past(), self.past());
                let (start, end) = (TimestampMs(from.min(to)), TimestampMs(from.max(to)));
                let range = TimeRange { start, end };
                let selectors = [vec![host]];
                self.store.delete(LabelsOf::Series, &selectors, "", range).await.unwrap();
            }
            3..6 => {
                let late = self.past();
                self.append(late).await;
            }
            _ => {
                self.clock.0.fetch_add(SCRAPE_MS, Ordering::Relaxed);
                let now = self.now();
                self.append(now).await;
            }
        }
    }

    fn past(&mut self) -> i64 {
        let n_scrapes = (self.now() - START_MS) / SCRAPE_MS;
        START_MS + self.random.random_range(0..=n_scrapes) * SCRAPE_MS
    }

    /// The whole time or a window of it, at one of two steps.
    fn grid(&mut self) -> Grid {
        let step_ms = if self.random.random_bool(0.7) { 30_000 } else { 60_000 };
        let first = self.random.random_range(0..4) * step_ms;
        let last = (self.now() - START_MS) / step_ms + self.random.random_range(0..3);
        let (start, end) = (START_MS + first, START_MS + last * step_ms);
        Grid::range(TimestampMs(start.min(end)), TimestampMs(end), step_ms).unwrap()
    }

    async fn check(&mut self, seed: u64) {
        let grid = self.grid();
        for query in QUERIES {
            let kept = self.ask(query, grid, false).await;
            let fresh = self.ask(query, grid, true).await;
            assert_eq!(kept, fresh, "{query} over {grid:?}, seed {seed}");
        }
    }

    async fn ask(&mut self, query: &str, grid: Grid, is_fresh: bool) -> String {
        let options = PromqlOptions { is_fresh, ..PromqlOptions::default() };
        let answer = self.engine.promql_range(query, grid, options).await.unwrap();
        let n_samples = if is_fresh { &mut self.n_samples_fresh } else { &mut self.n_samples_kept };
        *n_samples += answer.stats.n_samples;
        let Value::Vector(matrix) = answer.value else { panic!("{query} gives no vector") };
        let bits = |values: &[f64]| values.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
        let rows = matrix.rows.iter().map(|it| format!("{} {:?}", it.labels, bits(&it.values)));
        rows.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn an_answer_made_of_kept_ones_is_what_computing_it_gives() {
    for seed in 0..N_SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::open(dir.path(), seed);
        for n_action in 0..N_ACTIONS {
            world.act().await;
            if n_action % 3 == 0 {
                world.check(seed).await;
            }
        }
        let (kept, fresh) = (world.n_samples_kept, world.n_samples_fresh);
        assert!(kept * 5 < fresh * 4, "{kept} of {fresh} samples read, seed {seed}");
    }
}

#[tokio::test]
async fn what_is_asked_twice_at_once_is_computed_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(dir.path(), 7);
    for _ in 0..20 {
        world.act().await;
    }
    // From now on an answer waits for a file.
    world.store.flush().await.unwrap();
    let at = TimestampMs(world.now());
    let ask = || world.engine.promql_instant("sum(requests_total)", at, PromqlOptions::default());
    let (one, two) = tokio::join!(ask(), ask());
    let (one, two) = (one.unwrap().stats, two.unwrap().stats);
    assert!(one.n_samples > 0);
    assert_eq!(one, two);
}
