//! The text format: commands, series, and what an `eval` expects.

use skep_proto::{Labels, TimestampMs, stale_marker};

use crate::{
    Grid, GridError, ParseOptions,
    ast::Expr,
    parse::{parse_duration, parse_number},
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub message: String,
}

pub(super) enum Command {
    Clear,
    Load { step_ms: i64, series: Vec<Series> },
    Eval(Eval),
}

/// A series and its values, one a step; `None` is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Labels,
    pub values: Vec<Option<f64>>,
    pub has_histograms: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Instant(i64),
    Range { start: i64, end: i64, step_ms: i64 },
}

impl At {
    pub(super) fn grid(self) -> Result<Grid, GridError> {
        match self {
            Self::Instant(at) => Ok(Grid::instant(TimestampMs(at))),
            Self::Range { start, end, step_ms } => {
                Grid::range(TimestampMs(start), TimestampMs(end), step_ms)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expect {
    Fail(Text),
    Warn(Text),
    NoWarn,
    Info(Text),
    NoInfo,
    Ordered,
}

/// What an expected text must be like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    Any,
    Contains(String),
    Matches(String),
}

#[derive(Debug, Clone)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) at: At,
    pub(super) query: String,
    pub(super) expects: Vec<Expect>,
    pub(super) expected_string: Option<String>,
    /// `expect range vector from … to … step …`.
    pub(super) range_vector: Option<At>,
    pub(super) scalar: Option<Vec<Option<f64>>>,
    pub(super) series: Vec<Series>,
}

impl Eval {
    pub(super) fn must_fail(&self) -> bool {
        self.expects.iter().any(|it| matches!(it, Expect::Fail(_)))
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.expects.contains(&Expect::Ordered)
    }

    pub(super) fn expects_histograms(&self) -> bool {
        self.series.iter().any(|it| it.has_histograms)
    }

    /// Asks for the times of the whole query, which a range query around it changes.
    pub(super) fn depends_on_range(&self) -> bool {
        ["start()", "end()", "step()", "range()"].iter().any(|it| self.query.contains(it))
            || self.range_vector.is_some()
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut commands = Vec::new();
    let mut idx = 0;
    while let Some(raw) = lines.get(idx) {
        let line = raw.trim();
        let first_line = idx + 1;
        let fail = |message: String| ScriptError { line: first_line, message };
        idx += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, rest) = split_word(line);
        // The lines that belong to a command follow it without a gap.
        let mut body = Vec::new();
        if word != "clear" {
            while let Some(next) = lines.get(idx).map(|it| it.trim()) {
                if next.is_empty() {
                    break;
                }
                if !next.starts_with('#') {
                    body.push((idx + 1, next));
                }
                idx += 1;
            }
        }
        match word {
            "clear" => commands.push(Command::Clear),
            "load" | "load_with_nhcb" => {
                let step_ms = duration(rest).map_err(fail)?;
                let mut series = Vec::new();
                for (line, text) in body {
                    let mut parsed =
                        parse_series(text).map_err(|message| ScriptError { line, message })?;
                    parsed.has_histograms |= word == "load_with_nhcb";
                    series.push(parsed);
                }
                commands.push(Command::Load { step_ms, series });
            }
            _ if word.starts_with("eval") => {
                commands.push(Command::Eval(parse_eval(word, rest, first_line, &body)?));
            }
            _ => return Err(fail(format!("unknown command {word:?}"))),
        }
    }
    Ok(commands)
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn duration(text: &str) -> Result<i64, String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if text.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        let seconds: f64 = text.parse().map_err(|_error| format!("{text:?} is no time"))?;
        #[expect(clippy::cast_possible_truncation, reason = "test files give small times")]
        return Ok(sign * (seconds * 1000.0).round() as i64);
    }
    parse_duration(text).map(|it| sign * it)
}

fn parse_eval(
    word: &str,
    rest: &str,
    line: usize,
    body: &[(usize, &str)],
) -> Result<Eval, ScriptError> {
    let fail = |message: String| ScriptError { line, message };
    let (kind, rest) = split_word(rest);
    let (at, query) = match kind {
        "instant" => {
            let (keyword, rest) = split_word(rest);
            if keyword != "at" {
                return Err(fail("expected \"at\" after \"instant\"".to_owned()));
            }
            let (at, query) = split_word(rest);
            (At::Instant(duration(at).map_err(fail)?), query)
        }
        "range" => parse_range(rest).map_err(fail)?,
        other => return Err(fail(format!("expected instant or range, found {other:?}"))),
    };
    let mut eval = Eval {
        line,
        at,
        query: query.to_owned(),
        expects: Vec::new(),
        expected_string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    };
    match word {
        "eval_fail" => eval.expects.push(Expect::Fail(Text::Any)),
        "eval_warn" => eval.expects.push(Expect::Warn(Text::Any)),
        "eval_info" => eval.expects.push(Expect::Info(Text::Any)),
        "eval_ordered" => eval.expects.push(Expect::Ordered),
        _ => {}
    }
    for (line, text) in body {
        expectation(&mut eval, text).map_err(|message| ScriptError { line: *line, message })?;
    }
    Ok(eval)
}

/// `from A to B step C` and what follows.
fn parse_range(text: &str) -> Result<(At, &str), String> {
    let mut rest = text;
    let mut times = [0; 3];
    for (keyword, slot) in ["from", "to", "step"].into_iter().zip(&mut times) {
        let (word, after) = split_word(rest);
        if word != keyword {
            return Err(format!("expected {keyword:?}, found {word:?}"));
        }
        let (value, after) = split_word(after);
        *slot = duration(value)?;
        rest = after;
    }
    let [start, end, step_ms] = times;
    Ok((At::Range { start, end, step_ms }, rest))
}

fn expectation(eval: &mut Eval, text: &str) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix("expect ") {
        let (word, rest) = split_word(rest);
        let expect = match word {
            "fail" => Expect::Fail(expected_text(rest)),
            "warn" => Expect::Warn(expected_text(rest)),
            "no_warn" => Expect::NoWarn,
            "info" => Expect::Info(expected_text(rest)),
            "no_info" => Expect::NoInfo,
            "ordered" => Expect::Ordered,
            "string" => {
                match crate::parse(rest).map_err(|it| it.to_string())? {
                    Expr::String(it) => eval.expected_string = Some(it.value),
                    _ => return Err(format!("expected a string, found {rest}")),
                }
                return Ok(());
            }
            "range" => {
                let (_, rest) = split_word(rest);
                eval.range_vector = Some(parse_range(rest)?.0);
                return Ok(());
            }
            other => return Err(format!("unknown expectation {other:?}")),
        };
        eval.expects.push(expect);
        return Ok(());
    }
    if let Some(rest) = text.strip_prefix("expected_fail_message ") {
        eval.expects.push(Expect::Fail(Text::Contains(rest.trim().to_owned())));
        return Ok(());
    }
    if let Some(rest) = text.strip_prefix("expected_fail_regexp ") {
        eval.expects.push(Expect::Fail(Text::Matches(rest.trim().to_owned())));
        return Ok(());
    }
    let starts_number = text
        .trim_start_matches(['+', '-'])
        .starts_with(|it: char| it.is_ascii_digit() || it == '.');
    let is_name = ["NaN", "Inf", "+Inf", "-Inf"].contains(&text);
    if starts_number || is_name {
        eval.scalar = Some(parse_values(text)?.0);
        return Ok(());
    }
    eval.series.push(parse_series(text)?);
    Ok(())
}

