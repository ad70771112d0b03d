//! ANSI escape sequences, to cut them out of lines.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// The text without colours and other control sequences; borrowed where there are none.
pub fn decolorized(text: &str) -> Cow<'_, str> {
    if text.contains(['\u{1b}', '\u{9b}']) {
        SEQUENCE.replace_all(text, "")
    } else {
        Cow::Borrowed(text)
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
        let plain = |text: &str| decolorized(text).into_owned();
        assert_eq!(plain("\u{1b}[31;1mred\u{1b}[0m and \u{1b}[Kplain"), "red and plain");
        assert_eq!(plain("no colour"), "no colour");
        assert_eq!(plain("\u{1b}"), "\u{1b}");
        assert_eq!(plain("\u{1b}]0;title\u{7}x"), "x");
        assert_eq!(plain("\u{1b}[31x"), "x");
    }
}
