//! A cap on the store's size and a full disk: what stays, what is refused, and that it heals.

use std::{path::Path, sync::Arc, time::Duration};

use arrow::array::AsArray as _;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use skep_proto::{LogRows, TimeRange};
use skep_wal::{
    Fs, RealFs,
    sim::{Faults, Seeded, SimFs},
};

use crate::{
    AppendError, Durability, Store, StoreConfig,
    test_fixture::{self, DAY_MS, NOW_MS, TestClock},
};

const CAP: u64 = 2 << 20;
/// Rows that do not compress, so that a flush writes about what it was given.
const LINE_BYTES: usize = 10_000;

fn open(dir: &Path, max_bytes: Option<u64>, fs: Arc<dyn Fs>) -> Arc<Store> {
    let config = StoreConfig {
        group_interval: Duration::ZERO,
        parts_per_day_max: 3,
        // Crashes are for the tests without a cap.
        durability: match max_bytes {
            Some(_) => Durability::Interval(Duration::from_secs(60)),
            None => Durability::Fsync,
        },
        max_bytes,
        ..StoreConfig::new(dir)
    };
    Store::open_on(config, Arc::new(TestClock::default()), fs).unwrap()
}

async fn append(store: &Store, ts_ms: i64, line: &str) -> Result<(), AppendError> {
    let mut rows = LogRows::default();
    let row = test_fixture::line(ts_ms, line.to_owned());
    rows.streams.push((vec![("host".into(), "a".into())], vec![row]));
    store.append_logs(&rows).await.map(|appended| assert_eq!(appended.n_accepted, 1))
}

fn noise(random: &mut Seeded) -> String {
    (0..LINE_BYTES).map(|_| char::from(b' ' + u8::try_from(random.below(90)).unwrap())).collect()
}

/// Time stamps in milliseconds, in order.
async fn stored(store: &Store) -> Vec<i64> {
    let context = SessionContext::new();
    let plan = store.snapshot().logs().scan(&context.state(), None, &[], None).await.unwrap();
    let batches: Vec<_> = plan.execute(0, context.task_ctx()).unwrap().try_collect().await.unwrap();
    let ts = |batch: &arrow::array::RecordBatch| {
        let column = batch.column(1).as_primitive::<arrow::datatypes::TimestampNanosecondType>();
        column.values().iter().map(|it| it / 1_000_000).collect::<Vec<_>>()
    };
    batches.iter().flat_map(ts).collect()
}

/// What `du` would say.
fn disk_bytes(dir: &Path) -> u64 {
    let bytes_of = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.len() }
    };
    std::fs::read_dir(dir).unwrap().map(|it| bytes_of(it.unwrap())).sum()
}

/// Appends 160 kB `n` times, `step_ms` apart, each flushed; the size stays below the cap
/// all along. Returns the newest time stamp.
async fn fill(store: &Arc<Store>, dir: &Path, n: i64, step_ms: i64) -> i64 {
    let mut random = Seeded::new(7);
    let mut newest = 0;
    for round in 0..n {
        for line in 0..16 {
            newest = NOW_MS - (n - round) * step_ms + line;
            let line = noise(&mut random);
            while append(store, newest, &line).await.is_err() {
                store.flush().await.unwrap();
            }
        }
        store.flush().await.unwrap();
        assert!(disk_bytes(dir) <= CAP, "round {round}: {} bytes", disk_bytes(dir));
        store.compact().await.unwrap();
        assert!(disk_bytes(dir) <= CAP, "round {round}, merged: {} bytes", disk_bytes(dir));
    }
    newest
}

#[tokio::test]
async fn under_a_cap_the_oldest_days_go_and_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(CAP), Arc::new(RealFs));
    let newest = fill(&store, dir.path(), 24, DAY_MS / 2).await;
    let rows = stored(&store).await;
    assert_eq!(rows.last(), Some(&newest));
    let days: Vec<i64> = rows.iter().map(|it| it.div_euclid(DAY_MS)).collect();
    let n_of_first = days.iter().filter(|it| **it == days[0]).count();
    assert!(n_of_first == 32, "a day goes as a whole, {n_of_first} rows of the oldest are left");
    assert!(rows.len() > 75, "{} rows of 384 are left", rows.len());
    let stats = store.stats().space;
    assert!(stats.n_evicted_parts > 5 && stats.evicted_bytes > CAP / 2, "{stats:?}");
    assert!(stats.used_bytes <= CAP, "{stats:?}");
    // The same after a start, which takes the files for what they are.
    drop(store);
    let store = open(dir.path(), Some(CAP), Arc::new(RealFs));
    assert_eq!(stored(&store).await, rows);
    assert_eq!(store.snapshot().streams().select(&[], TimeRange::ALL).len(), 1);
}

/// Blocks of all files but those of snapshots, as the cap counts them.
fn blocks(dir: &Path) -> u64 {
    let of_entry = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let is_snapshots = entry.file_name() == "snapshots";
        match metadata.is_dir() {
            true if is_snapshots => 0,
            true => blocks(&entry.path()),
            false => metadata.len().next_multiple_of(4096),
        }
    };
    std::fs::read_dir(dir).unwrap().map(|it| of_entry(it.unwrap())).sum()
}

