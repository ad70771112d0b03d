//! Go's text templates, as `line_format` and `label_format` use them: a tree parsed once, run for
//! each line.
//!
//! Text is cut into tokens ([`lex`]), tokens become nodes ([`parse`], [`node`]), nodes are run
//! ([`exec`]) over values ([`value`]) by functions, each a line of [`functions::FUNCTIONS`].

mod exec;
mod functions;
mod lex;
mod node;
mod parse;
mod printf;
mod time;
mod value;

use skep_proto::{Clock as _, SystemClock};

use self::{
    functions::{Context, Regexes},
    parse::Parsed,
    value::Value,
};
use crate::pipeline::LineLabels;

#[derive(Debug)]
pub(crate) struct Template {
    name: &'static str,
    text: String,
    parsed: Parsed,
    regexes: Regexes,
    /// The time all lines of a query see as `now`.
    now_ns: i64,
}

impl Template {
    /// # Errors
    /// What is wrong with the text, in Go's words.
    pub(crate) fn parse(text: &str, name: &'static str) -> Result<Self, String> {
        Ok(Self {
            name,
            text: text.to_owned(),
            parsed: parse::parse(text, name)?,
            regexes: Regexes::default(),
            now_ns: SystemClock.now().0,
        })
    }

    /// # Errors
    /// What failed and where, in Go's words.
    pub(crate) fn run(
        &self,
        ts_ns: i64,
        line: &str,
        labels: &LineLabels,
    ) -> Result<String, String> {
        let context = Context { ts_ns, line, labels, now_ns: self.now_ns, regexes: &self.regexes };
        exec::Exec::new(self.name, &self.text, &self.parsed.defined, context).run(&self.parsed.root)
    }

    /// The names of the labels it looks at.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        node::fields(&self.parsed.root, &mut names);
        names
    }
}

/// Names of all functions, for a list of what there is.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    functions::FUNCTIONS.iter().map(|it| it.name)
}

#[cfg(test)]
mod tests;
