//! What the store promises, one thing a test; faults and crashes are in `model_tests`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arrow::{
    array::AsArray as _,
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::Expr,
    prelude::{SessionContext, col, lit},
};
use futures::TryStreamExt as _;
use skep_proto::{
    Clock, Matcher, MetricKind, MetricMetadata, Sample, SampleRows, TimeRange, TimestampMs,
};

use crate::{
    AppendError, LabelsOf, OpenError, Rejection, Store, StoreConfig,
    test_fixture::{DAY_MS, NOW_MS, TestClock, runtime},
};

struct Fixture {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default(), runtime: runtime() }
    }

    fn config(&self) -> StoreConfig {
        StoreConfig { group_interval: Duration::ZERO, ..StoreConfig::new(self.dir.path()) }
    }

    fn open(&self, config: StoreConfig) -> Result<Arc<Store>, OpenError> {
        Store::open(config, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    fn append(
        &self,
        store: &Store,
        host: &str,
        samples: &[(i64, f64)],
    ) -> Result<crate::Appended, AppendError> {
        let mut rows = SampleRows::default();
        let samples = samples.iter().map(|it| Sample { ts: TimestampMs(it.0), value: it.1 });
        rows.push([("__name__", "up"), ("host", host)], samples);
        self.runtime.block_on(store.append_samples(&rows))
    }

    /// Series id, time stamp, value.
    fn read(&self, store: &Store, filters: &[Expr]) -> Vec<(i64, i64, f64)> {
        self.runtime.block_on(async {
            let context = SessionContext::new();
            let table = store.snapshot().samples();
            let plan = table.scan(&context.state(), None, filters, None).await.unwrap();
            let batches: Vec<_> =
                plan.execute(0, context.task_ctx()).unwrap().try_collect().await.unwrap();
            let mut rows = Vec::new();
            for batch in batches {
                let ids = batch.column(0).as_primitive::<Int64Type>();
                let ts = batch.column(1).as_primitive::<TimestampMillisecondType>();
                let values = batch.column(2).as_primitive::<Float64Type>();
                rows.extend(
                    (0..batch.num_rows()).map(|i| (ids.value(i), ts.value(i), values.value(i))),
                );
            }
            rows
        })
    }
}

fn at(ts: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampMillisecond(Some(ts), Some("UTC".into())), None)
}

#[test]
fn a_scan_yields_exactly_what_its_filters_want() {
    let fixture = Fixture::new();
    let store = fixture.open(fixture.config()).unwrap();
    for round in 0..3 {
        // Rounds overlap by half, and the last one stays in memory.
        for host in 0..30_i32 {
            let samples: Vec<_> = (0..2000)
                .map(|i| (NOW_MS + 1000 * (round * 1000 + i), f64::from(host) + round as f64 / 4.0))
                .collect();
            fixture.append(&store, &format!("{host:02}"), &samples).unwrap();
        }
        if round < 2 {
            fixture.runtime.block_on(store.flush()).unwrap();
        }
    }
    let all = fixture.read(&store, &[]);
    assert_eq!(all.len(), 30 * 4000);
    assert!(all.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
    let first_id = all[0].0;
    let few = [2, 5, 17].map(|it| lit(first_id + it)).to_vec();
    let many = (0..60).filter(|it| it % 2 == 0).map(|it| lit(first_id + it)).collect();
    let (low, high) = (NOW_MS + 1_500_500, NOW_MS + 2_100_000);
    for ids in [few, many] {
        let filters = [
            col("series_id").in_list(ids.clone(), false),
            col("ts").gt(at(low)).and(col("ts").lt_eq(at(high))),
            col("series_id").lt(lit(first_id + 25)),
        ];
        let expected: Vec<_> = all
            .iter()
            .copied()
            .filter(|it| ids.contains(&lit(it.0)) && it.0 < first_id + 25)
            .filter(|it| low < it.1 && it.1 <= high)
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(fixture.read(&store, &filters), expected);
    }
    assert_eq!(fixture.read(&store, &[col("ts").gt(at(high)), col("ts").lt(at(low))]), []);
}

#[test]
fn rows_outside_retention_are_refused_one_by_one_and_old_days_are_dropped() {
    let fixture = Fixture::new();
    let retention = Some(Duration::from_secs(3 * 86_400));
    let store = fixture.open(StoreConfig { retention, ..fixture.config() }).unwrap();
    let samples = [(NOW_MS - 4 * DAY_MS, 1.0), (NOW_MS, 2.0), (NOW_MS + 5 * DAY_MS, 3.0)];
    let appended = fixture.append(&store, "a", &samples).unwrap();
    assert_eq!((appended.n_accepted, appended.n_rejected), (1, 2));
    assert!(matches!(appended.first_rejection, Some(Rejection::TooOld { .. })));
    fixture.runtime.block_on(store.flush()).unwrap();
    fixture.clock.0.store(NOW_MS + 4 * DAY_MS, Ordering::Relaxed);
    fixture.append(&store, "b", &[(NOW_MS + 4 * DAY_MS, 4.0)]).unwrap();
    fixture.runtime.block_on(store.flush()).unwrap();
    fixture.runtime.block_on(store.compact()).unwrap();
    let values: Vec<_> = fixture.read(&store, &[]).iter().map(|it| it.2).collect();
    assert_eq!(values, [4.0]);
    assert!(!fixture.dir.path().join("samples/day=2026-11-22/0000000001-0.parquet").exists());
}

#[test]
fn a_query_keeps_its_parts_while_they_are_merged_away() {
    let fixture = Fixture::new();
    let config = StoreConfig { parts_per_day_max: 1, ..fixture.config() };
    let store = fixture.open(config).unwrap();
    for i in 0..4 {
        fixture.append(&store, "a", &[(NOW_MS + i, 1.0), (NOW_MS + 100, i as f64)]).unwrap();
        fixture.runtime.block_on(store.flush()).unwrap();
    }
    let before = store.snapshot();
    fixture.runtime.block_on(store.compact()).unwrap();
    assert_eq!(store.stats().n_parts, 1);
    let context = SessionContext::new();
    let n_rows = |snapshot: &crate::Snapshot| {
        let frame = context.read_table(snapshot.samples()).unwrap();
        fixture.runtime.block_on(frame.count()).unwrap()
    };
    assert_eq!((n_rows(&before), n_rows(&store.snapshot())), (5, 5));
    drop(before);
    let folder = fixture.dir.path().join("samples/day=2026-11-22");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "replaced parts are removed");
    assert_eq!(fixture.read(&store, &[]).last().unwrap().2, 3.0, "the last write wins");
}

