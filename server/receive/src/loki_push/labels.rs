//! A stream's labels as text: `{host="a", unit="b"}`, or as Prometheus prints a series, which Loki
//! takes too: `name{host="a"}`, `{"a name", "a label"="b"}`.

use std::borrow::Cow;

use skep_proto::{is_metric_name, names::METRIC_NAME};

pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Where and why the text is no label set; prints as Loki's parser does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("1:{column}: parse error: {what}")]
pub(super) struct LabelsError {
    /// From 1, in bytes.
    column: usize,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum What {
    #[error("unexpected {found} in label set, expected {expected}")]
    InSet { found: String, expected: &'static str },
    #[error("unexpected {0}")]
    Unexpected(String),
    #[error("unexpected end of input inside braces")]
    EndInside,
    #[error("unexpected character inside braces: {0:?}")]
    CharInside(char),
    #[error("unexpected character after '!' inside braces: {0:?}")]
    AfterBang(char),
    #[error("unexpected left brace '{{'")]
    LeftBrace,
    #[error("unterminated quoted string")]
    Unterminated,
    #[error("unterminated raw string")]
    UnterminatedRaw,
    #[error("unknown escape sequence {}", rune(*.0))]
    UnknownEscape(char),
    #[error("illegal character {} in escape sequence", rune(*.0))]
    EscapeDigit(char),
    #[error("escape sequence is an invalid Unicode code point")]
    EscapeCodePoint,
    #[error("escape sequence not terminated")]
    EscapeEnd,
    #[error("escapes of a quoted string are not valid UTF-8")]
    Utf8,
    #[error("{0} labels are too many")]
    TooMany(usize),
}

/// As Go prints a character that it has no use for.
fn rune(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}

impl LabelsError {
    /// How many labels there are, if that is what is wrong with them.
    pub(super) fn too_many(&self) -> Option<usize> {
        if let What::TooMany(n) = self.what { Some(n) } else { None }
    }
}

/// The pairs in the order they were written. More than `n_max` are only counted.
pub(super) fn parse(text: &str, n_max: usize) -> Result<Vec<Pair<'_>>, LabelsError> {
    let mut cursor = Cursor { text, at: 0 };
    let mut pairs = Vec::new();
    let mut n_more = 0;
    if let Some(name) = cursor.metric_name() {
        pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        if cursor.peek().is_none() {
            return Ok(pairs);
        }
    }
    if !cursor.eat('{') {
        return Err(cursor.unexpected());
    }
    while !cursor.eat('}') {
        let pair = cursor.pair()?;
        if pairs.len() < n_max {
            pairs.push(pair);
        } else {
            n_more += 1;
        }
        if !cursor.eat(',') {
            cursor.expect('}', "\",\" or \"}\"")?;
            break;
        }
    }
    match cursor.peek() {
        None if n_more > 0 => Err(cursor.error(What::TooMany(pairs.len() + n_more))),
        None => Ok(pairs),
        Some(_) => Err(cursor.unexpected()),
    }
}

struct Cursor<'a> {
    text: &'a str,
    /// Always at a character's first byte.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is not white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Inside the braces.
    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), LabelsError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.unexpected_inside(expected)) }
    }

    /// What stands before the brace, where anything does.
    fn metric_name(&mut self) -> Option<&'a str> {
        self.peek();
        let is_part = |it: char| it == '_' || it == ':' || it.is_ascii_alphanumeric();
        let rest = self.rest();
        let name = rest.get(..rest.find(|it| !is_part(it)).unwrap_or(rest.len()))?;
        is_metric_name(name).then(|| {
            self.at += name.len();
            name
        })
    }

    /// `name="value"`; a name in quotes that has no value is the metric's.
    fn pair(&mut self) -> Result<Pair<'a>, LabelsError> {
        let name = if matches!(self.peek(), Some('"' | '\'' | '`')) {
            let name = self.quoted()?;
            if matches!(self.peek(), Some(',' | '}')) {
                return Ok((Cow::Borrowed(METRIC_NAME), name));
            }
            name
        } else {
            Cow::Borrowed(self.identifier()?)
        };
        self.expect_equals()?;
        Ok((name, self.quoted()?))
    }

    fn expect_equals(&mut self) -> Result<(), LabelsError> {
        const EXPECTED: &str = "\"=\"";
        self.peek();
        if self.rest().starts_with("=~") {
            return Err(self.unexpected_inside(EXPECTED));
        }
        self.expect('=', EXPECTED)
    }

    fn identifier(&mut self) -> Result<&'a str, LabelsError> {
        self.peek();
        let rest = self.rest();
        let len = identifier_len(rest);
        match rest.get(..len) {
            Some(name) if len > 0 => {
                self.at += len;
                Ok(name)
            }
            _ => Err(self.unexpected_inside("identifier or \"}\"")),
        }
    }

    /// A string as Go quotes it: `"…"` and `'…'` with escapes, `` `…` `` without.
    fn quoted(&mut self) -> Result<Cow<'a, str>, LabelsError> {
        let quote = match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected_inside("string")),
        };
        let inside = self.rest().get(1..).unwrap_or_default();
        let value = match quoted_len(inside, quote).and_then(|len| inside.get(..len)) {
            None => return Err(self.error(unterminated(inside, quote))),
            Some(value) => value,
        };
        let len = value.len();
        let value = if quote == '`' || !value.contains('\\') {
            Cow::Borrowed(value)
        } else {
            Cow::Owned(unescape(value, quote).map_err(|what| self.error(what))?)
        };
        self.at += len + 2;
        Ok(value)
    }

    /// Before or behind the braces.
    fn unexpected(&mut self) -> LabelsError {
        let found = self.found();
        self.error(What::Unexpected(found))
    }

    /// What cannot stand inside the braces at all is told first, as in Prometheus.
    fn unexpected_inside(&mut self, expected: &'static str) -> LabelsError {
        let found = self.peek();
        let mut after = self.rest().chars().skip(1);
        let what = match found {
            None => What::EndInside,
            Some('{') => What::LeftBrace,
            Some('!') => match after.next() {
                None => What::EndInside,
                Some('=' | '~') => What::InSet { found: self.found(), expected },
                Some(other) => What::AfterBang(other),
            },
            Some(c @ ('"' | '\'' | '`')) => {
                let inside = self.rest().get(1..).unwrap_or_default();
                match quoted_len(inside, c) {
                    None => unterminated(inside, c),
                    Some(_) => What::InSet { found: self.found(), expected },
                }
            }
            Some('=' | ',' | '}') => What::InSet { found: self.found(), expected },
            Some(_) if identifier_len(self.rest()) > 0 => {
                What::InSet { found: self.found(), expected }
            }
            Some(c) => What::CharInside(c),
        };
        self.error(what)
    }

    /// What is here, as Prometheus' parser calls it.
    fn found(&mut self) -> String {
        let Some(first) = self.peek() else { return "end of input".to_owned() };
        let rest = self.rest();
        for operator in ["=~", "!=", "!~"] {
            if rest.starts_with(operator) {
                return format!("<op:{operator}>");
            }
        }
        let shown = |text: &str| text.chars().take(64).collect::<String>();
        if matches!(first, '"' | '\'' | '`') {
            let len = quoted_len(rest.get(1..).unwrap_or_default(), first).unwrap_or_default();
            return format!("string {:?}", shown(rest.get(..len + 2).unwrap_or_default()));
        }
        match identifier_len(rest) {
            0 => format!("{:?}", first.to_string()),
            len => format!("identifier {:?}", shown(rest.get(..len).unwrap_or_default())),
        }
    }

    fn error(&self, what: What) -> LabelsError {
        LabelsError { column: self.at + 1, what }
    }
}

