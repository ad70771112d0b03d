//! Whoever follows log lines, against a store on a disk.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::DataType,
};
use datafusion::prelude::SessionContext;
use skep_proto::{LogRow, LogRows, MatchOp, TimestampMs};

use super::*;
use crate::{
    Snapshot, StoreConfig,
    test_fixture::{NOW_MS, TestClock, line},
};

fn open(dir: &tempfile::TempDir) -> Arc<Store> {
    let config = StoreConfig { group_interval: Duration::ZERO, ..StoreConfig::new(dir.path()) };
    Store::open(config, Arc::new(TestClock::default())).unwrap()
}

async fn append(store: &Store, host: &str, rows: Vec<LogRow<'_>>) {
    let labels = vec![(Cow::Borrowed("host"), Cow::Owned(host.to_owned()))];
    store.append_logs(&LogRows { streams: vec![(labels, rows)] }).await.unwrap();
}

fn lines(told: &Told) -> Vec<&str> {
    told.rows.iter().flat_map(|it| &it.entries).map(|it| it.line.as_str()).collect()
}

async fn stored_lines(snapshot: &Snapshot) -> Vec<String> {
    let table = SessionContext::new().read_table(snapshot.logs()).unwrap();
    let batches = table.select_columns(&["line"]).unwrap().collect().await.unwrap();
    let texts = |batch| {
        let column = arrow::compute::cast(RecordBatch::column(batch, 0), &DataType::Utf8).unwrap();
        let column = column.as_string::<i32>().iter().map(|it| it.unwrap().to_owned());
        column.collect::<Vec<_>>()
    };
    batches.iter().flat_map(texts).collect()
}

#[tokio::test]
async fn only_rows_of_matching_streams_are_told_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    append(&store, "a", vec![line(NOW_MS, "before".to_owned())]).await;
    let matchers = vec![Matcher::new("host", MatchOp::Regex, "a|b").unwrap()];
    let mut following = store.follow_logs(matchers, 1 << 20);
    append(&store, "a", vec![line(NOW_MS, "1".to_owned()), line(NOW_MS - 5, "2".to_owned())]).await;
    append(&store, "c", vec![line(NOW_MS, "of another".to_owned())]).await;
    append(&store, "b", vec![line(NOW_MS, "3".to_owned())]).await;
    let told = following.next().await.unwrap();
    assert_eq!(lines(&told), ["1", "2", "3"]);
    assert_eq!(told.rows.last().unwrap().labels.get("host"), "b");
    store.close().await;
    assert_eq!(following.next().await, None);
}

#[tokio::test]
async fn what_a_full_queue_cannot_take_is_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut following = store.follow_logs(Vec::new(), 3 * ROW_BYTES + 3);
    let rows = (0..2_000).map(|it| line(NOW_MS + it, "x".to_owned())).collect();
    append(&store, "a", rows).await;
    let told = following.next().await.unwrap();
    assert_eq!((lines(&told).len(), told.missed.n_rows), (3, 1_997));
    assert_eq!(told.missed.named.len(), N_MISSED_NAMED_MAX);
    assert_eq!(told.missed.named.first().unwrap().0, TimestampMs(NOW_MS + 3).to_ns());
    append(&store, "a", vec![line(NOW_MS, "again".to_owned())]).await;
    assert_eq!(lines(&following.next().await.unwrap()), ["again"]);
    drop(following);
    assert!(!store.followers.is_anybody_there());
}

/// Writers race with one who begins to follow: what is read and what is told are all rows, and what
/// is told after both met is told alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_row_is_lost_or_told_late_between_reading_and_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for round in 0..8 {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for row in 0..25 {
                        let text = format!("{round} {writer} {row}");
                        append(&store, &writer.to_string(), vec![line(NOW_MS, text)]).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for _ in 0..round {
            append(&store, "other", vec![line(NOW_MS, "other".to_owned())]).await;
        }
        let matchers = vec![Matcher::new("host", MatchOp::NotEqual, "other").unwrap()];
        let mut following = store.follow_logs(matchers, 1 << 20);
        let prefix = format!("{round} ");
        let mut read: BTreeSet<String> =
            stored_lines(&store.snapshot()).await.into_iter().collect();
        read.retain(|it| it.starts_with(&prefix));
        store.logs_told().await;
        let owned = |told: &Told| lines(told).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let in_doubt = owned(&following.take());
        for writer in writers {
            writer.await.unwrap();
        }
        let later = owned(&following.take());
        assert!(later.iter().all(|it| !read.contains(it)), "round {round}");
        let n_told = in_doubt.len() + later.len();
        let told: BTreeSet<String> = in_doubt.into_iter().chain(later).collect();
        assert_eq!(told.len(), n_told, "round {round}");
        assert_eq!(read.union(&told).count(), 100, "round {round}");
    }
}