#[test]
fn memory_over_its_bound_is_busy_until_a_flush() {
    let fixture = Fixture::new();
    let store = fixture.open(StoreConfig { memory_bytes_max: 100, ..fixture.config() }).unwrap();
    fixture.append(&store, "a", &[(NOW_MS, 1.0)]).unwrap();
    let error = fixture.append(&store, "a", &[(NOW_MS + 1, 1.0)]).unwrap_err();
    assert!(matches!(error, AppendError::Busy { .. }), "{error}");
    fixture.runtime.block_on(store.flush()).unwrap();
    fixture.append(&store, "a", &[(NOW_MS + 1, 1.0)]).unwrap();
}

#[test]
fn a_second_process_is_kept_out() {
    let fixture = Fixture::new();
    let store = fixture.open(fixture.config()).unwrap();
    let error = fixture.open(fixture.config()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(store);
    fixture.open(fixture.config()).unwrap();
}

#[test]
fn ids_labels_and_metadata_are_the_same_after_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open(fixture.config()).unwrap();
    let mut rows = SampleRows::default();
    let sample = Sample { ts: TimestampMs(NOW_MS), value: 1.0 };
    for (metric, host) in [("up", "a"), ("load", "a"), ("up", "b")] {
        rows.push([("__name__", metric), ("host", host)], [sample]);
    }
    let kind = MetricKind::Gauge;
    rows.metadata = vec![MetricMetadata { metric: "up", kind, help: "Is it?", unit: "" }];
    fixture.runtime.block_on(store.append_samples(&rows)).unwrap();
    let before = store.snapshot();
    fixture.runtime.block_on(store.close());
    let select = |snapshot: &crate::Snapshot| {
        snapshot.series().select(&[Matcher::equal("__name__", "up")], TimeRange::ALL)
    };
    let (ids, metadata) = (select(&before), before.metadata().clone());
    assert_eq!(ids[1].0.0, ids[0].0.0 + 1, "series of a metric are neighbours");
    drop((before, store));
    let after = fixture.open(fixture.config()).unwrap().snapshot();
    assert_eq!(select(&after), ids);
    assert_eq!(after.metadata(), &metadata);
    let names = after.label_names(LabelsOf::Series, &[], TimeRange::ALL, 10);
    assert_eq!(names, ["__name__", "host"]);
    let matchers = [Matcher::equal("__name__", "up")];
    let values = after.label_values(LabelsOf::Series, "host", &matchers, TimeRange::ALL, 10);
    assert_eq!(values, ["a", "b"]);
}
