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

use std::{borrow::Cow, fmt::Write, sync::Arc};

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Int32Array, Int64Array, MapBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampNanosecondArray,
};
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use skep_proto::{TEMPLATE_VALUES, join_template, names::column};

use crate::schema::{LOGS, LOGS_FILE, UTC, append_map, map_builder};

/// Values of a line that get a column; the last one takes the rest of a line that has more.
pub(crate) const N_VALUES: usize = TEMPLATE_VALUES;
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

/// Rows on their way into a file, each line taken apart.
pub(crate) struct SplitRows {
    ids: Vec<i64>,
    ts: Vec<i64>,
    template: String,
    templates: StringBuilder,
    values: [StringBuilder; N_VALUES],
    metadata: MapBuilder<StringBuilder, StringBuilder>,
    line_bytes: Vec<i32>,
}

impl Default for SplitRows {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            ts: Vec::new(),
            template: String::new(),
            templates: StringBuilder::new(),
            values: std::array::from_fn(|_| StringBuilder::new()),
            metadata: map_builder(),
            line_bytes: Vec::new(),
        }
    }
}

impl SplitRows {
    pub(crate) fn push<'a>(
        &mut self,
        id: i64,
        ts: i64,
        line: &str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        self.ids.push(id);
        self.ts.push(ts);
        self.template.clear();
        let found = split(line, &mut self.template);
        self.templates.append_value(&self.template);
        for (column, value) in self.values.iter_mut().zip(found.values) {
            column.append_value(value);
        }
        append_map(&mut self.metadata, metadata);
        self.line_bytes.push(n_bytes(line));
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Of the first and the last row.
    pub(crate) fn ts(&self) -> Option<(i64, i64)> {
        Some((*self.ts.first()?, *self.ts.last()?))
    }

    /// What was pushed so far, as files have it; begins anew.
    ///
    /// # Errors
    /// Columns that do not fit the schema.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let ts = TimestampNanosecondArray::from(std::mem::take(&mut self.ts));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.ids))),
            Arc::new(ts.with_timezone(UTC)),
            Arc::new(self.templates.finish()),
        ];
        columns.extend(self.values.iter_mut().map(|it| Arc::new(it.finish()) as ArrayRef));
        columns.push(Arc::new(self.metadata.finish()));
        columns.push(Arc::new(Int32Array::from(std::mem::take(&mut self.line_bytes))));
        Ok(RecordBatch::try_new(Arc::clone(&LOGS_FILE), columns)?)
    }
}

/// The columns of a file's lines.
#[derive(Debug)]
pub(crate) struct SplitLines<'a> {
    templates: &'a StringArray,
    values: [&'a StringArray; N_VALUES],
}

impl<'a> SplitLines<'a> {
    /// `None` where the batch is not one of a file.
    pub(crate) fn of(batch: &'a RecordBatch) -> Option<Self> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let templates = text(column::TEMPLATE)?;
        let mut values = [templates; N_VALUES];
        for (column, name) in values.iter_mut().zip(column::VALUES) {
            *column = text(name)?;
        }
        Some(Self { templates, values })
    }

    pub(crate) fn template(&self, row: usize) -> &'a str {
        self.templates.value(row)
    }

    /// One of eight; empty where the template does not ask for it.
    pub(crate) fn value(&self, at: usize, row: usize) -> &'a str {
        self.values.get(at).map_or("", |it| it.value(row))
    }

    /// Writes the row's line; `None` where the template is none.
    pub(crate) fn join(&self, row: usize, line: &mut impl Write) -> Option<()> {
        join_template(self.template(row), |it| self.value(it, row), line)
    }
}

/// Lines stay far below 2 GiB.
fn n_bytes(line: &str) -> i32 {
    i32::try_from(line.len()).unwrap_or(i32::MAX)
}

/// Rows of a file from before there was [`column::LINE_BYTES`], with it.
pub(crate) fn with_line_bytes(batch: &RecordBatch) -> Result<Cow<'_, RecordBatch>> {
    let missing = || internal_datafusion_err!("a part of logs lacks a column");
    let at = batch.schema().index_of(column::LINE_BYTES)?;
    if batch.column(at).null_count() == 0 {
        return Ok(Cow::Borrowed(batch));
    }
    let split = SplitLines::of(batch).ok_or_else(missing)?;
    let (mut line, mut line_bytes) = (String::new(), Vec::with_capacity(batch.num_rows()));
    for row in 0..batch.num_rows() {
        line.clear();
        split.join(row, &mut line).ok_or_else(no_template)?;
        line_bytes.push(n_bytes(&line));
    }
    let mut columns = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(at) {
        *column = Arc::new(Int32Array::from(line_bytes));
    }
    Ok(Cow::Owned(RecordBatch::try_new(batch.schema(), columns)?))
}

/// From the columns of a file to those of a query.
pub(crate) fn join_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let missing = || internal_datafusion_err!("a part of logs lacks a column");
    let column = |name| batch.column_by_name(name).ok_or_else(missing);
    let split = SplitLines::of(batch).ok_or_else(missing)?;
    let n_bytes = split.templates.value_data().len()
        + split.values.iter().map(|it| it.value_data().len()).sum::<usize>();
    let mut lines = StringBuilder::with_capacity(batch.num_rows(), n_bytes);
    for row in 0..batch.num_rows() {
        split.join(row, &mut lines).ok_or_else(no_template)?;
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

pub(crate) fn no_template() -> DataFusionError {
    internal_datafusion_err!("a part of logs holds a template that is none")
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
        while class_of(at) & class::TOKEN != 0 {
            at += 1;
        }
        let is_value = if first & class::DIGIT == 0 {
            at - start >= HEX_BYTES_MIN && is_hex(bytes.get(start..at).unwrap_or_default())
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

/// Whether a token is a hexadecimal number, which has a digit, and dashes maybe.
fn is_hex(token: &[u8]) -> bool {
    token.iter().all(|it| class::of(*it) & class::HEX != 0) && token.iter().any(u8::is_ascii_digit)
}

/// Whether a token that begins with a digit belongs to the name before it: `curl/7.88.1`.
fn is_version(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(2).and_then(|it| bytes.get(it..start));
    matches!(before, Some(&[name, b'/']) if class::of(name) & class::ALPHA != 0)
        && end - start <= VERSION_BYTES_MAX
        && bytes.get(start..end).is_some_and(|it| it.contains(&b'.'))
}

/// A line's template and values.
#[cfg(test)]
pub(crate) fn split_line(line: &str) -> (String, [String; N_VALUES]) {
    let mut template = String::new();
    let values = split(line, &mut template).values.map(str::to_owned);
    (template, values)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

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
        let mut rows = SplitRows::default();
        for line in lines {
            rows.push(1, 2, line, []);
        }
        let joined = join_batch(&rows.finish().unwrap()).unwrap();
        assert_eq!(joined.schema(), *LOGS);
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
        for template in ["{", "a{b}", "}x", "{}{}{}{}{}{}{}{}{}"] {
            assert_eq!(join_template(template, |_| "", &mut String::new()), None, "{template}");
        }
    }
}
