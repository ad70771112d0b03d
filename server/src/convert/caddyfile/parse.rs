//! Tokens as blocks of directives, with environment variables, snippets and imports filled in.

use std::collections::HashMap;
use std::sync::Arc;

use super::lexer::{self, At, TOKENS_MAX, Token};
use super::{Outside, SyntaxError};

/// A line with its block, if it opens one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) at: At,
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
}

impl Directive {
    pub(super) fn arg(&self, idx: usize) -> Option<&str> {
        self.args.get(idx).map(String::as_str)
    }

    pub(super) fn lines(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// As it was written, for warnings.
    pub(super) fn written(&self) -> String {
        let block = if self.block.is_some() { " { … }" } else { "" };
        let words: Vec<&str> =
            std::iter::once(&self.name).chain(&self.args).map(|it| &**it).collect();
        format!("{}{block}", words.join(" "))
    }
}

/// What stands at the top of a file: addresses with directives; the global options have no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) at: At,
    pub(super) keys: Vec<String>,
    pub(super) directives: Vec<Directive>,
}

/// Blocks within blocks; beyond it somebody plays.
const DEPTH_MAX: usize = 32;
/// Imports within imports, as a file that imports itself makes them.
const IMPORTS_MAX: usize = 10_000;

/// The blocks of a file, and the environment variables that had no value.
pub(super) fn parse(
    file: &str,
    text: &str,
    outside: &dyn Outside,
) -> Result<(Vec<Block>, Vec<String>), SyntaxError> {
    let mut parser = Parser {
        tokens: Vec::new(),
        snippets: HashMap::new(),
        n_imports: 0,
        outside,
        unset: Vec::new(),
    };
    parser.tokens = parser.lexed(file, text)?;
    parser.tokens.reverse();
    let mut blocks = Vec::new();
    while let Some(block) = parser.block(blocks.is_empty())? {
        blocks.push(block);
    }
    Ok((blocks, parser.unset))
}

struct Parser<'a> {
    /// The next one last.
    tokens: Vec<Token>,
    snippets: HashMap<String, Vec<Token>>,
    n_imports: usize,
    outside: &'a dyn Outside,
    unset: Vec<String>,
}

