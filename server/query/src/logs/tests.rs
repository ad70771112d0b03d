//! Log leaves over tables in memory.

use std::{fmt, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{catalog::TableProvider, datasource::MemTable};
use expect_test::{Expect, expect};
use skep_logql::{Direction, QueryError, Value};
use skep_proto::{
    LabelIndex, Labels, LogBlock, LogBlockInfo, LogBlocks, LogReadError, LogTable, LogWanted,
    Matcher, MetadataBuilder, Pending, SeriesId, StreamId, TimeRange, TimestampNs,
};

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

/// Sources whose rows are sorted by stream and time; what lies in two of them counts once.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<[Source]>);

type Source = Vec<(i64, i64, String, Vec<(String, String)>)>;

fn source(rows: Rows<'_>) -> Source {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let row = |it: &(i64, i64, &str, &[(&str, &str)])| {
        (it.0, it.1 * S, it.2.to_owned(), it.3.iter().map(owned).collect())
    };
    rows.iter().map(row).collect()
}

impl LogTable for Lines {
    fn open(&self, wanted: LogWanted) -> Pending<Result<Arc<dyn LogBlocks>, LogReadError>> {
        let is_wanted = |id: i64, ts: i64| {
            wanted.ids.contains(&id) && wanted.first.0 <= ts && ts <= wanted.last.0
        };
        let mut blocks = Vec::new();
        for source in self.0.iter() {
            for rows in source.chunk_by(|left, right| left.0 == right.0) {
                let rows = rows.iter().filter(|it| is_wanted(it.0, it.1));
                blocks.push(rows.cloned().collect::<Source>());
            }
        }
        blocks.retain(|it| !it.is_empty());
        let info = |(at, rows): (usize, &Source)| LogBlockInfo {
            source: at,
            n_rows: rows.len(),
            ids: (rows[0].0, rows[0].0),
            ts: (rows[0].1, rows[rows.len() - 1].1),
            shared: Some((i64::MIN, i64::MAX)),
        };
        let infos = blocks.iter().enumerate().map(info).collect();
        Box::pin(async { Ok(Arc::new(Blocks(blocks, infos)) as Arc<dyn LogBlocks>) })
    }
}

struct Blocks(Vec<Source>, Vec<LogBlockInfo>);

impl LogBlocks for Blocks {
    fn infos(&self) -> &[LogBlockInfo] {
        &self.1
    }

    fn read(&self, at: usize) -> Result<LogBlock, LogReadError> {
        let rows = &self.0[at];
        let mut metadata = MetadataBuilder::default();
        for row in rows {
            metadata.push(row.3.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        let lines = rows.iter().map(|it| it.2.as_str()).collect();
        let (ids, ts) = rows.iter().map(|it| (it.0, it.1)).unzip();
        Ok(LogBlock::of_lines(ids, ts, lines, metadata.finish()))
    }

    fn describe(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "blocks={}", self.0.len())
    }
}

/// Two streams in two sources that share an entry.
fn engine(limits: Limits) -> Engine {
    let web = Arc::new(Labels::from_pairs([("app", "web")]).unwrap());
    let db = Arc::new(Labels::from_pairs([("app", "db")]).unwrap());
    let one = source(&[
        (0, 10, "level=info took=1s", &[]),
        (0, 30, "level=warn took=3s", &[("trace", "t1")]),
        (1, 20, "db two", &[]),
    ]);
    let two = source(&[
        (0, 20, "level=info took=2s", &[]),
        (0, 30, "level=warn took=3s", &[("trace", "t1")]),
        (1, 4000, "db late", &[]),
    ]);
    let none = MemTable::try_new(Arc::new(Schema::empty()), vec![vec![]]).unwrap();
    let none: Arc<dyn TableProvider> = Arc::new(none);
    let streams = Arc::new(Streams(vec![web, db]));
    let snapshot = Snapshot {
        series: Arc::clone(&streams) as Arc<dyn LabelIndex<SeriesId>>,
        samples: Arc::clone(&none),
        streams,
        logs: none,
        lines: Arc::new(Lines(vec![one, two].into())),
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
            30 [app=web trace=t1] level=warn took=3s
            20 [app=web] level=info took=2s"#]],
    )
    .await;
    check_lines(
        r#"{app=~".+"}"#,
        Direction::Forward,
        2,
        expect![[r#"
            10 [app=web] level=info took=1s
            20 [app=db] db two"#]],
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
