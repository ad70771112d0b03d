//! Leaves over a table give what the same windows give over plain vectors.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use datafusion::{datasource::MemTable, prelude::col};
use expect_test::expect;
use proptest::{collection::vec, prelude::*};
use skep_promql::{
    Fused, FusedOp, Grid, Grouping, Leaf, RawSeries, Row, Storage as _, StorageError, Window,
    absent, is_absent, vector::group_labels,
};
use skep_proto::{
    LabelIndex, Labels, LogBlocks, LogReadError, LogTable, LogWanted, Matcher, Pending, Sample,
    SeriesId, StreamId, TimeRange, TimestampMs, stale_marker,
};

use super::MetricStorage;
use crate::{Limits, Snapshot, session::SharedSession};

/// Label sets with ids, in order of id.
#[derive(Debug)]
struct Index(Vec<(SeriesId, Arc<Labels>)>);

impl LabelIndex<SeriesId> for Index {
    fn select(&self, matchers: &[Matcher], _: TimeRange) -> Vec<(SeriesId, Arc<Labels>)> {
        let matches = |labels: &Labels| matchers.iter().all(|it| it.matches_labels(labels));
        self.0.iter().filter(|(_, labels)| matches(labels)).cloned().collect()
    }
}

/// No metric query reads lines.
#[derive(Debug)]
struct NoLines;

impl LogTable for NoLines {
    fn open(&self, _: LogWanted) -> Pending<Result<Arc<dyn LogBlocks>, LogReadError>> {
        panic!("a metric query asked for lines")
    }
}

#[derive(Debug)]
struct NoStreams;

impl LabelIndex<StreamId> for NoStreams {
    fn select(&self, _: &[Matcher], _: TimeRange) -> Vec<(StreamId, Arc<Labels>)> {
        Vec::new()
    }
}

/// A generated store: the samples of each series, and how its rows are cut into batches.
#[derive(Debug, Clone)]
struct Data {
    series: Vec<BTreeMap<i64, f64>>,
    batch_rows: usize,
    n_partitions: usize,
    /// Whether the table declares that each partition is sorted.
    is_sorted: bool,
}

impl Data {
    fn labels(series_idx: usize) -> Arc<Labels> {
        let (host, core) = (series_idx % 2, series_idx / 2);
        let pairs = [
            ("__name__", format!("m{}", series_idx % 3)),
            ("host", format!("h{host}")),
            ("core", format!("{core}")),
        ];
        Arc::new(Labels::from_pairs(pairs).unwrap())
    }

    /// Ids with gaps, so that a scan may return more than was asked for.
    fn id(series_idx: usize) -> i64 {
        let series_idx = i64::try_from(series_idx).unwrap();
        series_idx * 2 + series_idx / 3
    }

    fn snapshot(&self) -> Snapshot {
        let series = (0..self.series.len()).map(|it| (SeriesId(Self::id(it)), Self::labels(it)));
        let samples = Arc::new(self.table());
        Snapshot {
            series: Arc::new(Index(series.collect())),
            samples: Arc::clone(&samples) as _,
            streams: Arc::new(NoStreams),
            logs: samples,
            lines: Arc::new(NoLines),
            rollups: None,
            histograms: None,
        }
    }

