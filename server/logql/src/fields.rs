//! Fields that lines carry beside their labels, found by trying the parsers: what Loki's
//! `detected_fields` answers.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use skep_proto::{
    Labels,
    go_units::{parse_bytes, parse_go_duration},
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use crate::{
    ast::{LogfmtFlags, Stage},
    error::QueryError,
    leaf::EntryLabels,
    pipeline::{Category, Line, LineLabels, Pipeline, json_paths, sanitized},
};

/// Labels that pipelines set for themselves; nobody filters by them.
const INTERNAL: [&str; 3] = [LOG_ERROR, LOG_ERROR_DETAILS, "__preserve_error__"];

/// Which stage takes a field out of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldParser {
    Json,
    Logfmt,
}

impl FieldParser {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
        }
    }
}

/// What the values of a field look like; each is tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldType {
    Int,
    Float,
    Boolean,
    Duration,
    Bytes,
    String,
}

impl FieldType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// The type of one value, read as Go reads it.
    pub fn of(value: &str) -> Self {
        const BOOLEANS: [&str; 10] =
            ["t", "T", "TRUE", "true", "True", "f", "F", "FALSE", "false", "False"];
        if value.parse::<i64>().is_ok() {
            Self::Int
        } else if value.parse::<f64>().is_ok() {
            Self::Float
        } else if BOOLEANS.contains(&value) {
            Self::Boolean
        } else if parse_go_duration(value).is_some() {
            Self::Duration
        } else if parse_bytes(value).is_some() {
            Self::Bytes
        } else {
            Self::String
        }
    }
}

/// One field of the lines that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Empty for structured metadata.
    pub parsers: Vec<FieldParser>,
    /// Where in a JSON line it stands; empty for all others.
    pub json_path: Vec<String>,
    /// Its different values.
    pub values: BTreeSet<String>,
    types: BTreeMap<FieldType, usize>,
}

impl Field {
    /// What most values are. Loki tells that of the line it saw last, which is any of them.
    pub fn type_of_most(&self) -> FieldType {
        let n_of = |it| self.types.get(&it).copied().unwrap_or_default();
        let (n_ints, n_floats) = (n_of(FieldType::Int), n_of(FieldType::Float));
        let most = self.types.iter().max_by_key(|(kind, n)| (**n, **kind));
        match most {
            // A whole number among fractions is a number like them.
            Some((FieldType::Int, _)) if n_floats > 0 => FieldType::Float,
            Some((_, n)) if n_floats > 0 && n_ints + n_floats > *n => FieldType::Float,
            Some((kind, _)) => *kind,
            None => FieldType::String,
        }
    }

    fn add(&mut self, value: &str) {
        *self.types.entry(FieldType::of(value)).or_default() += 1;
        if !self.values.contains(value) {
            self.values.insert(value.to_owned());
        }
    }
}

/// Gathers fields line by line.
#[derive(Debug)]
pub struct FieldDetector {
    json: Pipeline,
    logfmt: Pipeline,
    labels: LineLabels,
    n_fields_max: usize,
    fields: BTreeMap<String, Field>,
}

impl FieldDetector {
    /// The first `n_fields_max` fields count.
    ///
    /// # Errors
    /// A parser cannot be made: a bug.
    pub fn new(n_fields_max: usize) -> Result<Self, QueryError> {
        let logfmt = Stage::Logfmt { flags: LogfmtFlags::default(), exprs: Vec::new() };
        Ok(Self {
            json: Pipeline::compile(&[Stage::Json])?,
            logfmt: Pipeline::compile(&[logfmt])?,
            labels: LineLabels::default(),
            n_fields_max,
            fields: BTreeMap::new(),
        })
    }

