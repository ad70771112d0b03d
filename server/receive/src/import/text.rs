//! Prometheus' text and OpenMetrics: a line a sample.

use skep_proto::{Sample, TimestampMs};

use super::{LineFault, Series};
use crate::exposition::{LabelVec, Line, Names, Syntax, read_line, read_series};

/// Comments, types and help are no samples; exemplars are not stored.
pub(super) fn read(
    line: &str,
    default_ts: TimestampMs,
    syntax: Syntax,
) -> Result<Option<Series>, LineFault> {
    let Line::Sample(line) = read_line(line, syntax)? else { return Ok(None) };
    let mut labels = LabelVec::new();
    read_series(line.series, Names::Any, &mut labels)?;
    let sample = Sample { ts: line.ts.unwrap_or(default_ts), value: line.value };
    let owned = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        (name.into_owned(), value.into_owned())
    };
    let labels = labels.into_iter().map(owned).collect();
    Ok(Some(Series { labels, samples: vec![sample] }))
}
