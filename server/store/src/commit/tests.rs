//! Commits and what is read of them.

use expect_test::{Expect, expect};
use skep_wal::RealFs;

use super::*;
use crate::{part::PartInfo, part_store::LocalParts, schema};

pub(super) fn part(name: &str) -> PartInfo {
    PartInfo {
        name: name.to_owned(),
        day: 20_779,
        rank: 7,
        level: 0,
        size_bytes: 1234,
        crc32c: 99,
        n_rows: 10,
        ids: (1 << 24, 3 << 24),
        ts: (1_795_341_600_123, 1_795_341_700_456),
    }
}

fn open(dir: &Path) -> Result<TableLog, CommitError> {
    let schema = TableSchema::new("samples", &schema::SAMPLES_FILE, schema::SAMPLES_KEY);
    let store = Arc::new(LocalParts::new(Arc::new(RealFs)));
    TableLog::open(dir.to_owned(), schema, store, 10, 1_795_341_800_000)
}

#[track_caller]
fn check(path: &Path, expected: &Expect) {
    expected.assert_eq(&std::fs::read_to_string(path).unwrap());
}

#[test]
fn commits_are_delta_actions_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    std::fs::create_dir_all(dir.path().join("day=2026-11-22")).unwrap();
    let (a, b) = (part("day=2026-11-22/a.parquet"), part("day=2026-11-22/b.parquet"));
    for part in [&a, &b] {
        std::fs::write(dir.path().join(&part.name), "x").unwrap();
    }
    let covered = Covered { table: 7, all: 0 };
    let add = Commit { operation: "WRITE", add: vec![a.clone()], covered, ..Commit::default() };
    log.commit(add, 1_795_341_900_000).unwrap();
    let swap = Commit {
        operation: "OPTIMIZE",
        add: vec![b.clone()],
        remove: vec![a],
        covered: Covered { table: 7, all: 7 },
        ..Commit::default()
    };
    log.commit(swap, 1_795_341_900_000).unwrap();
    let log_dir = dir.path().join(LOG_DIR);
    check(
        &log_dir.join("00000000000000000000.json"),
        &expect![[r#"
        {"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
        {"metaData":{"configuration":{},"createdTime":1795341800000,"format":{"options":{},"provider":"parquet"},"id":"208e886b-1b14-15a3-9f2e-14b285e666ce","name":"samples","partitionColumns":["day"],"schemaString":"{\"fields\":[{\"metadata\":{},\"name\":\"series_id\",\"nullable\":false,\"type\":\"long\"},{\"metadata\":{},\"name\":\"ts\",\"nullable\":false,\"type\":\"timestamp\"},{\"metadata\":{},\"name\":\"mantissa\",\"nullable\":true,\"type\":\"long\"},{\"metadata\":{},\"name\":\"scale\",\"nullable\":true,\"type\":\"byte\"},{\"metadata\":{},\"name\":\"value_float\",\"nullable\":true,\"type\":\"double\"},{\"metadata\":{},\"name\":\"day\",\"nullable\":true,\"type\":\"date\"}],\"type\":\"struct\"}"}}
        {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"CREATE TABLE","operationParameters":{},"timestamp":1795341800000,"walSeq":0}}
    "#]],
    );
    check(
        &log_dir.join("00000000000000000001.json"),
        &expect![[r#"
        {"add":{"dataChange":true,"modificationTime":1795341900000,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/a.parquet","size":1234,"stats":"{\"maxValues\":{\"series_id\":50331648,\"ts\":\"2026-11-22T10:01:40.456Z\"},\"minValues\":{\"series_id\":16777216,\"ts\":\"2026-11-22T10:00:00.123Z\"},\"nullCount\":{\"series_id\":0,\"ts\":0},\"numRecords\":10}","tags":{"skep.crc32c":"99","skep.day":"20779","skep.id_max":"50331648","skep.id_min":"16777216","skep.level":"0","skep.rank":"7","skep.rows":"10","skep.ts_max":"1795341700456","skep.ts_min":"1795341600123"}}}
        {"txn":{"appId":"skep-wal-table","lastUpdated":1795341900000,"version":7}}
        {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"WRITE","operationParameters":{},"timestamp":1795341900000,"walSeq":7}}
    "#]],
    );
    check(
        &log_dir.join("00000000000000000002.json"),
        &expect![[r#"
        {"remove":{"dataChange":false,"deletionTimestamp":1795341900000,"extendedFileMetadata":true,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/a.parquet","size":1234}}
        {"add":{"dataChange":true,"modificationTime":1795341900000,"partitionValues":{"day":"2026-11-22"},"path":"day=2026-11-22/b.parquet","size":1234,"stats":"{\"maxValues\":{\"series_id\":50331648,\"ts\":\"2026-11-22T10:01:40.456Z\"},\"minValues\":{\"series_id\":16777216,\"ts\":\"2026-11-22T10:00:00.123Z\"},\"nullCount\":{\"series_id\":0,\"ts\":0},\"numRecords\":10}","tags":{"skep.crc32c":"99","skep.day":"20779","skep.id_max":"50331648","skep.id_min":"16777216","skep.level":"0","skep.rank":"7","skep.rows":"10","skep.ts_max":"1795341700456","skep.ts_min":"1795341600123"}}}
        {"txn":{"appId":"skep-wal-all","lastUpdated":1795341900000,"version":7}}
        {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"OPTIMIZE","operationParameters":{},"timestamp":1795341900000,"walSeq":7}}
    "#]],
    );

    let log = open(dir.path()).unwrap();
    assert_eq!(log.live().collect::<Vec<_>>(), [&b]);
    assert_eq!(log.covered(), Covered { table: 7, all: 7 });
    assert!(!dir.path().join("day=2026-11-22/a.parquet").exists(), "orphans are removed");
    assert!(dir.path().join("day=2026-11-22/b.parquet").exists());
}

#[test]
fn a_missing_commit_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap();
    log.commit(Commit { operation: "WRITE", ..Commit::default() }, 0).unwrap();
    std::fs::remove_file(log.path_in_log(&LogFile::commit(0))).unwrap();
    let error = open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("00000000000000000000.json is missing"), "{error}");
}

#[test]
fn lists_and_structs_are_told_as_delta_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let schema = TableSchema::new("histograms", &schema::HISTOGRAMS, schema::SAMPLES_KEY);
    let store = Arc::new(LocalParts::new(Arc::new(RealFs)));
    TableLog::open(dir.path().to_owned(), schema, store, 10, 1_795_341_800_000).unwrap();
    check(
        &dir.path().join("_delta_log/00000000000000000000.json"),
        &expect![[r#"
        {"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
        {"metaData":{"configuration":{},"createdTime":1795341800000,"format":{"options":{},"provider":"parquet"},"id":"35bbea5e-0cc3-3398-5589-858074b1002f","name":"histograms","partitionColumns":["day"],"schemaString":"{\"fields\":[{\"metadata\":{},\"name\":\"series_id\",\"nullable\":false,\"type\":\"long\"},{\"metadata\":{},\"name\":\"ts\",\"nullable\":false,\"type\":\"timestamp\"},{\"metadata\":{},\"name\":\"reset_hint\",\"nullable\":false,\"type\":\"byte\"},{\"metadata\":{},\"name\":\"schema\",\"nullable\":false,\"type\":\"byte\"},{\"metadata\":{},\"name\":\"zero_threshold\",\"nullable\":false,\"type\":\"double\"},{\"metadata\":{},\"name\":\"zero_count\",\"nullable\":false,\"type\":\"double\"},{\"metadata\":{},\"name\":\"count\",\"nullable\":false,\"type\":\"double\"},{\"metadata\":{},\"name\":\"sum\",\"nullable\":false,\"type\":\"double\"},{\"metadata\":{},\"name\":\"positive_spans\",\"nullable\":false,\"type\":{\"containsNull\":false,\"elementType\":{\"fields\":[{\"metadata\":{},\"name\":\"offset\",\"nullable\":false,\"type\":\"integer\"},{\"metadata\":{},\"name\":\"length\",\"nullable\":false,\"type\":\"integer\"}],\"type\":\"struct\"},\"type\":\"array\"}},{\"metadata\":{},\"name\":\"negative_spans\",\"nullable\":false,\"type\":{\"containsNull\":false,\"elementType\":{\"fields\":[{\"metadata\":{},\"name\":\"offset\",\"nullable\":false,\"type\":\"integer\"},{\"metadata\":{},\"name\":\"length\",\"nullable\":false,\"type\":\"integer\"}],\"type\":\"struct\"},\"type\":\"array\"}},{\"metadata\":{},\"name\":\"positive\",\"nullable\":false,\"type\":{\"containsNull\":false,\"elementType\":\"double\",\"type\":\"array\"}},{\"metadata\":{},\"name\":\"negative\",\"nullable\":false,\"type\":{\"containsNull\":false,\"elementType\":\"double\",\"type\":\"array\"}},{\"metadata\":{},\"name\":\"custom_values\",\"nullable\":false,\"type\":{\"containsNull\":false,\"elementType\":\"double\",\"type\":\"array\"}},{\"metadata\":{},\"name\":\"day\",\"nullable\":true,\"type\":\"date\"}],\"type\":\"struct\"}"}}
        {"commitInfo":{"engineInfo":"skep/0.1.0","operation":"CREATE TABLE","operationParameters":{},"timestamp":1795341800000,"walSeq":0}}
    "#]],
    );
}
