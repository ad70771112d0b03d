//! The text format: commands, series, and what an `eval` expects.

use skep_proto::TimestampMs;

use super::series::{Item, Series, parse_series, parse_values};
use crate::{Grid, GridError, ast::Expr, parse::parse_duration};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    pub line: usize,
    pub message: String,
}

pub(super) enum Command {
    Clear,
    Load {
        step_ms: i64,
        series: Vec<Series>,
        /// Classic histograms become native ones with their bounds, too.
        with_nhcb: bool,
    },
    Eval(Eval),
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
    pub(super) scalar: Option<Vec<Option<Item>>>,
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
        self.series.iter().any(Series::has_histograms)
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
                    let found =
                        parse_series(text).map_err(|message| ScriptError { line, message })?;
                    series.extend(found);
                }
                let with_nhcb = word == "load_with_nhcb";
                commands.push(Command::Load { step_ms, series, with_nhcb });
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

pub(super) fn duration(text: &str) -> Result<i64, String> {
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
        eval.scalar = Some(parse_values(text)?);
        return Ok(());
    }
    eval.series.extend(parse_series(text)?);
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
