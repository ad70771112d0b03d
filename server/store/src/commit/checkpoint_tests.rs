//! Checkpoints: what is in them, what goes because of them, and crashes at every point in between.

use std::collections::BTreeSet;

use arrow::array::Array as _;
use expect_test::expect;
use parquet::arrow::{ArrowSchemaConverter, arrow_reader::ParquetRecordBatchReaderBuilder};
use proptest::prelude::*;
use skep_wal::{
    Fs, RealFs,
    sim::{Faults, Seeded, SimFs, each_seed, scratch_dir},
};

use super::{checkpoint::Checkpoint, columns::COLUMNS, names::LogFileKind, tests::part, *};
use crate::{
    model_tests::faults::object_store_config,
    part_store::{
        LocalParts,
        sim::{ObjectFaults, SimObjects},
    },
    schema,
    test_fixture::NOW_MS,
};

fn samples() -> TableSchema {
    TableSchema::new("samples", &schema::SAMPLES_FILE, schema::SAMPLES_KEY)
}

fn open_on(fs: Arc<dyn Fs>, dir: &Path, n_commits: u64) -> Result<TableLog, CommitError> {
    let store = Arc::new(LocalParts::new(fs));
    TableLog::open(dir.join("samples"), samples(), store, n_commits, NOW_MS)
}

fn open(dir: &Path, n_commits: u64) -> Result<TableLog, CommitError> {
    open_on(Arc::new(RealFs), dir, n_commits)
}

fn name(n: u64) -> String {
    format!("day=2026-11-22/{n:010}-0.parquet")
}

/// The n-th part comes; of each three, the first two go when the third comes.
fn commit_of(n: u64) -> Commit {
    let merged = if n % 3 == 2 { vec![part(&name(n - 2)), part(&name(n - 1))] } else { Vec::new() };
    Commit {
        operation: "WRITE",
        add: vec![part(&name(n))],
        remove: merged,
        covered: Covered { table: n + 1, all: n },
        retired_id: i64::try_from(n).unwrap() / 5,
    }
}

fn live_after(n_commits: u64) -> BTreeSet<String> {
    let goes = |n: u64| n % 3 != 2 && n - n % 3 + 2 < n_commits;
    (0..n_commits).filter(|it| !goes(*it)).map(name).collect()
}

fn live(log: &TableLog) -> BTreeSet<String> {
    log.live().map(|it| it.name.clone()).collect()
}

#[track_caller]
fn assert_holds(log: &TableLog, n_commits: u64) {
    assert_eq!(live(log), live_after(n_commits));
    let last = n_commits.saturating_sub(1);
    assert_eq!(log.covered(), Covered { table: n_commits, all: last });
    assert_eq!(log.retired_id(), i64::try_from(last).unwrap() / 5);
}

fn log_with(dir: &Path, n_commits: u64, per_checkpoint: u64) -> TableLog {
    let mut log = open(dir, per_checkpoint).unwrap();
    for n in 0..n_commits {
        log.commit(commit_of(n), NOW_MS).unwrap();
    }
    log
}

fn log_files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir.join("samples").join(LOG_DIR))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn newest_checkpoint(dir: &Path) -> PathBuf {
    let is_checkpoint = |it: &&String| it.ends_with(".checkpoint.parquet");
    let name = log_files(dir).iter().rfind(is_checkpoint).unwrap().clone();
    dir.join("samples").join(LOG_DIR).join(name)
}

fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn files_of_a_long_log_are_two_checkpoints_and_the_commits_since_the_first_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(dir.path(), 34, 5);
    assert_holds(&log, 34);
    let files = log_files(dir.path()).join("\n");
    expect![[r#"
        00000000000000000029.checkpoint.parquet
        00000000000000000029.json
        00000000000000000030.json
        00000000000000000031.json
        00000000000000000032.json
        00000000000000000033.json
        00000000000000000034.checkpoint.parquet
        00000000000000000034.json
        _last_checkpoint"#]]
    .assert_eq(&files);
    let log = open(dir.path(), 5).unwrap();
    assert_holds(&log, 34);
    assert_eq!(log_files(dir.path()).join("\n"), files, "a start changes nothing");
    assert_eq!(log.n_damaged_checkpoints(), 0);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the schema is long")]
fn a_checkpoint_has_the_protocols_columns() {
    let schema = ArrowSchemaConverter::new().convert(&COLUMNS).unwrap();
    let mut printed = Vec::new();
    parquet::schema::printer::print_schema(&mut printed, schema.root_schema());
    expect![[r#"
        message arrow_schema {
          OPTIONAL group txn {
            OPTIONAL BYTE_ARRAY appId (STRING);
            OPTIONAL INT64 version;
            OPTIONAL INT64 lastUpdated;
          }
          OPTIONAL group add {
            OPTIONAL BYTE_ARRAY path (STRING);
            OPTIONAL group partitionValues (MAP) {
              REPEATED group key_value {
                REQUIRED BYTE_ARRAY key (STRING);
                OPTIONAL BYTE_ARRAY value (STRING);
              }
            }
            OPTIONAL INT64 size;
            OPTIONAL INT64 modificationTime;
            OPTIONAL BOOLEAN dataChange;
            OPTIONAL BYTE_ARRAY stats (STRING);
            OPTIONAL group tags (MAP) {
              REPEATED group key_value {
                REQUIRED BYTE_ARRAY key (STRING);
                OPTIONAL BYTE_ARRAY value (STRING);
              }
            }
          }
          OPTIONAL group remove {
            OPTIONAL BYTE_ARRAY path (STRING);
            OPTIONAL INT64 deletionTimestamp;
            OPTIONAL BOOLEAN dataChange;
            OPTIONAL BOOLEAN extendedFileMetadata;
            OPTIONAL group partitionValues (MAP) {
              REPEATED group key_value {
                REQUIRED BYTE_ARRAY key (STRING);
                OPTIONAL BYTE_ARRAY value (STRING);
              }
            }
            OPTIONAL INT64 size;
          }
          OPTIONAL group metaData {
            OPTIONAL BYTE_ARRAY id (STRING);
            OPTIONAL BYTE_ARRAY name (STRING);
            OPTIONAL BYTE_ARRAY description (STRING);
            OPTIONAL group format {
              OPTIONAL BYTE_ARRAY provider (STRING);
              OPTIONAL group options (MAP) {
                REPEATED group key_value {
                  REQUIRED BYTE_ARRAY key (STRING);
                  OPTIONAL BYTE_ARRAY value (STRING);
                }
              }
            }
            OPTIONAL BYTE_ARRAY schemaString (STRING);
            OPTIONAL group partitionColumns (LIST) {
              REPEATED group list {
                OPTIONAL BYTE_ARRAY element (STRING);
              }
            }
            OPTIONAL INT64 createdTime;
            OPTIONAL group configuration (MAP) {
              REPEATED group key_value {
                REQUIRED BYTE_ARRAY key (STRING);
                OPTIONAL BYTE_ARRAY value (STRING);
              }
            }
          }
          OPTIONAL group protocol {
            OPTIONAL INT32 minReaderVersion;
            OPTIONAL INT32 minWriterVersion;
          }
        }
    "#]]
    .assert_eq(&String::from_utf8(printed).unwrap());
}

#[test]
fn a_checkpoint_says_all_that_the_commits_do() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(dir.path(), 6, 7);
    let path = newest_checkpoint(dir.path());
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
    let written = reader.metadata().file_metadata().schema();
    let columns = ArrowSchemaConverter::new().convert(&COLUMNS).unwrap();
    assert_eq!(written, columns.root_schema());
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    let kinds = |row: usize| {
        let is_set = |it: &&Arc<arrow::datatypes::Field>| {
            batch.column_by_name(it.name()).unwrap().is_valid(row)
        };
        let schema = batch.schema();
        let set: Vec<_> =
            schema.fields().iter().filter(is_set).map(|it| it.name().clone()).collect();
        set.join("+")
    };
    let rows: Vec<_> = (0..batch.num_rows()).map(kinds).collect();
    expect!["protocol metaData txn txn txn add add remove remove remove remove"]
        .assert_eq(&rows.join(" "));
    let lines =
        |state: &State| -> String { state.actions().map(|it| it.to_line(&samples())).collect() };
    let read = Checkpoint::decode(std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(lines(&read), lines(&log.state));
    let told = path.with_file_name("_last_checkpoint");
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!(told["sizeInBytes"], std::fs::metadata(&path).unwrap().len());
    assert_eq!((&told["version"], &told["size"]), (&6.into(), &rows.len().into()));
    assert_eq!(told["numOfAddFiles"], live_after(6).len());
}

#[test]
fn what_was_removed_is_in_checkpoints_for_an_hour() {
    let mut state = State::default();
    for (minutes, n) in [(0, 1), (30, 2), (61, 3)] {
        state.apply(Action::remove(&part(&name(n)), NOW_MS + minutes * 60_000));
    }
    state.forget_removed(NOW_MS + 61 * 60_000);
    let lines: Vec<_> = state.actions().map(|it| it.to_line(&samples())).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    // Who comes back was not removed.
    state.apply(Action::add(&part(&name(2)), NOW_MS));
    assert_eq!((state.live().count(), state.actions().count()), (1, 2));
}

#[test]
fn a_checkpoint_with_any_bit_flipped_or_byte_missing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(log_with(dir.path(), 4, 5));
    let bytes = std::fs::read(newest_checkpoint(dir.path())).unwrap();
    Checkpoint::decode(bytes.clone()).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        Checkpoint::decode(flipped).unwrap_err();
        Checkpoint::decode(bytes[..at].to_vec()).unwrap_err();
    }
}

#[test]
fn without_the_newest_checkpoint_a_start_reads_the_one_before_and_writes_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(log_with(dir.path(), 33, 10));
    let damages: [fn(&Path); 3] =
        [flip_a_bit, |it| std::fs::write(it, "").unwrap(), |it| std::fs::remove_file(it).unwrap()];
    for (damage, n_damaged) in damages.into_iter().zip([1, 2, 1]) {
        let damaged = newest_checkpoint(dir.path());
        damage(&damaged);
        let log = open(dir.path(), 10).unwrap();
        assert_holds(&log, 33);
        assert_eq!(log.n_damaged_checkpoints(), n_damaged);
        drop(log);
        assert_eq!(
            newest_checkpoint(dir.path()).file_name(),
            Some("00000000000000000033.checkpoint.parquet".as_ref())
        );
        let log = open(dir.path(), 10).unwrap();
        assert_eq!((live(&log), log.n_damaged_checkpoints()), (live_after(33), 0));
    }
    let mut log = open(dir.path(), 10).unwrap();
    for n in 33..60 {
        log.commit(commit_of(n), NOW_MS).unwrap();
    }
    assert_holds(&open(dir.path(), 10).unwrap(), 60);
    assert!(log_files(dir.path()).len() < 30, "nothing of the damaged ones stays");
}

#[test]
fn without_a_checkpoint_that_is_whole_a_start_says_what_to_restore() {
    let dir = tempfile::tempdir().unwrap();
    drop(log_with(dir.path(), 33, 10));
    let newest = newest_checkpoint(dir.path());
    flip_a_bit(&newest);
    let aside = dir.path().join("aside");
    std::fs::rename(&newest, &aside).unwrap();
    flip_a_bit(&newest_checkpoint(dir.path()));
    std::fs::rename(&aside, &newest).unwrap();
    let error = open(dir.path(), 10).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CommitError::Damaged { .. }), "{text}");
    assert!(text.contains("29.checkpoint.parquet is damaged"), "{text}");
}

