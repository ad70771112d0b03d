//! Quoting of label values as Prometheus and Loki print them.

use std::fmt;

/// Writes `value` in double quotes, escaped as in a selector.
pub(crate) fn write_quoted(out: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    use fmt::Write as _;
    out.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            _ => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
