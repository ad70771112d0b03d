//! The tree of a template, and how Go shows its nodes in errors.

use std::fmt;

use super::functions::Function;

/// Where in the text a node starts, in bytes.
pub(super) type At = usize;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: At, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands joined by `|`: each gets the value before it as its last argument.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: At,
    pub(super) variables: Vec<String>,
    /// `=` rather than `:=`.
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) at: At,
    /// Never empty.
    pub(super) args: Vec<Arg>,
}

#[derive(Debug)]
pub(super) struct Arg {
    pub(super) at: At,
    pub(super) kind: ArgKind,
}

#[derive(Debug)]
pub(super) enum ArgKind {
    Bool(bool),
    Dot,
    Nil,
    Number {
        text: String,
        value: Number,
    },
    Text {
        quoted: String,
        text: String,
    },
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a`: the variable comes first.
    Variable(Vec<String>),
    /// `(…).a`
    Chain(Box<Arg>, Vec<String>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    /// A whole number that no `int` holds.
    TooBig,
}

impl fmt::Display for Pipe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.is_assignment { "=" } else { ":=" };
            write!(out, "{} {sign} ", self.variables.join(", "))?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                out.write_str(" | ")?;
            }
            write!(out, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            if i > 0 {
                out.write_str(" ")?;
            }
            write!(out, "{arg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |out: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|it| write!(out, ".{it}"))
        };
        match &self.kind {
            ArgKind::Bool(value) => write!(out, "{value}"),
            ArgKind::Dot => out.write_str("."),
            ArgKind::Nil => out.write_str("nil"),
            ArgKind::Number { text, .. } => out.write_str(text),
            ArgKind::Text { quoted, .. } => out.write_str(quoted),
            ArgKind::Field(names) => fields(out, names),
            ArgKind::Variable(names) => out.write_str(&names.join(".")),
            ArgKind::Chain(inner, names) => {
                write!(out, "{inner}")?;
                fields(out, names)
            }
            ArgKind::Function(function) => out.write_str(function.name),
            ArgKind::Pipe(pipe) => write!(out, "({pipe})"),
        }
    }
}

/// The names of all `.field`s that a template looks at.
pub(super) fn fields<'n>(nodes: &'n [Node], names: &mut Vec<&'n str>) {
    for node in nodes {
        match node {
            Node::Action(pipe) => pipe_fields(pipe, names),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                pipe_fields(&branch.pipe, names);
                fields(&branch.then, names);
                fields(&branch.otherwise, names);
            }
            Node::Template { pipe, .. } => pipe.iter().for_each(|it| pipe_fields(it, names)),
            Node::Text(_) | Node::Break | Node::Continue => {}
        }
    }
}

fn pipe_fields<'n>(pipe: &'n Pipe, names: &mut Vec<&'n str>) {
    for arg in pipe.commands.iter().flat_map(|it| &it.args) {
        arg_fields(arg, names);
    }
}

fn arg_fields<'n>(arg: &'n Arg, names: &mut Vec<&'n str>) {
    match &arg.kind {
        ArgKind::Field(fields) => names.extend(fields.iter().map(String::as_str)),
        ArgKind::Pipe(pipe) => pipe_fields(pipe, names),
        ArgKind::Chain(inner, _) => arg_fields(inner, names),
        _ => {}
    }
}
