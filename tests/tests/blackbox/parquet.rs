//! The files in the data folder, opened by stock readers.

use std::{path::Path, time::Duration};

use skep_proto::{
    Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, remote_write::SeriesBatch,
    stale_marker,
};
use skep_tests::{END_OF_PYTHON, Process, Server, skipped};
use tokio::process::Command;

const START_S: i64 = 1_790_000_000;
const LINE: &str =
    r#"GET /a {"took_ms": 12.5, "from": "10.0.0.7", "n": [1, 2, 3, 4, 5, 6, 7, {}]}"#;

/// Every Parquet file opens in pyarrow and DuckDB, the queries of docs/guide/your-data.md answer,
/// and the Delta log opens in delta-rs.
const SCRIPT: &str = r#"
import glob, sys, pyarrow.parquet as pq, pyarrow.dataset as pads, duckdb, deltalake
root = sys.argv[1]
files = sorted(glob.glob(root + '/**/*.parquet', recursive=True))
tables = sorted({f[len(root) + 1:].split('/')[0] for f in files})
print('tables', tables)
for f in files:
    schema = pq.ParquetFile(f).schema_arrow
    assert not any('uint' in str(c.type) for c in schema), (f, schema)
    pq.read_table(f, partitioning=None)
q = duckdb.sql
print('columns', q(f"select string_agg(column_name, ' ') from (describe select * from '{root}/samples/day=*/*.parquet')").fetchall()[0][0])
rows = q(f"""SELECT epoch_ms(ts) AS ts, labels['mode'] AS mode, coalesce(mantissa / pow(10, scale), value_float) AS value
FROM '{root}/samples/day=*/*.parquet' JOIN (SELECT DISTINCT series_id, name, labels FROM '{root}/series/day=*/*.parquet') USING (series_id)
WHERE name = 'cpu_total' ORDER BY mode, ts""").fetchall()
print('samples', rows)
print('lines', q(f"""SELECT labels['unit'], format(template, v0, v1, v2, v3, v4, v5, v6, v7) AS line, metadata['_PID']
FROM '{root}/logs/day=*/*.parquet' JOIN (SELECT DISTINCT stream_id, labels FROM '{root}/streams/day=*/*.parquet') USING (stream_id) ORDER BY ts""").fetchall())
columns = ['template', *(f'v{i}' for i in range(8))]
logs = pads.dataset(f'{root}/logs', partitioning='hive', exclude_invalid_files=True).to_table(columns)
print('pyarrow', [row['template'].format(*(row[it] for it in columns[1:])) for row in logs.to_pylist()])
print('pyarrow samples', pads.dataset(f'{root}/samples', partitioning='hive', exclude_invalid_files=True).to_table().num_rows)
for table in tables:
    delta = deltalake.DeltaTable(f'{root}/{table}')
    live = {u.split('/')[-1] for u in delta.file_uris()}
    assert live == {f.split('/')[-1] for f in files if f.startswith(f'{root}/{table}/')}, (table, live)
print('delta ok')
"#;

/// The log of a table that was committed to some thirty times: checkpoints stand for the first
/// commits, which are gone, and what begins with one sees every row.
const CHECKPOINT_SCRIPT: &str = r#"
import glob, json, sys, pyarrow.parquet as pq, duckdb, deltalake
table = sys.argv[1] + '/samples'
log = table + '/_delta_log'
assert not glob.glob(log + '/00000000000000000000.json')
checkpoints = sorted(glob.glob(log + '/*.checkpoint.parquet'))
assert len(checkpoints) == 2, checkpoints
told = json.load(open(log + '/_last_checkpoint'))
newest = checkpoints[-1]
assert newest.endswith(f"{told['version']:020}.checkpoint.parquet"), told
assert pq.ParquetFile(newest).metadata.num_rows == told['size'], told
count = duckdb.sql(f"select count(add.path), count(metaData.id), count(protocol.minReaderVersion) from '{newest}'").fetchall()
assert count == [(told['numOfAddFiles'], 1, 1)], (count, told)
delta = deltalake.DeltaTable(table)
files = {f.split('/')[-1] for f in glob.glob(table + '/day=*/*.parquet')}
assert {u.split('/')[-1] for u in delta.file_uris()} == files
assert delta.version() >= told['version'] and delta.metadata().name == 'samples'
print('rows', delta.to_pyarrow_table().num_rows)
old = deltalake.DeltaTable(table, version=told['version'])
assert len(old.file_uris()) == told['numOfAddFiles'], (old.file_uris(), told)
"#;

