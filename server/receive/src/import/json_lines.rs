//! VictoriaMetrics' JSON lines. Read by hand: values must come back to the bit, and the order of
//! keys is anybody's.

use skep_proto::{Sample, TimestampMs, stale_marker};

use super::{Cursor, LineFault, Series};

pub(super) fn read(line: &str) -> Result<Option<Series>, LineFault> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let mut cursor = Cursor::new(line);
    cursor.expect('{', "{")?;
    let (mut labels, mut values, mut timestamps) = (None, None, None);
    if !cursor.take('}') {
        loop {
            let key = string(&mut cursor)?;
            cursor.expect(':', ":")?;
            match key.as_str() {
                "metric" => labels = Some(pairs(&mut cursor)?),
                "values" => values = Some(list(&mut cursor, value)?),
                "timestamps" => timestamps = Some(list(&mut cursor, integer)?),
                _ => skip(&mut cursor, 0)?,
            }
            if !cursor.take(',') {
                break;
            }
        }
        cursor.expect('}', "}")?;
    }
    cursor.skip_blanks();
    if !cursor.rest().is_empty() {
        return Err(cursor.fault("the end of the line"));
    }
    let labels = labels.ok_or(LineFault::Missing("metric"))?;
    let values = values.ok_or(LineFault::Missing("values"))?;
    let timestamps = timestamps.ok_or(LineFault::Missing("timestamps"))?;
    if values.len() != timestamps.len() {
        let (n_values, n_timestamps) = (values.len(), timestamps.len());
        return Err(LineFault::Lengths { n_values, n_timestamps });
    }
    let samples = timestamps.into_iter().zip(values);
    let samples = samples.map(|(ts, value)| Sample { ts: TimestampMs(ts), value }).collect();
    Ok(Some(Series { labels, samples }))
}

fn string(cursor: &mut Cursor<'_>) -> Result<String, LineFault> {
    let quoted = cursor.quoted()?;
    serde_json::from_str(quoted).map_err(|_said_where| cursor.fault("a JSON string"))
}

fn pairs(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>, LineFault> {
    cursor.expect('{', "{")?;
    let mut pairs = Vec::new();
    if cursor.take('}') {
        return Ok(pairs);
    }
    loop {
        let name = string(cursor)?;
        cursor.expect(':', ":")?;
        pairs.push((name, string(cursor)?));
        if !cursor.take(',') {
            cursor.expect('}', "} or ,")?;
            return Ok(pairs);
        }
    }
}

fn list<T>(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>) -> Result<T, LineFault>,
) -> Result<Vec<T>, LineFault> {
    cursor.expect('[', "[")?;
    let mut items = Vec::new();
    if cursor.take(']') {
        return Ok(items);
    }
    loop {
        items.push(item(cursor)?);
        if !cursor.take(',') {
            cursor.expect(']', "] or ,")?;
            return Ok(items);
        }
    }
}

/// A number; `null` is a stale marker, and what JSON has no number for is a string.
fn value(cursor: &mut Cursor<'_>) -> Result<f64, LineFault> {
    cursor.skip_blanks();
    if cursor.rest().starts_with('"') {
        let text = string(cursor)?;
        return special(&text).ok_or_else(|| cursor.fault("a number, Infinity, NaN or null"));
    }
    let start = cursor.at;
    let word = cursor.word(&[',', ']', ' ', '\t']);
    if word == "null" {
        return Ok(stale_marker());
    }
    let value = word.parse().ok().filter(|it: &f64| it.is_finite());
    value.ok_or(LineFault::Syntax { expected: "a number", at: start })
}

fn special(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "null" => Some(stale_marker()),
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn integer(cursor: &mut Cursor<'_>) -> Result<i64, LineFault> {
    cursor.skip_blanks();
    let at = cursor.at;
    let word = cursor.word(&[',', ']', ' ', '\t']);
    word.parse().map_err(|_no_integer: std::num::ParseIntError| LineFault::Syntax {
        expected: "a whole number of milliseconds",
        at,
    })
}

/// Other keys may hold anything that is not nested too deep.
fn skip(cursor: &mut Cursor<'_>, depth: usize) -> Result<(), LineFault> {
    const DEPTH_MAX: usize = 16;
    cursor.skip_blanks();
    if depth > DEPTH_MAX {
        return Err(cursor.fault("less nesting"));
    }
    let rest = cursor.rest();
    if rest.starts_with('"') {
        return string(cursor).map(drop);
    }
    for (open, close) in [('[', ']'), ('{', '}')] {
        if !cursor.take(open) {
            continue;
        }
        if cursor.take(close) {
            return Ok(());
        }
        loop {
            if open == '{' {
                string(cursor)?;
                cursor.expect(':', ":")?;
            }
            skip(cursor, depth + 1)?;
            if !cursor.take(',') {
                return cursor.expect(close, "the end of a list or object");
            }
        }
    }
    let word = cursor.word(&[',', ']', '}', ' ', '\t']);
    if word.is_empty() { Err(cursor.fault("a value")) } else { Ok(()) }
}
