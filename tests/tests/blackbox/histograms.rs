//! Native histograms from a request to a file: acknowledged, killed, asked for, opened by others.

use anyhow::ensure;
use skep_proto::{remote_write, snappy};
use skep_tests::{Client, Server};

use super::parquet::{python, run};

const START_S: i64 = 1_790_000_000;

const SCRIPT: &str = r#"
import glob, sys, pyarrow.parquet as pq, duckdb, deltalake
root = sys.argv[1]
files = glob.glob(root + '/histograms/day=*/*.parquet')
for f in files:
    assert not any('uint' in str(c.type) for c in pq.ParquetFile(f).schema_arrow), f
print('rows', duckdb.sql(f"""SELECT name, epoch_ms(ts), schema, count, sum, positive_spans, positive
FROM '{root}/histograms/day=*/*.parquet' JOIN (SELECT DISTINCT series_id, name FROM '{root}/series/day=*/*.parquet') USING (series_id)
ORDER BY ts""").fetchall())
delta = deltalake.DeltaTable(root + '/histograms')
print('delta', [len(it) for it in delta.to_pyarrow_table().sort_by('ts')['positive'].to_pylist()])
"#;

/// A field of 8 bytes, of some bytes, or a number.
enum Field<'a> {
    Double(f64),
    Bytes(&'a [u8]),
    Varint(i64),
}

fn message(fields: &[(u8, Field<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, field) in fields {
        match field {
            Field::Varint(it) => {
                out.push(number << 3);
                put_varint(&mut out, it.cast_unsigned());
            }
            Field::Double(it) => {
                out.push(number << 3 | 1);
                out.extend(it.to_le_bytes());
            }
            Field::Bytes(it) => {
                out.push(number << 3 | 2);
                put_varint(&mut out, it.len() as u64);
                out.extend_from_slice(it);
            }
        }
    }
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

/// Two buckets, `n` and `n + 1` observations in them.
fn histogram(n: i64, ts_ms: i64) -> Vec<u8> {
    let span = message(&[(1, Field::Varint(0)), (2, Field::Varint(2))]);
    let count = 2 * n + 1;
    // Zigzag: n more than nothing, 1 more than that.
    let mut deltas = Vec::new();
    put_varint(&mut deltas, (2 * n).cast_unsigned());
    put_varint(&mut deltas, 2);
    message(&[
        (1, Field::Varint(count)),
        (3, Field::Double(0.5)),
        (4, Field::Varint(6)),
        (11, Field::Bytes(&span)),
        (12, Field::Bytes(&deltas)),
        (15, Field::Varint(ts_ms)),
    ])
}

async fn write(client: &Client, n: i64) -> anyhow::Result<()> {
    let label = message(&[(1, Field::Bytes(b"__name__")), (2, Field::Bytes(b"wait_seconds"))]);
    let histogram = histogram(n, (START_S + 15 * n) * 1_000);
    let series = message(&[(1, Field::Bytes(&label)), (4, Field::Bytes(&histogram))]);
    let body = snappy::compress(&message(&[(1, Field::Bytes(&series))]));
    let headers = [
        ("Content-Type", remote_write::CONTENT_TYPE_V1),
        ("Content-Encoding", "snappy"),
        (skep_proto::names::header::REMOTE_WRITE_VERSION, remote_write::VERSION_V1),
    ];
    let status = client.post("/api/v1/write", &headers, body).await?.status();
    ensure!(status == 204, "{status}");
    Ok(())
}

/// At the last of four histograms.
async fn check(client: &Client) -> anyhow::Result<()> {
    let time = (START_S + 60).to_string();
    for (query, expected) in [
        ("histogram_count(wait_seconds)", 9.0),
        ("histogram_count(increase(wait_seconds[45s]))", 6.0),
        ("count_over_time(wait_seconds[1m])", 4.0),
    ] {
        let data =
            client.data("/api/v1/query", &[("query", query), ("time", time.as_str())]).await?;
        let value = data.pointer("/result/0/value/1").and_then(serde_json::Value::as_str);
        let value = value.and_then(|it| it.parse::<f64>().ok());
        ensure!(value == Some(expected), "{query}: {data}");
    }
    let listed = client.data("/api/v1/series", &[("match[]", "wait_seconds")]).await?;
    ensure!(listed.as_array().is_some_and(|it| it.len() == 1), "{listed}");
    Ok(())
}

#[tokio::test]
async fn acknowledged_histograms_survive_a_kill_and_open_anywhere() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let client = server.client()?;
    for n in 1..3 {
        write(&client, n).await?;
    }
    server.crash_and_restart().await?;
    let client = server.client()?;
    client.flush().await?;
    for n in 3..5 {
        write(&client, n).await?;
    }
    // Two in a part, two in memory; then all in parts, then in one.
    check(&client).await?;
    client.flush().await?;
    check(&client).await?;
    client.compact().await?;
    check(&client).await?;
    server.stop().await?;
    let test = "acknowledged_histograms_survive_a_kill_and_open_anywhere";
    let Some(python) = python(test) else { return Ok(()) };
    let log = run(&python, SCRIPT, &dir.path().join("server")).await?;
    ensure!(log.contains("delta [2, 2, 2, 2]"), "{log}");
    let last =
        "('wait_seconds', 1790000060000, 3, 9.0, 0.5, [{'offset': 0, 'length': 2}], [4.0, 5.0])";
    ensure!(log.contains(last), "{log}");
    Ok(())
}
