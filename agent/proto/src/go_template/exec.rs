//! Runs a template over one line, as Go's `text/template` does, errors and all.

use std::collections::BTreeMap;

use super::{
    Value,
    functions::{Context, Function, Run},
    node::{Arg, ArgKind, Branch, Command, Node, Number, Pipe},
    value::Type,
};
use crate::go_text::quote;

/// Bounds the text one template may make of a line.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Bounds how long a template may take: nodes run for one line.
const N_STEPS_MAX: usize = 100_000;
/// Bounds the stack that templates which run templates take.
const DEPTH_MAX: usize = 64;

/// What an error is about.
#[derive(Debug, Clone, Copy)]
enum Place<'t> {
    Pipe(&'t Pipe),
    Command(&'t Command),
    Arg(&'t Arg),
    Template(usize, &'t str),
}

/// Whether a loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct Exec<'t, 'v> {
    /// The template's name and its text.
    pub(super) name: &'t str,
    pub(super) text: &'t str,
    pub(super) defined: &'t BTreeMap<String, Vec<Node>>,
    pub(super) context: Context<'v>,
    place: Option<Place<'t>>,
    /// The template being run: that of the line, or one it defined.
    running: &'t str,
    variables: Vec<(&'t str, Value<'v>)>,
    n_steps: usize,
    depth: usize,
    out: String,
}

type Result<T> = std::result::Result<T, String>;

impl<'t, 'v> Exec<'t, 'v>
where
    't: 'v,
{
    pub(super) fn new(
        name: &'t str,
        text: &'t str,
        defined: &'t BTreeMap<String, Vec<Node>>,
        context: Context<'v>,
    ) -> Self {
        Self {
            name,
            text,
            defined,
            context,
            place: None,
            running: name,
            variables: Vec::new(),
            n_steps: 0,
            depth: 0,
            out: String::new(),
        }
    }

    /// # Errors
    /// Go's text of what failed, and where.
    pub(super) fn run(mut self, nodes: &'t [Node]) -> Result<String> {
        let dot = Value::Labels(self.context.labels);
        self.variables.push(("$", dot.clone()));
        self.nodes(nodes, &dot)?;
        Ok(self.out)
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        let (at, shown) = match self.place {
            None => return Err(format!("template: {}: {message}", self.running)),
            Some(Place::Pipe(pipe)) => (pipe.at, pipe.to_string()),
            Some(Place::Command(command)) => (command.at, command.to_string()),
            Some(Place::Arg(arg)) => (arg.at, arg.to_string()),
            Some(Place::Template(at, name)) => (at, format!("{{{{template {}}}}}", quote(name))),
        };
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let col = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        Err(format!(
            "template: {}:{line}:{col}: executing {} at <{shown}>: {message}",
            self.name,
            quote(self.running)
        ))
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Value<'v>) -> Result<Flow> {
        for node in nodes {
            self.n_steps += 1;
            if self.n_steps > N_STEPS_MAX {
                return self.error(format!("template takes more than {N_STEPS_MAX} steps"));
            }
            let flow = self.node(node, dot)?;
            if self.out.len() > OUTPUT_BYTES_MAX {
                let max = OUTPUT_BYTES_MAX;
                return self.error(format!("template makes more than {max} bytes of a line"));
            }
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'t Node, dot: &Value<'v>) -> Result<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.print(&value);
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let n_variables = self.variables.len();
                let value = self.pipe(&branch.pipe, dot)?;
                let flow = match (value.is_true(), node) {
                    (true, Node::With(_)) => self.nodes(&branch.then, &value),
                    (true, _) => self.nodes(&branch.then, dot),
                    (false, _) => self.nodes(&branch.otherwise, dot),
                }?;
                self.variables.truncate(n_variables);
                return Ok(flow);
            }
            Node::Range(branch) => {
                let n_variables = self.variables.len();
                let flow = self.range(branch, dot)?;
                self.variables.truncate(n_variables);
                return Ok(flow);
            }
            Node::Template { at, name, pipe } => {
                self.template(*at, name, pipe.as_ref(), dot)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value<'v>) {
        match value {
            Value::None | Value::Nil => self.out.push_str("<no value>"),
            value => value.write(&mut self.out),
        }
    }

    fn template(
        &mut self,
        at: usize,
        name: &'t str,
        pipe: Option<&'t Pipe>,
        dot: &Value<'v>,
    ) -> Result<()> {
        self.place = Some(Place::Template(at, name));
        let Some(nodes) = self.defined.get(name) else {
            return self.error(format!("template {} not defined", quote(name)));
        };
        if self.depth >= DEPTH_MAX {
            return self.error(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::None,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let running = std::mem::replace(&mut self.running, name);
        self.depth += 1;
        self.nodes(nodes, &dot)?;
        self.depth -= 1;
        self.running = running;
        self.variables = outer;
        Ok(())
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value<'v>) -> Result<Flow> {
        let value = self.pipe(&branch.pipe, dot)?;
        let mut n_rounds = 0;
        match &value {
            Value::None | Value::Nil => {}
            Value::List(list) => {
                for (i, item) in list.iter().enumerate() {
                    n_rounds += 1;
                    let index = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    if self.round(branch, index, item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in map.iter() {
                    n_rounds += 1;
                    let key = Value::text(key.clone());
                    if self.round(branch, key, item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Labels(labels) => {
                for (name, text) in labels.pairs() {
                    n_rounds += 1;
                    if self.round(branch, Value::text(name), Value::text(text))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(n) | Value::Int64(n) => {
                if branch.pipe.variables.len() > 1 {
                    return self
                        .error(format!("can't use {n} to iterate over more than one variable"));
                }
                for i in 0..*n {
                    n_rounds += 1;
                    let item = match value {
                        Value::Int64(_) => Value::Int64(i),
                        _ => Value::Int(i),
                    };
                    if self.round(branch, Value::None, item)? == Flow::Break {
                        break;
                    }
                }
            }
            other => return self.error(format!("range can't iterate over {}", other.shown())),
        }
        if n_rounds == 0 {
            return self.nodes(&branch.otherwise, dot);
        }
        Ok(Flow::Next)
    }

    fn round(&mut self, branch: &'t Branch, index: Value<'v>, item: Value<'v>) -> Result<Flow> {
        self.n_steps += 1;
        if self.n_steps > N_STEPS_MAX {
            return self.error(format!("template takes more than {N_STEPS_MAX} steps"));
        }
        // An element that is an empty interface is no value.
        let item = if let Value::Nil = item { Value::None } else { item };
        let values = match branch.pipe.variables.as_slice() {
            [] => Vec::new(),
            [variable] => vec![(variable, item.clone())],
            [first, second, ..] => vec![(first, index), (second, item.clone())],
        };
        for (variable, value) in values {
            self.set(variable, value);
        }
        let n_variables = self.variables.len();
        let flow = self.nodes(&branch.then, &item)?;
        self.variables.truncate(n_variables);
        Ok(flow)
    }

    fn set(&mut self, name: &str, value: Value<'v>) {
        if let Some((_, slot)) = self.variables.iter_mut().rev().find(|(it, _)| *it == name) {
            *slot = value;
        }
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value<'v>) -> Result<Value<'v>> {
        self.place = Some(Place::Pipe(pipe));
        let mut value = None;
        for command in &pipe.commands {
            let result = self.command(command, dot, value)?;
            value = Some(if let Value::Nil = result { Value::None } else { result });
        }
        let value = value.unwrap_or(Value::None);
        for variable in &pipe.variables {
            if pipe.is_assignment {
                self.set(variable, value.clone());
            } else {
                self.variables.push((variable, value.clone()));
            }
        }
        Ok(value)
    }

    /// A command, with the value before it in its pipe.
    fn command(
        &mut self,
        command: &'t Command,
        dot: &Value<'v>,
        last: Option<Value<'v>>,
    ) -> Result<Value<'v>> {
        let Some((first, args)) = command.args.split_first() else { return Ok(Value::None) };
        let has_args = !args.is_empty() || last.is_some();
        if let ArgKind::Function(function) = &first.kind {
            self.place = Some(Place::Arg(first));
            return self.call(function, Place::Command(command), args, dot, last);
        }
        if let ArgKind::Field(_) | ArgKind::Variable(_) | ArgKind::Chain(..) = &first.kind {
            return self.fields(first, dot, has_args);
        }
        self.place = Some(Place::Arg(first));
        if has_args {
            return self.error(format!("can't give argument to non-function {first}"));
        }
        match &first.kind {
            ArgKind::Pipe(pipe) => self.pipe(pipe, dot),
            ArgKind::Nil => self.error("nil is not a command"),
            _ => self.plain(first, dot),
        }
    }

    /// The value of an argument that is no call.
    fn plain(&mut self, arg: &'t Arg, dot: &Value<'v>) -> Result<Value<'v>> {
        self.place = Some(Place::Arg(arg));
        match &arg.kind {
            ArgKind::Bool(value) => Ok(Value::Bool(*value)),
            ArgKind::Dot => Ok(dot.clone()),
            ArgKind::Nil => Ok(Value::Nil),
            ArgKind::Number { value: Number::Int(value), .. } => Ok(Value::Int(*value)),
            ArgKind::Number { value: Number::Float(value), .. } => Ok(Value::Float(*value)),
            ArgKind::Number { text, value: Number::TooBig } => {
                self.error(format!("{text} overflows int"))
            }
            ArgKind::Text { text, .. } => Ok(Value::text(text.as_str())),
            ArgKind::Field(_) | ArgKind::Variable(_) | ArgKind::Chain(..) => {
                self.fields(arg, dot, false)
            }
            ArgKind::Function(function) => self.call(function, Place::Arg(arg), &[], dot, None),
            ArgKind::Pipe(pipe) => self.pipe(pipe, dot),
        }
    }

    /// `.a.b`, `$x.a` and `(…).a`.
    fn fields(&mut self, arg: &'t Arg, dot: &Value<'v>, has_args: bool) -> Result<Value<'v>> {
        self.place = Some(Place::Arg(arg));
        let (mut value, names) = match &arg.kind {
            ArgKind::Field(names) => (dot.clone(), names.as_slice()),
            ArgKind::Variable(names) => {
                let Some((name, rest)) = names.split_first() else { return Ok(Value::None) };
                let found = self.variables.iter().rev().find(|(it, _)| it == name);
                let Some((_, value)) = found else {
                    return self.error(format!("undefined variable: {name}"));
                };
                let value = value.clone();
                if rest.is_empty() {
                    if has_args {
                        return self.error(format!("can't give argument to non-function {arg}"));
                    }
                    return Ok(value);
                }
                (value, rest)
            }
            ArgKind::Chain(inner, names) => (self.plain(inner, dot)?, names.as_slice()),
            _ => return Ok(Value::None),
        };
        for (i, name) in names.iter().enumerate() {
            value = self.field(&value, name, has_args && i + 1 == names.len())?;
        }
        Ok(value)
    }

    fn field(&mut self, value: &Value<'v>, name: &str, has_args: bool) -> Result<Value<'v>> {
        let found = match value {
            Value::None => return Ok(Value::None),
            Value::Nil => {
                return self.error(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            Value::Labels(labels) => match labels.get(name) {
                Some(text) => Value::text(text),
                None if labels.is_empty_where_missing() => Value::text(""),
                None => Value::None,
            },
            Value::Map(map) => map.get(name).cloned().unwrap_or(Value::Nil),
            Value::Time(time) => match super::value::time_field(time, name) {
                Some(value) => value,
                None => return self.no_field(value, name),
            },
            other => return self.no_field(other, name),
        };
        if has_args {
            return self.error(format!("{name} is not a method but has arguments"));
        }
        Ok(found)
    }

    fn no_field(&self, value: &Value<'v>, name: &str) -> Result<Value<'v>> {
        self.error(format!("can't evaluate field {name} in type {}", value.type_name()))
    }

    fn call(
        &mut self,
        function: &'static Function,
        place: Place<'t>,
        args: &'t [Arg],
        dot: &Value<'v>,
        last: Option<Value<'v>>,
    ) -> Result<Value<'v>> {
        let name = function.name;
        let n_params = function.params.len();
        let n_args = args.len() + usize::from(last.is_some());
        if function.is_variadic && n_args < n_params {
            let n = args.len();
            return self.error(format!(
                "wrong number of args for {name}: want at least {n_params} got {n}"
            ));
        }
        if !function.is_variadic && n_args != n_params {
            return self
                .error(format!("wrong number of args for {name}: want {n_params} got {n_args}"));
        }
        if let Run::UntilTrue(truth) = function.run {
            return self.until(truth, args, dot, last);
        }
        let mut values = Vec::with_capacity(n_args);
        for (i, arg) in args.iter().enumerate() {
            let wanted = function.params.get(i).copied().unwrap_or(Type::Any);
            values.push(self.typed_arg(arg, wanted, dot)?);
        }
        if let Some(last) = last {
            let wanted = function.params.get(args.len()).copied().unwrap_or(Type::Any);
            values.push(self.checked(last, wanted)?);
        }
        let result = match function.run {
            Run::Pure(run) => run(&values),
            Run::InContext(run) => run(&self.context, &values),
            Run::UntilTrue(_) => Ok(Value::None),
        };
        result.or_else(|message| {
            self.place = Some(place);
            self.error(format!("error calling {name}: {message}"))
        })
    }

    /// `and` and `or`: arguments behind the one that decides are not looked at.
    fn until(
        &mut self,
        truth: bool,
        args: &'t [Arg],
        dot: &Value<'v>,
        last: Option<Value<'v>>,
    ) -> Result<Value<'v>> {
        let mut value = Value::None;
        for arg in args {
            value = self.typed_arg(arg, Type::Any, dot)?;
            if value.is_true() == truth {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// An argument for a parameter of this type.
    fn typed_arg(&mut self, arg: &'t Arg, wanted: Type, dot: &Value<'v>) -> Result<Value<'v>> {
        self.place = Some(Place::Arg(arg));
        let refuse = |it: &Self, what: &str| it.error(format!("expected {what}; found {arg}"));
        match (&arg.kind, wanted) {
            (ArgKind::Nil, Type::Any) => Ok(Value::Nil),
            (ArgKind::Nil, wanted) => self.error(format!("cannot assign nil to {}", wanted.name())),
            (ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. }, Type::Any) => {
                self.plain(arg, dot)
            }
            (ArgKind::Text { text, .. }, Type::Text) => Ok(Value::text(text.as_str())),
            (ArgKind::Bool(_) | ArgKind::Number { .. }, Type::Text) => refuse(self, "string"),
            (ArgKind::Number { value: Number::Int(value), .. }, Type::Int) => {
                Ok(Value::Int(*value))
            }
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
            (ArgKind::Number { value: Number::Float(value), .. }, Type::Int)
                if value.fract() == 0.0 && value.abs() < 9e15 =>
            {
                Ok(Value::Int(*value as i64))
            }
            (ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. }, Type::Int) => {
                refuse(self, "integer")
            }
            (ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. }, Type::Time) => {
                self.error(format!("can't handle {arg} for arg of type {}", Type::Time.name()))
            }
            _ => {
                let value = self.plain(arg, dot)?;
                self.checked(value, wanted)
            }
        }
    }

    /// A computed value, if it has the type.
    fn checked(&self, value: Value<'v>, wanted: Type) -> Result<Value<'v>> {
        if value.is(wanted) {
            return Ok(value);
        }
        match value {
            Value::None => self.error(format!("invalid value; expected {}", wanted.name())),
            value => self.error(format!(
                "wrong type for value; expected {}; got {}",
                wanted.name(),
                value.type_name()
            )),
        }
    }
}
