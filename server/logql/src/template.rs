//! Go's text templates, as `line_format` and `label_format` use them: a tree parsed once, run for
//! each line. What of the language is missing is refused when the query is compiled.

mod functions;
mod printf;
mod read;

use crate::pipeline::LineLabels;

use self::functions::Function;

/// Bounds the text one template may make of a line.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Loki's words.
    #[error("{0}")]
    Syntax(String),
    /// A construct or function that we lack.
    #[error("{0}")]
    Unsupported(String),
}

#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Print(Pipe),
    Set { variable: String, pipe: Pipe },
    If { condition: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
}

/// Commands joined by `|`: each gets the value before it as its last argument.
#[derive(Debug)]
struct Pipe(Vec<Command>);

#[derive(Debug)]
enum Command {
    Operand(Operand),
    Call(&'static Function, Vec<Operand>),
}

#[derive(Debug)]
enum Operand {
    /// `.name`
    Label(String),
    /// `.`
    Dot,
    Variable(String),
    Value(Value),
    Pipe(Pipe),
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => crate::units::go_float(*value),
            Self::Bool(value) => value.to_string(),
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Bool(value) => *value,
        }
    }
}

/// What a template sees of a line.
struct Context<'a> {
    ts_ns: i64,
    line: &'a str,
    labels: &'a LineLabels,
    variables: Vec<(String, Value)>,
    dot: Option<Value>,
}

impl Template {
    /// # Errors
    /// A text that is no template, or one that needs what we lack.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, TemplateError> {
        read::template(text, name).map(|nodes| Self { nodes })
    }

    /// # Errors
    /// Why a function could not give a value.
    pub(crate) fn run(
        &self,
        ts_ns: i64,
        line: &str,
        labels: &LineLabels,
    ) -> Result<String, String> {
        let mut context = Context { ts_ns, line, labels, variables: Vec::new(), dot: None };
        let mut out = String::new();
        run_nodes(&self.nodes, &mut context, &mut out)?;
        Ok(out)
    }
}

fn run_nodes(nodes: &[Node], context: &mut Context<'_>, out: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipe) => out.push_str(&eval(pipe, context)?.text()),
            Node::Set { variable, pipe } => {
                let value = eval(pipe, context)?;
                context.variables.push((variable.clone(), value));
            }
            Node::If { condition, then, otherwise } => {
                let branch = if eval(condition, context)?.is_true() { then } else { otherwise };
                scoped(branch, context, out)?;
            }
            Node::With { value, then, otherwise } => {
                let value = eval(value, context)?;
                if value.is_true() {
                    let before = context.dot.replace(value);
                    let result = scoped(then, context, out);
                    context.dot = before;
                    result?;
                } else {
                    scoped(otherwise, context, out)?;
                }
            }
        }
        if out.len() > OUTPUT_BYTES_MAX {
            return Err(format!("template makes more than {OUTPUT_BYTES_MAX} bytes of a line"));
        }
    }
    Ok(())
}

/// Variables end with their block.
fn scoped(nodes: &[Node], context: &mut Context<'_>, out: &mut String) -> Result<(), String> {
    let n_variables = context.variables.len();
    let result = run_nodes(nodes, context, out);
    context.variables.truncate(n_variables);
    result
}

fn eval(pipe: &Pipe, context: &Context<'_>) -> Result<Value, String> {
    let mut last: Option<Value> = None;
    for command in &pipe.0 {
        last = Some(match command {
            Command::Operand(it) => operand(it, context)?,
            Command::Call(function, args) => {
                let mut values = Vec::with_capacity(args.len() + 1);
                for it in args {
                    values.push(operand(it, context)?);
                }
                values.extend(last);
                functions::call(function, &values, context)?
            }
        });
    }
    last.ok_or_else(|| "missing value for command".to_owned())
}

fn operand(operand: &Operand, context: &Context<'_>) -> Result<Value, String> {
    Ok(match operand {
        Operand::Label(name) => {
            Value::Text(context.labels.get(name).unwrap_or_default().to_owned())
        }
        Operand::Dot => context.dot.clone().unwrap_or_else(|| Value::Text(String::new())),
        Operand::Variable(name) => {
            let found = context.variables.iter().rev().find(|(it, _)| it == name);
            found
                .map(|(_, value)| value.clone())
                .ok_or_else(|| format!("undefined variable: {name}"))?
        }
        Operand::Value(value) => value.clone(),
        Operand::Pipe(pipe) => eval(pipe, context)?,
    })
}