#[test]
fn a_log_without_checkpoints_gets_one_at_the_start_and_loses_its_old_files_bit_by_bit() {
    let dir = tempfile::tempdir().unwrap();
    drop(log_with(dir.path(), 200, u64::MAX));
    assert_eq!(log_files(dir.path()).len(), 201);
    let mut log = open(dir.path(), 10).unwrap();
    assert_holds(&log, 200);
    assert_eq!(log_files(dir.path()).len(), 203, "one more, and the word of it");
    for n in 200..215 {
        log.commit(commit_of(n), NOW_MS).unwrap();
    }
    assert!(log_files(dir.path()).len() < 30);
    assert_holds(&open(dir.path(), 10).unwrap(), 215);
}

#[test]
fn a_checkpoint_that_cannot_be_written_fails_no_commit_and_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimFs::new(7);
    let mut log = open_on(Arc::new(disk.clone()), dir.path(), 2).unwrap();
    for n in 0..20 {
        // A commit takes so many operations; the rest is for the checkpoint.
        disk.set_faults(Faults { n_left: (n < 10).then_some(6), ..Faults::default() });
        log.commit(commit_of(n), NOW_MS).unwrap();
        let has_checkpoint = log_files(dir.path()).iter().any(|it| it.ends_with(".parquet"));
        assert_eq!(has_checkpoint, n >= 10, "{n}");
    }
    disk.set_faults(Faults::default());
    drop(log);
    assert_holds(&open(dir.path(), 2).unwrap(), 20);
}

