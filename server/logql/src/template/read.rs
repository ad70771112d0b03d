//! Template text to nodes.

use super::{Command, Node, Operand, Pipe, TemplateError, Value, functions};
use crate::lex::unquote;

/// Bounds the stack that nested blocks and parentheses take.
const DEPTH_MAX: usize = 64;

pub(super) fn template(text: &str, name: &str) -> Result<Vec<Node>, TemplateError> {
    let mut reader = Reader { name, pieces: pieces(text, name)?, next: 0 };
    let (nodes, end) = reader.nodes(0)?;
    match end {
        Close::Text => Ok(nodes),
        Close::End | Close::Else(_) => Err(reader.syntax("unexpected {{end}}")),
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// What closed a list of nodes.
enum Close {
    Text,
    End,
    /// `{{else}}`, or `{{else if …}}` with what follows the `else`.
    Else(String),
}

fn syntax(name: &str, message: &str) -> TemplateError {
    TemplateError::Syntax(format!("template: {name}:1: {message}"))
}

/// Cuts the text at its actions; `{{-` and `-}}` take the blanks beside them.
fn pieces(text: &str, name: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims_next = false;
    loop {
        let (before, after) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        let mut literal = if trims_next { before.trim_start() } else { before };
        let Some(after) = after else {
            pieces.push(Piece::Text(literal.to_owned()));
            return Ok(pieces);
        };
        let trims = after.starts_with("- ");
        if trims {
            literal = literal.trim_end();
        }
        pieces.push(Piece::Text(literal.to_owned()));
        let end = action_end(after).ok_or_else(|| syntax(name, "unclosed action"))?;
        let mut action = after.get(..end).unwrap_or_default();
        rest = after.get(end + 2..).unwrap_or_default();
        trims_next = action.ends_with(" -");
        if trims_next {
            action = action.trim_end_matches('-');
        }
        if trims {
            action = action.trim_start_matches('-');
        }
        pieces.push(Piece::Action(action.trim().to_owned()));
    }
}

/// Where the `}}` stands that ends an action; quotes hide one.
fn action_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut quote = None;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(it), byte) if it == *byte => quote = None,
            (None, b'"' | b'`') => quote = Some(*byte),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

struct Reader<'t> {
    name: &'t str,
    pieces: Vec<Piece>,
    next: usize,
}

impl Reader<'_> {
    fn syntax(&self, message: &str) -> TemplateError {
        syntax(self.name, message)
    }

    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Close), TemplateError> {
        if depth > DEPTH_MAX {
            return Err(self.syntax("blocks are nested too deeply"));
        }
        let mut nodes = Vec::new();
        loop {
            let action = match self.pieces.get(self.next) {
                None => return Ok((nodes, Close::Text)),
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text.clone()));
                    self.next += 1;
                    continue;
                }
                Some(Piece::Action(action)) => action.clone(),
            };
            self.next += 1;
            let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
            match word {
                "end" => return Ok((nodes, Close::End)),
                "else" => return Ok((nodes, Close::Else(rest.trim().to_owned()))),
                "if" | "with" => nodes.push(self.block(word == "if", rest, depth)?),
                "range" | "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::Unsupported(format!("the template action {word}")));
                }
                _ if action.starts_with("/*") => {}
                _ => nodes.push(self.action(&action)?),
            }
        }
    }

    fn block(&mut self, is_if: bool, value: &str, depth: usize) -> Result<Node, TemplateError> {
        let value = self.pipe(value)?;
        let (then, end) = self.nodes(depth + 1)?;
        let otherwise = match end {
            Close::Text => return Err(self.syntax("unexpected EOF")),
            Close::End => Vec::new(),
            Close::Else(rest) if rest.is_empty() => match self.nodes(depth + 1)? {
                (nodes, Close::End) => nodes,
                _ => return Err(self.syntax("unexpected EOF")),
            },
            Close::Else(rest) => {
                let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((&rest, ""));
                vec![self.block(word == "if", rest, depth + 1)?]
            }
        };
        Ok(if is_if {
            Node::If { condition: value, then, otherwise }
        } else {
            Node::With { value, then, otherwise }
        })
    }

    fn action(&self, action: &str) -> Result<Node, TemplateError> {
        if let Some((variable, rest)) = action.split_once(":=").or_else(|| action.split_once(" = "))
            && let Some(name) = variable.trim().strip_prefix('$')
            && skep_proto::is_label_name(name)
        {
            let variable = format!("${name}");
            return Ok(Node::Set { variable, pipe: self.pipe(rest)? });
        }
        self.pipe(action).map(Node::Print)
    }

    fn pipe(&self, text: &str) -> Result<Pipe, TemplateError> {
        let mut cursor = Cursor { name: self.name, rest: text.trim() };
        let pipe = cursor.pipe(0)?;
        if cursor.rest.is_empty() {
            return Ok(pipe);
        }
        Err(self.syntax(&format!("unexpected {:?} in operand", cursor.rest)))
    }
}

