//! Runs case files: lines to load, queries, and what they must answer.
//!
//! ```text
//! # A comment. Offsets are durations since 1970; a command ends at the next unindented line.
//! clear
//! load {app="web", env="prod"}
//!   0s      level=info msg=started
//!   1m30s   @{trace="t1"} level=warn msg=slow
//!
//! eval log from 0s to 5m limit 10 backward {app="web"} | logfmt
//!   {app="web", env="prod", level="info", msg="started"}
//!     0s level=info msg=started
//!
//! eval instant at 5m sum by (app) (count_over_time({app="web"}[5m]))
//!   {app="web"} 2
//!
//! eval range from 0s to 2m step 1m rate({app="web"}[1m])
//!   {app="web", env="prod"} 0.016666666666666666 _ 0.016666666666666666
//!
//! eval fail instant at 5m rate({app="web"})
//!   parse error at line 1, col 16: syntax error: unexpected )
//! ```
//!
//! `@{…}` before a line is its structured metadata. `limit` (100), `forward` and `backward` (the
//! default) may be left out. `_` is a step without a value; values are compared to one part in a
//! million. Order matters within a stream of lines, not between streams or series.

mod memory;

use skep_promql::{Grid, is_absent};
use skep_proto::{Labels, TimestampMs, TimestampNs, go_units as units};

pub use self::memory::MemoryStorage;
use crate::{
    ast::Expr,
    eval::{EvalOptions, Value, eval},
    leaf::Direction,
    parse,
};

/// Series one `eval` may answer with.
const N_SERIES_MAX: usize = 500;

/// One `eval` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of the command, from 1.
    pub line: usize,
    pub query: String,
    /// What was wrong; none where the case passed.
    pub failure: Option<String>,
}

/// A command and its indented lines.
struct Command<'t> {
    line: usize,
    text: &'t str,
    body: Vec<&'t str>,
}

/// # Errors
/// A file that cannot be read: what is wrong and in which line.
pub async fn run(text: &str) -> Result<Vec<Outcome>, String> {
    let mut storage = MemoryStorage::default();
    let mut outcomes = Vec::new();
    for command in commands(text) {
        let at = |message: String| format!("line {}: {message}", command.line);
        if command.text == "clear" {
            storage = MemoryStorage::default();
        } else if let Some(selector) = command.text.strip_prefix("load ") {
            load(&mut storage, selector, &command.body).map_err(at)?;
        } else if let Some(rest) = command.text.strip_prefix("eval ") {
            let case = Case::parse(rest).map_err(at)?;
            let failure = case.run(&storage, &command.body).await.err();
            let query = case.query.to_owned();
            outcomes.push(Outcome { line: command.line, query, failure });
        } else {
            return Err(at(format!("unknown command {:?}", command.text)));
        }
    }
    Ok(outcomes)
}

fn commands(text: &str) -> Vec<Command<'_>> {
    let mut commands: Vec<Command<'_>> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(command) = commands.last_mut() {
                command.body.push(line.trim_start());
            }
        } else {
            commands.push(Command { line: i + 1, text: line.trim_end(), body: Vec::new() });
        }
    }
    commands
}

fn load(storage: &mut MemoryStorage, selector: &str, body: &[&str]) -> Result<(), String> {
    let stream = Labels::from_pairs(pairs(selector)?).map_err(|error| error.to_string())?;
    for entry in body {
        let (offset, rest) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
        let rest = rest.trim_start();
        let (metadata, line) = match rest.strip_prefix('@') {
            None => (Vec::new(), rest),
            Some(rest) => {
                let end = rest.find("} ").ok_or("metadata does not end")? + 1;
                let (metadata, line) = rest.split_at(end);
                (pairs(metadata)?, line.get(1..).unwrap_or_default())
            }
        };
        storage.push(&stream, time(offset)?, line, metadata);
    }
    Ok(())
}

/// The pairs of `{a="b", c="d"}`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.trim() == "{}" {
        return Ok(Vec::new());
    }
    // A selector may not consist of empty values alone, a label set may.
    let padded = text.trim().replacen('{', "{__pad__=\"1\",", 1);
    let Expr::Log(log) = parse(&padded).map_err(|error| format!("{text}: {error}"))? else {
        return Err(format!("{text} is no label set"));
    };
    let pairs = log.matchers.iter().map(|it| (it.name().to_owned(), it.value().to_owned()));
    Ok(pairs.filter(|(name, _)| name != "__pad__").collect())
}

fn time(text: &str) -> Result<TimestampNs, String> {
    units::parse_go_duration(text)
        .or_else(|| units::parse_prometheus_duration(text).ok())
        .map(TimestampNs)
        .ok_or_else(|| format!("{text:?} is no offset"))
}

struct Case<'t> {
    query: &'t str,
    options: EvalOptions,
    must_fail: bool,
}

impl<'t> Case<'t> {
    /// Everything behind `eval`.
    fn parse(text: &'t str) -> Result<Self, String> {
        let mut words = Words { rest: text };
        let must_fail = words.eat("fail");
        let mut case = Self {
            query: "",
            options: EvalOptions {
                start: TimestampNs(0),
                end: TimestampNs(0),
                direction: Direction::Backward,
                limit: 100,
                grid: Grid::instant(TimestampMs(0)),
                n_series_max: N_SERIES_MAX,
            },
            must_fail,
        };
        let options = &mut case.options;
        if words.eat("instant") {
            options.start = words.time_after("at")?;
            options.end = options.start;
            options.grid = Grid::instant(options.end.to_ms());
        } else {
            let is_log = words.eat("log");
            if !is_log && !words.eat("range") {
                return Err(format!("eval what? {text}"));
            }
            options.start = words.time_after("from")?;
            options.end = words.time_after("to")?;
            if !is_log {
                let step = words.time_after("step")?.to_ms().0;
                options.grid = Grid::range(options.start.to_ms(), options.end.to_ms(), step)
                    .map_err(|error| error.to_string())?;
            }
            if words.eat("limit") {
                options.limit = words.next()?.parse().map_err(|_no_number| "limit what?")?;
            }
            if words.eat("forward") {
                options.direction = Direction::Forward;
            } else {
                words.eat("backward");
            }
        }
        case.query = words.rest;
        Ok(case)
    }

