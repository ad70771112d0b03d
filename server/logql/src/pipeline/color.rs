//! `| decolorize`: ANSI escape sequences are cut out.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use super::{Line, RunStage};

#[derive(Debug)]
pub(super) struct DecolorizeStage;

impl DecolorizeStage {
    pub(super) fn new() -> Self {
        Self
    }
}

impl RunStage for DecolorizeStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        if line.text.contains(['\u{1b}', '\u{9b}'])
            && let Cow::Owned(plain) = SEQUENCE.replace_all(&line.text, "")
        {
            line.text = Cow::Owned(plain);
        }
        true
    }
}

/// Control sequences (`ESC [ … letter`) and titles (`ESC ] … BEL`), as Loki's pattern has them.
static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"[\x{1b}\x{9b}][\[\]()#;?]*(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07)|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-nqrty=><~]))",
    )
    .expect("the pattern is a constant that compiles")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_cut_and_text_stays() {
        let plain = |text: &str| SEQUENCE.replace_all(text, "").into_owned();
        assert_eq!(plain("\u{1b}[31;1mred\u{1b}[0m and \u{1b}[Kplain"), "red and plain");
        assert_eq!(plain("no colour"), "no colour");
        assert_eq!(plain("\u{1b}"), "\u{1b}");
        assert_eq!(plain("\u{1b}]0;title\u{7}x"), "x");
        assert_eq!(plain("\u{1b}[31x"), "x");
    }
}
