//! What must hold for any native histogram, malformed ones included: no query panics or hangs, and
//! sums do not depend on the order of what is summed.

use std::sync::Arc;

use proptest::prelude::*;
use skep_promql::{
    EvalOptions, Grid, ParseOptions, Value, eval,
    native::buckets,
    parse_with,
    promqltest::{Item, Memory},
};
use skep_proto::{CUSTOM_BUCKETS_SCHEMA, Labels, NativeHistogram, ResetHint, Span, TimestampMs};

/// Any number a histogram may hold, sensible or not.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-3i32..40).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::MAX),
        1 => Just(1e-300),
    ]
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let offset = prop_oneof![8 => -9i32..9, 1 => Just(i32::MIN), 1 => Just(i32::MAX)];
    let length = prop_oneof![8 => 0u32..5, 1 => Just(u32::MAX)];
    let span = (offset, length).prop_map(|(offset, length)| Span { offset, length });
    prop::collection::vec(span, 0..4)
}

prop_compose! {
    fn histogram()(
        hint in prop::sample::select(vec![
            ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge,
        ]),
        schema in prop_oneof![3 => -4i8..9, 1 => Just(CUSTOM_BUCKETS_SCHEMA), 1 => any::<i8>()],
        [zero_threshold, zero_count, count, sum] in prop::array::uniform4(number()),
        positive_spans in spans(),
        negative_spans in spans(),
        positive in prop::collection::vec(number(), 0..9),
        negative in prop::collection::vec(number(), 0..9),
        custom_values in prop::collection::vec(number(), 0..6),
    ) -> NativeHistogram {
        NativeHistogram {
            reset_hint: hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive,
            negative,
            custom_values,
        }
    }
}

fn item() -> impl Strategy<Value = Option<Item>> {
    prop_oneof![
        1 => Just(None),
        1 => number().prop_map(|it| Some(Item::Float(it))),
        6 => histogram().prop_map(|it| {
            Some(Item::Histogram { histogram: Arc::new(it), has_hint: true })
        }),
    ]
}

const QUERIES: [&str; 38] = [
    "h",
    "h[5m]",
    "h[5m] smoothed",
    "h[5m:30s]",
    "h smoothed",
    "rate(h[4m])",
    "increase(h[4m])",
    "delta(h[4m])",
    "irate(h[4m])",
    "idelta(h[4m])",
    "rate(h[4m] anchored)",
    "increase(h[4m] smoothed)",
    "changes(h[4m] anchored)",
    "resets(h[4m])",
    "sum_over_time(h[4m])",
    "avg_over_time(h[4m:30s])",
    "last_over_time(h[4m])",
    "max_over_time(h[4m])",
    "histogram_quantile(0.3, h)",
    "histogram_quantile(0.9, rate(h[3m]))",
    "histogram_quantiles(h, \"q\", 0, 0.5, 1)",
    "histogram_fraction(-1, 3, h)",
    "histogram_stddev(h)",
    "histogram_avg(sum(h))",
    "sum(h)",
    "avg by (i) (h)",
    "count_values(\"v\", h)",
    "topk(1, h)",
    "limitk(1, h)",
    "h + on() group_left h{i=\"0\"}",
    "h - h",
    "h == bool h",
    "h * -2",
    "h / 0",
    "h </ 2.5",
    "h >/ -1",
    "-h or h",
    "info(h)",
];

proptest! {
    #[test]
    fn any_histograms_end_in_an_answer_or_an_error(
        first in prop::collection::vec(item(), 0..8),
        second in prop::collection::vec(item(), 0..8),
    ) {
        let mut memory = Memory::default();
        for (i, items) in [("0", first), ("1", second)] {
            let labels = Labels::from_pairs([("__name__", "h"), ("i", i)]).unwrap();
            memory.append_items(labels, 60_000, &items);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let grid = Grid::range(TimestampMs(60_000), TimestampMs(480_000), 70_000).unwrap();
        for query in QUERIES {
            let expr = parse_with(query, ParseOptions { experimental: true }).unwrap();
            for (grid, is_instant) in [(grid, false), (Grid::instant(TimestampMs(200_000)), true)] {
                let options = EvalOptions { is_instant, ..EvalOptions::default() };
                let answer = runtime.block_on(eval(query, &expr, grid, &memory, &options));
                let Ok((Value::Vector(matrix), _)) = answer else {
                    continue;
                };
                for row in &matrix.rows {
                    let n_histograms = row.histograms.as_ref().map(Vec::len);
                    prop_assert!(n_histograms.is_none_or(|it| it == grid.n_steps()), "{query}");
                    prop_assert!(row.has_values(), "{query}: a row of nothing");
                    for it in row.histograms.iter().flatten().flatten() {
                        let n_buckets = it.positive.len() + it.negative.len();
                        prop_assert!(buckets(it).len() <= n_buckets + 1, "{query}");
                    }
                }
            }
        }
    }
}

/// Whole counts in plain buckets, so that sums are exact.
fn plain() -> impl Strategy<Value = NativeHistogram> {
    (0i8..3, 0u32..6, prop::collection::vec(0u32..9, 6)).prop_map(|(schema, length, counts)| {
        let positive: Vec<f64> =
            counts.iter().take(length as usize).map(|it| f64::from(*it)).collect();
        let count = positive.iter().sum();
        NativeHistogram {
            schema,
            count,
            sum: count * 2.0,
            positive_spans: vec![Span { offset: -1, length }],
            positive,
            ..NativeHistogram::default()
        }
    })
}

proptest! {
    #[test]
    fn a_sum_is_the_same_in_any_order_and_counts_everything(
        mut histograms in prop::collection::vec(plain(), 1..6),
    ) {
        let forth = sum(&histograms);
        histograms.reverse();
        let back = sum(&histograms);
        prop_assert_eq!(&forth, &back);
        let counted: f64 = histograms.iter().map(|it| it.count).sum();
        prop_assert_eq!(forth.count, counted);
        prop_assert_eq!(forth.positive.iter().sum::<f64>(), counted);
    }
}

fn sum(histograms: &[NativeHistogram]) -> NativeHistogram {
    let mut memory = Memory::default();
    for (i, histogram) in histograms.iter().enumerate() {
        let i = i.to_string();
        let labels = Labels::from_pairs([("__name__", "h"), ("i", i.as_str())]);
        let histogram = Arc::new(histogram.clone());
        let item = Item::Histogram { histogram, has_hint: false };
        memory.append_items(labels.expect("distinct names"), 60_000, &[Some(item)]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let expr = parse_with("sum(h)", ParseOptions::default()).expect("a query");
    let options = EvalOptions { is_instant: true, ..EvalOptions::default() };
    let grid = Grid::instant(TimestampMs(0));
    let answer = runtime.block_on(eval("sum(h)", &expr, grid, &memory, &options));
    let (Value::Vector(matrix), _) = answer.expect("an answer") else {
        panic!("a vector is expected");
    };
    let found = matrix.rows.first().and_then(|it| it.histogram(0)).expect("a histogram");
    NativeHistogram::clone(found)
}