    /// # Errors
    /// How the answer differs.
    async fn run(&self, storage: &MemoryStorage, expected: &[&str]) -> Result<(), String> {
        let answer = match parse(self.query) {
            Ok(expr) => {
                eval(&expr, &self.options, storage).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match (answer, self.must_fail) {
            (Err(error), true) => {
                let (error, wanted) = (words(&error), words(&expected.join(" ")));
                if error.contains(&wanted) { Ok(()) } else { Err(format!("fails with: {error}")) }
            }
            (Err(error), false) => Err(format!("fails with: {error}")),
            (Ok(_), true) => Err("does not fail".to_owned()),
            (Ok(Value::Streams(streams)), false) => {
                let mut found: Vec<String> = Vec::new();
                for stream in &streams {
                    let pairs = stream.labels.merged();
                    let mut block = label_text(pairs.into_iter());
                    for entry in &stream.entries {
                        block.push_str(&format!(
                            "\n{} {}",
                            units::go_duration(entry.ts.0),
                            entry.line
                        ));
                    }
                    found.push(block);
                }
                compare_blocks(found, expected)
            }
            (Ok(Value::Matrix(matrix)), false) => {
                let found: Vec<(String, Vec<f64>)> = matrix
                    .rows
                    .iter()
                    .map(|row| (label_text(row.labels.iter()), row.values.clone()))
                    .collect();
                compare_rows(&found, expected)
            }
            (Ok(Value::Scalar(value)), false) => {
                compare_rows(&[("{}".to_owned(), vec![value])], expected)
            }
        }
    }
}

/// Blanks do not matter in errors: they may be folded over lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn label_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", skep_proto::quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A label set in the order we print it.
fn normal_labels(text: &str) -> Result<String, String> {
    let mut pairs = pairs(text)?;
    pairs.sort();
    Ok(label_text(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

fn compare_blocks(mut found: Vec<String>, expected: &[&str]) -> Result<(), String> {
    let mut wanted: Vec<String> = Vec::new();
    for line in expected {
        match (line.starts_with('{'), wanted.last_mut()) {
            (true, _) => wanted.push(normal_labels(line)?),
            (false, Some(block)) => {
                let (offset, rest) = line.split_once(' ').unwrap_or((line, ""));
                let offset = units::go_duration(time(offset)?.0);
                block.push_str(&format!("\n{offset} {}", rest.trim_start()));
            }
            (false, None) => return Err("a line stands before its labels".to_owned()),
        }
    }
    found.sort();
    wanted.sort();
    if found == wanted {
        return Ok(());
    }
    Err(format!("found\n{}\nwanted\n{}", found.join("\n"), wanted.join("\n")))
}

fn compare_rows(found: &[(String, Vec<f64>)], expected: &[&str]) -> Result<(), String> {
    let mut wanted = Vec::new();
    for line in expected {
        let end = line.rfind('}').ok_or_else(|| format!("{line} has no labels"))? + 1;
        let (labels, values) = line.split_at(end);
        let values: Vec<f64> = values.split_whitespace().map(value).collect::<Result<_, _>>()?;
        wanted.push((normal_labels(labels)?, values));
    }
    let is_found = |(labels, values): &(String, Vec<f64>)| {
        found.iter().any(|(it, found)| it == labels && same_values(found, values))
    };
    if found.len() == wanted.len() && wanted.iter().all(is_found) {
        return Ok(());
    }
    let found: Vec<String> = found
        .iter()
        .map(|(labels, values)| {
            let values: Vec<String> = values
                .iter()
                .map(|it| if is_absent(*it) { "_".to_owned() } else { it.to_string() })
                .collect();
            format!("{labels} {}", values.join(" "))
        })
        .collect();
    Err(format!("found\n{}\nwanted\n{}", found.join("\n"), expected.join("\n")))
}

fn value(text: &str) -> Result<f64, String> {
    if text == "_" {
        return Ok(skep_promql::absent());
    }
    text.parse().map_err(|_no_number| format!("{text:?} is no value"))
}

fn same_values(found: &[f64], wanted: &[f64]) -> bool {
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(found, wanted)| {
            is_absent(*found) == is_absent(*wanted)
                && (found == wanted
                    || (found.is_nan() && wanted.is_nan())
                    || (found - wanted).abs() <= 1e-6 * wanted.abs())
        })
}

struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Result<&'t str, String> {
        let (word, rest) =
            self.rest.split_once(' ').ok_or_else(|| format!("{:?} is no query", self.rest))?;
        self.rest = rest.trim_start();
        Ok(word)
    }

    fn eat(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word).and_then(|it| it.strip_prefix(' '));
        if let Some(rest) = rest {
            self.rest = rest.trim_start();
        }
        rest.is_some()
    }

    fn time_after(&mut self, word: &str) -> Result<TimestampNs, String> {
        if !self.eat(word) {
            return Err(format!("{word:?} is missing before {:?}", self.rest));
        }
        time(self.next()?)
    }
}

#[cfg(test)]
mod tests;