struct Cursor<'t> {
    name: &'t str,
    rest: &'t str,
}

impl Cursor<'_> {
    fn pipe(&mut self, depth: usize) -> Result<Pipe, TemplateError> {
        if depth > DEPTH_MAX {
            return Err(syntax(self.name, "parentheses are nested too deeply"));
        }
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(depth)?);
            match self.rest.strip_prefix('|') {
                Some(rest) => self.rest = rest.trim_start(),
                None => return Ok(Pipe(commands)),
            }
        }
    }

    fn command(&mut self, depth: usize) -> Result<Command, TemplateError> {
        let starts_name = self.rest.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let name: String =
            self.rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let function = if starts_name && name != "true" && name != "false" {
            self.skip(name.len());
            Some(functions::find(&name).ok_or_else(|| self.unknown(&name))?)
        } else {
            None
        };
        let mut args = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            args.push(self.operand(depth)?);
        }
        match (function, args.pop()) {
            (Some(function), last) => {
                args.extend(last);
                Ok(Command::Call(function, args))
            }
            (None, Some(operand)) if args.is_empty() => Ok(Command::Operand(operand)),
            (None, None) => Err(syntax(self.name, "missing value for command")),
            (None, Some(_)) => Err(syntax(self.name, "unexpected argument of a value")),
        }
    }

    fn unknown(&self, name: &str) -> TemplateError {
        if functions::is_known(name) {
            return TemplateError::Unsupported(format!("the template function {name}"));
        }
        syntax(self.name, &format!("function {name:?} not defined"))
    }

    fn skip(&mut self, n_bytes: usize) {
        self.rest = self.rest.get(n_bytes..).unwrap_or_default().trim_start();
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, TemplateError> {
        let first = self.rest.chars().next().unwrap_or(' ');
        if first == '(' {
            self.skip(1);
            let pipe = self.pipe(depth + 1)?;
            if !self.rest.starts_with(')') {
                return Err(syntax(self.name, "unclosed left paren"));
            }
            let followed_by_field = self.rest.starts_with(").");
            self.skip(1);
            if followed_by_field {
                return Err(TemplateError::Unsupported("a field of a template value".to_owned()));
            }
            return Ok(Operand::Pipe(pipe));
        }
        if first == '"' || first == '`' {
            return self.quoted(first);
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || c == '|' || c == ')' || c == '(')
            .unwrap_or(self.rest.len());
        let word = self.rest.get(..end).unwrap_or_default().to_owned();
        self.skip(end);
        self.word(&word)
    }

    fn quoted(&mut self, quote: char) -> Result<Operand, TemplateError> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == quote && !is_escaped;
            is_escaped = quote == '"' && *c == '\\' && !is_escaped;
            ends
        });
        let (end, _) = end.ok_or_else(|| syntax(self.name, "unterminated quoted string"))?;
        let inner = self.rest.get(1..end).unwrap_or_default();
        let text = if quote == '`' { Some(inner.to_owned()) } else { unquote(inner) };
        self.skip(end + 1);
        text.map(|it| Operand::Value(Value::Text(it)))
            .ok_or_else(|| syntax(self.name, "invalid syntax"))
    }

    fn word(&self, word: &str) -> Result<Operand, TemplateError> {
        if word == "." {
            return Ok(Operand::Dot);
        }
        if let Some(label) = word.strip_prefix('.') {
            if skep_proto::is_label_name(label) {
                return Ok(Operand::Label(label.to_owned()));
            }
            return Err(TemplateError::Unsupported(format!("the template field {word}")));
        }
        if word.strip_prefix('$').is_some_and(skep_proto::is_label_name) {
            return Ok(Operand::Variable(word.to_owned()));
        }
        let value = match word {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => word.parse().map(Value::Int).ok().or_else(|| word.parse().map(Value::Float).ok()),
        };
        if let Some(value) = value {
            return Ok(Operand::Value(value));
        }
        // A function without arguments, as an argument.
        match functions::find(word) {
            Some(function) => Ok(Operand::Pipe(Pipe(vec![Command::Call(function, Vec::new())]))),
            None => Err(self.unknown(word)),
        }
    }
}
