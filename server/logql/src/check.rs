//! What a query may not say although the grammar lets it, in Loki's words.

use skep_proto::{MatchOp, Matcher, MatcherError, go_regex};

use crate::{
    ast::{
        BinaryOp, Expr, Grouping, LabelFilter, LabelFormat, LabelReplaceArgs, LineFilter, LineOp,
        LogExpr, MetricExpr, RangeAggregation, RangeOp, Stage, VectorOp,
    },
    error::ParseError,
    pipeline::pattern::Pattern,
    print,
};

/// Checks a whole query: every selector must name something.
pub(crate) fn expr(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => selector(&log.matchers),
        Expr::Metric(metric) => metric_selectors(metric),
    }
}

fn metric_selectors(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Literal(_) | MetricExpr::Vector(_) => Ok(()),
        MetricExpr::Range(range) => selector(&range.log.matchers),
        MetricExpr::Vectors(vectors) => metric_selectors(&vectors.inner),
        MetricExpr::Binary(binary) => {
            metric_selectors(&binary.left)?;
            metric_selectors(&binary.right)
        }
        MetricExpr::LabelReplace(replace) => metric_selectors(&replace.inner),
        MetricExpr::Variants(variants) => {
            variants.variants.iter().try_for_each(metric_selectors)?;
            selector(&variants.of.log.matchers)
        }
    }
}

/// Checks a query that is to be run, not only shown. Loki prints a query and reads it again on
/// its way to the data; a name that has to be printed in quotes does not survive that.
pub(crate) fn can_be_read_again(expr: &Expr) -> Result<(), ParseError> {
    let is_odd = |expr: &LogExpr| {
        expr.matchers.iter().any(|it| !skep_proto::is_label_name(it.name()))
            || expr.stages.iter().any(|it| match it {
                Stage::LabelFilter(filter) => has_odd_name(filter),
                _ => false,
            })
    };
    let mut logs = Vec::new();
    match expr {
        Expr::Log(log) => logs.push(log),
        Expr::Metric(metric) => log_exprs(metric, &mut logs),
    }
    if logs.into_iter().any(is_odd) {
        crate::parse(&print::flat(expr))?;
    }
    Ok(())
}

fn has_odd_name(filter: &LabelFilter) -> bool {
    match filter {
        LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
            has_odd_name(left) || has_odd_name(right)
        }
        LabelFilter::Text(matcher) => !skep_proto::is_label_name(matcher.name()),
        _ => false,
    }
}

fn log_exprs<'e>(expr: &'e MetricExpr, logs: &mut Vec<&'e LogExpr>) {
    match expr {
        MetricExpr::Literal(_) | MetricExpr::Vector(_) => {}
        MetricExpr::Range(range) => logs.push(&range.log),
        MetricExpr::Vectors(vectors) => log_exprs(&vectors.inner, logs),
        MetricExpr::Binary(binary) => {
            log_exprs(&binary.left, logs);
            log_exprs(&binary.right, logs);
        }
        MetricExpr::LabelReplace(replace) => log_exprs(&replace.inner, logs),
        MetricExpr::Variants(variants) => {
            variants.variants.iter().for_each(|it| log_exprs(it, logs));
        }
    }
}

fn selector(matchers: &[Matcher]) -> Result<(), ParseError> {
    if matchers.iter().any(|it| !it.matches_empty()) {
        return Ok(());
    }
    Err(ParseError::new(
        "queries require at least one regexp or equality matcher that does not have an \
         empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
         app=~\".+\" will",
    ))
}

pub(crate) fn matcher(name: String, op: MatchOp, value: &str) -> Result<Matcher, ParseError> {
    Matcher::new(name, op, value).map_err(|MatcherError::Regex { source, .. }| {
        ParseError::new(go_regex::explain(value, value, &source))
    })
}

pub(crate) fn line_filter(filter: &LineFilter) -> Result<(), ParseError> {
    let is_match = matches!(filter.op, LineOp::Contains | LineOp::NotContains);
    for needle in &filter.alternatives {
        if needle.is_ip && !is_match {
            return Err(ParseError::new("ip: invalid operation"));
        }
    }
    Ok(())
}

/// A pattern over lines: not anchored, `.` stops at a newline.
pub(crate) fn line_regex(pattern: &str) -> Result<regex::Regex, ParseError> {
    go_regex::compile_or_say(pattern).map_err(ParseError::new)
}

pub(crate) fn regexp(pattern: String) -> Result<Stage, ParseError> {
    const PREFIX: &str = "invalid regexp parser: ";
    let regex = go_regex::compile_or_say(&pattern)
        .map_err(|message| ParseError::new(format!("{PREFIX}{message}")))?;
    let mut names: Vec<&str> = regex.capture_names().flatten().collect();
    if names.is_empty() {
        return Err(ParseError::new(format!(
            "{PREFIX}at least one named capture must be supplied"
        )));
    }
    if let Some(bad) = names.iter().find(|it| !skep_proto::is_label_name(it)) {
        return Err(ParseError::new(format!("{PREFIX}invalid extracted label name '{bad}'")));
    }
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[left, right]| left == right) {
        return Err(ParseError::new(format!("{PREFIX}duplicate extracted label name '{twice}'")));
    }
    Ok(Stage::Regexp(pattern))
}

