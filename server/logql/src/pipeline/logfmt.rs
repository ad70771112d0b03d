//! `| logfmt`: `key=value key="quoted value"` pairs.

use std::borrow::Cow;

use super::{Line, RunStage, labels::sanitize_into};
use crate::{
    ast::{Extraction, LogfmtFlags},
    lex::unquote,
};

/// The `__error__` of a line that is no logfmt; only `--strict` sets it.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

#[derive(Debug)]
pub(super) struct LogfmtStage {
    flags: LogfmtFlags,
    /// Empty: all keys.
    exprs: Vec<Extraction>,
}

impl LogfmtStage {
    pub(super) fn compile(flags: LogfmtFlags, exprs: &[Extraction]) -> Self {
        Self { flags, exprs: exprs.to_vec() }
    }
}

impl RunStage for LogfmtStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let labels = &mut *line.labels;
        if labels.hints().no_labels() {
            return true;
        }
        let mut decoder = Decoder { line: &line.text, at: 0 };
        let mut scratch = labels.take_scratch();
        let name = &mut scratch.name;
        loop {
            let (key, value) = match decoder.next_pair() {
                None => break,
                Some(Ok(pair)) => pair,
                Some(Err(error)) if self.flags.strict => {
                    labels.parser_error(LOGFMT_ERROR, Some(&error));
                    break;
                }
                Some(Err(_)) => continue,
            };
            name.clear();
            sanitize_into(name, key, true);
            let value = if value.contains('\u{fffd}') { Cow::Borrowed("") } else { value };
            if name.is_empty() || (value.is_empty() && !self.flags.keep_empty) {
                continue;
            }
            if self.exprs.is_empty() {
                if !labels.extract(name, &value) {
                    break;
                }
                continue;
            }
            for expr in self.exprs.iter().filter(|it| it.path == *name) {
                labels.extract_last(&expr.label, &value);
            }
        }
        labels.keep_scratch(scratch);
        for expr in &self.exprs {
            if !labels.has(&expr.label) {
                labels.extract(&expr.label, "");
            }
        }
        true
    }
}

struct Decoder<'l> {
    line: &'l str,
    at: usize,
}

impl<'l> Decoder<'l> {
    /// The next key and its value. After an error the rest of the word is skipped.
    fn next_pair(&mut self) -> Option<Result<(&'l str, Cow<'l, str>), String>> {
        let bytes = self.line.as_bytes();
        let rest = bytes.get(self.at..)?;
        self.at += rest.iter().position(|it| *it > b' ')?;
        let start = self.at;
        let rest = bytes.get(start..)?;
        let n_key = rest.iter().position(|it| matches!(it, b'=' | b'"') || *it <= b' ');
        self.at = start + n_key.unwrap_or(rest.len());
        let key = self.line.get(start..self.at)?;
        match bytes.get(self.at) {
            Some(b'=') if key.is_empty() => return Some(Err(self.unexpected('='))),
            Some(b'=') => self.at += 1,
            Some(b'"') => return Some(Err(self.unexpected('"'))),
            _ => return Some(Ok((key, Cow::Borrowed("")))),
        }
        if key.contains('\u{fffd}') {
            return Some(Err(self.error("invalid key")));
        }
        Some(match bytes.get(self.at) {
            Some(b'"') => self.quoted().map(|value| (key, value)),
            _ => self.plain().map(|value| (key, value)),
        })
    }

    fn plain(&mut self) -> Result<Cow<'l, str>, String> {
        let start = self.at;
        let rest = self.line.as_bytes().get(start..).unwrap_or_default();
        let end = rest.iter().position(|it| matches!(it, b'=' | b'"') || *it <= b' ');
        self.at = start + end.unwrap_or(rest.len());
        match end.and_then(|it| rest.get(it)) {
            Some(b'=') => Err(self.unexpected('=')),
            Some(b'"') => Err(self.unexpected('"')),
            _ => Ok(Cow::Borrowed(self.line.get(start..self.at).unwrap_or_default())),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'l, str>, String> {
        let bytes = self.line.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        loop {
            let found = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default());
            let Some(found) = found else {
                self.at = bytes.len();
                return Err(self.error("unterminated quoted value"));
            };
            at += found;
            if bytes.get(at) == Some(&b'"') {
                break;
            }
            at += 2;
        }
        self.at = at + 1;
        let raw = self.line.get(start..at).unwrap_or_default();
        if !raw.contains('\\') {
            return Ok(Cow::Borrowed(raw));
        }
        unquote(raw).map(Cow::Owned).ok_or_else(|| self.error("invalid quoted value"))
    }

    fn unexpected(&mut self, c: char) -> String {
        let error = self.error(&format!("unexpected '{c}'"));
        let rest = self.line.as_bytes().get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|it| *it <= b' ').unwrap_or(rest.len());
        error
    }

    fn error(&self, what: &str) -> String {
        format!("logfmt syntax error at pos {} : {what}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;
    use expect_test::expect;

    #[test]
    fn pairs_become_labels_and_empty_ones_do_not() {
        check(
            "| logfmt",
            r#"level=warn msg="two \"words\"" flag empty= a.b=1 =x ok=yes"#,
            expect![[r#"
                level=warn msg="two \"words\"" flag empty= a.b=1 =x ok=yes
                a_b="1" level="warn" msg="two \"words\"" ok="yes""#]],
        );
    }

    #[test]
    fn strict_reports_the_first_error_and_keep_empty_keeps() {
        check(
            "| logfmt --strict --keep-empty",
            r#"flag a=1 b="open"#,
            expect![[r#"
                flag a=1 b="open
                __error__="LogfmtParserErr" __error_details__="logfmt syntax error at pos 17 : unterminated quoted value" a="1" flag="""#]],
        );
    }

    #[test]
    fn expressions_rename() {
        check(
            r#"| logfmt lvl="level", none="nope""#,
            "level=info other=1",
            expect![[r#"
                level=info other=1
                lvl="info" none="""#]],
        );
    }
}
