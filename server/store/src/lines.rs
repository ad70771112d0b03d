//! A log line as files hold it: what lines of its kind have in common, and the values that differ.
//!
//! ```text
//! line       Failed password for root from 11.2.3.4 port 60422 ssh2
//! template   Failed password for root from {} port {} ssh2
//! values     11.2.3.4 · 60422
//! ```
//! Lines of one kind share a template, which a dictionary stores once, and values of one place
//! lie together, which packs them to little more than their information. A line is
//! `format(template, v0, …, v7)`, in DuckDB and in Python alike: braces of the line itself are
//! doubled in the template, and values that a template does not ask for are empty.
//!
//! Any line comes back as it was, whatever is taken for a value: how lines are split may change
//! without a new format.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray as _, RecordBatch, StringArray, StringBuilder},
    error::ArrowError,
};
use datafusion::common::{Result, internal_datafusion_err};
use memchr::memchr2;
use skep_proto::names::column;

use crate::schema::{LOGS, LOGS_FILE};

/// Values of a line that get a column; the last one takes the rest of a line that has more.
pub(crate) const N_VALUES: usize = column::VALUES.len();
/// A word of letters is no value, unless it is hexadecimal and at least this long.
const HEX_BYTES_MIN: usize = 8;
/// `Mozilla/5.0` is a name: what is no longer than this behind a word and a slash.
const VERSION_BYTES_MAX: usize = 8;

/// A line taken apart; the template is told piece by piece.
#[derive(Debug, Default, PartialEq, Eq)]
struct Values<'a> {
    values: [&'a str; N_VALUES],
    n: usize,
}

/// Takes lines apart, a batch at a time.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    template: String,
}

impl LineSplitter {
    /// From the columns of a query to those of a file.
    ///
    /// # Errors
    /// A batch that lacks a column.
    pub(crate) fn split_batch(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let (Some(lines), [ids, ts, _, metadata]) = (
            batch.column_by_name(column::LINE).and_then(|it| it.as_string_opt::<i32>()),
            batch.columns(),
        ) else {
            return Err(ArrowError::SchemaError("log rows lack a column".to_owned()));
        };
        let n_rows = batch.num_rows();
        let mut templates = StringBuilder::with_capacity(n_rows, lines.values().len() / 2);
        let mut columns: [StringBuilder; N_VALUES] =
            std::array::from_fn(|_| StringBuilder::with_capacity(n_rows, n_rows * 8));
        for line in lines.iter().map(Option::unwrap_or_default) {
            self.template.clear();
            let values = split(line, &mut self.template);
            templates.append_value(&self.template);
            for (column, value) in columns.iter_mut().zip(values.values) {
                column.append_value(value);
            }
        }
        let mut all: Vec<ArrayRef> =
            vec![Arc::clone(ids), Arc::clone(ts), Arc::new(templates.finish())];
        all.extend(columns.iter_mut().map(|it| Arc::new(it.finish()) as ArrayRef));
        all.push(Arc::clone(metadata));
        RecordBatch::try_new(Arc::clone(&LOGS_FILE), all)
    }
}

/// From the columns of a file to those of a query.
pub(crate) fn join_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let missing = || internal_datafusion_err!("a part of logs lacks a column");
    let column = |name| batch.column_by_name(name).ok_or_else(missing);
    let text = |name| column(name).and_then(|it| it.as_string_opt::<i32>().ok_or_else(missing));
    let templates = text(column::TEMPLATE)?;
    let values = column::VALUES.iter().map(|it| text(it)).collect::<Result<Vec<_>>>()?;
    let n_bytes =
        templates.value_data().len() + values.iter().map(|it| it.value_data().len()).sum::<usize>();
    let mut lines = StringBuilder::with_capacity(batch.num_rows(), n_bytes);
    for row in 0..batch.num_rows() {
        join(templates.value(row), row, &values, &mut lines).ok_or_else(|| {
            internal_datafusion_err!("a part of logs holds a template that is none")
        })?;
        lines.append_value("");
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::clone(column(column::STREAM_ID)?),
        Arc::clone(column(column::TS)?),
        Arc::new(lines.finish()),
        Arc::clone(column(column::METADATA)?),
    ];
    Ok(RecordBatch::try_new(Arc::clone(&LOGS), columns)?)
}

