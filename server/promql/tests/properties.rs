//! What must hold for any input: windows equal a plain computation, fusing changes nothing, no text
//! makes the parser panic or the stack run out.

use async_trait::async_trait;
use proptest::prelude::*;
use skep_promql::{
    EvalError, EvalOptions, Grid, Leaf, Matrix, ParseOptions, RawSeries, Storage, StorageError,
    Value, Window, absent, eval, format_query, is_absent, parse, parse_with, promqltest::Memory,
};
use skep_proto::{Labels, Matcher, TimeRange, TimestampMs, is_stale_marker, stale_marker};

/// A sorted series with gaps, NaN, resets and stale markers.
fn series() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    let value = prop_oneof![
        8 => (-20i32..100).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(stale_marker()),
        1 => Just(f64::INFINITY),
    ];
    prop::collection::vec((1i64..40, value), 0..40).prop_map(|gaps| {
        let mut at = 0;
        gaps.into_iter()
            .map(|(gap, value)| {
                at += gap;
                (at, value)
            })
            .unzip()
    })
}

/// The same function over each window alone, as a series of its own.
fn one_by_one(
    window: &Window,
    ts: &[i64],
    values: &[f64],
    grid: &Grid,
    window_ms: i64,
) -> Vec<f64> {
    grid.steps()
        .map(|at| {
            let (ts, values): (Vec<i64>, Vec<f64>) = ts
                .iter()
                .zip(values)
                .filter(|(ts, _)| **ts > at.0 - window_ms && **ts <= at.0)
                .map(|(ts, value)| (*ts, *value))
                .unzip();
            let mut out = [absent()];
            window.apply(&ts, &values, &Grid::instant(at), window_ms, &mut out);
            out[0]
        })
        .collect()
}

fn windows() -> Vec<Window> {
    vec![
        Window::Last,
        Window::LastTimestamp,
        Window::Rate,
        Window::Increase,
        Window::Delta,
        Window::Irate,
        Window::Idelta,
        Window::Deriv,
        Window::PredictLinear { ahead_seconds: vec![60.0] },
        Window::Changes,
        Window::Resets,
        Window::AvgOverTime,
        Window::MinOverTime,
        Window::MaxOverTime,
        Window::SumOverTime,
        Window::CountOverTime,
        Window::LastOverTime,
        Window::FirstOverTime,
        Window::PresentOverTime,
        Window::TsOfMinOverTime,
        Window::TsOfMaxOverTime,
        Window::StddevOverTime,
        Window::MadOverTime,
        Window::QuantileOverTime { quantile: vec![0.3] },
        Window::DoubleExponentialSmoothing { smoothing: vec![0.5], trend: vec![0.3] },
    ]
}