    /// Looks at a line of a query's answer: its metadata, what the query's own stages found, and
    /// what `json`, or else `logfmt`, finds in it.
    pub fn add(&mut self, labels: &EntryLabels, line: &str) {
        for (name, value) in &labels.metadata {
            if let Some(field) = self.field(name) {
                field.add(value);
            }
        }
        let parser = self.parse(labels, line);
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in &labels.parsed {
            found.entry(name).or_default().insert(value);
        }
        let parsed = std::mem::take(&mut self.labels);
        if parser.is_some() {
            for (category, name, value) in parsed.iter() {
                if category == Category::Parsed {
                    found.entry(name).or_default().insert(value);
                }
            }
        }
        let is_new = |it: &&str| !self.fields.contains_key(*it);
        let has_new = found.keys().any(is_new);
        let paths = match parser {
            Some(FieldParser::Json) if has_new => json_paths(line),
            _ => Vec::new(),
        };
        for (name, values) in found {
            if INTERNAL.contains(&name) {
                continue;
            }
            let Some(field) = self.field(name) else { continue };
            if let Some(parser) = parser
                && !field.parsers.contains(&parser)
            {
                field.parsers.push(parser);
            }
            if field.json_path.is_empty()
                && let Some(path) = paths.iter().find(|it| names(it, name))
            {
                field.json_path.clone_from(path);
            }
            values.iter().for_each(|it| field.add(it));
        }
        self.labels = parsed;
    }

    /// What was found, by name.
    pub fn finish(self) -> BTreeMap<String, Field> {
        self.fields
    }

    /// Which parser reads the line; its finds are in `self.labels`.
    fn parse(&mut self, labels: &EntryLabels, line: &str) -> Option<FieldParser> {
        let mut stream = Labels::default().to_builder();
        for (name, value) in &labels.stream {
            stream.set(name, value);
        }
        let stream = stream.build();
        for (parser, pipeline) in
            [(FieldParser::Json, &self.json), (FieldParser::Logfmt, &self.logfmt)]
        {
            self.labels.set_stream(&stream);
            let text = Cow::Borrowed(line);
            let mut line = Line { ts_ns: 0, text, labels: &mut self.labels };
            if pipeline.process(&mut line) && !self.labels.has_error() {
                return Some(parser);
            }
        }
        None
    }

    fn field(&mut self, name: &str) -> Option<&mut Field> {
        let is_full = self.fields.len() >= self.n_fields_max;
        if is_full && !self.fields.contains_key(name) {
            return None;
        }
        Some(self.fields.entry(name.to_owned()).or_default())
    }
}

/// Whether a field at this path gets this name, with or without the suffix of a name that the
/// stream has.
fn names(path: &[String], name: &str) -> bool {
    let own = sanitized(path);
    name == own || name.strip_suffix("_extracted").is_some_and(|it| it == own)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    fn check(lines: &[&str], n_fields_max: usize, expect: Expect) {
        let mut detector = FieldDetector::new(n_fields_max).unwrap();
        for line in lines {
            let labels = EntryLabels {
                stream: pairs(&[("app", "web")]),
                metadata: pairs(&[("pid", "7")]),
                parsed: Vec::new(),
            };
            detector.add(&labels, line);
        }
        let mut text = String::new();
        for (name, field) in detector.finish() {
            let parsers: Vec<_> = field.parsers.iter().map(|it| it.as_str()).collect();
            let kind = field.type_of_most().as_str();
            let path = field.json_path.join(" > ");
            text += &format!("{name} {kind} {parsers:?} [{path}] {:?}\n", field.values);
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn json_and_logfmt_lines_are_told_apart() {
        check(
            &[
                r#"{"a":{"b-c":[1],"d":"5ms"},"1st":true,"app":"in","n":null,"v":0.5}"#,
                r#"{"a":{"d":"1h"},"v":2,"size":"5 MiB"}"#,
                r#"level=info v=3 empty= flag msg="two words""#,
                "no field at all",
                "[1,2]",
                r#"{"broken":"#,
            ],
            100,
            expect![[r#"
                _1st boolean ["json"] [1st] {"true"}
                a_d duration ["json"] [a > d] {"1h", "5ms"}
                app_extracted string ["json"] [app] {"in"}
                level string ["logfmt"] [] {"info"}
                msg string ["logfmt"] [] {"two words"}
                pid int [] [] {"7"}
                size bytes ["json"] [size] {"5 MiB"}
                v float ["json", "logfmt"] [v] {"0.5", "2", "3"}
            "#]],
        );
    }

    #[test]
    fn the_first_fields_count() {
        check(
            &["a=1 b=2 c=3"],
            2,
            expect![[r#"
                a int ["logfmt"] [] {"1"}
                pid int [] [] {"7"}
            "#]],
        );
    }
}
