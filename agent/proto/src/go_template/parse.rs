//! Tokens of a template to its tree, with Go's errors.

use std::collections::BTreeMap;

use super::{
    functions,
    lex::{Kind, Token, lex},
    node::{Arg, ArgKind, Branch, Command, Node, Number, Pipe},
};
use crate::go_text::unquote;

/// Bounds the stack that nested blocks and parentheses take.
const DEPTH_MAX: usize = 64;

/// A template and those it defines.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) root: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

/// # Errors
/// Go's message, with the name of the template and the line.
pub(super) fn parse(text: &str, name: &str) -> Result<Parsed, String> {
    let mut parser = Parser {
        name,
        tokens: lex(text),
        next: 0,
        variables: vec!["$".to_owned()],
        range_depth: 0,
        depth: 0,
        action_line: 0,
        defined: BTreeMap::new(),
    };
    let root = parser.root()?;
    Ok(Parsed { root, defined: parser.defined })
}

/// What closed a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    End,
    Else,
}

impl Close {
    fn shown(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Close(Close),
    Nothing,
}

struct Parser<'t> {
    name: &'t str,
    tokens: Vec<Token>,
    next: usize,
    variables: Vec<String>,
    range_depth: usize,
    depth: usize,
    /// Where the action that is being read began; 0 outside of actions.
    action_line: usize,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        static END: Token = Token { kind: Kind::End, at: 0, line: 1, text: String::new() };
        self.tokens.get(self.next).or(self.tokens.last()).unwrap_or(&END)
    }

    fn peek(&self) -> Kind {
        self.token().kind
    }

    fn take(&mut self) -> Token {
        let token = self.token().clone();
        self.next = (self.next + 1).min(self.tokens.len());
        token
    }

    fn skip_space(&mut self) {
        while self.peek() == Kind::Space {
            self.next += 1;
        }
    }

    fn peek_non_space(&mut self) -> Kind {
        self.skip_space();
        self.peek()
    }

    fn take_non_space(&mut self) -> Token {
        self.skip_space();
        self.take()
    }

    fn at_keyword(&mut self, word: &str) -> bool {
        self.peek_non_space() == Kind::Keyword && self.token().text == word
    }

    fn error(&self, message: impl std::fmt::Display) -> String {
        let line = self.tokens.get(self.next.saturating_sub(1)).map_or(1, |it| it.line);
        format!("template: {}:{line}: {message}", self.name)
    }

    fn unexpected(&self, token: &Token, context: &str) -> String {
        if token.kind == Kind::Error {
            let mut message = token.text.clone();
            if self.action_line != 0 && self.action_line != token.line {
                let place = format!("started at {}:{}", self.name, self.action_line);
                // Not "action in action".
                let glue = if message.ends_with(" action") { " " } else { " in action " };
                message = format!("{message}{glue}{place}");
            }
            return self.error(message);
        }
        self.error(format!("unexpected {} in {context}", token.shown()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, String> {
        let token = self.take_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error(format!("template is nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn root(&mut self) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while self.peek() != Kind::End {
            match self.text_or_action(true)? {
                Item::Node(node) => nodes.push(node),
                Item::Nothing => {}
                Item::Close(close) => {
                    return Err(self.error(format!("unexpected {}", close.shown())));
                }
            }
        }
        Ok(nodes)
    }

    fn items(&mut self) -> Result<(Vec<Node>, Close), String> {
        let mut nodes = Vec::new();
        while self.peek_non_space() != Kind::End {
            match self.text_or_action(false)? {
                Item::Node(node) => nodes.push(node),
                Item::Nothing => {}
                Item::Close(close) => return Ok((nodes, close)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self, is_root: bool) -> Result<Item, String> {
        let token = self.take_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text))),
            Kind::LeftDelim => {
                if is_root && self.at_keyword("define") {
                    self.take();
                    self.nested(Self::define)?;
                    return Ok(Item::Nothing);
                }
                self.action_line = token.line;
                let item = self.nested(Self::action)?;
                self.action_line = 0;
                Ok(item)
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item, String> {
        if self.peek_non_space() != Kind::Keyword {
            return self
                .pipeline("command", Kind::RightDelim)
                .map(|it| Item::Node(Node::Action(it)));
        }
        let token = self.take();
        Ok(match token.text.as_str() {
            "else" => {
                if !self.at_keyword("if") && !self.at_keyword("with") {
                    self.expect(Kind::RightDelim, "else")?;
                }
                Item::Close(Close::Else)
            }
            "end" => {
                self.expect(Kind::RightDelim, "end")?;
                Item::Close(Close::End)
            }
            "if" => Item::Node(Node::If(self.control("if")?)),
            "with" => Item::Node(Node::With(self.control("with")?)),
            "range" => Item::Node(Node::Range(self.control("range")?)),
            "template" => Item::Node(self.template(token.at)?),
            "block" => Item::Node(self.block(token.at)?),
            word @ ("break" | "continue") => {
                let context = format!("{{{{{word}}}}}");
                self.expect(Kind::RightDelim, &context)?;
                if self.range_depth == 0 {
                    return Err(self.error(format!("{context} outside {{{{range}}}}")));
                }
                Item::Node(if word == "break" { Node::Break } else { Node::Continue })
            }
            _ => return Err(self.unexpected(&token, "command")),
        })
    }

    fn control(&mut self, context: &'static str) -> Result<Branch, String> {
        let n_variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.range_depth += is_range;
        let (then, close) = self.items()?;
        self.range_depth -= is_range;
        let mut otherwise = Vec::new();
        if close == Close::Else {
            if context != "range" && self.at_keyword(context) {
                self.take();
                let branch = self.nested(|it| it.control(context))?;
                otherwise.push(if context == "if" { Node::If(branch) } else { Node::With(branch) });
            } else {
                let (nodes, close) = self.items()?;
                if close != Close::End {
                    return Err(self.error(format!("expected end; found {}", close.shown())));
                }
                otherwise = nodes;
            }
        }
        self.variables.truncate(n_variables);
        Ok(Branch { pipe, then, otherwise })
    }

    fn quoted_name(&mut self, context: &str) -> Result<String, String> {
        let token = self.take_non_space();
        match token.kind {
            Kind::Quoted | Kind::RawText => self.unquoted(&token),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    fn unquoted(&self, token: &Token) -> Result<String, String> {
        let inner = token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default();
        match token.kind {
            Kind::RawText => Ok(inner.replace('\r', "")),
            _ => unquote(inner).ok_or_else(|| self.error("invalid syntax")),
        }
    }

    fn define(&mut self) -> Result<(), String> {
        let name = self.quoted_name("define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (nodes, close) = self.items()?;
        if close != Close::End {
            return Err(self.error(format!("unexpected {} in define clause", close.shown())));
        }
        self.variables = variables;
        self.defined.insert(name, nodes);
        Ok(())
    }

    fn template(&mut self, at: usize) -> Result<Node, String> {
        let name = self.quoted_name("template clause")?;
        let pipe = if self.peek_non_space() == Kind::RightDelim {
            self.take();
            None
        } else {
            Some(self.pipeline("template clause", Kind::RightDelim)?)
        };
        Ok(Node::Template { at, name, pipe })
    }

    /// `{{block "name" .}}…{{end}}`: a definition, used where it stands.
    fn block(&mut self, at: usize) -> Result<Node, String> {
        let name = self.quoted_name("block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        let (nodes, close) = self.items()?;
        if close != Close::End {
            return Err(self.error(format!("unexpected {} in block clause", close.shown())));
        }
        self.defined.insert(name.clone(), nodes);
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        self.nested(|it| it.pipe(context, end))
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        self.skip_space();
        let mut pipe = Pipe {
            at: self.token().at,
            variables: Vec::new(),
            is_assignment: false,
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawText
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            let is_value = command.args.first().is_some_and(|it| {
                matches!(
                    it.kind,
                    ArgKind::Bool(_)
                        | ArgKind::Dot
                        | ArgKind::Nil
                        | ArgKind::Number { .. }
                        | ArgKind::Text { .. }
                )
            });
            if is_value {
                let message = format!("non executable command in pipeline stage {}", i + 1);
                return Err(self.error(message));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and in a range `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        while self.peek_non_space() == Kind::Variable {
            let before = self.next;
            let variable = self.take().text;
            match self.peek_non_space() {
                kind @ (Kind::Assign | Kind::Declare) => {
                    self.take();
                    pipe.is_assignment = kind == Kind::Assign;
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    return Ok(());
                }
                Kind::Mark if self.token().text == "," => {
                    self.take();
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err(self.error(format!("too many declarations in {context}")));
                    }
                    if !matches!(
                        self.peek_non_space(),
                        Kind::Variable | Kind::RightDelim | Kind::RightParen
                    ) {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                _ => {
                    self.next = before;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        self.skip_space();
        let mut command = Command { at: self.token().at, args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if command.args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Arg>, String> {
        let Some(mut arg) = self.term()? else { return Ok(None) };
        if self.peek() != Kind::Field {
            return Ok(Some(arg));
        }
        let at = self.token().at;
        let mut names = Vec::new();
        while self.peek() == Kind::Field {
            names.push(field_name(&self.take().text));
        }
        match &mut arg.kind {
            ArgKind::Field(fields) | ArgKind::Variable(fields) => {
                fields.extend(names);
                arg.at = at;
                Ok(Some(arg))
            }
            ArgKind::Chain(..) | ArgKind::Function(_) | ArgKind::Pipe(_) => {
                Ok(Some(Arg { at, kind: ArgKind::Chain(Box::new(arg), names) }))
            }
            _ => {
                let term = crate::go_text::quote(&arg.to_string());
                Err(self.error(format!("unexpected . after term {term}")))
            }
        }
    }

    fn term(&mut self) -> Result<Option<Arg>, String> {
        let token = self.take_non_space();
        let kind = match token.kind {
            Kind::Identifier => match functions::find(&token.text) {
                Some(function) => ArgKind::Function(function),
                None => {
                    let name = crate::go_text::quote(&token.text);
                    return Err(self.error(format!("function {name} not defined")));
                }
            },
            Kind::Dot => ArgKind::Dot,
            Kind::Nil => ArgKind::Nil,
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    let name = crate::go_text::quote(&token.text);
                    return Err(self.error(format!("undefined variable {name}")));
                }
                ArgKind::Variable(vec![token.text])
            }
            Kind::Field => ArgKind::Field(vec![field_name(&token.text)]),
            Kind::Bool => ArgKind::Bool(token.text == "true"),
            Kind::Char | Kind::Number => {
                let value = number(&token).map_err(|message| self.error(message))?;
                ArgKind::Number { text: token.text, value }
            }
            Kind::LeftParen => {
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                return Ok(Some(Arg { at: pipe.at, kind: ArgKind::Pipe(Box::new(pipe)) }));
            }
            Kind::Quoted | Kind::RawText => {
                let text = self.unquoted(&token)?;
                ArgKind::Text { quoted: token.text, text }
            }
            _ => {
                self.next = self.next.saturating_sub(1);
                return Ok(None);
            }
        };
        Ok(Some(Arg { at: token.at, kind }))
    }
}

fn field_name(text: &str) -> String {
    text.trim_start_matches('.').to_owned()
}

fn number(token: &Token) -> Result<Number, String> {
    let text = &token.text;
    if token.kind == Kind::Char {
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        let plain = match inner {
            "\\'" => Some("'".to_owned()),
            inner => unquote(inner),
        };
        let mut chars = plain.as_deref().unwrap_or_default().chars();
        return match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Number::Int(u32::from(c).into())),
            _ => Err(format!("malformed character constant: {text}")),
        };
    }
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let (radix, digits) = match lower.split_at_checked(2) {
        Some(("0x", digits)) => (16, digits),
        Some(("0o", digits)) => (8, digits),
        Some(("0b", digits)) => (2, digits),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => {
            (8, lower.get(1..).unwrap_or_default())
        }
        _ => (10, lower.as_str()),
    };
    if radix == 10 && digits.contains(['.', 'e']) {
        let value: f64 = digits.parse().map_err(|_no| bad_number(text))?;
        return Ok(Number::Float(if is_negative { -value } else { value }));
    }
    let value = u128::from_str_radix(digits, radix).map_err(|_no| bad_number(text))?;
    let value = i128::try_from(value).unwrap_or(i128::MAX);
    Ok(i64::try_from(if is_negative { -value } else { value }).map_or(Number::TooBig, Number::Int))
}

fn bad_number(text: &str) -> String {
    format!("illegal number syntax: {}", crate::go_text::quote(text))
}