/// Cuts the power after so many operations of a commit that the log is checked after; false if
/// there were not that many.
fn crashes_after(n_operations: usize, seed: u64) -> bool {
    let dir = tempfile::tempdir_in(scratch_dir()).unwrap();
    let disk = SimFs::new(seed);
    let per_checkpoint = 1 + seed % 3;
    let n_before = 4 + seed % 5;
    let mut log = open_on(Arc::new(disk.clone()), dir.path(), per_checkpoint).unwrap();
    for n in 0..n_before {
        log.commit(commit_of(n), NOW_MS).unwrap();
        log.sync().unwrap();
    }
    disk.set_faults(Faults { n_left: Some(n_operations), ..Faults::default() });
    let is_acked = log.commit(commit_of(n_before), NOW_MS).and_then(|()| log.sync()).is_ok();
    let has_crashed = disk.faults().n_left == Some(0);
    drop(log);
    disk.crash().unwrap();
    disk.set_faults(Faults::default());
    let context = format!("after {n_operations} operations, seed {seed}");
    let open = || open_on(Arc::new(disk.clone()), dir.path(), per_checkpoint).unwrap();
    assert_goes_on(open, n_before, is_acked, &context);
    let n_files = u64::try_from(log_files(dir.path()).len()).unwrap();
    assert!(n_files <= 3 * per_checkpoint + 5, "{context}: {:?}", log_files(dir.path()));
    has_crashed
}

