//! A query as Loki prints it: on one line, or laid out over several where it is long.

use std::fmt::Write as _;

use skep_promql::Grouping;
use skep_proto::{
    go_units::{go_duration, go_float, humanize_bytes, prometheus_duration},
    quote,
};

use crate::ast::{
    Binary, Expr, Extraction, GroupSide, LabelFilter, LabelFormatValue, LabelPick, LabelReplace,
    LineFilter, LogExpr, MetricExpr, RangeAggregation, Stage, Unwrap, Variants, VectorAggregation,
};

/// Longer nodes are split over lines.
const WIDTH_MAX: usize = 100;
const INDENT: &str = "  ";

/// A query on one line, as Loki hands it from one of its parts to another.
pub(crate) fn flat(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => log_text(log),
        Expr::Metric(metric) => metric_text(metric),
    }
}

/// Lays a query out as Loki's `format_query` does.
pub fn pretty(expr: &Expr) -> String {
    match expr {
        Expr::Log(log) => pretty_log(log, 0),
        Expr::Metric(metric) => pretty_metric(metric, 0),
    }
}

fn indent(level: usize) -> String {
    INDENT.repeat(level)
}

fn is_long(text: &str) -> bool {
    text.len() > WIDTH_MAX
}

fn pretty_log(log: &LogExpr, level: usize) -> String {
    let flat = log_text(log);
    if !is_long(&flat) || log.stages.is_empty() {
        return format!("{}{flat}", indent(level));
    }
    let mut out = format!("{}{}", indent(level), selector_text(log));
    for stage in stage_texts(&log.stages) {
        out.push('\n');
        out.push_str(&indent(level + 1));
        out.push_str(&stage);
    }
    out
}

fn pretty_metric(expr: &MetricExpr, level: usize) -> String {
    let flat = metric_text(expr);
    if !is_long(&flat) {
        return format!("{}{flat}", indent(level));
    }
    match expr {
        MetricExpr::Literal(_) | MetricExpr::Vector(_) | MetricExpr::Variants(_) => {
            format!("{}{flat}", indent(level))
        }
        MetricExpr::Range(range) => pretty_range(range, level),
        MetricExpr::Vectors(vectors) => {
            let mut args = Vec::new();
            if let Some(k) = vectors.k {
                args.push(format!("{}{k}", indent(level + 1)));
            }
            args.push(pretty_metric(&vectors.inner, level + 1));
            let name = vectors.op.as_str();
            let grouping = pretty_grouping(vectors.grouping.as_ref());
            format!("{}{name}{grouping}{}", indent(level), pretty_args(&args, level))
        }
        MetricExpr::Binary(binary) => format!(
            "{}\n{}{}\n{}",
            pretty_metric(&binary.left, level + 1),
            indent(level),
            pretty_operator(binary),
            pretty_metric(&binary.right, level + 1)
        ),
        MetricExpr::LabelReplace(replace) => {
            let args = &replace.args;
            let mut lines = vec![pretty_metric(&replace.inner, level + 1)];
            for arg in [&args.dst, &args.replacement, &args.src, &args.regex] {
                lines.push(format!("{}{}", indent(level + 1), quote(arg)));
            }
            format!("{}label_replace{}", indent(level), pretty_args(&lines, level))
        }
    }
}

fn pretty_args(args: &[String], level: usize) -> String {
    format!("(\n{}\n{})", args.join(",\n"), indent(level))
}

fn pretty_range(range: &RangeAggregation, level: usize) -> String {
    let mut out = format!("{}{}(\n", indent(level), range.op.as_str());
    if let Some(quantile) = range.quantile {
        // Writing to a string cannot fail.
        writeln!(out, "{}{},", indent(level + 1), go_float(quantile)).unwrap_or_default();
    }
    out.push_str(&pretty_log(&range.log, level + 1));
    if let Some(unwrap) = &range.unwrap {
        for part in unwrap_texts(unwrap) {
            write!(out, "\n{}{part}", indent(level + 2)).unwrap_or_default();
        }
    }
    write!(out, " [{}]", prometheus_duration(range.interval_ns)).unwrap_or_default();
    if range.offset_ns != 0 {
        write!(out, " offset {}", prometheus_duration(range.offset_ns)).unwrap_or_default();
    }
    out.push('\n');
    out.push_str(&indent(level));
    out.push(')');
    out.push_str(&pretty_grouping(range.grouping.as_ref()));
    out
}

fn pretty_grouping(grouping: Option<&Grouping>) -> String {
    let (word, labels) = match grouping {
        None => return String::new(),
        Some(Grouping::By(labels)) if labels.is_empty() => return String::new(),
        Some(Grouping::By(labels)) => ("by", labels),
        Some(Grouping::Without(labels)) => ("without", labels),
    };
    if labels.is_empty() {
        return format!(" {word}");
    }
    format!(" {word} ({})", labels.join(", "))
}

fn pretty_operator(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.return_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = binary.matching.as_ref().filter(|it| !it.labels.is_empty()) {
        let word = if matching.on { "on" } else { "ignoring" };
        write!(out, " {word} ({}) {}", matching.labels.join(","), group_text(binary))
            .unwrap_or_default();
    }
    out
}

