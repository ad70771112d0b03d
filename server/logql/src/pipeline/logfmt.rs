//! `| logfmt`: `key=value key="quoted value"` pairs.

use std::borrow::Cow;

use skep_proto::logfmt::Decoder;

use super::{Line, RunStage, labels::sanitize_into};
use crate::ast::{Extraction, LogfmtFlags};

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
        let mut decoder = Decoder::new(&line.text);
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