proptest! {
    #[test]
    fn a_window_gives_the_same_bits_wherever_it_lies(
        (ts, values) in series(),
        start in 0i64..100,
        step in 1i64..60,
        window_ms in 1i64..200,
    ) {
        let grid = Grid::range(TimestampMs(start), TimestampMs(start + 20 * step), step).unwrap();
        for window in windows() {
            let mut out = vec![absent(); grid.n_steps()];
            window.apply(&ts, &values, &grid, window_ms, &mut out);
            let expected = one_by_one(&window, &ts, &values, &grid, window_ms);
            for (found, expected) in out.iter().zip(&expected) {
                let is_same = found.to_bits() == expected.to_bits()
                    || found.is_nan() && expected.is_nan()
                        && is_absent(*found) == is_absent(*expected);
                prop_assert!(is_same, "{window:?}: {out:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn plain_windows_equal_their_definition(
        (ts, values) in series(),
        at in 0i64..600,
        window_ms in 1i64..300,
    ) {
        let inside: Vec<f64> = ts
            .iter()
            .zip(&values)
            .filter(|(ts, value)| **ts > at - window_ms && **ts <= at && !is_stale_marker(**value))
            .map(|(_, value)| *value)
            .collect();
        let apply = |window: Window| {
            let mut out = [absent()];
            window.apply(&ts, &values, &Grid::instant(TimestampMs(at)), window_ms, &mut out);
            out[0]
        };
        let count = apply(Window::CountOverTime);
        if inside.is_empty() {
            prop_assert!(is_absent(count));
            return Ok(());
        }
        prop_assert_eq!(count, inside.len() as f64);
        let smallest = inside.iter().copied().fold(f64::NAN, f64::min);
        let largest = inside.iter().copied().fold(f64::NAN, f64::max);
        prop_assert_eq!(apply(Window::MinOverTime).to_bits(), smallest.to_bits());
        prop_assert_eq!(apply(Window::MaxOverTime).to_bits(), largest.to_bits());
        prop_assert_eq!(apply(Window::LastOverTime).to_bits(), inside[inside.len() - 1].to_bits());
        let resets = inside.windows(2).filter(|it| it[1] < it[0]).count();
        prop_assert_eq!(apply(Window::Resets), resets as f64);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z0-9(){}\\[\\]+*/^%<>=!~@:,.\"'` \\-\n#é]{0,60}") {
        for experimental in [false, true] {
            drop(parse_with(&text, ParseOptions { experimental }));
        }
    }

    #[test]
    fn any_accepted_query_ends_in_an_answer_or_an_error(
        text in query(),
        is_instant: bool,
        start in prop_oneof![Just(i64::MIN), Just(0), Just(300_000), Just(i64::MAX - 1_000_000)],
    ) {
        let Ok(expr) = parse_with(&text, ParseOptions { experimental: true }) else {
            return Ok(());
        };
        let start = TimestampMs(start);
        let grid = if is_instant {
            Grid::instant(start)
        } else {
            Grid::range(start, TimestampMs(start.0 + 600_000), 60_000).unwrap()
        };
        let options = EvalOptions { is_instant, n_values_max: 100_000, ..EvalOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let storage = memory();
        match runtime.block_on(eval(&text, &expr, grid, &storage, &options)) {
            Ok((Value::Vector(matrix), _)) => {
                for row in &matrix.rows {
                    prop_assert_eq!(row.values.len(), grid.n_steps());
                }
            }
            Ok((Value::Scalar { values, .. }, _)) => prop_assert_eq!(values.len(), grid.n_steps()),
            Ok(_) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn what_is_printed_reads_as_the_same_query(text in query()) {
        let options = ParseOptions { experimental: true };
        if let Ok(expr) = parse_with(&text, options) {
            let printed = expr.to_string();
            let again = parse_with(&printed, options).unwrap().to_string();
            prop_assert_eq!(printed, again);
        }
    }
}

/// Texts that are queries more often than not.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("m".to_owned()),
        Just("m{a=\"b\", c!~\"d.*\"} offset 5m".to_owned()),
        Just("{\"u.v\", \"x y\"=\"z\"} @ 10".to_owned()),
        Just("rate(m[5m] @ end())".to_owned()),
        Just("c_total".to_owned()),
        Just("increase(c_total[3m])".to_owned()),
        Just("predict_linear(c_total[3m] @ -9e15, time())".to_owned()),
        Just("c_total @ 9.2e15 offset 290y".to_owned()),
        Just("sum_over_time(c_total[290y:1y] offset -290y)".to_owned()),
        Just("histogram_quantile(0.5, {job=\"a\"})".to_owned()),
        Just("label_replace(c_total, \"le\", \"$1\", \"i\", \"(.*)\")".to_owned()),
        Just("1.5".to_owned()),
        Just("-1h30m".to_owned()),
        Just("min_over_time(m[5m:30s] offset -(1m+step()))".to_owned()),
    ];
    leaf.prop_recursive(4, 32, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                inner.clone(),
                prop::sample::select(vec![
                    "+",
                    "-",
                    "*",
                    "^",
                    "== bool",
                    "> on(a) group_left(b)",
                    "and ignoring(c)",
                    "atan2",
                    "+ fill(1)",
                    "unless",
                ])
            )
                .prop_map(|(a, b, op)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|it| format!("({it})")),
            inner.clone().prop_map(|it| format!("-{it}")),
            inner.clone().prop_map(|it| format!("sum by (a, \"b c\") ({it})")),
            inner.clone().prop_map(|it| format!("topk(2, {it}) without (x)")),
            inner.prop_map(|it| format!("avg_over_time(({it})[1h:1m])")),
        ]
    })
}

/// Refuses to fuse: gives rows, so that the evaluator must have asked for none or fail.
#[derive(Debug)]
struct Unfused(Memory);

#[async_trait]
impl Storage for Unfused {
    async fn leaf(&self, leaf: &Leaf) -> Result<Matrix, StorageError> {
        let rows = self.0.leaf(&Leaf { fused: None, ..leaf.clone() }).await?;
        Ok(match &leaf.fused {
            Some(fused) => skep_promql::vector::aggregate(&rows, &fused.op.into(), &fused.grouping),
            None => rows,
        })
    }

    async fn raw(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<RawSeries>, StorageError> {
        self.0.raw(matchers, range).await
    }
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    for (i, job) in ["a", "a", "b"].into_iter().enumerate() {
        let instance = i.to_string();
        let labels =
            Labels::from_pairs([("__name__", "c_total"), ("job", job), ("i", instance.as_str())])
                .expect("distinct names");
        let values = (0..50).map(|it| Some(f64::from(it) * (i as f64 + 1.0))).collect::<Vec<_>>();
        memory.append(labels, 15_000, &values);
    }
    memory
}

async fn ask(
    storage: &dyn Storage,
    query: &str,
    options: &EvalOptions,
) -> Result<Value, EvalError> {
    let expr = parse(query).expect("a query");
    let grid = Grid::range(TimestampMs(60_000), TimestampMs(600_000), 30_000).expect("a grid");
    eval(query, &expr, grid, storage, options).await.map(|(value, _)| value)
}

#[tokio::test]
async fn an_aggregation_above_a_leaf_equals_one_above_its_parenthesised_sum() {
    for op in ["sum", "avg", "min", "max", "count", "group"] {
        for clause in ["", "by (job)", "without (i)", "by (__name__)"] {
            let fused = format!("{op} {clause} (rate(c_total[2m]))");
            // `+ 0` stands between, so nothing can be fused.
            let plain = format!("{op} {clause} (rate(c_total[2m]) + 0)");
            let options = EvalOptions::default();
            let (memory, unfused) = (memory(), Unfused(memory()));
            let fused = ask(&memory, &fused, &options).await.unwrap();
            assert_eq!(fused, ask(&memory, &plain, &options).await.unwrap(), "{plain}");
            assert_eq!(fused, ask(&unfused, &plain, &options).await.unwrap(), "{plain}");
        }
    }
}

#[tokio::test]
async fn a_query_over_its_limits_is_an_error_that_names_them() {
    let options = EvalOptions { n_values_max: 20, ..EvalOptions::default() };
    let error = ask(&memory(), "c_total", &options).await.unwrap_err();
    assert!(matches!(error, EvalError::Samples { n: 57, max: 20 }), "{error}");

    let options =
        EvalOptions { deadline: Some(tokio::time::Instant::now()), ..EvalOptions::default() };
    let error = ask(&memory(), "c_total", &options).await.unwrap_err();
    assert!(matches!(error, EvalError::Timeout), "{error}");
}

#[tokio::test]
async fn the_deepest_query_that_is_accepted_fits_the_stack() {
    let nested = |n: usize| format!("{}c_total{}", "(".repeat(n), ")".repeat(n));
    let chained = |n: usize| format!("c_total{}", " + 1".repeat(n));
    let called = |n: usize| format!("{}c_total{}", "abs(".repeat(n), ")".repeat(n));
    let to_the_right = |n: usize| format!("{}c_total", "c_total ^ ".repeat(n));
    let windows =
        |n: usize| format!("{}c_total{}", "sum(max_over_time((".repeat(n), ")[1m:1m]))".repeat(n));
    let kinds: [&dyn Fn(usize) -> String; 5] =
        [&nested, &chained, &called, &to_the_right, &windows];
    for make in kinds {
        let accepted = (1..600).rev().find(|n| parse(&make(*n)).is_ok()).unwrap();
        assert!(accepted >= 15, "only {accepted} levels");
        ask(&memory(), &make(accepted), &EvalOptions::default()).await.unwrap();
        let printed = format_query(&make(accepted), ParseOptions::default()).unwrap();
        assert!(printed.contains("c_total"));
        let refused = parse(&make(30_000)).unwrap_err();
        assert!(refused.message.starts_with("expression "), "{refused}");
    }
}