/// The opposite of [`split`]; `None` where a brace is neither doubled nor a pair.
fn join(
    mut template: &str,
    row: usize,
    values: &[&StringArray],
    line: &mut StringBuilder,
) -> Option<()> {
    let mut values = values.iter();
    while let Some(at) = memchr2(b'{', b'}', template.as_bytes()) {
        let (text, rest) = template.split_at_checked(at)?;
        let (pair, rest) = rest.split_at_checked(2)?;
        line.write_str(text).ok()?;
        match pair {
            "{}" => line.write_str(values.next()?.value(row)).ok()?,
            "{{" => line.write_str("{").ok()?,
            "}}" => line.write_str("}").ok()?,
            _ => return None,
        }
        template = rest;
    }
    line.write_str(template).ok()
}

/// What a byte may be part of.
mod class {
    /// Begins a token.
    pub(super) const ALNUM: u8 = 1;
    /// Goes on with one.
    pub(super) const TOKEN: u8 = 2;
    pub(super) const DIGIT: u8 = 4;
    /// A hexadecimal digit or a dash between some.
    pub(super) const HEX: u8 = 8;
    pub(super) const BRACE: u8 = 16;
    pub(super) const ALPHA: u8 = 32;

    pub(super) fn of(byte: u8) -> u8 {
        OF.get(usize::from(byte)).copied().unwrap_or(0)
    }

    #[expect(clippy::indexing_slicing, reason = "at compile time")]
    const OF: [u8; 256] = {
        let mut of = [0; 256];
        let mut at = 0;
        while at < of.len() {
            #[expect(clippy::cast_possible_truncation, reason = "256 classes, 256 bytes")]
            let byte = at as u8;
            let mut class = 0;
            if byte.is_ascii_alphanumeric() {
                class |= ALNUM | TOKEN;
            }
            if matches!(byte, b'.' | b'-' | b':' | b'_') {
                class |= TOKEN;
            }
            if byte.is_ascii_digit() {
                class |= DIGIT;
            }
            if byte.is_ascii_hexdigit() || byte == b'-' {
                class |= HEX;
            }
            if byte.is_ascii_alphabetic() {
                class |= ALPHA;
            }
            if matches!(byte, b'{' | b'}') {
                class |= BRACE;
            }
            of[at] = class;
            at += 1;
        }
        of
    };
}

/// Writes the line's template and tells its values. A value is a run of letters, digits and
/// `.-:_` that begins with a digit, or a long hexadecimal one.
fn split<'a>(line: &'a str, template: &mut String) -> Values<'a> {
    let bytes = line.as_bytes();
    let class_of = |at: usize| bytes.get(at).map_or(0, |it| class::of(*it));
    let mut found = Values::default();
    // Up to where the template has the line.
    let mut done = 0;
    let mut at = 0;
    while at < bytes.len() {
        let first = class_of(at);
        if first & class::ALNUM == 0 {
            at += 1;
            if first & class::BRACE != 0 {
                // Once with what came before it, and once more.
                template.push_str(line.get(done..at).unwrap_or_default());
                done = at - 1;
            }
            continue;
        }
        let start = at;
        let (mut all, mut any) = (u8::MAX, 0);
        while class_of(at) & class::TOKEN != 0 {
            all &= class_of(at);
            any |= class_of(at);
            at += 1;
        }
        let is_value = if first & class::DIGIT == 0 {
            all & class::HEX != 0 && any & class::DIGIT != 0 && at - start >= HEX_BYTES_MIN
        } else {
            !is_version(bytes, start, at)
        };
        if is_value {
            template.push_str(line.get(done..start).unwrap_or_default());
            template.push_str("{}");
            let is_last = found.n + 1 == N_VALUES;
            done = if is_last { bytes.len() } else { at };
            if let Some(value) = found.values.get_mut(found.n) {
                *value = line.get(start..done).unwrap_or_default();
            }
            found.n += 1;
            if is_last {
                break;
            }
        }
    }
    template.push_str(line.get(done..).unwrap_or_default());
    found
}