impl Parser<'_> {
    fn lexed(&mut self, file: &str, text: &str) -> Result<Vec<Token>, SyntaxError> {
        let text = with_variables(text, self.outside, &mut self.unset);
        lexer::tokens(&Arc::from(file), &text)
    }

    /// The next block that is not a snippet.
    fn block(&mut self, is_first: bool) -> Result<Option<Block>, SyntaxError> {
        loop {
            let Some(first) = self.tokens.last() else { return Ok(None) };
            let at = first.at.clone();
            if first.is("import") && first.starts_line {
                self.import()?;
                continue;
            }
            let (keys, opens) = self.keys()?;
            if let [key] = keys.as_slice()
                && let Some(name) = key.strip_prefix('(').and_then(|it| it.strip_suffix(')'))
                && opens
            {
                let tokens = self.until_brace(&at)?;
                self.snippets.insert(name.to_owned(), tokens);
                continue;
            }
            if keys.is_empty() && !is_first {
                return Err(SyntaxError::NoAddress(at));
            }
            let directives = if opens { self.braced(&at, 1)? } else { self.rest()? };
            return Ok(Some(Block { at, keys, directives }));
        }
    }

    /// Addresses, and whether a brace opens their block; a file with one site needs none.
    fn keys(&mut self) -> Result<(Vec<String>, bool), SyntaxError> {
        let mut keys: Vec<String> = Vec::new();
        let mut is_more = true;
        while let Some(token) = self.tokens.last() {
            if token.is("{") {
                self.tokens.pop();
                return Ok((keys, true));
            }
            if token.is("}") {
                return Err(SyntaxError::Unopened(token.at.clone()));
            }
            if token.starts_line && !keys.is_empty() && !is_more {
                break;
            }
            let Some(token) = self.tokens.pop() else { break };
            is_more = token.text.ends_with(',');
            let names = token.text.split(',').filter(|it| !it.is_empty());
            keys.extend(names.map(str::to_owned));
        }
        Ok((keys, false))
    }

    /// Directives to the end of the file.
    fn rest(&mut self) -> Result<Vec<Directive>, SyntaxError> {
        let mut directives = Vec::new();
        while let Some(token) = self.tokens.last() {
            if token.is("}") {
                return Err(SyntaxError::Unopened(token.at.clone()));
            }
            directives.extend(self.directive(1)?);
        }
        Ok(directives)
    }

    /// Directives up to the brace that closes what `at` opened.
    fn braced(&mut self, at: &At, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        if depth > DEPTH_MAX {
            return Err(SyntaxError::TooDeep(at.clone()));
        }
        let mut directives = Vec::new();
        loop {
            match self.tokens.last() {
                None => return Err(SyntaxError::Unclosed { at: at.clone(), what: "the block" }),
                Some(token) if token.is("}") => {
                    self.tokens.pop();
                    return Ok(directives);
                }
                Some(_directive) => directives.extend(self.directive(depth)?),
            }
        }
    }

    /// One line with its block; `None` after an import, whose tokens are next.
    fn directive(&mut self, depth: usize) -> Result<Option<Directive>, SyntaxError> {
        if self.tokens.last().is_some_and(|it| it.is("import")) {
            self.import()?;
            return Ok(None);
        }
        let Some(name) = self.tokens.pop() else { return Ok(None) };
        let mut directive =
            Directive { at: name.at, name: name.text, args: Vec::new(), block: None };
        while let Some(token) = self.tokens.pop_if(|it| !it.starts_line && !it.is("}")) {
            if token.is("{") {
                directive.block = Some(self.braced(&token.at, depth + 1)?);
                break;
            }
            directive.args.push(token.text);
        }
        Ok(Some(directive))
    }

    /// A snippet's tokens, kept as they are: its arguments are filled in where it is imported.
    fn until_brace(&mut self, at: &At) -> Result<Vec<Token>, SyntaxError> {
        let mut depth = 1;
        let mut tokens = Vec::new();
        while let Some(token) = self.tokens.pop() {
            depth += usize::from(token.is("{"));
            depth -= usize::from(token.is("}"));
            if depth == 0 {
                return Ok(tokens);
            }
            tokens.push(token);
        }
        Err(SyntaxError::Unclosed { at: at.clone(), what: "the snippet" })
    }

    /// Puts the tokens of a snippet or of files in the place of `import NAME ARG…`.
    fn import(&mut self) -> Result<(), SyntaxError> {
        let Some(import) = self.tokens.pop() else { return Ok(()) };
        self.n_imports += 1;
        let mut args = Vec::new();
        while let Some(token) = self.tokens.pop_if(|it| !it.starts_line && !it.is("}")) {
            if token.is("{") {
                return Err(SyntaxError::ImportBlock(import.at));
            }
            args.push(token.text);
        }
        if args.is_empty() {
            return Err(SyntaxError::Import { at: import.at, what: "nothing".to_owned() });
        }
        let name = args.remove(0);
        let mut tokens = match self.snippets.get(&name) {
            Some(tokens) => tokens.clone(),
            None => self.imported_files(&import.at, &name)?,
        };
        if self.n_imports > IMPORTS_MAX || self.tokens.len() + tokens.len() > TOKENS_MAX {
            return Err(SyntaxError::TooLong(import.at));
        }
        for token in &mut tokens {
            token.text = with_args(&token.text, &args);
        }
        if let Some(first) = tokens.first_mut() {
            first.starts_line = true;
        }
        self.tokens.extend(tokens.into_iter().rev());
        Ok(())
    }

    fn imported_files(&mut self, at: &At, pattern: &str) -> Result<Vec<Token>, SyntaxError> {
        let failed = |what| SyntaxError::Import { at: at.clone(), what };
        let files = self.outside.files(&at.file, pattern);
        let files = files.map_err(|error| failed(format!("{pattern:?}: {error}")))?;
        let mut tokens = Vec::new();
        for (file, text) in files {
            let lexed = self.lexed(&file, &text)?;
            tokens.extend(lexed);
        }
        Ok(tokens)
    }
}

/// `{args[0]}`, `{args.0}` and `{args[:]}` as the import gives them.
fn with_args(text: &str, args: &[String]) -> String {
    if !text.contains("{args") {
        return text.to_owned();
    }
    let mut text = text.replace("{args[:]}", &args.join(" "));
    for (idx, arg) in args.iter().enumerate() {
        text = text.replace(&format!("{{args[{idx}]}}"), arg);
        text = text.replace(&format!("{{args.{idx}}}"), arg);
    }
    text
}

/// `{$NAME}` and `{$NAME:default}`; a variable that is not set and has no default is nothing.
fn with_variables(text: &str, outside: &dyn Outside, unset: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{$") {
        out.push_str(before);
        let Some((variable, behind)) = after.split_once('}') else {
            out.push_str("{$");
            rest = after;
            continue;
        };
        let (name, default) = match variable.split_once(':') {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (variable, None),
        };
        match outside.variable(name).filter(|it| !it.is_empty()).or(default) {
            Some(value) => out.push_str(&value),
            None => {
                if !unset.iter().any(|it| it == name) {
                    unset.push(name.to_owned());
                }
            }
        }
        rest = behind;
    }
    out + rest
}