fn log_text(log: &LogExpr) -> String {
    let mut out = selector_text(log);
    for stage in stage_texts(&log.stages) {
        out.push(' ');
        out.push_str(&stage);
    }
    out
}

fn selector_text(log: &LogExpr) -> String {
    let matchers: Vec<String> =
        log.matchers.iter().map(|it| matcher_text(it.name(), it.op(), it.value())).collect();
    format!("{{{}}}", matchers.join(", "))
}

fn matcher_text(name: &str, op: skep_proto::MatchOp, value: &str) -> String {
    if skep_proto::is_label_name(name) {
        return format!("{name}{op}{}", quote(value));
    }
    format!("{}{op}{}", quote(name), quote(value))
}

/// Each stage as it is printed; line filters that follow each other are one.
fn stage_texts(stages: &[Stage]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut behind_filter = false;
    for stage in stages {
        let is_filter = matches!(stage, Stage::LineFilter(_));
        let text = stage_text(stage);
        match texts.last_mut() {
            Some(last) if is_filter && behind_filter => {
                last.push(' ');
                last.push_str(&text);
            }
            _ => texts.push(text),
        }
        behind_filter = is_filter;
    }
    texts
}

pub(crate) fn stage_text(stage: &Stage) -> String {
    match stage {
        Stage::LineFilter(filter) => line_filter_text(filter),
        Stage::Json => "| json".to_owned(),
        Stage::JsonExprs(exprs) => format!("| json {}", extractions_text(exprs)),
        Stage::Logfmt { flags, exprs } => {
            let mut out = "| logfmt".to_owned();
            if flags.strict {
                out.push_str(" --strict");
            }
            if flags.keep_empty {
                out.push_str(" --keep-empty");
            }
            if !exprs.is_empty() {
                out.push(' ');
                out.push_str(&extractions_text(exprs));
            }
            out
        }
        Stage::Pattern(text) => format!("| pattern {}", quote(text)),
        Stage::Regexp(text) => format!("| regexp {}", quote(text)),
        Stage::Unpack => "| unpack".to_owned(),
        Stage::Decolorize => "| decolorize".to_owned(),
        Stage::LabelFilter(filter) => format!("| {}", label_filter_text(filter)),
        Stage::LineFormat(text) => format!("| line_format {}", quote(text)),
        Stage::LabelFormat(formats) => {
            let items: Vec<String> = formats
                .iter()
                .map(|it| match &it.value {
                    LabelFormatValue::Rename(from) => format!("{}={from}", it.label),
                    LabelFormatValue::Template(text) => format!("{}={}", it.label, quote(text)),
                })
                .collect();
            format!("| label_format {}", items.join(","))
        }
        Stage::Drop(picks) => format!("| drop {}", picks_text(picks)),
        Stage::Keep(picks) => format!("| keep {}", picks_text(picks)),
    }
}

fn line_filter_text(filter: &LineFilter) -> String {
    let needles: Vec<String> = filter
        .alternatives
        .iter()
        .map(|it| if it.is_ip { format!("ip({})", quote(&it.text)) } else { quote(&it.text) })
        .collect();
    let op = filter.op.as_str();
    if filter.op.is_negative() {
        return format!("{op} {}", needles.join(&format!(" {op} ")));
    }
    format!("{op} {}", needles.join(" or "))
}

fn extractions_text(exprs: &[Extraction]) -> String {
    let items: Vec<String> =
        exprs.iter().map(|it| format!("{}={}", it.label, quote(&it.path))).collect();
    items.join(",")
}

fn picks_text(picks: &[LabelPick]) -> String {
    let items: Vec<String> = picks
        .iter()
        .map(|it| match it {
            LabelPick::Name(name) => name.clone(),
            LabelPick::Matching(it) => matcher_text(it.name(), it.op(), it.value()),
        })
        .collect();
    items.join(",")
}

pub(crate) fn label_filter_text(filter: &LabelFilter) -> String {
    match filter {
        LabelFilter::And(left, right) => {
            format!("( {} , {} )", label_filter_text(left), label_filter_text(right))
        }
        LabelFilter::Or(left, right) => {
            format!("( {} or {} )", label_filter_text(left), label_filter_text(right))
        }
        LabelFilter::Text(it) if is_real_regex(it) && !it.value().contains('`') => {
            format!("{}{}`{}`", it.name(), it.op(), it.value())
        }
        LabelFilter::Text(it) => matcher_text(it.name(), it.op(), it.value()),
        LabelFilter::Number { label, op, value } => {
            format!("{label}{}{value}", op.as_str())
        }
        LabelFilter::Duration { label, op, value } => {
            format!("{label}{}{}", op.as_str(), go_duration(*value))
        }
        LabelFilter::Bytes { label, op, value } => {
            format!("{label}{}{}", op.as_str(), humanize_bytes(*value))
        }
        LabelFilter::Ip { label, negative, pattern } => {
            let op = if *negative { "!=" } else { "=" };
            format!("{label}{op}ip({})", quote(pattern))
        }
    }
}

