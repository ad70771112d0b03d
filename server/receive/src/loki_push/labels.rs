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
    Unexpected { found: String, expected: &'static str },
    #[error("unterminated quoted string")]
    Unterminated,
    #[error("invalid escape sequence {0:?} in a quoted string")]
    Escape(String),
    #[error("escapes of a quoted string are not valid UTF-8")]
    Utf8,
    #[error("{0} labels are too many")]
    TooMany(usize),
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
    cursor.expect('{', "\"{\"")?;
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
        Some(_) => Err(cursor.unexpected("end of input")),
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

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), LabelsError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.unexpected(expected)) }
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
        let name = if self.peek() == Some('"') {
            let name = self.quoted()?;
            if matches!(self.peek(), Some(',' | '}')) {
                return Ok((Cow::Borrowed(METRIC_NAME), name));
            }
            name
        } else {
            Cow::Borrowed(self.identifier()?)
        };
        self.expect('=', "\"=\"")?;
        Ok((name, self.quoted()?))
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
            _ => Err(self.unexpected("identifier or \"}\"")),
        }
    }

    /// A string as Go quotes it: `"…"` and `'…'` with escapes, `` `…` `` without.
    fn quoted(&mut self) -> Result<Cow<'a, str>, LabelsError> {
        let quote = match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected("string")),
        };
        let inside = self.rest().get(1..).unwrap_or_default();
        let len = quoted_len(inside, quote).ok_or_else(|| self.error(What::Unterminated))?;
        let inside = inside.get(..len).unwrap_or_default();
        let value = if quote == '`' || !inside.contains('\\') {
            Cow::Borrowed(inside)
        } else {
            Cow::Owned(unescape(inside, quote).map_err(|what| self.error(what))?)
        };
        self.at += len + 2;
        Ok(value)
    }

    fn unexpected(&mut self, expected: &'static str) -> LabelsError {
        let found = match self.peek() {
            None => "end of input".to_owned(),
            Some('"' | '\'' | '`') => "string".to_owned(),
            Some(c) => match identifier_len(self.rest()) {
                0 => format!("{:?}", c.to_string()),
                len => {
                    format!("identifier {:?}", self.rest().get(..len.min(64)).unwrap_or_default())
                }
            },
        };
        self.error(What::Unexpected { found, expected })
    }

    fn error(&self, what: What) -> LabelsError {
        LabelsError { column: self.at + 1, what }
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
            let escape = chars.as_str();
            unescape_one(&mut chars, quote, &mut out).ok_or_else(|| {
                What::Escape(format!("\\{}", escape.chars().take(9).collect::<String>()))
            })?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    String::from_utf8(out).map_err(|std::string::FromUtf8Error { .. }| What::Utf8)
}

/// What follows a backslash; none where Go knows no such escape.
fn unescape_one(chars: &mut std::str::Chars<'_>, quote: char, out: &mut Vec<u8>) -> Option<()> {
    let first = chars.next()?;
    let byte = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        _ if first == quote => u8::try_from(first).ok()?,
        'x' => u8::try_from(digits(chars, 2, 16, 0)?).ok()?,
        '0'..='7' => u8::try_from(digits(chars, 2, 8, first.to_digit(8)?)?).ok()?,
        'u' | 'U' => {
            let n_digits = if first == 'u' { 4 } else { 8 };
            let c = char::from_u32(digits(chars, n_digits, 16, 0)?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(byte);
    Some(())
}

fn digits(chars: &mut std::str::Chars<'_>, n_digits: usize, radix: u32, start: u32) -> Option<u32> {
    (0..n_digits).try_fold(start, |number, _| {
        number.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)
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
            ("", "1:1: parse error: unexpected end of input in label set, expected \"{\""),
            ("x y", "1:3: parse error: unexpected identifier \"y\" in label set, expected \"{\""),
            (
                "{\"x\" y",
                "1:6: parse error: unexpected identifier \"y\" in label set, expected \"=\"",
            ),
            (
                "{",
                "1:2: parse error: unexpected end of input in label set, expected identifier or \"}\"",
            ),
            ("{a", "1:3: parse error: unexpected end of input in label set, expected \"=\""),
            (
                "{a=b}",
                "1:4: parse error: unexpected identifier \"b\" in label set, expected string",
            ),
            ("{a=\"b", "1:4: parse error: unterminated quoted string"),
            ("{a=\"b\\", "1:4: parse error: unterminated quoted string"),
            (
                "{a=\"b\" c",
                "1:8: parse error: unexpected identifier \"c\" in label set, expected \",\" or \"}\"",
            ),
            (
                "{a=\"b\"} x",
                "1:9: parse error: unexpected identifier \"x\" in label set, expected end of input",
            ),
            (
                "{1=\"b\"}",
                "1:2: parse error: unexpected \"1\" in label set, expected identifier or \"}\"",
            ),
            (
                r#"{a="\q"}"#,
                "1:4: parse error: invalid escape sequence \"\\\\q\" in a quoted string",
            ),
            (
                r#"{a="\ud800"}"#,
                "1:4: parse error: invalid escape sequence \"\\\\ud800\" in a quoted string",
            ),
            (r#"{a="\xff"}"#, "1:4: parse error: escapes of a quoted string are not valid UTF-8"),
            (r#"{a="",b="",c="",d="",e=""}"#, "1:27: parse error: 5 labels are too many"),
        ] {
            assert_eq!(parse(text, 4).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
