//! Prometheus' text and OpenMetrics: a line a sample.

use skep_proto::{Sample, TimestampMs, names::METRIC_NAME};

use super::{Cursor, LineFault, Series};

/// What a time stamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Ms,
    /// With decimals.
    Seconds,
}

/// Comments, types and help are no samples.
pub(super) fn read(
    line: &str,
    default_ts: TimestampMs,
    unit: Unit,
) -> Result<Option<Series>, LineFault> {
    let mut cursor = Cursor::new(line);
    cursor.skip_blanks();
    if cursor.rest().is_empty() || cursor.rest().starts_with('#') {
        return Ok(None);
    }
    let mut labels = Vec::new();
    let name = cursor.word(&['{', ' ', '\t']);
    if !name.is_empty() {
        labels.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if cursor.take('{') {
        read_labels(&mut cursor, &mut labels)?;
    }
    let at = cursor.at;
    let value = cursor.word(&[' ', '\t']);
    // Rust reads Go's spellings too: `+Inf`, `NaN`.
    let value = value.parse::<f64>().map_err(|_no_number: std::num::ParseFloatError| {
        LineFault::Syntax { expected: "a value", at }
    })?;
    let ts = match cursor.word(&[' ', '\t']) {
        // An exemplar may follow, which is not stored.
        "" | "#" => default_ts,
        text => {
            time(text, unit).ok_or(LineFault::Syntax { expected: "a time stamp", at: cursor.at })?
        }
    };
    Ok(Some(Series { labels, samples: vec![Sample { ts, value }] }))
}

/// After the opening brace; a quoted string alone is the metric's name.
fn read_labels(
    cursor: &mut Cursor<'_>,
    labels: &mut Vec<(String, String)>,
) -> Result<(), LineFault> {
    loop {
        if cursor.take('}') {
            return Ok(());
        }
        cursor.skip_blanks();
        let name = if cursor.rest().starts_with('"') {
            unescaped(cursor.quoted()?)
        } else {
            cursor.word(&['=', ' ', '\t', '}', ',']).to_owned()
        };
        if cursor.take('=') {
            labels.push((name, unescaped(cursor.quoted()?)));
        } else if labels.is_empty() && !name.is_empty() {
            labels.push((METRIC_NAME.to_owned(), name));
        } else {
            return Err(cursor.fault("="));
        }
        if !cursor.take(',') {
            return cursor.expect('}', "} or ,");
        }
    }
}

/// A string in quotes without them.
fn unescaped(quoted: &str) -> String {
    let inside = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(quoted);
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(it) = chars.next() {
        match it {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(it) => text.push(it),
                None => text.push('\\'),
            },
            it => text.push(it),
        }
    }
    text
}

fn time(text: &str, unit: Unit) -> Option<TimestampMs> {
    match unit {
        Unit::Ms => text.parse().ok().map(TimestampMs),
        Unit::Seconds => seconds_to_ms(text),
    }
}

/// Exactly, where a double would not do: digits, point, up to three digits that count.
fn seconds_to_ms(text: &str) -> Option<TimestampMs> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|it| it.is_ascii_digit()) || text.contains(['e', 'E']) {
        let ms = text.parse::<f64>().ok().filter(|it| it.abs() < 9.2e15)? * 1_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked before")]
        return Some(TimestampMs(ms.round() as i64));
    }
    let seconds: i64 = whole.parse().ok()?;
    let ms: i64 = format!("{:0<3}", decimals.get(..3).unwrap_or(decimals)).parse().ok()?;
    let ms = if whole.starts_with('-') { -ms } else { ms };
    seconds.checked_mul(1_000)?.checked_add(ms).map(TimestampMs)
}