pub(super) async fn run(
    python: &std::ffi::OsStr,
    script: &str,
    dir: &Path,
) -> anyhow::Result<String> {
    let mut command = Command::new(python);
    command.arg("-c").arg(format!("{script}{END_OF_PYTHON}")).arg(dir);
    let mut process = Process::start("python", &mut command)?;
    process.finish(Duration::from_secs(60)).await?;
    Ok(process.log())
}

pub(super) fn python(test: &str) -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SKEP_TEST_PYTHON").filter(|it| Path::new(it).exists());
    if python.is_none() {
        skipped(test, "SKEP_TEST_PYTHON names no Python (cargo xtask test sets it)");
    }
    python
}

#[tokio::test]
async fn stock_readers_open_a_table_whose_first_commits_are_gone() -> anyhow::Result<()> {
    let test = "stock_readers_open_a_table_whose_first_commits_are_gone";
    let Some(python) = python(test) else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let client = server.client()?;
    for n in 0..30_i32 {
        let sample = Sample { ts: TimestampMs((START_S + i64::from(n)) * 1_000), value: n.into() };
        let series = SeriesBatch {
            labels: Labels::from_pairs([("__name__", "beats")])?,
            samples: vec![sample],
            kind: MetricKind::Gauge,
            help: "".into(),
        };
        let write = client.write(&[series]).await?;
        assert!(write.is_success(), "{write}");
        client.flush().await?;
    }
    client.compact().await?;
    assert_eq!(run(&python, CHECKPOINT_SCRIPT, &server.data_dir()).await?, "rows 30");
    server.stop().await?;
    server.restart().await?;
    let client = server.client()?;
    let params = [("query", "count_over_time(beats[1m])"), ("time", "1790000030")];
    let data = client.data("/api/v1/query", &params).await?;
    assert_eq!(data.pointer("/result/0/value/1").and_then(|it| it.as_str()), Some("30"), "{data}");
    Ok(())
}

#[tokio::test]
async fn stock_readers_open_every_file() -> anyhow::Result<()> {
    let Some(python) = python("stock_readers_open_every_file") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let client = server.client()?;
    let series = |mode: &str, values: &[f64]| SeriesBatch {
        labels: Labels::from_pairs([("__name__", "cpu_total"), ("mode", mode)]).unwrap(),
        samples: values
            .iter()
            .zip(0..)
            .map(|(&value, n)| Sample { ts: TimestampMs((START_S + n) * 1_000), value })
            .collect(),
        kind: MetricKind::Counter,
        help: "".into(),
    };
    let write = client
        .write(&[series("idle", &[0.25, 1.5]), series("user", &[1.0 / 3.0, stale_marker()])])
        .await?;
    assert!(write.is_success(), "{write}");
    let entry = LogEntry {
        ts: TimestampNs(START_S * 1_000_000_000 + 1),
        line: LINE.to_owned(),
        metadata: vec![("_PID".to_owned(), "7".to_owned())],
    };
    let push = client.push(&[(Labels::from_pairs([("unit", "a.service")])?, vec![entry])]).await?;
    assert!(push.is_success(), "{push}");
    client.flush().await?;

    let log = run(&python, SCRIPT, &server.data_dir()).await?;
    let ms = START_S * 1_000;
    assert_eq!(
        log,
        format!(
            "tables ['logs', 'samples', 'series', 'streams']\n\
             columns series_id ts mantissa scale value_float day\n\
             samples [({ms}, 'idle', 0.25), ({}, 'idle', 1.5), ({ms}, 'user', 0.3333333333333333), ({}, 'user', nan)]\n\
             lines [('a.service', '{LINE}', '7')]\n\
             pyarrow ['{LINE}']\n\
             pyarrow samples 4\n\
             delta ok",
            ms + 1_000,
            ms + 1_000
        )
    );
    Ok(())
}
