//! What the layout says beside what was written.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use expect_test::expect;
use skep_proto::{LogRows, Sample, SampleRows, TimestampMs};

use super::{LabelsOf, Layout};
use crate::{
    Store, StoreConfig,
    test_fixture::{self, DAY_MS, NOW_MS, TestClock},
};

fn open(dir: &Path, max_bytes: Option<u64>) -> Arc<Store> {
    let config = StoreConfig { group_interval: Duration::ZERO, max_bytes, ..StoreConfig::new(dir) };
    Store::open(config, Arc::new(TestClock::default())).unwrap()
}

async fn append(store: &Arc<Store>, metric: &str, n_series: usize, ts_ms: i64) {
    let mut rows = SampleRows::default();
    let hosts: Vec<String> = (0..n_series).map(|it| it.to_string()).collect();
    for host in &hosts {
        let sample = Sample { ts: TimestampMs(ts_ms), value: 1.5 };
        rows.push([("__name__", metric), ("host", host.as_str())], [sample]);
    }
    store.append_samples(&rows).await.unwrap();
}

async fn append_line(store: &Arc<Store>, ts_ms: i64) {
    let mut rows = LogRows::default();
    let row = test_fixture::line(ts_ms, "a line".to_owned());
    rows.streams.push((vec![("host".into(), "a".into())], vec![row]));
    store.append_logs(&rows).await.unwrap();
}

/// Sizes depend on the encoding: that there are some is all that is said.
fn text(Layout { tables, next_out }: &Layout) -> String {
    let mut out = String::new();
    for table in tables {
        for day in &table.days {
            assert!(day.size_bytes > 0, "{day:?}");
            let seconds = (day.newest.0 - day.oldest.0) / 1_000;
            let counts = (day.n_parts, day.n_unmerged, day.n_rows);
            writeln!(out, "{} {} {counts:?} over {seconds} s", table.name, day.day).unwrap();
        }
    }
    for it in next_out {
        writeln!(out, "next out: {} {} {}", it.table, it.day, it.n_parts).unwrap();
    }
    out
}

#[tokio::test]
async fn days_tell_their_parts_and_the_cap_what_goes_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(1 << 30));
    for (round, ts) in [NOW_MS - DAY_MS, NOW_MS - 60_000, NOW_MS].into_iter().enumerate() {
        append(&store, "up", 2, ts).await;
        if round > 0 {
            append_line(&store, ts).await;
        }
        store.flush().await.unwrap();
    }
    expect![[r#"
        samples 2026-11-21 (1, 1, 2) over 0 s
        samples 2026-11-22 (2, 2, 4) over 60 s
        logs 2026-11-22 (2, 2, 2) over 60 s
        next out: samples 2026-11-21 1
    "#]]
    .assert_eq(&text(&store.layout()));
    drop(store);
    let without_cap = open(dir.path(), None);
    assert!(without_cap.layout().next_out.is_empty());
}

#[tokio::test]
async fn a_metric_takes_its_series_share_of_each_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None);
    append(&store, "wide", 9, NOW_MS - DAY_MS).await;
    append(&store, "narrow", 1, NOW_MS - DAY_MS).await;
    append(&store, "narrow", 1, NOW_MS).await;
    store.flush().await.unwrap();
    let layout = store.layout();
    let samples = layout.tables.iter().find(|it| it.name == "samples").unwrap();
    let [first, last] = samples.days.as_slice() else { panic!("{samples:?}") };
    let sizes = store.sizes(LabelsOf::Series);
    assert_eq!(sizes.len(), 10);
    for size in &sizes {
        let expected = match size.labels.metric_name() {
            "wide" => first.size_bytes / 10,
            _ => first.size_bytes / 10 + last.size_bytes,
        };
        assert_eq!(size.estimated_bytes, expected, "{}", size.labels);
    }
    // The same after a start.
    drop(store);
    let store = open(dir.path(), None);
    let total = |all: &[super::SetSize]| all.iter().map(|it| it.estimated_bytes).sum::<u64>();
    assert_eq!(total(&store.sizes(LabelsOf::Series)), total(&sizes));
    assert!(store.sizes(LabelsOf::Streams).is_empty());
}
