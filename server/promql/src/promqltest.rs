//! Runs cases in Prometheus' `load`/`eval` text format against this crate, in memory.
//!
//! A file is a list of commands: `load` puts samples on a grid from time zero, `eval` asks a query
//! and lists what it must give, `expect` lines say what else must hold, `clear` empties the store.

mod check;
mod histogram;
mod memory;
mod nhcb;
mod script;
mod series;
mod tags;

use std::collections::BTreeSet;

use crate::{EvalOptions, ParseOptions, Value, eval, parse_with};

pub use memory::Memory;
pub use script::ScriptError;
pub use series::{Item, Series, parse_series};
pub use tags::Tag;

use script::{At, Command, Eval};

/// What became of one `eval`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub line: usize,
    pub query: String,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
    /// What of the language the case needs.
    pub tags: BTreeSet<Tag>,
}

/// Runs every command of a file.
///
/// # Errors
/// A line that is no command, or a series that cannot be read.
pub async fn run(text: &str) -> Result<Vec<Outcome>, ScriptError> {
    let mut memory = Memory::default();
    let mut block = tags::Block::default();
    let mut outcomes = Vec::new();
    for command in script::parse(text)? {
        match command {
            Command::Clear => {
                memory = Memory::default();
                block = tags::Block::default();
            }
            Command::Load { step_ms, series, with_nhcb } => {
                let native = if with_nhcb { nhcb::converted(&series) } else { Vec::new() };
                for it in series.iter().chain(&native) {
                    block.loaded(it);
                    memory.append_items(it.labels.clone(), step_ms, &it.values);
                }
            }
            Command::Eval(it) => {
                let failure = run_eval(&memory, &it).await.err();
                outcomes.push(Outcome {
                    line: it.line,
                    query: it.query.clone(),
                    failure,
                    tags: block.tags(&it),
                });
            }
        }
    }
    Ok(outcomes)
}

async fn run_eval(memory: &Memory, case: &Eval) -> Result<(), String> {
    let answer = answer(memory, case, case.at).await;
    check::check(case, &answer)?;
    // Like Prometheus' own runner: an instant query must give the same as the middle step of a
    // range query.
    let is_comparable = !case.must_fail() && !case.is_ordered() && case.expected_string.is_none();
    if let (At::Instant(at), true, Ok((Value::Vector(_) | Value::Scalar { .. }, _))) =
        (case.at, is_comparable, &answer)
    {
        let around = At::Range { start: at - 60_000, end: at + 60_000, step_ms: 60_000 };
        if case.depends_on_range() {
            return Ok(());
        }
        let as_range = self::answer(memory, case, around).await;
        check::check_middle(case, &as_range).map_err(|it| format!("as range query: {it}"))?;
    }
    Ok(())
}

type Answer = Result<(Value, crate::Annotations), String>;

async fn answer(memory: &Memory, case: &Eval, at: At) -> Answer {
    let parse_options = ParseOptions { experimental: true };
    let expr = parse_with(&case.query, parse_options).map_err(|it| it.to_string())?;
    let is_instant = matches!(at, At::Instant(_));
    let options = EvalOptions { is_instant, ..EvalOptions::default() };
    let grid = at.grid().map_err(|it| it.to_string())?;
    eval(&case.query, &expr, grid, memory, &options).await.map_err(|it| it.to_string())
}
