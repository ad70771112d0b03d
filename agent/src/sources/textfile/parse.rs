//! Prometheus' text format 0.0.4, as files of other programs use it.

use std::collections::{BTreeMap, HashMap};

use skep_proto::{
    MetricKind, is_label_name, is_metric_name,
    names::{BUCKET_LE, METRIC_NAME, QUANTILE},
};

/// All that a file says of one metric.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) kind: MetricKind,
    pub(super) help: Option<String>,
    pub(super) groups: Vec<Group>,
}

/// The samples with one label set: one value, or a whole histogram or summary.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Group {
    /// Sorted by name; without the bound's.
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    /// Bucket bounds or quantiles, with their values.
    pub(super) bounds: Vec<(f64, f64)>,
    pub(super) sum: f64,
    pub(super) count: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(super) struct TextError {
    line: usize,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum What {
    #[error("invalid metric name {0:?}")]
    MetricName(String),
    #[error("invalid label name {0:?}")]
    LabelName(String),
    #[error("unexpected end of input stream; the last line must end with a newline")]
    Unfinished,
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("invalid escape sequence \"\\{0}\"")]
    Escape(char),
    #[error("expected a number, got {0:?}")]
    Number(String),
    #[error("unknown metric type {0:?}")]
    Kind(String),
    #[error("second HELP line for {0}")]
    SecondHelp(String),
    #[error("second TYPE line for {0}, or TYPE reported after samples")]
    SecondType(String),
    #[error("unsupported client-side timestamp; take it out, the time of collection counts")]
    Timestamp,
    #[error("{0} was given before with the same labels")]
    Duplicate(String),
    #[error("a {0} needs the label {1}")]
    NoBound(&'static str, &'static str),
}

/// The families by name.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Family>, TextError> {
    let mut file = File::default();
    // A writer that does not rename may be caught in the middle of a number.
    if !(text.is_empty() || text.ends_with('\n')) {
        return Err(TextError { line: text.lines().count(), what: What::Unfinished });
    }
    for (line_idx, line) in text.lines().enumerate() {
        file.line(line.trim_matches([' ', '\t']))
            .map_err(|what| TextError { line: line_idx + 1, what })?;
    }
    Ok(file.families.into_iter().filter(|(_, family)| !family.groups.is_empty()).collect())
}

#[derive(Default)]
struct File {
    families: BTreeMap<String, Family>,
    typed: HashMap<String, MetricKind>,
    /// Where the group of a family's label set is.
    group_idxs: HashMap<(String, Vec<(String, String)>), usize>,
    seen: std::collections::HashSet<(String, Vec<(String, String)>)>,
}

impl File {
    fn line(&mut self, line: &str) -> Result<(), What> {
        match line.strip_prefix('#') {
            Some(comment) => self.comment(comment.trim_start_matches([' ', '\t'])),
            None if line.is_empty() => Ok(()),
            None => self.sample(line),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), What> {
        let mut words = comment.splitn(3, [' ', '\t']);
        let keyword = words.next().unwrap_or_default();
        if !matches!(keyword, "HELP" | "TYPE") {
            return Ok(());
        }
        let name = words.next().unwrap_or_default();
        if !is_metric_name(name) {
            return Err(What::MetricName(name.to_owned()));
        }
        let rest = words.next().unwrap_or_default().trim_start_matches([' ', '\t']);
        if keyword == "HELP" { self.help(name, rest) } else { self.kind(name, rest.trim_end()) }
    }

    /// An empty text counts as none.
    fn help(&mut self, name: &str, text: &str) -> Result<(), What> {
        let help = &mut self.family(name).help;
        if help.is_some() {
            return Err(What::SecondHelp(name.to_owned()));
        }
        *help = Some(unescape_help(text)?).filter(|it| !it.is_empty());
        Ok(())
    }

    fn kind(&mut self, name: &str, kind: &str) -> Result<(), What> {
        let kind = match kind.to_ascii_lowercase().as_str() {
            "counter" => MetricKind::Counter,
            "gauge" => MetricKind::Gauge,
            "histogram" => MetricKind::Histogram,
            "summary" => MetricKind::Summary,
            "untyped" => MetricKind::Unknown,
            _ => return Err(What::Kind(kind.to_owned())),
        };
        let has_samples = !self.family(name).groups.is_empty();
        if has_samples || self.typed.insert(name.to_owned(), kind).is_some() {
            return Err(What::SecondType(name.to_owned()));
        }
        self.family(name).kind = kind;
        Ok(())
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.to_owned()).or_insert_with(|| Family {
            kind: MetricKind::Unknown,
            help: None,
            groups: Vec::new(),
        })
    }