/// Whether a token that begins with a digit belongs to the name before it: `curl/7.88.1`.
fn is_version(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(2).and_then(|it| bytes.get(it..start));
    matches!(before, Some(&[name, b'/']) if class::of(name) & class::ALPHA != 0)
        && end - start <= VERSION_BYTES_MAX
        && bytes.get(start..end).is_some_and(|it| it.contains(&b'.'))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::table::LogBatchBuilder;

    #[track_caller]
    fn check(line: &str, expected: &Expect) {
        let mut template = String::new();
        let found = split(line, &mut template);
        let values = found.values.get(..found.n).unwrap_or_default();
        expected.assert_eq(&format!("{template}\n{}", values.join(" · ")));
    }

    #[test]
    fn numbers_addresses_and_identifiers_are_values() {
        check(
            r#"{"ts":1795357083.830,"level":"info","status":200,"remote":"105.237.35.192","id":"ff57b615-ce0b-4bde"}"#,
            &expect![[r#"
                {{"ts":{},"level":"info","status":{},"remote":"{}","id":"{}"}}
                1795357083.830 · 200 · 105.237.35.192 · ff57b615-ce0b-4bde"#]],
        );
        check(
            r#"11.2.3.4 - - [22/Nov/2026:14:18:01 +0000] "GET /v1/x/7 HTTP/1.1" 200 0 "curl/7.88.1""#,
            &expect![[r#"
                {} - - [{}/Nov/{} +{}] "GET /v1/x/{} HTTP/1.1" {} {} "curl/7.88.1"
                11.2.3.4 · 22 · 2026:14:18:01 · 0000 · 7 · 200 · 0"#]],
        );
    }

    #[test]
    fn the_last_value_takes_the_rest() {
        check(
            "1 2 3 4 5 6 7 8 9 {x}",
            &expect![[r#"
                {} {} {} {} {} {} {} {}
                1 · 2 · 3 · 4 · 5 · 6 · 7 · 8 9 {x}"#]],
        );
    }

    #[test]
    fn words_and_braces_stay_in_the_template() {
        check("deadbeef{} décédé{", &expect![["deadbeef{{}} décédé{{\n"]]);
    }

    fn round_trip(lines: &[String]) -> Vec<String> {
        let mut rows = LogBatchBuilder::default();
        for line in lines {
            rows.push(1, 2, line, Vec::new());
        }
        let batch = rows.finish().unwrap();
        let split = LineSplitter::default().split_batch(&batch).unwrap();
        let joined = join_batch(&split).unwrap();
        assert_eq!(joined.schema(), batch.schema());
        joined.column(2).as_string::<i32>().iter().map(|it| it.unwrap().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn any_line_comes_back(
            lines in prop::collection::vec(
                prop_oneof![any::<String>(), "[0-9a-f{}./:_ é-]{0,60}", "([0-9{}] ){0,20}"],
                0..20,
            )
        ) {
            prop_assert_eq!(round_trip(&lines), lines);
        }
    }

    #[test]
    fn a_damaged_template_is_an_error() {
        let mut builder = StringBuilder::new();
        for template in ["{", "a{b}", "}x", "{}{}{}{}{}{}{}{}{}"] {
            let empty = StringArray::from(vec![""]);
            let values = [&empty; N_VALUES];
            assert_eq!(join(template, 0, &values, &mut builder), None, "{template}");
        }
    }
}
