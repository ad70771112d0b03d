//! Regular expressions as Go writes them, to those of Rust: the few places where the two differ.

mod explain;

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

pub use explain::{compile_or_say, explain};

/// Bounds what one pattern may cost to compile and to hold; Go has no such limit but its engine
/// does (1,000 repetitions).
const REGEX_SIZE_BYTES_MAX: usize = 10 << 20;
/// Go's own bound on `{n}`.
const N_REPEAT_MAX: u32 = 1_000;

/// A pattern that Go takes for none although Rust would not mind, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {what}: `{part}`")]
pub struct GoRegexError {
    what: &'static str,
    part: String,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum PatternError {
    #[error(transparent)]
    Go(#[from] GoRegexError),
    #[error(transparent)]
    Rust(#[from] regex::Error),
}

/// Compiles a pattern, not anchored, `.` stopping at a newline.
///
/// # Errors
/// A text that is no pattern, or one that takes too much memory.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    Ok(build(&translate(pattern)?)?)
}

/// Compiles a translated pattern.
///
/// # Errors
/// A text that is no pattern, or one that takes too much memory.
pub fn build(translated: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(translated).size_limit(REGEX_SIZE_BYTES_MAX).build()
}

/// The same pattern in Rust's syntax: `\d`, `\s`, `\w` and `\b` know ASCII only, a `{` that opens
/// no repetition and a `[` in a class stand for themselves, `\Q…\E` quotes.
///
/// # Errors
/// A pattern that Go refuses and Rust would not.
pub fn translate(pattern: &str) -> Result<String, GoRegexError> {
    let mut translator =
        Translator { pattern, at: 0, out: String::with_capacity(pattern.len()), repeat: None };
    while translator.at < pattern.len() {
        translator.step()?;
    }
    Ok(translator.out)
}

struct Translator<'p> {
    pattern: &'p str,
    at: usize,
    out: String,
    /// Where a repetition began that ends here.
    repeat: Option<usize>,
}

impl<'p> Translator<'p> {
    fn rest(&self) -> &'p str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    fn copy(&mut self, n_bytes: usize) {
        self.out.push_str(self.rest().get(..n_bytes).unwrap_or_default());
        self.at += n_bytes;
    }

    fn write(&mut self, n_bytes: usize, text: &str) {
        self.out.push_str(text);
        self.at += n_bytes;
    }

    fn step(&mut self) -> Result<(), GoRegexError> {
        let rest = self.rest();
        let repeat = self.repeat.take();
        match rest.chars().next() {
            None => {}
            Some('\\') => self.escape(false),
            Some('[') => self.class(),
            Some('(') => self.group()?,
            Some('*' | '+' | '?') => self.repetition(1, repeat)?,
            Some('{') => match repetition_len(rest) {
                None => self.write(1, "\\{"),
                Some(n_bytes) => {
                    let part = rest.get(..n_bytes).unwrap_or_default();
                    check_counts(part)?;
                    self.repetition(n_bytes, repeat)?;
                }
            },
            Some('}') => self.write(1, "\\}"),
            Some(c) => self.copy(c.len_utf8()),
        }
        Ok(())
    }

    fn repetition(&mut self, n_bytes: usize, before: Option<usize>) -> Result<(), GoRegexError> {
        let start = self.at;
        self.copy(n_bytes);
        if self.rest().starts_with('?') {
            self.copy(1);
        }
        if let Some(before) = before {
            let part = self.pattern.get(before..self.at).unwrap_or_default().to_owned();
            return Err(GoRegexError { what: "invalid nested repetition operator", part });
        }
        self.repeat = Some(start);
        Ok(())
    }

    fn group(&mut self) -> Result<(), GoRegexError> {
        let Some(flags) = self.rest().strip_prefix("(?") else {
            self.copy(1);
            return Ok(());
        };
        if flags.starts_with("P<") || (flags.starts_with('<') && !flags.starts_with(['=', '!'])) {
            self.copy(2);
            return Ok(());
        }
        let n_flags = flags.bytes().take_while(|it| b"imsU-".contains(it)).count();
        if flags.get(n_flags..).is_some_and(|it| it.starts_with([':', ')'])) {
            self.copy(2 + n_flags + 1);
            return Ok(());
        }
        if flags.len() == n_flags {
            self.copy(2 + n_flags);
            return Ok(());
        }
        let n_part = 2 + n_flags + flags.chars().nth(n_flags).map_or(0, char::len_utf8);
        let part = self.rest().get(..n_part).unwrap_or_default().to_owned();
        Err(GoRegexError { what: "invalid or unsupported Perl syntax", part })
    }

