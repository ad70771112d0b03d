//! Files of samples, a block of whole lines at a time: VictoriaMetrics' JSON lines, and
//! Prometheus' and OpenMetrics' text.

mod json_lines;
mod text;

use skep_proto::{Sample, SampleRows, TimestampMs, names::METRIC_NAME};

use crate::{Limits, Reason, Refused, exposition, exposition::Syntax, reason::Fault};

/// How the lines of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"metric":{"__name__":"up"},"values":[1],"timestamps":[1700000000000]}`, a line a series.
    JsonLines,
    /// `up{host="a"} 1 1700000000000`. Lines without a time stamp get this one.
    Prometheus { default_ts: TimestampMs },
    /// `up{host="a"} 1 1700000000.0`, `# EOF`.
    OpenMetrics { default_ts: TimestampMs },
}

/// What one line is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    labels: Vec<(String, String)>,
    samples: Vec<Sample>,
}

/// The series of a block, and the lines that are none.
#[derive(Debug, Default)]
pub struct Decoded {
    series: Vec<Series>,
    pub refused: Refused,
}

/// Why a line is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LineFault {
    #[error("expected {expected} at byte {at}")]
    Syntax { expected: &'static str, at: usize },
    #[error(transparent)]
    Exposition(#[from] exposition::Fault),
    #[error("{n_values} values and {n_timestamps} timestamps")]
    Lengths { n_values: usize, n_timestamps: usize },
    #[error("no {0}")]
    Missing(&'static str),
    #[error("a series without a metric name")]
    NoName,
    #[error("label {0} is there twice")]
    Duplicate(String),
    #[error("more than {0} labels")]
    TooManyLabels(usize),
    #[error("the name of label {name} is longer than {size_bytes_max} bytes")]
    NameTooLong { name: String, size_bytes_max: usize },
    #[error("the value of label {name} is longer than {size_bytes_max} bytes")]
    ValueTooLong { name: String, size_bytes_max: usize },
}

/// A line's fault and where it stands.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {fault}")]
struct AtLine {
    number: usize,
    fault: LineFault,
}

impl Fault for AtLine {
    fn reason(&self) -> Reason {
        match self.fault {
            LineFault::Syntax { .. }
            | LineFault::Exposition(_)
            | LineFault::Lengths { .. }
            | LineFault::Missing(_) => Reason::Line,
            LineFault::NoName => Reason::InvalidLabels,
            LineFault::Duplicate(_) => Reason::DuplicateLabels,
            LineFault::TooManyLabels(_) => Reason::TooManyLabels,
            LineFault::NameTooLong { .. } => Reason::LabelNameTooLong,
            LineFault::ValueTooLong { .. } => Reason::LabelValueTooLong,
        }
    }
}

impl Decoded {
    /// Rows that borrow from this.
    pub fn rows(&self) -> SampleRows<'_> {
        let mut rows = SampleRows::default();
        for Series { labels, samples } in &self.series {
            let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            rows.push(labels, samples.iter().copied());
        }
        rows
    }
}

/// Reads the lines of a block. `first_line` is the number of its first line in the file, for
/// what is told about lines that are left out.
pub fn decode(format: Format, block: &str, first_line: usize, limits: &Limits) -> Decoded {
    let mut decoded = Decoded::default();
    for (at, line) in block.lines().enumerate() {
        let read = match format {
            Format::JsonLines => json_lines::read(line),
            Format::Prometheus { default_ts } => text::read(line, default_ts, Syntax::Text),
            Format::OpenMetrics { default_ts } => text::read(line, default_ts, Syntax::OpenMetrics),
        };
        match read.and_then(|it| it.map(|it| it.checked(limits)).transpose()) {
            Ok(Some(series)) if series.samples.is_empty() => {}
            Ok(Some(series)) => decoded.add(series),
            Ok(None) => {}
            Err(fault) => {
                decoded.refused.values(1, &AtLine { number: first_line + at, fault });
            }
        }
    }
    decoded
}

impl Decoded {
    /// Text has a line a sample: those of one series are neighbours.
    fn add(&mut self, series: Series) {
        match self.series.last_mut() {
            Some(last) if last.labels == series.labels => last.samples.extend(series.samples),
            _ => self.series.push(series),
        }
    }
}

impl Series {
    /// Labels sorted and unique, without empty ones.
    fn checked(mut self, limits: &Limits) -> Result<Self, LineFault> {
        self.labels.retain(|(_, value)| !value.is_empty());
        self.labels.sort_unstable();
        let twice = self.labels.array_windows::<2>().find(|[left, right]| left.0 == right.0);
        if let Some([(name, _), _]) = twice {
            return Err(LineFault::Duplicate(name.clone()));
        }
        if self.labels.len() > limits.labels_max {
            return Err(LineFault::TooManyLabels(limits.labels_max));
        }
        for (name, value) in &self.labels {
            let (name_max, value_max) = (limits.label_name_bytes_max, limits.label_value_bytes_max);
            if name.is_empty() {
                return Err(LineFault::Missing("label name"));
            }
            if name.len() > name_max {
                let (name, size_bytes_max) = (name.clone(), name_max);
                return Err(LineFault::NameTooLong { name, size_bytes_max });
            }
            if value.len() > value_max {
                let (name, size_bytes_max) = (name.clone(), value_max);
                return Err(LineFault::ValueTooLong { name, size_bytes_max });
            }
        }
        if self.labels.iter().any(|(name, _)| name == METRIC_NAME) {
            Ok(self)
        } else {
            Err(LineFault::NoName)
        }
    }
}

/// A line from front to back.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Blanks, then the character if it is next.
    fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        let is_next = self.rest().starts_with(wanted);
        if is_next {
            self.at += wanted.len_utf8();
        }
        is_next
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), LineFault> {
        if self.take(wanted) { Ok(()) } else { Err(self.fault(expected)) }
    }

    fn fault(&self, expected: &'static str) -> LineFault {
        LineFault::Syntax { expected, at: self.at }
    }

    /// The characters up to one of `ends`, blanks before them skipped.
    fn word(&mut self, ends: &[char]) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let word = rest.find(ends).and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.at += word.len();
        word
    }

    /// A string in quotes, its quotes and escapes included.
    fn quoted(&mut self) -> Result<&'a str, LineFault> {
        self.skip_blanks();
        let rest = self.rest();
        if !rest.starts_with('"') {
            return Err(self.fault("a string in quotes"));
        }
        let mut is_escaped = false;
        for (at, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    self.at += at + 1;
                    return Ok(rest.get(..=at).unwrap_or_default());
                }
                _ => {}
            }
        }
        Err(self.fault("the end of a string"))
    }
}

#[cfg(test)]
mod tests;