fn unterminated(inside: &str, quote: char) -> What {
    match quote {
        '`' => What::UnterminatedRaw,
        _ if inside.ends_with('\\') => What::EscapeEnd,
        _ => What::Unterminated,
    }
}

fn identifier_len(text: &str) -> usize {
    if text.starts_with(|it: char| it.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|&it| it == b'_' || it.is_ascii_alphanumeric()).count()
}

/// Bytes up to the closing quote.
fn quoted_len(inside: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (i, c) in inside.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote != '`' => is_escaped = true,
            '\n' if quote != '`' => return None,
            c if c == quote => return Some(i),
            _ => {}
        }
    }
    None
}

fn unescape(inside: &str, quote: char) -> Result<String, What> {
    let mut out = Vec::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            unescape_one(&mut chars, quote, &mut out)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(out).map_err(|std::string::FromUtf8Error { .. }| What::Utf8)
}

/// What follows a backslash, if Go knows such an escape.
fn unescape_one(
    chars: &mut std::str::Chars<'_>,
    quote: char,
    out: &mut Vec<u8>,
) -> Result<(), What> {
    let first = chars.next().ok_or(What::EscapeEnd)?;
    let byte = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        _ if first == quote && first.is_ascii() => u8::try_from(first).unwrap_or_default(),
        'x' => byte(digits(chars, 2, 16, 0)?)?,
        '0'..='7' => byte(digits(chars, 2, 8, first.to_digit(8).unwrap_or_default())?)?,
        'u' | 'U' => {
            let n_digits = if first == 'u' { 4 } else { 8 };
            let c = char::from_u32(digits(chars, n_digits, 16, 0)?).ok_or(What::EscapeCodePoint)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        other => return Err(What::UnknownEscape(other)),
    };
    out.push(byte);
    Ok(())
}

fn byte(number: u32) -> Result<u8, What> {
    u8::try_from(number).map_err(|std::num::TryFromIntError { .. }| What::EscapeCodePoint)
}

