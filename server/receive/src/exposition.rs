//! Prometheus' text format and OpenMetrics, a line at a time. Nothing is copied but strings with
//! escapes, and a series' labels are read only when asked for: a scraper knows most series by
//! their text.
//!
//! Source: Prometheus' "Exposition formats" and the `OpenMetrics` 1.0 specification. Where they
//! are stricter about blanks than Prometheus' own parser, so is nobody here.

mod labels;

use std::borrow::Cow;

use memchr::memchr;
use skep_proto::{MetricKind, TimestampMs};

pub use labels::{LabelVec, Names, read_series};

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `text/plain`: time stamps in milliseconds.
    Text,
    /// `application/openmetrics-text`: time stamps in seconds, `# EOF` at the end.
    OpenMetrics,
}

/// What one line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    Help {
        metric: Cow<'a, str>,
        help: Cow<'a, str>,
    },
    Type {
        metric: Cow<'a, str>,
        kind: MetricKind,
    },
    Unit {
        metric: Cow<'a, str>,
        unit: &'a str,
    },
    Sample(SampleLine<'a>),
    /// A comment or nothing.
    Nothing,
    /// `# EOF`.
    End,
}

/// A value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleLine<'a> {
    /// Name and labels as they are spelled, for [`read_series`].
    pub series: &'a str,
    pub value: f64,
    pub ts: Option<TimestampMs>,
    /// As it is spelled, for [`read_exemplar`].
    pub exemplar: Option<&'a str>,
}

/// A sample's example.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    pub labels: LabelVec<'a>,
    pub value: f64,
    pub ts: Option<TimestampMs>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("expected {what}, got {got:?} while parsing: {line:?}")]
    Expected { what: &'static str, got: String, line: String },
    #[error("invalid metric type {0:?}")]
    Type(String),
    #[error("unit {unit:?} not a suffix of metric {metric:?}")]
    Unit { unit: String, metric: String },
    #[error("invalid timestamp {0:?}")]
    Timestamp(String),
    #[error("unexpected data after # EOF")]
    AfterEnd,
    #[error("data does not end with # EOF")]
    NoEnd,
}

/// How much of a line a fault repeats.
const SHOWN_BYTES_MAX: usize = 128;

impl Fault {
    fn expected(what: &'static str, got: &str, line: &str) -> Self {
        Self::Expected { what, got: shown(got), line: shown(line) }
    }
}

fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

/// The lines of a body in turn, the first fault the last item.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a str,
    syntax: Syntax,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl<'a> Lines<'a> {
    pub fn new(body: &'a str, syntax: Syntax) -> Self {
        // An empty body is an empty exposition of either syntax's older sibling, not of OpenMetrics.
        Self { rest: body, syntax, state: State::Open }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Failed {
            return None;
        }
        let read = if self.rest.is_empty() {
            if self.syntax == Syntax::Text || self.state == State::Ended {
                return None;
            }
            Err(Fault::NoEnd)
        } else if self.state == State::Ended {
            Err(Fault::AfterEnd)
        } else {
            let (line, rest) = match memchr(b'\n', self.rest.as_bytes()) {
                Some(at) => split(self.rest, at, 1),
                None => (self.rest, ""),
            };
            self.rest = rest;
            read_line(line, self.syntax)
        };
        match read {
            Ok(Line::End) => self.state = State::Ended,
            Ok(_) => {}
            Err(_) => self.state = State::Failed,
        }
        Some(read)
    }
}

/// One line without its end.
///
/// # Errors
/// What was expected and what stands there instead.
pub fn read_line(line: &str, syntax: Syntax) -> Result<Line<'_>, Fault> {
    let text = blanks(line.trim_end_matches('\r'));
    match text.as_bytes().first() {
        None => Ok(Line::Nothing),
        Some(b'#') => read_comment(text, syntax),
        Some(_) => read_sample(text, syntax).map(Line::Sample),
    }
}

fn read_comment(line: &str, syntax: Syntax) -> Result<Line<'_>, Fault> {
    let (keyword, rest) = word(blanks(line.strip_prefix('#').unwrap_or(line)));
    match keyword {
        "EOF" if syntax == Syntax::OpenMetrics && rest.trim().is_empty() => return Ok(Line::End),
        "HELP" | "TYPE" => {}
        "UNIT" if syntax == Syntax::OpenMetrics => {}
        _ => return Ok(Line::Nothing),
    }
    let (metric, rest) = labels::metric_name(blanks(rest), line)?;
    // One blank separates; more are part of the text.
    let text = rest.strip_prefix([' ', '\t']).unwrap_or(rest);
    match keyword {
        "HELP" => Ok(Line::Help { metric, help: labels::unescape(text, syntax) }),
        "TYPE" => {
            let text = text.trim();
            let kind = kind(text, syntax).ok_or_else(|| Fault::Type(shown(text)))?;
            Ok(Line::Type { metric, kind })
        }
        _ => {
            let unit = text.trim();
            let is_suffix =
                metric.strip_suffix(unit).is_some_and(|it| unit.is_empty() || it.ends_with('_'));
            if is_suffix {
                Ok(Line::Unit { metric, unit })
            } else {
                Err(Fault::Unit { unit: shown(unit), metric: shown(&metric) })
            }
        }
    }
}

