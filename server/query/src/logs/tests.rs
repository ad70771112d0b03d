//! Log leaves over tables in memory.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array as _, ArrayRef, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder,
        TimestampNanosecondArray,
    },
    datatypes::{Field, Schema},
};
use datafusion::datasource::MemTable;
use expect_test::{Expect, expect};
use skep_logql::{Direction, QueryError, Value};
use skep_proto::{LabelIndex, Labels, Matcher, SeriesId, StreamId, TimeRange, TimestampNs};

use crate::{Catalog, Engine, Limits, LogqlOptions, Snapshot};

const S: i64 = 1_000_000_000;

#[derive(Debug)]
struct Streams(Vec<Arc<Labels>>);

impl LabelIndex<StreamId> for Streams {
    fn select(&self, matchers: &[Matcher], _: TimeRange) -> Vec<(StreamId, Arc<Labels>)> {
        (0i64..)
            .zip(&self.0)
            .filter(|(_, labels)| matchers.iter().all(|it| it.matches_labels(labels)))
            .map(|(id, labels)| (StreamId(id), Arc::clone(labels)))
            .collect()
    }
}

impl LabelIndex<SeriesId> for Streams {
    fn select(&self, _: &[Matcher], _: TimeRange) -> Vec<(SeriesId, Arc<Labels>)> {
        Vec::new()
    }
}

struct Tables(Snapshot);

impl fmt::Debug for Tables {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tables")
    }
}

impl Catalog for Tables {
    fn snapshot(&self) -> Snapshot {
        self.0.clone()
    }
}

/// `(stream, seconds, line, metadata)`
type Rows<'a> = &'a [(i64, i64, &'a str, &'a [(&'a str, &'a str)])];