pub(crate) fn pattern(text: String) -> Result<Stage, ParseError> {
    let parsed = Pattern::parse(&text)
        .map_err(|error| ParseError::new(format!("invalid pattern parser: {error}")))?;
    if parsed.names().next().is_none() {
        return Err(ParseError::new("invalid pattern parser: at least one capture is required"));
    }
    Ok(Stage::Pattern(text))
}

pub(crate) fn label_formats(formats: &[LabelFormat]) -> Result<(), ParseError> {
    for (i, format) in formats.iter().enumerate() {
        if format.label == skep_proto::names::LOG_ERROR {
            return Err(ParseError::new(format!("{} cannot be formatted", format.label)));
        }
        if formats.iter().take(i).any(|it| it.label == format.label) {
            return Err(ParseError::new(format!(
                "multiple label name '{}' not allowed in a single format operation",
                format.label
            )));
        }
    }
    Ok(())
}

/// The parameter of `quantile_over_time`; all others take none.
pub(crate) fn quantile(op: RangeOp, param: Option<&str>) -> Result<Option<f64>, ParseError> {
    match (op, param) {
        (RangeOp::QuantileOverTime, None) => {
            Err(ParseError::new(format!("parameter required for operation {}", op.as_str())))
        }
        (RangeOp::QuantileOverTime, Some(text)) => match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_not_a_float) => Err(ParseError::new(format!(
                "invalid parameter for operation {}: {text}",
                op.as_str()
            ))),
        },
        (_, Some(text)) => Err(ParseError::new(format!(
            "parameter {text} not supported for operation {}",
            op.as_str()
        ))),
        (_, None) => Ok(None),
    }
}

pub(crate) fn range_aggregation(range: &RangeAggregation) -> Result<(), ParseError> {
    use RangeOp::{
        AbsentOverTime, AvgOverTime, BytesOverTime, BytesRate, CountOverTime, FirstOverTime,
        LastOverTime, MaxOverTime, MinOverTime, QuantileOverTime, Rate, StddevOverTime,
        StdvarOverTime,
    };
    let op = range.op;
    let takes_grouping = matches!(
        op,
        AvgOverTime
            | StddevOverTime
            | StdvarOverTime
            | QuantileOverTime
            | MaxOverTime
            | MinOverTime
            | FirstOverTime
            | LastOverTime
    );
    if range.grouping.is_some() && !takes_grouping {
        return Err(ParseError::new(format!(
            "grouping not allowed for {} aggregation",
            op.as_str()
        )));
    }
    let counts_lines =
        matches!(op, BytesOverTime | BytesRate | CountOverTime | Rate | AbsentOverTime);
    if range.unwrap.is_some() && matches!(op, BytesOverTime | BytesRate | CountOverTime) {
        return Err(ParseError::new(format!("invalid aggregation {} with unwrap", op.as_str())));
    }
    if range.unwrap.is_none() && !counts_lines {
        return Err(ParseError::new(format!("invalid aggregation {} without unwrap", op.as_str())));
    }
    Ok(())
}

/// `k` of topk and its kin; all others take no parameter.
pub(crate) fn vector_param(
    op: VectorOp,
    param: Option<&str>,
    grouping: Option<&Grouping>,
) -> Result<Option<usize>, ParseError> {
    let name = op.as_str();
    match op {
        VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk => {
            let text = param.ok_or_else(|| {
                ParseError::new(format!("parameter required for operation {name}"))
            })?;
            let Ok(k) = text.parse::<i64>() else {
                return Err(ParseError::new(format!("invalid parameter {name}({text},")));
            };
            let Some(k) = usize::try_from(k).ok().filter(|&it| it > 0) else {
                return Err(ParseError::new(format!(
                    "invalid parameter (must be greater than 0) {name}({text}"
                )));
            };
            if op == VectorOp::ApproxTopk && grouping.is_some() {
                return Err(ParseError::new(format!(
                    "grouping not allowed for {name} aggregation"
                )));
            }
            Ok(Some(k))
        }
        _ => {
            if let Some(text) = param {
                return Err(ParseError::new(format!(
                    "unsupported parameter for operation {name}({text},"
                )));
            }
            if matches!(op, VectorOp::Sort | VectorOp::SortDesc) && grouping.is_some() {
                return Err(ParseError::new("sort and sort_desc doesn't allow grouping by "));
            }
            Ok(None)
        }
    }
}

pub(crate) fn label_replace(args: &LabelReplaceArgs) -> Result<(), ParseError> {
    match go_regex::compile(&format!("^(?:{})$", args.regex)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = go_regex::explain(&args.regex, &format!("{})$", args.regex), &error);
            Err(ParseError::new(format!("invalid regex in label_replace: {what}")))
        }
    }
}

/// An operand must be numbers, and a set operator's operand must be a vector.
pub(crate) fn operand(op: BinaryOp, leg: &str, expr: Expr) -> Result<MetricExpr, ParseError> {
    let metric = match expr {
        Expr::Metric(metric) => metric,
        Expr::Log(log) => {
            let kind = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
            return Err(ParseError::new(format!(
                "unexpected type for {leg} leg of binary operation ({}): *syntax.{kind}",
                op.as_str()
            )));
        }
    };
    if let (true, MetricExpr::Literal(value)) = (op.is_set(), &metric) {
        return Err(ParseError::new(format!(
            "unexpected literal for {leg} leg of logical/set binary operation ({}): {value:.6}",
            op.as_str()
        )));
    }
    Ok(metric)
}
