//! Files that went bad on the disk: never served, never a crash, said aloud.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use arrow::array::AsArray as _;
use datafusion::{catalog::TableProvider, execution::SessionState, prelude::SessionContext};
use futures::TryStreamExt as _;
use skep_proto::{LogRows, Matcher, Sample, SampleRows, TimeRange, TimestampMs};

use crate::{
    Store, StoreConfig,
    test_fixture::{self, DAY_MS, NOW_MS, TestClock},
};

struct Fixture {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    /// A closed store with two days of two hosts in two parts a table.
    fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), runtime: test_fixture::runtime() };
        let store = fixture.open();
        for (host, days_ago) in [("a", 1), ("b", 0)] {
            fixture.append(&store, host, NOW_MS - days_ago * DAY_MS);
            fixture.runtime.block_on(store.flush()).unwrap();
        }
        fixture.runtime.block_on(store.close());
        fixture
    }

    fn open(&self) -> Arc<Store> {
        let config =
            StoreConfig { group_interval: Duration::ZERO, ..StoreConfig::new(self.dir.path()) };
        Store::open(config, Arc::new(TestClock::default())).unwrap()
    }

    fn append(&self, store: &Arc<Store>, host: &str, ts_ms: i64) {
        let mut rows = SampleRows::default();
        let samples = vec![Sample { ts: TimestampMs(ts_ms), value: 1.5 }];
        rows.push([("__name__", "up"), ("host", host)], samples);
        self.runtime.block_on(store.append_samples(&rows)).unwrap();
        let mut rows = LogRows::default();
        let entry = test_fixture::line(ts_ms, format!("line of {host}"));
        rows.streams.push((vec![("host".into(), host.to_owned().into())], vec![entry]));
        self.runtime.block_on(store.append_logs(&rows)).unwrap();
    }

    /// The table's files, oldest day first.
    fn parts(&self, table: &str) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        files(&self.dir.path().join(table), &mut parts);
        parts.retain(|it| it.extension().is_some_and(|it| it == "parquet"));
        parts.sort();
        parts
    }

    fn flip_a_bit(&self, table: &str, n: usize) {
        let path = &self.parts(table)[n];
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x10;
        fs::write(path, bytes).unwrap();
    }

    fn set_aside(&self) -> Vec<String> {
        let mut parts = Vec::new();
        files(&self.dir.path().join("damaged"), &mut parts);
        let name = |it: &PathBuf| it.strip_prefix(self.dir.path()).unwrap().display().to_string();
        parts.iter().map(name).collect()
    }

    /// The values and lines that a query of everything gets.
    fn rows(&self, store: &Arc<Store>) -> (usize, Vec<String>) {
        let snapshot = store.snapshot();
        let samples = self.runtime.block_on(collect(snapshot.samples()));
        let mut lines = Vec::new();
        for batch in self.runtime.block_on(collect(snapshot.logs())) {
            let column = batch.column_by_name("line").unwrap();
            let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
            lines.extend(column.as_string::<i32>().iter().map(|it| it.unwrap().to_owned()));
        }
        (samples.iter().map(arrow::array::RecordBatch::num_rows).sum(), lines)
    }

    fn series(&self, store: &Arc<Store>, days_ago: i64) -> Vec<String> {
        let at = TimestampMs(NOW_MS - days_ago * DAY_MS);
        let range = TimeRange { start: at, end: at };
        let matchers = [Matcher::equal("__name__", "up")];
        let found = store.snapshot().series().select(&matchers, range);
        found.into_iter().map(|(_, labels)| labels.to_string()).collect()
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

async fn collect(table: Arc<dyn TableProvider>) -> Vec<arrow::array::RecordBatch> {
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    static STATE: LazyLock<SessionState> = LazyLock::new(|| CONTEXT.state());
    let plan = table.scan(&*STATE, None, &[], None).await.unwrap();
    plan.execute(0, CONTEXT.task_ctx()).unwrap().try_collect().await.unwrap()
}

#[test]
fn a_flipped_bit_in_samples_or_logs_costs_that_part_and_no_other() {
    let fixture = Fixture::new();
    fixture.flip_a_bit("samples", 0);
    fixture.flip_a_bit("logs", 1);
    let store = fixture.open();
    assert_eq!(fixture.rows(&store), (1, vec!["line of a".to_owned()]));
    assert_eq!(store.stats().n_damaged_parts, 2);
    fixture.runtime.block_on(store.compact()).unwrap();
    assert_eq!(store.stats().n_damaged_parts, 2);
    assert_eq!(fixture.set_aside().len(), 2, "{:?}", fixture.set_aside());
    fixture.runtime.block_on(store.close());
    drop(store);
    // The next start does not meet them again, and does not forget them.
    let store = fixture.open();
    assert_eq!((fixture.parts("samples").len(), fixture.parts("logs").len()), (1, 1));
    assert_eq!(fixture.rows(&store), (1, vec!["line of a".to_owned()]));
    assert_eq!(store.stats().n_damaged_parts, 2);
}

#[test]
fn a_cut_file_is_set_aside_at_the_start() {
    let fixture = Fixture::new();
    for table in ["samples", "logs", "series", "streams"] {
        let path = &fixture.parts(table)[0];
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let store = fixture.open();
    assert_eq!(store.stats().n_damaged_parts, 4);
    assert_eq!(fixture.rows(&store), (1, vec!["line of b".to_owned()]));
}

#[test]
fn a_missing_file_is_told_of_and_served_again_when_it_is_back() {
    let fixture = Fixture::new();
    let path = fixture.parts("samples").remove(0);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let store = fixture.open();
    assert_eq!((store.stats().n_damaged_parts, fixture.rows(&store).0), (1, 1));
    fixture.runtime.block_on(store.close());
    drop(store);
    fs::write(&path, bytes).unwrap();
    let store = fixture.open();
    assert_eq!((store.stats().n_damaged_parts, fixture.rows(&store).0), (0, 2));
}

#[test]
fn lost_label_sets_never_lend_their_ids_to_others() {
    let fixture = Fixture::new();
    // Of the older day: nothing else knows host a.
    fixture.flip_a_bit("series", 0);
    fixture.flip_a_bit("streams", 0);
    for _ in 0..2 {
        let store = fixture.open();
        assert_eq!(store.stats().n_damaged_parts, 2);
        // The rows are there, under an id that has no name any more.
        assert_eq!(fixture.rows(&store).0, 2);
        assert_eq!(fixture.series(&store, 0), [r#"up{host="b"}"#]);
        assert_eq!(fixture.series(&store, 1), Vec::<String>::new());
        fixture.runtime.block_on(store.close());
    }
    let store = fixture.open();
    fixture.append(&store, "c", NOW_MS);
    let snapshot = store.snapshot();
    let matchers = [Matcher::equal("host", "c")];
    let [(series, _)] = &snapshot.series().select(&matchers, TimeRange::ALL)[..] else {
        panic!("series c is there once");
    };
    let samples = fixture.runtime.block_on(collect(snapshot.samples()));
    let ids: Vec<i64> = samples
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
        .collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(ids.iter().filter(|it| **it == series.0).count(), 1, "{ids:?} and {series:?}");
}

#[test]
fn label_sets_that_another_day_knows_are_found_again() {
    let fixture = Fixture::new();
    let store = fixture.open();
    // Host a is on both days now.
    fixture.append(&store, "a", NOW_MS);
    fixture.runtime.block_on(store.close());
    drop(store);
    fixture.flip_a_bit("series", 0);
    let store = fixture.open();
    assert_eq!(fixture.series(&store, 1), [r#"up{host="a"}"#]);
    assert_eq!(fixture.series(&store, 0), [r#"up{host="a"}"#, r#"up{host="b"}"#]);
}

#[test]
fn a_file_from_a_backup_is_taken_back() {
    let fixture = Fixture::new();
    for table in ["samples", "logs", "series", "streams"] {
        let path = &fixture.parts(table)[0];
        let whole = fs::read(path).unwrap();
        fixture.flip_a_bit(table, 0);
        let name = path.strip_prefix(fixture.dir.path()).unwrap();
        let backup = fixture.dir.path().join("restore").join(name);
        fs::create_dir_all(backup.parent().unwrap()).unwrap();
        // Twice: one start finds the damage, and what is live is not taken back.
        fs::write(&backup, &whole).unwrap();
    }
    let store = fixture.open();
    assert_eq!(fixture.rows(&store).0, 1);
    fixture.runtime.block_on(store.compact()).unwrap();
    fixture.runtime.block_on(store.close());
    drop(store);
    fs::remove_dir_all(fixture.dir.path().join("damaged")).unwrap();
    let store = fixture.open();
    assert_eq!(fixture.rows(&store), (2, vec!["line of a".to_owned(), "line of b".to_owned()]));
    assert_eq!(fixture.series(&store, 1), [r#"up{host="a"}"#]);
    assert_eq!(store.stats().n_damaged_parts, 0);
    let mut left = Vec::new();
    files(&fixture.dir.path().join("restore"), &mut left);
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_file_that_is_no_part_is_not_taken_back() {
    let fixture = Fixture::new();
    let folder = fixture.dir.path().join("restore/samples/day=2026-11-22");
    fs::create_dir_all(&folder).unwrap();
    let sets = fs::read(&fixture.parts("series")[0]).unwrap();
    fs::write(folder.join("0000000001-7.parquet"), &sets).unwrap();
    fs::write(folder.join("0000000001-8.parquet"), "no Parquet").unwrap();
    fs::write(folder.join("notes.txt"), "").unwrap();
    let store = fixture.open();
    assert_eq!(fixture.rows(&store).0, 2);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 3);
}
