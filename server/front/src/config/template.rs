//! Texts with placeholders, as header rules, redirects and rewrites write them.

use std::fmt;

use super::ConfigError;

/// Text with `{placeholders}` that a request fills in; `{{` is a brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Value(Placeholder),
}

/// What a request can fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// As the request names it, in lower case and without port.
    Host,
    /// As it was sent, percent signs and all.
    Path,
    /// Without the question mark.
    Query,
    /// Path and query.
    Uri,
    /// The client's address.
    RemoteIp,
    /// `http` or `https`.
    Scheme,
    Method,
}

impl Placeholder {
    const ALL: [Self; 7] = [
        Self::Host,
        Self::Path,
        Self::Query,
        Self::Uri,
        Self::RemoteIp,
        Self::Scheme,
        Self::Method,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Query => "query",
            Self::Uri => "uri",
            Self::RemoteIp => "remote_ip",
            Self::Scheme => "scheme",
            Self::Method => "method",
        }
    }
}

impl Template {
    /// Refuses placeholders that do not exist, and characters that a header cannot hold.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // Anything that could end a line, or that a browser and a server would read differently.
        if text.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err(ConfigError::NotAHeaderValue(text.to_owned()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let unknown = || ConfigError::Placeholder(text.to_owned());
            let (name, after) = after.split_once('}').ok_or_else(unknown)?;
            let value = Placeholder::ALL.into_iter().find(|it| it.name() == name);
            let value = value.ok_or_else(unknown)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(value));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The text up to the first placeholder.
    pub(crate) fn start(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Value(_)) | None => "",
        }
    }

    pub(crate) fn starts_with_path(&self) -> bool {
        let starts = [Piece::Value(Placeholder::Path), Piece::Value(Placeholder::Uri)];
        self.0.first().is_some_and(|it| starts.contains(it))
    }

    /// Whether a query is written here, be it an empty one.
    pub(crate) fn has_query(&self) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Text(text) => text.contains('?'),
            Piece::Value(value) => *value == Placeholder::Uri,
        })
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{")),
            Piece::Value(value) => write!(f, "{{{}}}", value.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let shown = match Template::parse(text) {
            Ok(template) => format!("{:?}", template.0),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn placeholders_are_found_and_two_braces_are_one() {
        check(
            "https://{host}/x{path}",
            &expect![[r#"[Text("https://"), Value(Host), Text("/x"), Value(Path)]"#]],
        );
        check(r#"{{"a": 1}"#, &expect![[r#"[Text("{\"a\": 1}")]"#]]);
        check("", &expect!["[]"]);
        let written = "a{{b{uri}}";
        assert_eq!(Template::parse(written).unwrap().to_string(), written);
    }

    #[test]
    fn what_is_no_placeholder_or_could_end_a_line_is_refused() {
        check(
            "{hots}",
            &expect![[
                r#"error: "{hots}" has a placeholder that is not known; there are {host}, {path}, {query}, {uri}, {remote_ip}, {scheme} and {method}, and "{{" is a brace"#
            ]],
        );
        check(
            "a{",
            &expect![[
                r#"error: "a{" has a placeholder that is not known; there are {host}, {path}, {query}, {uri}, {remote_ip}, {scheme} and {method}, and "{{" is a brace"#
            ]],
        );
        check(
            "a\r\nset-cookie: b",
            &expect![[
                r#"error: "a\r\nset-cookie: b" cannot be in a header; write ASCII without line ends"#
            ]],
        );
    }
}