    fn escape(&mut self, in_class: bool) {
        let rest = self.rest();
        let c = rest.chars().nth(1);
        let (plain, negated) = match c {
            Some('d' | 'D') => ("0-9", c == Some('D')),
            Some('s' | 'S') => (r"\t\n\f\r ", c == Some('S')),
            Some('w' | 'W') => ("0-9A-Za-z_", c == Some('W')),
            Some('b') if !in_class => return self.write(2, r"(?-u:\b)"),
            Some('<' | '>') => return self.write(2, rest.get(1..2).unwrap_or_default()),
            Some('Q') if !in_class => {
                let quoted = rest.get(2..).unwrap_or_default();
                let (text, n_bytes) = match quoted.split_once("\\E") {
                    Some((text, _)) => (text, text.len() + 4),
                    None => (quoted, rest.len()),
                };
                return self.write(n_bytes, &regex::escape(text));
            }
            // A class such as `\p{Greek}`, whose braces are no repetition.
            Some('p' | 'P' | 'x') if rest.get(2..).is_some_and(|it| it.starts_with('{')) => {
                return self.copy(rest.find('}').map_or(2, |it| it + 1));
            }
            c => return self.copy(1 + c.map_or(0, char::len_utf8)),
        };
        // Writing to a string cannot fail.
        match (in_class, negated) {
            (true, false) => self.out.push_str(plain),
            (false, false) => write!(self.out, "[{plain}]").unwrap_or_default(),
            (_, true) => write!(self.out, "[^{plain}]").unwrap_or_default(),
        }
        self.at += 2;
    }

    /// `[…]`, in which Rust knows nested classes and set operators, and Go does not.
    fn class(&mut self) {
        self.copy(1);
        if self.rest().starts_with('^') {
            self.copy(1);
        }
        if self.rest().starts_with(']') {
            self.write(1, "\\]");
        }
        loop {
            let rest = self.rest();
            match rest.chars().next() {
                None => return,
                Some(']') => return self.copy(1),
                Some('\\') => self.escape(true),
                Some('[') => match rest.find(":]") {
                    Some(end) if rest.starts_with("[:") => self.copy(end + 2),
                    _ => self.write(1, "\\["),
                },
                Some('&') => self.write(1, "\\&"),
                Some('~') => self.write(1, "\\~"),
                Some(c) => self.copy(c.len_utf8()),
            }
        }
    }
}

/// The length of `{2}`, `{2,}` or `{2,5}` at the start of a text.
fn repetition_len(text: &str) -> Option<usize> {
    let inner = text.get(1..text.find('}')?)?;
    let (min, max) = inner.split_once(',').unwrap_or((inner, ""));
    let is_number = |it: &str| it.bytes().all(|c| c.is_ascii_digit());
    (!min.is_empty() && is_number(min) && is_number(max)).then_some(inner.len() + 2)
}

fn check_counts(part: &str) -> Result<(), GoRegexError> {
    let inner = part.trim_matches(['{', '}']);
    let mut counts = inner.split(',').filter(|it| !it.is_empty()).map(str::parse::<u32>);
    let min = counts.next().and_then(Result::ok);
    let max = counts.next().map_or(min, Result::ok);
    let is_fine = match (min, max) {
        (Some(min), Some(max)) => min <= max && max <= N_REPEAT_MAX,
        _ => false,
    };
    if is_fine {
        return Ok(());
    }
    Err(GoRegexError { what: "invalid repeat count", part: part.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let regex = compile(pattern).unwrap();
        for it in yes {
            assert!(regex.is_match(it), "{pattern} should take {it:?}");
        }
        for it in no {
            assert!(!regex.is_match(it), "{pattern} should refuse {it:?}");
        }
    }

    #[test]
    fn classes_know_ascii_only() {
        check(r"^\w+$", &["a_9"], &["é"]);
        check(r"^\d$", &["3"], &["٣"]);
        check(r"^[\d\s]+$", &["1 2"], &["١"]);
        check(r"^[^\W]$", &["a"], &["é", "-"]);
        check(r"\bx\b", &["éxé"], &["axa"]);
    }

    #[test]
    fn braces_and_brackets_stand_for_themselves_where_they_open_nothing() {
        check(r"{a}", &["{a}"], &["a"]);
        check(r"^a{2}$", &["aa"], &["a{2}"]);
        check(r"a{,2}", &["a{,2}"], &["aa"]);
        check(r"^[[a]$", &["[", "a"], &["]"]);
        check(r"^[a&&b]$", &["a", "b", "&"], &["x"]);
        check(r"^[]a]$", &["]", "a"], &["x"]);
        check(r"^[[:alpha:]]$", &["a"], &[":", "1"]);
        check(r"\<a\>", &["<a>"], &["a"]);
        check(r"\Qa.b\E.", &["a.bc"], &["axbc"]);
        check(r"^\p{Greek}$", &["α"], &["a"]);
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (pattern, message) in [
            ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
            ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
            ("a{2,1}", "error parsing regexp: invalid repeat count: `{2,1}`"),
            ("(?x)a", "error parsing regexp: invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        ] {
            assert_eq!(translate(pattern).unwrap_err().to_string(), message);
        }
        assert!(compile("(").is_err());
    }
}