fn expected_text(text: &str) -> Text {
    if let Some(it) = text.strip_prefix("msg:") {
        Text::Contains(it.trim().to_owned())
    } else if let Some(it) = text.strip_prefix("regex:") {
        Text::Matches(it.trim().to_owned())
    } else {
        Text::Any
    }
}

/// Reads `name{label="value"} 1 2+3x4 _ stale`.
///
/// # Errors
/// What cannot be read, in words.
pub fn parse_series(text: &str) -> Result<Series, String> {
    let end = end_of_metric(text);
    let (metric, values) = text.split_at(end);
    let labels = parse_labels(metric.trim())?;
    let (values, has_histograms) = parse_values(values)?;
    Ok(Series { labels, values, has_histograms })
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

/// Values of a sequence, and whether native histograms (left out) were among them.
fn parse_values(text: &str) -> Result<(Vec<Option<f64>>, bool), String> {
    if text.contains("{{") {
        return Ok((Vec::new(), true));
    }
    let mut values = Vec::new();
    for item in text.split_whitespace() {
        parse_item(item, &mut values).ok_or_else(|| format!("{item:?} is no value"))?;
    }
    Ok((values, false))
}

fn parse_item(item: &str, values: &mut Vec<Option<f64>>) -> Option<()> {
    /// Bounds one `x` repetition.
    const N_MAX: usize = 1_000_000;
    let (body, times) = match item.rsplit_once('x') {
        Some((body, times)) => (body, Some(times.parse::<usize>().ok().filter(|it| *it < N_MAX)?)),
        None => (item, None),
    };
    if body == "_" {
        values.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
        return Some(());
    }
    if body == "stale" {
        values.extend(std::iter::repeat_n(Some(stale_marker()), times.map_or(1, |it| it + 1)));
        return Some(());
    }
    let Some(times) = times else {
        values.push(Some(number(body)?));
        return Some(());
    };
    let (start, step) = match split_step(body) {
        Some((start, step)) => (number(start)?, number(step)?),
        None => (number(body)?, 0.0),
    };
    let mut value = start;
    for _ in 0..=times {
        values.push(Some(value));
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

fn number(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(rest) => parse_number(rest).ok().map(|it| -it),
        None => parse_number(text.strip_prefix('+').unwrap_or(text)).ok(),
    }
}
