//! How long rows stay, by table and selector, and that their label sets leave memory with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arrow::{array::AsArray as _, datatypes::Int64Type};
use datafusion::{catalog::TableProvider, prelude::SessionContext};
use futures::TryStreamExt as _;
use skep_proto::{Clock, LogRow, LogRows, Matcher, Sample, SampleRows, TimeRange, TimestampMs};

use crate::{
    Durability, LabelsOf, RetentionRule, Store, StoreConfig,
    test_fixture::{DAY_MS, NOW_MS, TestClock},
};

const HOSTS: [&str; 3] = ["long", "plain", "short"];

struct Fixture {
    dir: tempfile::TempDir,
    clock: Arc<TestClock>,
}

const DAY: Duration = Duration::from_hours(24);

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    /// Ten days for samples and five for logs; hosts "short" two, "long" twenty.
    fn open(&self) -> Arc<Store> {
        let rule = |of, host: Option<&str>, days| RetentionRule {
            of,
            matchers: host.iter().map(|it| Matcher::equal("host", *it)).collect(),
            period: Some(DAY * days),
        };
        let config = StoreConfig {
            group_interval: Duration::ZERO,
            durability: Durability::Interval(DAY),
            parts_per_day_max: 2,
            retention: Some(DAY * 10),
            retention_rules: vec![
                rule(LabelsOf::Series, Some("short"), 2),
                rule(LabelsOf::Series, Some("long"), 20),
                rule(LabelsOf::Streams, Some("short"), 2),
                rule(LabelsOf::Streams, None, 5),
                rule(LabelsOf::Streams, Some("long"), 20),
            ],
            ..StoreConfig::new(self.dir.path())
        };
        Store::open(config, Arc::clone(&self.clock) as Arc<dyn Clock>).unwrap()
    }

    fn pass(&self, days: i64) {
        self.clock.0.fetch_add(days * DAY_MS, Ordering::Relaxed);
    }
}

/// A sample and an entry of each host, at this many days before `NOW_MS`.
async fn append(store: &Store, days_ago: &[i64]) {
    for days in days_ago {
        let ts = TimestampMs(NOW_MS - days * DAY_MS);
        let (mut samples, mut logs) = (SampleRows::default(), LogRows::default());
        for host in HOSTS {
            samples.push([("__name__", "up"), ("host", host)], [Sample { ts, value: 1.5 }]);
            let row = LogRow { ts: ts.to_ns(), line: "line".into(), metadata: Vec::new() };
            logs.streams.push((vec![("host".into(), host.into())], vec![row]));
        }
        store.append_samples(&samples).await.unwrap();
        store.append_logs(&logs).await.unwrap();
    }
}

async fn rows_by_id(table: Arc<dyn TableProvider>) -> BTreeMap<i64, usize> {
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), Some(&vec![0]), &[], None).await.unwrap();
    let batches: Vec<_> = plan.execute(0, context.task_ctx()).unwrap().try_collect().await.unwrap();
    let mut rows = BTreeMap::new();
    for batch in &batches {
        for id in batch.column(0).as_primitive::<Int64Type>().values() {
            *rows.entry(*id).or_default() += 1;
        }
    }
    rows
}

/// Rows of each host: `long:plain:short` of samples, then of logs.
async fn rows(store: &Store) -> String {
    let snapshot = store.snapshot();
    let (samples, logs) = (rows_by_id(snapshot.samples()).await, rows_by_id(snapshot.logs()).await);
    let n_of = |rows: &BTreeMap<i64, usize>, ids: Vec<i64>| {
        ids.iter().filter_map(|it| rows.get(it)).sum::<usize>().to_string()
    };
    let matchers = |host| [Matcher::equal("host", host)];
    let series = HOSTS.map(|it| {
        let found = snapshot.series().select(&matchers(it), TimeRange::ALL);
        n_of(&samples, found.iter().map(|it| it.0.0).collect())
    });
    let streams = HOSTS.map(|it| {
        let found = snapshot.streams().select(&matchers(it), TimeRange::ALL);
        n_of(&logs, found.iter().map(|it| it.0.0).collect())
    });
    format!("{} {}", series.join(":"), streams.join(":"))
}

#[tokio::test]
async fn each_selector_has_its_own_end_in_heads_and_parts_alike() {
    let fixture = Fixture::new();
    let store = fixture.open();
    append(&store, &[0, 1, 3, 6, 12]).await;
    // Of five days: 20, 10 and 2 days of samples; 5, 5 and 2 of logs: what comes after the rule
    // for all streams is not asked.
    let expected = "5:4:2 3:3:2";
    assert_eq!(rows(&store).await, expected);
    store.flush().await.unwrap();
    assert_eq!(rows(&store).await, expected);
    let before = store.stats().disk_bytes.samples;
    store.compact().await.unwrap();
    assert_eq!(rows(&store).await, expected);
    assert!(store.stats().disk_bytes.samples < before, "what is expired is gone");
    drop(store);
    assert_eq!(rows(&fixture.open()).await, expected);
}

#[tokio::test]
async fn expired_rows_leave_the_files_and_then_their_label_sets_leave_memory() {
    let fixture = Fixture::new();
    let store = fixture.open();
    append(&store, &[0]).await;
    store.flush().await.unwrap();
    assert_eq!((store.stats().n_series, store.stats().n_streams), (3, 3));
    let bytes = |store: &Store| store.stats().disk_bytes.samples;
    let before = bytes(&store);

    fixture.pass(3);
    assert_eq!(rows(&store).await, "1:1:0 1:1:0");
    store.compact().await.unwrap();
    assert_eq!(rows(&store).await, "1:1:0 1:1:0");
    assert_eq!((store.stats().n_series, store.stats().n_streams), (2, 2));
    assert!(bytes(&store) < before, "{} bytes, {before} before", bytes(&store));

    fixture.pass(9);
    store.compact().await.unwrap();
    assert_eq!(rows(&store).await, "1:0:0 0:0:0");
    assert_eq!((store.stats().n_series, store.stats().n_streams, store.stats().n_parts), (1, 0, 1));

    // They may come back, under other ids.
    append(&store, &[-12]).await;
    assert_eq!(rows(&store).await, "2:1:1 1:1:1");
    store.flush().await.unwrap();
    drop(store);
    let store = fixture.open();
    assert_eq!(rows(&store).await, "2:1:1 1:1:1");

    fixture.pass(30);
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.n_series, stats.n_streams, stats.n_parts), (0, 0, 0));
}

#[tokio::test]
async fn label_sets_with_rows_in_memory_alone_stay() {
    let fixture = Fixture::new();
    let store = fixture.open();
    append(&store, &[0]).await;
    store.flush().await.unwrap();
    fixture.pass(11);
    append(&store, &[-11]).await;
    store.compact().await.unwrap();
    assert_eq!(rows(&store).await, "2:1:1 1:1:1");
    store.flush().await.unwrap();
    drop(store);
    assert_eq!(rows(&fixture.open()).await, "2:1:1 1:1:1");
}