/// Of a log that was stopped in the commit after `n_before` others: it has all that were
/// acknowledged, and takes more.
fn assert_goes_on(
    mut open: impl FnMut() -> TableLog,
    n_before: u64,
    is_acked: bool,
    context: &str,
) {
    // Twice: the first start may have had to write something.
    for n_start in 0..2 {
        let context = format!("start {n_start} {context}");
        let mut log = open();
        assert_eq!(log.n_damaged_checkpoints(), 0, "{context}");
        let n_commits = log.covered().table;
        assert!(n_commits == n_before + 1 || !is_acked && n_commits == n_before, "{context}");
        assert_holds(&log, n_commits);
        if n_start == 1 {
            for n in n_commits..n_commits + 9 {
                log.commit(commit_of(n), NOW_MS).unwrap();
            }
            drop(log);
            assert_holds(&open(), n_commits + 9);
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_a_commit_and_its_checkpoint_loses_nothing_committed() {
    each_seed(6, |seed| {
        let n_operations = (0..).find(|it| !crashes_after(*it, seed)).unwrap();
        // At least that of a commit, and with a checkpoint and removals twice that.
        assert!(n_operations > 5, "{n_operations}");
    });
}

fn open_objects(
    objects: &SimObjects,
    dir: &Path,
    per_checkpoint: u64,
) -> Result<TableLog, CommitError> {
    let fs = Arc::new(RealFs);
    std::fs::create_dir_all(dir).unwrap();
    let store = object_store_config(1 << 20).open_on(Arc::new(objects.clone()), dir, fs).unwrap();
    TableLog::open(dir.join("samples"), samples(), Arc::new(store), per_checkpoint, NOW_MS)
}

/// As [`crashes_after`], with the network gone after so many requests.
fn loses_the_network_after(n_requests: usize, seed: u64) -> bool {
    let dir = tempfile::tempdir_in(scratch_dir()).unwrap();
    let objects = SimObjects::new(seed);
    let mut random = Seeded::new(seed ^ 0xde17a);
    let (per_checkpoint, n_before) = (1 + seed % 3, 4 + seed % 5);
    let mut log = open_objects(&objects, dir.path(), per_checkpoint).unwrap();
    for n in 0..n_before {
        log.commit(commit_of(n), NOW_MS).unwrap();
    }
    objects.set_faults(ObjectFaults { n_left: Some(n_requests), ..ObjectFaults::default() });
    let is_acked = log.commit(commit_of(n_before), NOW_MS).is_ok();
    let has_crashed = objects.faults().is_away;
    drop(log);
    let open = || {
        let list_lag = random.below(8);
        objects.set_faults(ObjectFaults { list_lag, ..ObjectFaults::default() });
        open_objects(&objects, dir.path(), per_checkpoint).unwrap()
    };
    let context = format!("after {n_requests} requests, seed {seed}");
    assert_goes_on(open, n_before, is_acked, &context);
    has_crashed
}

#[test]
fn a_network_gone_at_any_request_of_a_commit_and_its_checkpoint_loses_nothing_committed() {
    each_seed(6, |seed| {
        let n_requests = (0..).find(|it| !loses_the_network_after(*it, seed)).unwrap();
        assert!(n_requests > 0);
    });
}

fn any_part() -> impl Strategy<Value = PartInfo> {
    let numbers = (any::<i32>(), any::<u64>(), any::<u32>(), 0..i64::MAX, any::<u32>());
    let bounds = (any::<u64>(), any::<(i64, i64)>(), any::<(i64, i64)>());
    (numbers, bounds).prop_map(|((day, rank, level, size, crc32c), (n_rows, ids, ts))| PartInfo {
        name: format!("day={day}/{rank}-{level}.parquet"),
        day,
        rank,
        level,
        size_bytes: size.unsigned_abs(),
        crc32c,
        n_rows,
        ids,
        ts,
    })
}

proptest! {
    #[test]
    fn a_state_comes_back_from_its_checkpoint_as_it_was(
        added in proptest::collection::vec((any_part(), any::<i64>()), 0..20),
        removed in proptest::collection::vec((any_part(), any::<i64>()), 0..20),
        all in 0..i64::MAX,
        retired in any::<Option<i64>>(),
    ) {
        let mut state = State::default();
        state.apply(Action::protocol());
        state.apply(Action::meta_data(&samples(), NOW_MS));
        let covered = Covered { table: 7, all: all.unsigned_abs() };
        Action::covered(Covered::default(), covered, NOW_MS).for_each(|it| state.apply(it));
        retired.into_iter().for_each(|it| state.apply(Action::retired(it, NOW_MS)));
        added.iter().for_each(|(part, ms)| state.apply(Action::add(part, *ms)));
        removed.iter().for_each(|(part, ms)| state.apply(Action::remove(part, *ms)));
        let checkpoint = Checkpoint::encode(&state, &samples()).unwrap();
        prop_assert_eq!(Checkpoint::decode(checkpoint.bytes).unwrap(), state);
    }
}

#[test]
fn a_long_table_is_read_back_in_several_batches() {
    let mut state = State::default();
    (0..3_000).for_each(|n| state.apply(Action::add(&part(&name(n)), NOW_MS)));
    let checkpoint = Checkpoint::encode(&state, &samples()).unwrap();
    assert_eq!(Checkpoint::decode(checkpoint.bytes).unwrap(), state);
    assert!(LogFile::checkpoint(7) > LogFile::commit(7));
    assert_eq!(LogFile::checkpoint(7).kind, LogFileKind::Checkpoint);
}
