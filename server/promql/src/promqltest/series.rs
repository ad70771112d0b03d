//! Series of the text format: a metric and its values, floats and native histograms.

use std::sync::Arc;

use skep_proto::{Labels, NativeHistogram, stale_marker};

use super::histogram::parse_histogram;
use crate::{
    ParseOptions,
    ast::Expr,
    native::{Count as _, Histogram},
    parse::parse_number,
};

/// Bounds one `x` repetition.
const N_REPEATED_MAX: usize = 1_000_000;

/// A series and its values, one a step; `None` is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Labels,
    pub values: Vec<Option<Item>>,
}

/// One sample, or what one is expected to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Float(f64),
    Histogram {
        histogram: Arc<NativeHistogram>,
        /// The text says what is known of counter resets.
        has_hint: bool,
    },
}

impl Series {
    pub(super) fn has_histograms(&self) -> bool {
        self.values.iter().flatten().any(|it| matches!(it, Item::Histogram { .. }))
    }
}

/// Reads `name{label="value"} 1 2+3x4 _ stale`.
/// Nothing of a line of start times (`name@st …`): none are stored.
///
/// # Errors
/// What cannot be read, in words.
pub fn parse_series(text: &str) -> Result<Option<Series>, String> {
    let end = end_of_metric(text);
    let (metric, values) = text.split_at(end);
    if metric.ends_with("@st") || values.starts_with("@st") {
        return Ok(None);
    }
    let labels = parse_labels(metric.trim())?;
    Ok(Some(Series { labels, values: parse_values(values)? }))
}

/// Where the metric ends and its values begin: braces and strings may hold blanks.
fn end_of_metric(text: &str) -> usize {
    let (mut in_braces, mut quote, mut is_escaped) = (false, None, false);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (Some(open), '\\') if open != '`' => is_escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => in_braces = true,
            (None, '}') if in_braces => return i + 1,
            (None, c) if c.is_whitespace() && !in_braces => {
                // `name {…}` is one metric too.
                let rest = text.get(i..).unwrap_or_default().trim_start();
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return i;
                }
            }
            _ => {}
        }
    }
    text.len()
}

fn parse_labels(metric: &str) -> Result<Labels, String> {
    if metric == "{}" {
        return Ok(Labels::default());
    }
    // A label set reads like a selector, but for the rule that one matcher must not be empty.
    let probe = match metric.strip_suffix('}') {
        Some(open) => format!("{},__probe__=\"x\"}}", open.trim_end().trim_end_matches(',')),
        None => format!("{metric}{{__probe__=\"x\"}}"),
    };
    let probe = probe.replace("{,", "{");
    let expr = crate::parse_with(&probe, ParseOptions::default()).map_err(|it| it.to_string())?;
    let Expr::Vector(selector) = expr else {
        return Err(format!("{metric:?} is no metric"));
    };
    let pairs = selector
        .matchers
        .iter()
        .filter(|it| it.name() != "__probe__")
        .map(|it| (it.name(), it.value()));
    Labels::from_pairs(pairs).map_err(|it| format!("{metric:?}: {it}"))
}

/// The values of a sequence.
pub(super) fn parse_values(text: &str) -> Result<Vec<Option<Item>>, String> {
    let mut values = Vec::new();
    for item in items(text) {
        if item.starts_with("{{") {
            parse_histograms(item, &mut values)?;
        } else {
            parse_item(item, &mut values).ok_or_else(|| format!("{item:?} is no value"))?;
        }
    }
    Ok(values)
}

/// What stands between blanks, those within a histogram aside.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth) = (Vec::new(), None, 0_usize);
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c.is_whitespace() && depth == 0, start) {
            (true, Some(from)) => {
                items.extend(text.get(from..i));
                start = None;
            }
            (false, None) => start = Some(i),
            _ => {}
        }
    }
    items.extend(start.and_then(|it| text.get(it..)));
    items
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`.
fn parse_histograms(item: &str, values: &mut Vec<Option<Item>>) -> Result<(), String> {
    let fail = || format!("{item:?} is no histogram");
    let (start, rest) = parse_histogram(item)?;
    let (sign, rest) = match rest.as_bytes().first() {
        Some(b'+') => (1.0, rest.get(1..).unwrap_or_default()),
        Some(b'-') => (-1.0, rest.get(1..).unwrap_or_default()),
        _ => (0.0, rest),
    };
    let (step, rest) = if sign == 0.0 {
        (None, rest)
    } else {
        let (step, rest) = parse_histogram(rest)?;
        (Some(step), rest)
    };
    let times = match rest.strip_prefix('x') {
        Some(it) => Some(it.parse::<usize>().ok().filter(|it| *it < N_REPEATED_MAX)),
        None if rest.is_empty() && step.is_none() => None,
        None => Some(None),
    };
    let times = match times {
        None => 0,
        Some(it) => it.ok_or_else(fail)?,
    };
    let has_hint = start.has_hint;
    let mut value = Histogram::from(&start.histogram);
    let step = step.map(|it| Histogram::from(&it.histogram));
    for i in 0..=times {
        if let Some(step) = step.as_ref().filter(|_| i > 0) {
            let mut step = step.clone();
            for (_, count) in step.positive.iter_mut().chain(&mut step.negative) {
                count.scale(sign);
            }
            step.zero_count *= sign;
            step.count *= sign;
            step.sum *= sign;
            value.add(&step).map_err(|_mixed| fail())?;
        }
        let histogram = Arc::new(value.clone().build());
        values.push(Some(Item::Histogram { histogram, has_hint }));
    }
    Ok(())
}

fn parse_item(item: &str, values: &mut Vec<Option<Item>>) -> Option<()> {
    let (body, times) = match item.rsplit_once('x') {
        Some((body, times)) => {
            (body, Some(times.parse::<usize>().ok().filter(|it| *it < N_REPEATED_MAX)?))
        }
        None => (item, None),
    };
    if body == "_" {
        values.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Some(());
    }
    if body == "stale" {
        let stale = Some(Item::Float(stale_marker()));
        values.extend(std::iter::repeat_n(stale, times.map_or(1, |it| it + 1)));
        return Some(());
    }
    let Some(times) = times else {
        values.push(Some(Item::Float(number(body)?)));
        return Some(());
    };
    let (start, step) = match split_step(body) {
        Some((start, step)) => (number(start)?, number(step)?),
        None => (number(body)?, 0.0),
    };
    let mut value = start;
    for _ in 0..=times {
        values.push(Some(Item::Float(value)));
        value += step;
    }
    Some(())
}

/// `1+2` and `1e+3-2` at the sign that starts the step.
fn split_step(body: &str) -> Option<(&str, &str)> {
    let bytes = body.as_bytes();
    (1..bytes.len())
        .find(|&i| {
            let is_sign = matches!(bytes.get(i), Some(b'+' | b'-'));
            let after = bytes.get(i - 1);
            is_sign && !matches!(after, Some(b'e' | b'E' | b'+' | b'-'))
        })
        .map(|i| body.split_at(i))
}

pub(super) fn number(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(rest) => parse_number(rest).ok().map(|it| -it),
        None => parse_number(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}
