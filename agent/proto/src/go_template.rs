//! Go's text templates, as LogQL's `line_format` and the agent's `template` stage use them: a tree
//! parsed once, run for each line.
//!
//! Text is cut into tokens ([`lex`]), tokens become nodes ([`parse`], [`node`]), nodes are run
//! ([`exec`]) over values ([`value`]) by functions, each a line of [`functions::FUNCTIONS`].

mod exec;
mod functions;
mod lex;
mod node;
mod parse;
mod printf;
mod value;

use self::{
    functions::{Context, Regexes},
    parse::Parsed,
    value::Value,
};
use crate::{Clock as _, SystemClock};

/// The named texts that a template sees as `.`.
pub trait Fields: std::fmt::Debug + Sync {
    fn get(&self, name: &str) -> Option<&str>;

    /// All of them, sorted by name.
    fn pairs(&self) -> Vec<(&str, &str)>;

    /// Whether a name that is not there stands for an empty text (Go's `map[string]string`) or for
    /// nothing, printed as `<no value>` (`map[string]interface {}`).
    fn is_empty_where_missing(&self) -> bool {
        true
    }
}

/// A template that can be run.
#[derive(Debug)]
pub struct Template {
    name: &'static str,
    text: String,
    parsed: Parsed,
    regexes: Regexes,
    /// The time all lines of a query see as `now`.
    now_ns: i64,
}

impl Template {
    /// `name` stands in errors.
    ///
    /// # Errors
    /// What is wrong with the text, in Go's words.
    pub fn parse(text: &str, name: &'static str) -> Result<Self, String> {
        Ok(Self {
            name,
            text: text.to_owned(),
            parsed: parse::parse(text, name)?,
            regexes: Regexes::default(),
            now_ns: SystemClock.now().0,
        })
    }

    /// The text it makes of a line.
    ///
    /// # Errors
    /// What failed and where, in Go's words.
    pub fn run(&self, ts_ns: i64, line: &str, labels: &dyn Fields) -> Result<String, String> {
        let context = Context { ts_ns, line, labels, now_ns: self.now_ns, regexes: &self.regexes };
        exec::Exec::new(self.name, &self.text, &self.parsed.defined, context).run(&self.parsed.root)
    }

    /// The names of the labels it looks at.
    pub fn fields(&self) -> Vec<&str> {
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
