//! What appending samples promises about the log and about other appends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use skep_proto::{
    KnownSeries as _, LogRows, Matcher, Sample, SampleRows, SystemClock, TimeRange, TimestampMs,
};
use skep_wal::{AtRecord, RealFs, SegmentSeq, Wal, WalOptions};

use crate::{
    Store, StoreConfig,
    record::{Content, Record},
    test_fixture,
};

const START_MS: i64 = 1_795_341_600_000;

fn open(dir: &std::path::Path) -> Arc<Store> {
    let config = StoreConfig { group_interval: Duration::ZERO, ..StoreConfig::new(dir) };
    Store::open(config, Arc::new(SystemClock)).unwrap()
}

/// One sample of each of these metrics; a spelling is the metric's name.
fn rows<'a>(store: &Store, metrics: &'a [String], ts: i64) -> SampleRows<'a> {
    let mut rows = SampleRows::default();
    let mut known = store.known_series();
    for metric in metrics {
        let fingerprint = known.secret().fingerprint(metric.as_bytes());
        rows.push_sample(ts, 1);
        match known.find(fingerprint) {
            Some(series) => rows.end_known(series),
            None => rows.end_unknown([("__name__", metric.as_str())], Some(fingerprint)),
        }
    }
    rows
}

async fn append(store: &Store, metrics: &[String], ts: i64) {
    let rows = rows(store, metrics, ts);
    assert_eq!(store.append_samples(&rows).await.unwrap().n_accepted, metrics.len());
}

/// For each record of the log the metrics that it registers and the number of its samples.
fn records(dir: &std::path::Path) -> Vec<(BTreeSet<String>, usize)> {
    let mut records = Vec::new();
    // The first segment was flushed.
    let options = WalOptions { committed: SegmentSeq(1), ..WalOptions::default() };
    let (_, replay) = Wal::open(dir.join("wal"), &options, Arc::new(RealFs)).unwrap();
    replay
        .run(|_, of_segment| {
            for record in of_segment {
                let record = Record::decompress(record).unwrap();
                if let Content::Samples { registrations, columns } = record.parse().unwrap() {
                    let names = registrations.iter().map(|it| it.labels.metric_name().to_owned());
                    records.push((names.collect(), columns.ts.len()));
                }
            }
            Ok::<_, AtRecord<crate::RecordError>>(())
        })
        .unwrap();
    records
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

#[tokio::test]
async fn a_series_is_registered_once_between_two_flushes_and_again_after_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, &names(&["a", "b"]), START_MS).await;
    store.flush().await.unwrap();
    // Both are known by their spelling; their registration went with the log that was flushed.
    append(&store, &names(&["a"]), START_MS + 1).await;
    append(&store, &names(&["a", "b"]), START_MS + 2).await;
    append(&store, &names(&["a", "b"]), START_MS + 3).await;
    drop(store);
    assert_eq!(records(dir.path()), [(set(&["a"]), 1), (set(&["b"]), 2), (set(&[]), 2)]);
    let store = open(dir.path());
    // A new process numbers anew.
    append(&store, &names(&["b"]), START_MS + 4).await;
    append(&store, &names(&["a"]), START_MS + 5).await;
    drop(store);
    let store = open(dir.path());
    let series =
        store.snapshot().series().select(&[Matcher::equal("__name__", "b")], TimeRange::ALL);
    assert_eq!(series.len(), 1);
    assert_eq!(store.stats().n_head_samples, 7);
    drop(store);
    let registered: Vec<_> = records(dir.path()).into_iter().map(|it| it.0).collect();
    assert_eq!(registered, [set(&["a"]), set(&["b"]), set(&[]), set(&["b"]), set(&["a"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_of_the_same_new_series_at_the_same_time_make_one_series() {
    const N_SENDERS: i64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let metrics: Arc<Vec<String>> = Arc::new((0..500).map(|it| format!("m{it}")).collect());
    let senders: Vec<_> = (0..N_SENDERS)
        .map(|sender| {
            let (store, metrics) = (Arc::clone(&store), Arc::clone(&metrics));
            tokio::spawn(async move {
                append(&store, &metrics, START_MS + sender).await;
                append(&store, &metrics, START_MS + N_SENDERS + sender).await;
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let check = |store: &Store| {
        let selected = store.snapshot().series().select(&[], TimeRange::ALL);
        assert_eq!(selected.len(), metrics.len());
        let heads = Arc::clone(&store.view().samples.active);
        for (id, labels) in selected {
            let run = heads.read(id.0, &crate::filter::RowFilter::ALL).unwrap();
            let expected: Vec<i64> = (START_MS..START_MS + 2 * N_SENDERS).collect();
            assert_eq!(run.ts, expected, "{labels}");
        }
    };
    check(&store);
    drop(store);
    check(&open(dir.path()));
}

#[tokio::test]
async fn stores_hash_spellings_with_secrets_of_their_own() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fingerprint = |store: &Store| store.known_series().secret().fingerprint(b"up");
    let store = open(one.path());
    let before = fingerprint(&store);
    assert_ne!(before, fingerprint(&open(other.path())));
    drop(store);
    assert_ne!(before, fingerprint(&open(one.path())));
}

#[tokio::test]
async fn a_label_set_that_is_none_is_refused_and_not_learnt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..2 {
        let mut known = store.known_series();
        let fingerprint = known.secret().fingerprint(b"twice");
        assert_eq!(known.find(fingerprint), None);
        drop(known);
        let mut rows = SampleRows::default();
        rows.push([("__name__", "up")], [Sample { ts: TimestampMs(START_MS), value: 1.0 }]);
        rows.push_sample(START_MS, 1);
        rows.end_unknown([("a", "1"), ("a", "2")], Some(fingerprint));
        let appended = store.append_samples(&rows).await.unwrap();
        assert_eq!((appended.n_accepted, appended.n_rejected), (1, 1));
    }
}

#[tokio::test]
async fn after_a_crash_a_set_is_found_on_each_day_it_has_rows_of() {
    const DAY_MS: i64 = 86_400_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Two records a table; the second says nothing of the set that the first registered.
    for ts in [START_MS, START_MS - 2 * DAY_MS] {
        append(&store, &names(&["a"]), ts).await;
        let mut rows = LogRows::default();
        rows.streams.push((
            vec![("__name__".into(), "a".into())],
            vec![test_fixture::line(ts, "text".to_owned())],
        ));
        store.append_logs(&rows).await.unwrap();
    }
    drop(store);
    let after = open(dir.path()).snapshot();
    for (ts, n_sets) in [(START_MS, 1), (START_MS - 2 * DAY_MS, 1), (START_MS - 4 * DAY_MS, 0)] {
        let day = TimeRange { start: TimestampMs(ts), end: TimestampMs(ts) };
        let a = [Matcher::equal("__name__", "a")];
        assert_eq!(after.series().select(&a, day).len(), n_sets, "series at {ts}");
        assert_eq!(after.streams().select(&a, day).len(), n_sets, "streams at {ts}");
    }
}