fn digits(
    chars: &mut std::str::Chars<'_>,
    n_digits: usize,
    radix: u32,
    start: u32,
) -> Result<u32, What> {
    (0..n_digits).try_fold(start, |number, _| {
        let c = chars.next().ok_or(What::EscapeEnd)?;
        let digit = c.to_digit(radix).ok_or(What::EscapeDigit(c))?;
        let number = number.checked_mul(radix).and_then(|it| it.checked_add(digit));
        number.ok_or(What::EscapeCodePoint)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_proto::Labels;

    use super::*;

    fn check(text: &str, expected: &expect_test::Expect) {
        let parsed = match parse(text, 4) {
            Ok(pairs) => pairs
                .iter()
                .map(|(name, value)| format!("{name} = {value:?}"))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&parsed);
    }

    #[test]
    fn labels_are_read_as_go_quotes_them() {
        check("{}", &expect_test::expect![""]);
        check(
            r#" { host = "a" , unit='b"',raw=`c\n` ,} "#,
            &expect_test::expect![[r#"
                host = "a"
                unit = "b\""
                raw = "c\\n""#]],
        );
        check(
            r#"{a="\"\\\n\t\x41\101é\U0001F600", "b.c"="1"}"#,
            &expect_test::expect![[r#"
                a = "\"\\\n\tAAé😀"
                b.c = "1""#]],
        );
    }

    #[test]
    fn a_metric_name_is_a_label_too() {
        check("job:up", &expect_test::expect!["__name__ = \"job:up\""]);
        check(
            r#" up {a="b"}"#,
            &expect_test::expect![[r#"
                __name__ = "up"
                a = "b""#]],
        );
        check(
            r#"{a="b","my.metric"}"#,
            &expect_test::expect![[r#"
                a = "b"
                __name__ = "my.metric""#]],
        );
    }

    proptest! {
        #[test]
        fn what_a_label_set_prints_is_read_back(
            pairs in prop::collection::btree_map(
                prop_oneof![Just("__name__".to_owned()), "[a-z_:.\"]{1,3}", any::<String>()],
                prop_oneof!["[a-z_:.\"]{1,3}", any::<String>()],
                0..5,
            )
        ) {
            let pairs = pairs.into_iter().filter(|(name, _)| !name.is_empty());
            let labels = Labels::from_pairs(pairs).unwrap();
            let text = labels.to_string();
            let parsed = parse(&text, 5).map_err(|it| TestCaseError::fail(format!("{text}: {it}")))?;
            prop_assert_eq!(Labels::from_pairs(parsed).unwrap(), labels, "{}", text);
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, expected) in [
            ("", "1:1: parse error: unexpected end of input"),
            ("x y", "1:3: parse error: unexpected identifier \"y\""),
            (
                "{\"x\" y",
                "1:6: parse error: unexpected identifier \"y\" in label set, expected \"=\"",
            ),
            ("{", "1:2: parse error: unexpected end of input inside braces"),
            ("{a", "1:3: parse error: unexpected end of input inside braces"),
            ("{a=", "1:4: parse error: unexpected end of input inside braces"),
            (
                "{a=b}",
                "1:4: parse error: unexpected identifier \"b\" in label set, expected string",
            ),
            ("{a=\"b", "1:4: parse error: unterminated quoted string"),
            ("{a=`b", "1:4: parse error: unterminated raw string"),
            ("{a=\"b\\", "1:4: parse error: escape sequence not terminated"),
            (
                "{a=\"b\" c",
                "1:8: parse error: unexpected identifier \"c\" in label set, expected \",\" or \"}\"",
            ),
            ("{a=\"b\"} x", "1:9: parse error: unexpected identifier \"x\""),
            ("{1=\"b\"}", "1:2: parse error: unexpected character inside braces: '1'"),
            ("{a-b=\"c\"}", "1:3: parse error: unexpected character inside braces: '-'"),
            ("{a.b=\"c\"}", "1:3: parse error: unexpected character inside braces: '.'"),
            ("{{}", "1:2: parse error: unexpected left brace '{'"),
            ("{a=~\"b\"}", "1:3: parse error: unexpected <op:=~> in label set, expected \"=\""),
            ("{a!\"b\"}", "1:3: parse error: unexpected character after '!' inside braces: '\"'"),
            ("{a,}", "1:3: parse error: unexpected \",\" in label set, expected \"=\""),
            (
                "{a=\"b\" \"c\"}",
                "1:8: parse error: unexpected string \"\\\"c\\\"\" in label set, expected \",\" or \"}\"",
            ),
            (r#"{a="\q"}"#, "1:4: parse error: unknown escape sequence U+0071 'q'"),
            (r#"{a="\xg0"}"#, "1:4: parse error: illegal character U+0067 'g' in escape sequence"),
            (
                r#"{a="\ud800"}"#,
                "1:4: parse error: escape sequence is an invalid Unicode code point",
            ),
            (r#"{a="\xff"}"#, "1:4: parse error: escapes of a quoted string are not valid UTF-8"),
            (r#"{a="",b="",c="",d="",e=""}"#, "1:27: parse error: 5 labels are too many"),
        ] {
            assert_eq!(parse(text, 4).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