    fn table(&self) -> MemTable {
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("series_id", DataType::Int64, false),
            Field::new("ts", timestamp, false),
            Field::new("value", DataType::Float64, false),
        ]));
        let mut partitions = vec![Vec::new(); self.n_partitions];
        for (series_idx, samples) in self.series.iter().enumerate() {
            for (row_idx, (ts, value)) in samples.iter().enumerate() {
                // A series may lie in several partitions, as it does between heads and files.
                partitions[row_idx % self.n_partitions].push((Self::id(series_idx), *ts, *value));
            }
        }
        let batches = partitions
            .iter()
            .map(|rows| {
                rows.chunks(self.batch_rows)
                    .map(|rows| {
                        let ids = Int64Array::from_iter_values(rows.iter().map(|it| it.0));
                        let ts = rows.iter().map(|it| it.1);
                        let ts =
                            TimestampMillisecondArray::from_iter_values(ts).with_timezone("UTC");
                        let values = Float64Array::from_iter_values(rows.iter().map(|it| it.2));
                        let columns =
                            vec![Arc::new(ids) as _, Arc::new(ts) as _, Arc::new(values) as _];
                        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
                    })
                    .collect()
            })
            .collect();
        let table = MemTable::try_new(schema, batches).unwrap();
        if !self.is_sorted {
            return table;
        }
        let order = vec![col("series_id").sort(true, false), col("ts").sort(true, false)];
        table.with_sort_order(vec![order])
    }

    fn storage(&self, limits: &Limits) -> MetricStorage {
        let session = SharedSession::new(limits).unwrap().query(limits, Duration::from_secs(60));
        MetricStorage::new(self.snapshot(), session, true)
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = (Arc<Labels>, Vec<Sample>)> {
        self.series.iter().enumerate().filter_map(|(series_idx, samples)| {
            let labels = Self::labels(series_idx);
            matchers.iter().all(|it| it.matches_labels(&labels)).then(|| {
                let sample =
                    |(ts, value): (&i64, &f64)| Sample { ts: TimestampMs(*ts), value: *value };
                (labels, samples.iter().map(sample).collect())
            })
        })
    }

    /// The same leaf, the plain way.
    fn expected(&self, leaf: &Leaf) -> BTreeMap<Labels, Vec<f64>> {
        let mut rows: BTreeMap<Labels, Vec<Vec<f64>>> = BTreeMap::new();
        for (labels, samples) in self.matching(&leaf.matchers) {
            let ts: Vec<i64> = samples.iter().map(|it| it.ts.0).collect();
            let values: Vec<f64> = samples.iter().map(|it| it.value).collect();
            let mut row = vec![absent(); leaf.grid.n_steps()];
            leaf.window.apply(&ts, &values, &leaf.grid, leaf.window_ms, &mut row);
            let key = match &leaf.fused {
                Some(fused) => group_labels(&labels, &fused.grouping),
                None => Labels::clone(&labels),
            };
            rows.entry(key).or_default().push(row);
        }
        let step = |rows: &[Vec<f64>], step_idx: usize| {
            let values: Vec<f64> =
                rows.iter().map(|it| it[step_idx]).filter(|it| !is_absent(*it)).collect();
            match &leaf.fused {
                _ if values.is_empty() => absent(),
                Some(fused) => aggregate(fused.op, &values),
                None => values[0],
            }
        };
        rows.into_iter()
            .map(|(labels, rows)| {
                (labels, (0..leaf.grid.n_steps()).map(|it| step(&rows, it)).collect::<Vec<f64>>())
            })
            .filter(|(_, row)| !row.iter().all(|it| is_absent(*it)))
            .collect()
    }
}

fn aggregate(op: FusedOp, values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of values")]
    let count = values.len() as f64;
    let fold = |keep: fn(f64, f64) -> bool| {
        values.iter().copied().reduce(|a, b| if keep(b, a) || a.is_nan() { b } else { a }).unwrap()
    };
    match op {
        FusedOp::Sum => values.iter().sum(),
        FusedOp::Avg => values.iter().sum::<f64>() / count,
        FusedOp::Min => fold(|a, b| a < b),
        FusedOp::Max => fold(|a, b| a > b),
        FusedOp::Count => count,
        FusedOp::Group => 1.0,
    }
}