/// Whether a pattern is more than texts joined by `.*`, `.+` and `|`: Loki prints those it cannot
/// simplify in back quotes.
fn is_real_regex(matcher: &skep_proto::Matcher) -> bool {
    use skep_proto::MatchOp;
    if !matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex) {
        return false;
    }
    let plain = matcher.value().replace(".*", "").replace(".+", "").replace("\\.", "");
    plain.contains(['[', '(', ')', '\\', '{', '?', '^', '$', '+', '*', '.'])
}

fn unwrap_texts(unwrap: &Unwrap) -> Vec<String> {
    let label = &unwrap.label;
    let mut texts = vec![match unwrap.conversion.as_str() {
        "" => format!("| unwrap {label}"),
        name => format!("| unwrap {name}({label})"),
    }];
    texts.extend(unwrap.filters.iter().map(|it| format!("| {}", label_filter_text(it))));
    texts
}

pub(crate) fn metric_text(expr: &MetricExpr) -> String {
    match expr {
        MetricExpr::Literal(value) => go_float(*value),
        MetricExpr::Vector(value) => format!("vector({value:.6})"),
        MetricExpr::Range(range) => range_text(range),
        MetricExpr::Vectors(vectors) => vectors_text(vectors),
        MetricExpr::Binary(binary) => format!(
            "({} {} {})",
            metric_text(&binary.left),
            operator_text(binary),
            metric_text(&binary.right)
        ),
        MetricExpr::LabelReplace(replace) => label_replace_text(replace),
        MetricExpr::Variants(variants) => variants_text(variants),
    }
}

fn variants_text(variants: &Variants) -> String {
    let texts: Vec<String> = variants.variants.iter().map(metric_text).collect();
    let of = &variants.of;
    let mut range = log_text(&of.log);
    for part in of.unwrap.iter().flat_map(unwrap_texts) {
        range.push(' ');
        range.push_str(&part);
    }
    write!(range, "[{}]", prometheus_duration(of.interval_ns)).unwrap_or_default();
    if of.offset_ns != 0 {
        write!(range, " offset {}", go_duration(of.offset_ns)).unwrap_or_default();
    }
    format!("variants({}) of ({range})", texts.join(", "))
}

fn range_text(range: &RangeAggregation) -> String {
    let mut out = format!("{}(", range.op.as_str());
    if let Some(quantile) = range.quantile {
        write!(out, "{},", go_float(quantile)).unwrap_or_default();
    }
    out.push_str(&log_text(&range.log));
    if let Some(unwrap) = &range.unwrap {
        for part in unwrap_texts(unwrap) {
            out.push(' ');
            out.push_str(&part);
        }
    }
    write!(out, "[{}]", prometheus_duration(range.interval_ns)).unwrap_or_default();
    if range.offset_ns != 0 {
        write!(out, " offset {}", go_duration(range.offset_ns)).unwrap_or_default();
    }
    out.push(')');
    match &range.grouping {
        None => {}
        Some(Grouping::By(labels)) => {
            write!(out, " by ({})", labels.join(",")).unwrap_or_default();
        }
        Some(Grouping::Without(labels)) => {
            write!(out, " without ({})", labels.join(",")).unwrap_or_default();
        }
    }
    out
}

fn vectors_text(vectors: &VectorAggregation) -> String {
    let mut out = vectors.op.as_str().to_owned();
    match &vectors.grouping {
        Some(Grouping::By(labels)) if !labels.is_empty() => {
            write!(out, " by ({})", labels.join(",")).unwrap_or_default();
        }
        Some(Grouping::Without(labels)) => {
            write!(out, " without ({})", labels.join(",")).unwrap_or_default();
        }
        _ => {}
    }
    out.push('(');
    if let Some(k) = vectors.k {
        write!(out, "{k},").unwrap_or_default();
    }
    out.push_str(&metric_text(&vectors.inner));
    out.push(')');
    out
}

fn operator_text(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.return_bool {
        out.push_str(" bool");
    }
    if let Some(matching) = &binary.matching {
        if !matching.on && matching.labels.is_empty() {
            return out;
        }
        let word = if matching.on { "on" } else { "ignoring" };
        write!(out, " {word} ({}) {}", matching.labels.join(","), group_text(binary))
            .unwrap_or_default();
    }
    out
}

fn group_text(binary: &Binary) -> String {
    let Some(group) = binary.matching.as_ref().and_then(|it| it.group.as_ref()) else {
        return String::new();
    };
    let word = match group.side {
        GroupSide::Left => "group_left",
        GroupSide::Right => "group_right",
    };
    if group.include.is_empty() {
        return word.to_owned();
    }
    format!("{word} ({})", group.include.join(","))
}

fn label_replace_text(replace: &LabelReplace) -> String {
    let args = &replace.args;
    format!(
        "label_replace({},{},{},{},{})",
        metric_text(&replace.inner),
        quote(&args.dst),
        quote(&args.replacement),
        quote(&args.src),
        quote(&args.regex)
    )
}