#[tokio::test]
async fn log_commits_deletes_and_files_of_others_count_against_the_cap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(CAP), Arc::new(RealFs));
    let check = |what: &str| {
        let (used, found) = (store.stats().space.used_bytes, blocks(dir.path()));
        // Of the log what it holds counts, not the rest of its last block.
        assert!(found.abs_diff(used) < 2 * 4096, "{what}: {used} of {found} bytes are counted");
    };
    for round in 0..20 {
        append(&store, NOW_MS + round, "a line").await.unwrap();
        store.flush().await.unwrap();
    }
    check("commits of many flushes");
    let mut random = Seeded::new(7);
    for round in 0..10 {
        append(&store, NOW_MS + 100 + round, &noise(&mut random)).await.unwrap();
    }
    check("a log of 100 kB");
    let host = vec![skep_proto::Matcher::equal("host", "b")];
    store.delete(crate::LabelsOf::Streams, &[host], "b", TimeRange::ALL).await.unwrap();
    std::fs::create_dir_all(dir.path().join("damaged/logs")).unwrap();
    std::fs::write(dir.path().join("damaged/logs/x.parquet"), vec![1; 300_000]).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "of an admin").unwrap();
    append(&store, NOW_MS + 200, "a line").await.unwrap();
    store.flush().await.unwrap();
    check("files of others");
    store.make_snapshot().await.unwrap();
    store.flush().await.unwrap();
    check("a snapshot, which does not count");
    store.compact().await.unwrap();
    check("a merge");
}

#[tokio::test]
async fn a_single_day_over_the_cap_loses_its_oldest_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(CAP), Arc::new(RealFs));
    let newest = fill(&store, dir.path(), 24, 60_000).await;
    let rows = stored(&store).await;
    assert_eq!(rows.last(), Some(&newest));
    assert!(rows.len() > 75, "{} rows of 384 are left", rows.len());
    // What is left is the newest, without a gap.
    assert_eq!(rows.len() % 16, 0);
    assert!(newest - rows[0] < 60_000 * (rows.len() as i64 / 16), "{} to {newest}", rows[0]);
}

#[tokio::test]
async fn writes_wait_rather_than_lift_the_log_over_the_cap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Some(CAP), Arc::new(RealFs));
    store.look_at_disk().await;
    let mut random = Seeded::new(7);
    let mut refusal = None;
    for n in 0..1000 {
        if let Err(error) = append(&store, NOW_MS + n, &noise(&mut random)).await {
            refusal = Some(error);
            break;
        }
    }
    assert!(matches!(refusal, Some(AppendError::Busy { .. })), "{refusal:?}");
    assert!(disk_bytes(dir.path()) <= CAP + 2 * LINE_BYTES as u64);
    store.flush().await.unwrap();
    append(&store, NOW_MS, "again").await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_answers_queries_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimFs::new(3);
    let store = open(dir.path(), None, Arc::new(disk.clone()));
    append(&store, NOW_MS, "before").await.unwrap();
    disk.set_faults(Faults { is_full: true, ..Faults::default() });
    // The log meets it first …
    assert!(matches!(append(&store, NOW_MS + 1, "torn").await, Err(AppendError::Full)));
    assert!(store.flush().await.is_err());
    assert!(!store.is_disk_full());
    // … then whoever watches the disk.
    store.look_at_disk().await;
    assert!(store.is_disk_full() && store.stats().space.is_full);
    assert!(matches!(append(&store, NOW_MS + 2, "refused").await, Err(AppendError::Full)));
    assert_eq!(stored(&store).await, [NOW_MS]);

    disk.set_faults(Faults::default());
    store.look_at_disk().await;
    assert!(!store.is_disk_full());
    append(&store, NOW_MS + 3, "after").await.unwrap();
    assert_eq!(stored(&store).await, [NOW_MS, NOW_MS + 3]);
    store.flush().await.unwrap();
    drop(store);
    disk.crash().unwrap();
    let store = open(dir.path(), None, Arc::new(disk));
    assert_eq!(stored(&store).await, [NOW_MS, NOW_MS + 3]);
}

#[tokio::test]
async fn writes_stop_while_the_reserve_is_still_free() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        group_interval: Duration::ZERO,
        reserve_bytes: Some(u64::MAX),
        ..StoreConfig::new(dir.path())
    };
    let clock = Arc::new(TestClock::default());
    let store = Store::open(config, clock).unwrap();
    append(&store, NOW_MS, "before the first look").await.unwrap();
    store.look_at_disk().await;
    assert!(matches!(append(&store, NOW_MS + 1, "after it").await, Err(AppendError::Full)));
    // The reserve is there for this.
    store.flush().await.unwrap();
    assert_eq!((store.stats().n_head_entries, store.stats().n_parts), (0, 1));
}