fn batch(rows: Rows<'_>) -> RecordBatch {
    let mut metadata = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (_, _, _, pairs) in rows {
        for (name, value) in *pairs {
            metadata.keys().append_value(name);
            metadata.values().append_value(value);
        }
        metadata.append(true).unwrap();
    }
    let ts: TimestampNanosecondArray = rows.iter().map(|it| Some(it.1 * S)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("stream_id", Arc::new(rows.iter().map(|it| Some(it.0)).collect::<Int64Array>())),
        ("ts", Arc::new(ts.with_timezone("UTC"))),
        ("line", Arc::new(rows.iter().map(|it| Some(it.2)).collect::<StringArray>())),
        ("metadata", Arc::new(metadata.finish())),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Two streams whose rows lie in two partitions, unsorted.
fn engine(limits: Limits) -> Engine {
    let web = Arc::new(Labels::from_pairs([("app", "web")]).unwrap());
    let db = Arc::new(Labels::from_pairs([("app", "db")]).unwrap());
    let one = batch(&[
        (1, 20, "db two", &[]),
        (0, 30, "level=warn took=3s", &[("trace", "t1")]),
        (0, 10, "level=info took=1s", &[]),
    ]);
    let two = batch(&[(0, 20, "level=info took=2s", &[]), (1, 4000, "db late", &[])]);
    let schema = one.schema();
    let logs = MemTable::try_new(Arc::clone(&schema), vec![vec![one], vec![two]]).unwrap();
    let samples = MemTable::try_new(schema, vec![vec![]]).unwrap();
    let streams = Arc::new(Streams(vec![web, db]));
    let snapshot = Snapshot {
        series: Arc::clone(&streams) as Arc<dyn LabelIndex<SeriesId>>,
        samples: Arc::new(samples),
        streams,
        logs: Arc::new(logs),
        rollups: None,
        histograms: None,
    };
    Engine::new(Arc::new(Tables(snapshot)), limits).unwrap()
}

async fn lines(query: &str, direction: Direction, limit: usize) -> Result<String, QueryError> {
    let options = LogqlOptions { direction, limit, timeout: None };
    let (start, end) = (TimestampNs(0), TimestampNs(5000 * S));
    let value = engine(Limits::default()).logql_range(query, start, end, 60_000, options).await?;
    let Value::Streams(streams) = value else { panic!("{query} has no lines") };
    let mut out = Vec::new();
    for stream in streams {
        let labels: Vec<String> =
            stream.labels.merged().iter().map(|(name, value)| format!("{name}={value}")).collect();
        for entry in &stream.entries {
            out.push(format!("{} [{}] {}", entry.ts.0 / S, labels.join(" "), entry.line));
        }
    }
    Ok(out.join("\n"))
}

async fn check_lines(query: &str, direction: Direction, limit: usize, expect: Expect) {
    expect.assert_eq(&lines(query, direction, limit).await.unwrap());
}

async fn check_metric(query: &str, at_seconds: i64, expect: Expect) {
    let value = engine(Limits::default())
        .logql_instant(query, TimestampNs(at_seconds * S), LogqlOptions::default())
        .await
        .unwrap();
    let Value::Matrix(matrix) = value else { panic!("{query} is no vector") };
    let mut rows: Vec<String> =
        matrix.rows.iter().map(|row| format!("{} {:?}", row.labels, row.values)).collect();
    rows.sort();
    expect.assert_eq(&rows.join("\n"));
}

#[tokio::test]
async fn the_newest_lines_of_all_streams_come_first() {
    check_lines(
        r#"{app=~".+"}"#,
        Direction::Backward,
        3,
        expect![[r#"
            4000 [app=db] db late
            20 [app=db] db two
            30 [app=web trace=t1] level=warn took=3s"#]],
    )
    .await;
    check_lines(
        r#"{app=~".+"}"#,
        Direction::Forward,
        2,
        expect![[r#"
            10 [app=web] level=info took=1s
            20 [app=web] level=info took=2s"#]],
    )
    .await;
}

#[tokio::test]
async fn filters_and_stages_run_before_the_limit() {
    check_lines(
        r#"{app="web"} |= "info" | logfmt | took >= 2s"#,
        Direction::Backward,
        1,
        expect!["20 [app=web level=info took=2s] level=info took=2s"],
    )
    .await;
    check_lines(r#"{app="nope"}"#, Direction::Backward, 10, expect![""]).await;
}

#[tokio::test]
async fn windows_are_counted_by_label_set() {
    check_metric(
        r#"sum by (level) (count_over_time({app="web"} | logfmt [30s]))"#,
        30,
        expect![[r#"
            {level="info"} [2.0]
            {level="warn"} [1.0]"#]],
    )
    .await;
    check_metric(
        r#"max_over_time({app="web"} | logfmt | unwrap duration(took) [1m]) by (app)"#,
        30,
        expect![[r#"{app="web"} [3.0]"#]],
    )
    .await;
    check_metric(r#"absent_over_time({app="gone"}[1m])"#, 30, expect![[r#"{app="gone"} [1.0]"#]])
        .await;
}

#[tokio::test]
async fn an_error_of_the_query_travels_through_the_plan() {
    let query = r#"sum_over_time({app="web"} | logfmt | unwrap level [1m])"#;
    let error = engine(Limits::default())
        .logql_instant(query, TimestampNs(60 * S), LogqlOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, QueryError::Pipeline { .. }), "{error}");
}

#[tokio::test]
async fn limits_and_kinds_of_queries_are_checked() {
    let error = lines(r#"{app="web"}"#, Direction::Backward, 5_001).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"
    );
    let few = Limits { n_series_max: 1, ..Limits::default() };
    let error = engine(few)
        .logql_instant(
            r#"count_over_time({app=~".+"}[1m])"#,
            TimestampNs(60 * S),
            LogqlOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("query.series_max"), "{error}");
    let few = Limits { n_log_series_max: 1, ..Limits::default() };
    let error = engine(few)
        .logql_instant(
            r#"count_over_time({app=~".+"}[1m])"#,
            TimestampNs(60 * S),
            LogqlOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, QueryError::Series(1)), "{error}");
    let error = engine(Limits::default())
        .logql_instant(r#"{app="web"}"#, TimestampNs(0), LogqlOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("log queries are not supported"), "{error}");
}
