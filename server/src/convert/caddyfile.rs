//! A Caddyfile as this server's own configuration.
//!
//! The text becomes blocks of directives ([`parse`]), each site a list of routes in Caddy's own order
//! ([`routes`]), and what routes have in common moves up to their site ([`site`]). Nothing is read
//! but through [`Outside`].

mod address;
mod auth;
mod global;
mod headers;
mod lexer;
mod matcher;
mod out;
mod parse;
mod proxy;
mod routes;
mod site;

use std::fmt;
use std::sync::Arc;

use self::lexer::At;
use self::parse::Directive;

/// What a Caddyfile refers to.
pub(crate) trait Outside {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// Names and texts of the files that a pattern means, seen from the file that imports them.
    fn files(&self, from: &str, pattern: &str) -> std::io::Result<Vec<(String, String)>>;
}

/// Why a text is no Caddyfile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("{at}: {what} is never closed")]
    Unclosed { at: At, what: &'static str },
    #[error("{0}: a brace is closed that none opened")]
    Unopened(At),
    #[error("{at}: a line of the heredoc is indented less than its end; indent all lines alike")]
    Heredoc { at: At },
    #[error("{0}: a block without an address is only at the top of the file")]
    NoAddress(At),
    #[error("{0}: the file has too many words, or imports itself")]
    TooLong(At),
    #[error("{0}: blocks are nested too deeply")]
    TooDeep(At),
    #[error("{0}: an import with a block is not known; write its content out")]
    ImportBlock(At),
    #[error("{at}: cannot import {what}")]
    Import { at: At, what: String },
    #[error("cannot write it as TOML")]
    Toml(#[from] toml::ser::Error),
}

/// The configuration, and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) toml: String,
    /// What holds otherwise than in Caddy, but does no harm.
    pub(crate) notes: Vec<Remark>,
    /// What was left out.
    pub(crate) losses: Vec<Remark>,
}

/// A line of the Caddyfile, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    at: Option<At>,
    what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Collects remarks, each once.
#[derive(Debug, Default)]
struct Remarks {
    notes: Vec<Remark>,
    losses: Vec<Remark>,
}

impl Remarks {
    fn note(&mut self, directive: &Directive, what: impl Into<String>) {
        push(&mut self.notes, Remark { at: Some(directive.at.clone()), what: what.into() });
    }

    fn note_overall(&mut self, what: impl Into<String>) {
        push(&mut self.notes, Remark { at: None, what: what.into() });
    }

    /// A directive that is left out, whole or in part.
    fn lose(&mut self, directive: &Directive, why: impl fmt::Display) {
        let what = format!("`{}`: {why}", directive.written());
        push(&mut self.losses, Remark { at: Some(directive.at.clone()), what });
    }
}

/// A snippet that is imported twice is remarked upon once.
fn push(remarks: &mut Vec<Remark>, remark: Remark) {
    if !remarks.contains(&remark) {
        remarks.push(remark);
    }
}

/// `name`: of the file, for remarks.
pub(crate) fn convert(
    name: &str,
    text: &str,
    outside: &dyn Outside,
) -> Result<Converted, SyntaxError> {
    let (blocks, unset) = parse::parse(name, text, outside)?;
    let mut remarks = Remarks::default();
    for variable in unset {
        remarks.note_overall(format!(
            "The environment variable {variable} is not set here: it counts as empty; set it and convert again."
        ));
    }
    let mut config = out::Config::default();
    let (options, sites) = match blocks.split_first() {
        Some((first, rest)) if first.keys.is_empty() => {
            (global::options(first, &mut remarks), rest)
        }
        _no_options => (global::Options::default(), blocks.as_slice()),
    };
    for block in sites {
        site::convert(block, &options, &mut config, &mut remarks);
    }
    options.finish(&mut config, &mut remarks);
    for list in [&mut remarks.notes, &mut remarks.losses] {
        list.sort_by_key(|it| it.at.as_ref().map(|at| (Arc::clone(&at.file), at.line)));
    }
    let mut toml = format!("# Made from {name} by skep-server convert.\n");
    for remark in &remarks.losses {
        toml.push_str(&format!("# LEFT OUT {remark}\n"));
    }
    for remark in &remarks.notes {
        toml.push_str(&format!("# {remark}\n"));
    }
    toml.push('\n');
    toml.push_str(&toml::to_string(&config)?);
    Ok(Converted { toml, notes: remarks.notes, losses: remarks.losses })
}

#[cfg(test)]
mod tests;