fn kind(text: &str, syntax: Syntax) -> Option<MetricKind> {
    Some(match (text, syntax) {
        ("counter", _) => MetricKind::Counter,
        ("gauge", _) => MetricKind::Gauge,
        ("histogram", _) => MetricKind::Histogram,
        ("summary", _) => MetricKind::Summary,
        ("untyped", Syntax::Text) | ("unknown", _) => MetricKind::Unknown,
        ("gaugehistogram", Syntax::OpenMetrics) => MetricKind::GaugeHistogram,
        ("info", Syntax::OpenMetrics) => MetricKind::Info,
        ("stateset", Syntax::OpenMetrics) => MetricKind::StateSet,
        _ => return None,
    })
}

fn read_sample(line: &str, syntax: Syntax) -> Result<SampleLine<'_>, Fault> {
    let (series, rest) = labels::split_series(line)?;
    let (text, rest) = word(blanks(rest));
    let value = number(text).ok_or_else(|| Fault::expected("value after metric", text, line))?;
    let (text, rest) = match blanks(rest) {
        rest if rest.starts_with('#') => ("", rest),
        rest => word(rest),
    };
    let ts = match text {
        "" => None,
        text => Some(time(text, syntax, line)?),
    };
    let exemplar = match blanks(rest) {
        "" => None,
        rest if rest.starts_with('#') => Some(rest),
        rest => return Err(Fault::expected("next entry after timestamp", rest, line)),
    };
    Ok(SampleLine { series, value, ts, exemplar })
}

/// What stands behind a sample: `# {trace_id="x"} 0.5 1700000000.5`.
///
/// # Errors
/// As [`read_line`].
pub fn read_exemplar(text: &str) -> Result<Exemplar<'_>, Fault> {
    let line = text;
    let text = blanks(text.strip_prefix('#').unwrap_or(text));
    let (series, rest) = labels::split_series(text)?;
    let mut pairs = LabelVec::new();
    read_series(series, Names::Checked, &mut pairs)?;
    let (value, rest) = word(blanks(rest));
    let value =
        number(value).ok_or_else(|| Fault::expected("value after exemplar labels", value, line))?;
    let (text, rest) = word(blanks(rest));
    let ts = match text {
        "" => None,
        // Whichever the samples' unit is: exemplars are OpenMetrics'.
        text => Some(time(text, Syntax::OpenMetrics, line)?),
    };
    if blanks(rest).is_empty() {
        Ok(Exemplar { labels: pairs, value, ts })
    } else {
        Err(Fault::expected("end of line after exemplar", rest, line))
    }
}

fn time(text: &str, syntax: Syntax, line: &str) -> Result<TimestampMs, Fault> {
    match syntax {
        Syntax::Text => {
            text.parse().map(TimestampMs).map_err(|_no_number: std::num::ParseIntError| {
                Fault::expected("timestamp or new record", text, line)
            })
        }
        Syntax::OpenMetrics => seconds_to_ms(text).ok_or_else(|| Fault::Timestamp(shown(text))),
    }
}

/// Rust reads Go's spellings too: `+Inf`, `NaN`.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Exactly, where a double would not do: digits, point, up to three digits that count.
fn seconds_to_ms(text: &str) -> Option<TimestampMs> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|it| it.is_ascii_digit()) || text.contains(['e', 'E']) {
        let ms = text.parse::<f64>().ok().filter(|it| it.abs() < 9.2e15)? * 1_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked before")]
        return Some(TimestampMs(ms.round() as i64));
    }
    let seconds: i64 = whole.parse().ok()?;
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let ms = digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
    let ms = if whole.starts_with('-') { -ms } else { ms };
    seconds.checked_mul(1_000)?.checked_add(ms).map(TimestampMs)
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The characters up to a blank, and the rest.
fn word(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|it| matches!(it, b' ' | b'\t')).unwrap_or(text.len());
    split(text, end, 0)
}

/// Before `at` and from `n_skipped` bytes after it; both are ends of characters.
fn split(text: &str, at: usize, n_skipped: usize) -> (&str, &str) {
    (text.get(..at).unwrap_or_default(), text.get(at + n_skipped..).unwrap_or_default())
}

#[cfg(test)]
mod tests;