fn data() -> impl Strategy<Value = Data> {
    let value = prop_oneof![
        8 => (0..1_000_i32).prop_map(f64::from),
        1 => Just(stale_marker()),
        1 => Just(f64::NAN),
    ];
    let samples = proptest::collection::btree_map(0..2_000_i64, value, 0..60);
    (vec(samples, 0..8), 1..40_usize, 1..4_usize, any::<bool>()).prop_map(
        |(series, batch_rows, n_partitions, is_sorted)| Data {
            series,
            batch_rows,
            n_partitions,
            is_sorted,
        },
    )
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let window = prop_oneof![
        Just(Window::Last),
        Just(Window::Rate),
        Just(Window::Increase),
        Just(Window::AvgOverTime),
        Just(Window::MaxOverTime),
        Just(Window::CountOverTime),
        Just(Window::Changes),
    ];
    let op = prop_oneof![
        Just(FusedOp::Sum),
        Just(FusedOp::Avg),
        Just(FusedOp::Min),
        Just(FusedOp::Max),
        Just(FusedOp::Count),
        Just(FusedOp::Group),
    ];
    let names = || vec!["host".to_owned()];
    let grouping = prop_oneof![
        Just(Grouping::By(Vec::new())),
        Just(Grouping::By(names())),
        Just(Grouping::Without(names())),
    ];
    let fused =
        proptest::option::of((op, grouping).prop_map(|(op, grouping)| Fused { op, grouping }));
    let matchers = prop_oneof![
        Just(Vec::new()),
        Just(vec![Matcher::equal("host", "h1")]),
        Just(vec![Matcher::equal("__name__", "m1")]),
    ];
    let grid = (-100..2_100_i64, 1..300_i64, 1..20_usize).prop_map(|(start, step_ms, n_steps)| {
        Grid::with_steps(TimestampMs(start), step_ms, n_steps)
    });
    (matchers, grid, 1..500_i64, window, fused).prop_map(
        |(matchers, grid, window_ms, window, fused)| Leaf {
            matchers,
            grid,
            window_ms,
            window,
            fused,
        },
    )
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

fn is_near(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits()
        || left.is_nan() && right.is_nan() && is_absent(left) == is_absent(right)
        || (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_leaf_over_a_table_is_the_same_as_over_vectors(data in data(), leaf in leaf()) {
        let matrix = block_on(data.storage(&Limits::default()).leaf(&leaf)).unwrap();
        let rows: BTreeMap<Labels, Vec<f64>> =
            matrix.rows.iter().map(|Row { labels, values, .. }| (Labels::clone(labels), values.clone())).collect();
        prop_assert_eq!(rows.len(), matrix.rows.len(), "each label set once");
        let expected = data.expected(&leaf);
        prop_assert_eq!(rows.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (labels, row) in &rows {
            let same = row.iter().zip(&expected[labels]).all(|(left, right)| is_near(*left, *right));
            prop_assert!(same && row.len() == leaf.grid.n_steps(), "{labels}: {row:?}");
        }
    }

    #[test]
    fn raw_series_have_every_sample_but_stale_markers(data in data(), start in 0..2_000_i64) {
        let range = TimeRange { start: TimestampMs(start), end: TimestampMs(start + 500) };
        let found = block_on(data.storage(&Limits::default()).raw(&[], range)).unwrap();
        let expected: Vec<Bits> = data
            .matching(&[])
            .map(|(labels, samples)| {
                let bits = |it: &Sample| (it.ts.0, it.value.to_bits());
                let inside = samples.iter().filter(|it| range.contains(it.ts));
                (labels, inside.map(bits).filter(|it| it.1 != stale_marker().to_bits()).collect())
            })
            .filter(|(_, samples): &(_, Vec<_>)| !samples.is_empty())
            .collect();
        let found: Vec<_> = found
            .into_iter()
            .map(|RawSeries { labels, samples, .. }| {
                (labels, samples.iter().map(|it| (it.ts.0, it.value.to_bits())).collect::<Vec<_>>())
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// A series' samples, values by their bits.
type Bits = (Arc<Labels>, Vec<(i64, u64)>);

/// Many series, so that a leaf is read in shards.
fn many(n_series: usize) -> Data {
    let samples = || (0..4).map(|it| (it * 100, 1.0)).collect();
    let series = (0..n_series).map(|_| samples()).collect();
    Data { series, batch_rows: 1_000, n_partitions: 2, is_sorted: true }
}

fn sum_of_all() -> Leaf {
    Leaf {
        matchers: Vec::new(),
        grid: Grid::instant(TimestampMs(300)),
        window_ms: 1_000,
        window: Window::Last,
        fused: Some(Fused { op: FusedOp::Sum, grouping: Grouping::By(Vec::new()) }),
    }
}

#[test]
fn shards_of_a_large_leaf_add_up() {
    let matrix = block_on(many(3_000).storage(&Limits::default()).leaf(&sum_of_all())).unwrap();
    assert_eq!(matrix.rows.len(), 1);
    assert_eq!(matrix.rows[0].values, [3_000.0]);
    let unfused = Leaf { fused: None, ..sum_of_all() };
    let matrix = block_on(many(3_000).storage(&Limits::default()).leaf(&unfused)).unwrap();
    assert_eq!(matrix.rows.len(), 3_000);
}

#[track_caller]
fn check_limit(limits: &Limits, expected: &expect_test::Expect) {
    let error = block_on(many(100).storage(limits).leaf(&sum_of_all())).unwrap_err();
    assert!(matches!(error, StorageError::Limit(_)), "{error:?}");
    expected.assert_eq(&error.to_string());
}

#[test]
fn a_limit_names_its_setting() {
    check_limit(
        &Limits { n_series_max: 99, ..Limits::default() },
        &expect![
            "selector matches 100 series, the limit is 99; add matchers or raise query.series_max"
        ],
    );
    check_limit(
        &Limits { n_samples_max: 399, ..Limits::default() },
        &expect![
            "query processing would load too many samples: more than 399; narrow the time range or the selector, or raise query.samples_max"
        ],
    );
    check_limit(
        &Limits { memory_bytes_max: 20, ..Limits::default() },
        &expect![
            "query needs more than its 20 bytes of memory, or all queries together more than 1073741824; narrow it, or raise query.memory_max or query.memory_total"
        ],
    );
}

#[test]
fn a_query_past_its_deadline_reads_no_further() {
    let limits = Limits { timeout: Duration::ZERO, ..Limits::default() };
    let error = block_on(many(10).storage(&limits).leaf(&sum_of_all())).unwrap_err();
    assert!(matches!(error, StorageError::Timeout), "{error:?}");
}

#[test]
fn an_explained_leaf_shows_its_plan() {
    let plans = block_on(async {
        let storage = many(10).storage(&Limits::default());
        storage.leaf(&sum_of_all()).await.unwrap();
        storage.take_plans().await
    });
    assert_eq!(plans.len(), 1);
    for part in ["SeriesWindowExec: series=10, window=Last", "fused=Sum, groups=1", "samples=40"] {
        assert!(plans[0].text.contains(part), "{part} in {}", plans[0].text);
    }
}