    /// `name{label="value"} 1.5`.
    fn sample(&mut self, line: &str) -> Result<(), What> {
        let name_end = line.find(['{', ' ', '\t']).ok_or(What::Expected("a value"))?;
        let (name, rest) = line.split_at_checked(name_end).ok_or(What::Expected("a value"))?;
        if !is_metric_name(name) {
            return Err(What::MetricName(name.to_owned()));
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => labels(inside)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = number(words.next().ok_or(What::Expected("a value"))?)?;
        if words.next().is_some() {
            return Err(What::Timestamp);
        }
        if !self.seen.insert((name.to_owned(), labels.clone())) {
            return Err(What::Duplicate(name.to_owned()));
        }
        self.place(name, labels, value)
    }

    /// Suffixed series of a histogram or a summary belong to its family.
    fn place(
        &mut self,
        name: &str,
        mut labels: Vec<(String, String)>,
        value: f64,
    ) -> Result<(), What> {
        let (family, part) = self.family_of(name);
        let (label, kind) = match part {
            Part::Bucket => (BUCKET_LE, "bucket"),
            Part::Quantile => (QUANTILE, "summary"),
            Part::Value | Part::Sum | Part::Count => ("", ""),
        };
        let bound = match labels.iter().position(|(name, _)| name == label) {
            Some(label_idx) => number(&labels.remove(label_idx).1)?,
            None if label.is_empty() => 0.0,
            None => return Err(What::NoBound(kind, label)),
        };
        let group = self.group(family, labels);
        match part {
            Part::Value => group.value = value,
            Part::Bucket | Part::Quantile => group.bounds.push((bound, value)),
            Part::Sum => group.sum = value,
            Part::Count => group.count = value,
        }
        Ok(())
    }

    fn family_of<'n>(&self, name: &'n str) -> (&'n str, Part) {
        let kind = |name: &str| self.typed.get(name).copied().unwrap_or_default();
        for (suffix, part) in
            [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)]
        {
            let Some(base) = name.strip_suffix(suffix) else { continue };
            match (kind(base), part) {
                (MetricKind::Histogram, _) | (MetricKind::Summary, Part::Sum | Part::Count) => {
                    return (base, part);
                }
                _ => {}
            }
        }
        let part = if kind(name) == MetricKind::Summary { Part::Quantile } else { Part::Value };
        (name, part)
    }

    fn group(&mut self, name: &str, labels: Vec<(String, String)>) -> &mut Group {
        let key = (name.to_owned(), labels.clone());
        let group_idxs = &mut self.group_idxs;
        let family = self.families.entry(name.to_owned()).or_insert_with(|| Family {
            kind: MetricKind::Unknown,
            help: None,
            groups: Vec::new(),
        });
        let group_idx = *group_idxs.entry(key).or_insert_with(|| {
            family.groups.push(Group { labels, ..Group::default() });
            family.groups.len() - 1
        });
        family.groups.get_mut(group_idx).expect("pushed above or before")
    }
}

#[derive(Clone, Copy)]
enum Part {
    Value,
    Bucket,
    Quantile,
    Sum,
    Count,
}

type Labels = Vec<(String, String)>;

/// What stands behind `{`, and the rest of the line. Labels come out sorted.
fn labels(inside: &str) -> Result<(Labels, &str), What> {
    let mut labels = Labels::new();
    let mut rest = skip_blanks(inside);
    while !rest.starts_with('}') {
        let (name, tail) = rest.split_once('=').ok_or(What::Expected("\"=\" behind a label"))?;
        let name = name.trim_end_matches([' ', '\t']);
        if !is_label_name(name) || name == METRIC_NAME {
            return Err(What::LabelName(name.to_owned()));
        }
        let tail = skip_blanks(tail).strip_prefix('"').ok_or(What::Expected("a quoted value"))?;
        let (value, tail) = quoted(tail)?;
        labels.push((name.to_owned(), value));
        rest = skip_blanks(tail);
        match rest.strip_prefix(',') {
            Some(tail) => rest = skip_blanks(tail),
            None if rest.starts_with('}') => {}
            None => return Err(What::Expected("\",\" or \"}\" behind a label")),
        }
    }
    labels.sort_unstable();
    if let Some([(name, _), _]) =
        labels.array_windows::<2>().find(|[left, right]| left.0 == right.0)
    {
        return Err(What::LabelName(name.clone()));
    }
    Ok((labels, rest.get(1..).unwrap_or_default()))
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Result<(String, &str), What> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) => value.push('"'),
                Some((_, 'n')) => value.push('\n'),
                Some((_, c)) => return Err(What::Escape(c)),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(What::Expected("a closing quote"))
}

fn unescape_help(text: &str) -> Result<String, What> {
    let mut help = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\') => help.push('\\'),
                Some('n') => help.push('\n'),
                Some(c) => return Err(What::Escape(c)),
                None => return Err(What::Expected("a character behind a backslash")),
            },
            c => help.push(c),
        }
    }
    Ok(help)
}

fn number(text: &str) -> Result<f64, What> {
    text.parse().map_err(|std::num::ParseFloatError { .. }| What::Number(text.to_owned()))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
