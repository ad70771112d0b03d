//! Exemplars: a single observation behind a sample, with what tells where it was made.

use crate::{Labels, TimestampMs};

/// Characters that names and values of an exemplar's labels may have together, as `OpenMetrics`
/// and Prometheus have it.
pub const EXEMPLAR_CHARS_MAX: usize = 128;

/// One exemplar of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own, such as `trace_id`.
    pub labels: Labels,
    pub value: f64,
    pub ts: TimestampMs,
}

impl Exemplar {
    /// `None` where the labels are none, or longer than [`EXEMPLAR_CHARS_MAX`].
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
        ts: TimestampMs,
    ) -> Option<Self> {
        let labels = Labels::from_pairs(pairs).ok()?;
        let n_chars: usize =
            labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        (n_chars <= EXEMPLAR_CHARS_MAX).then_some(Self { labels, value, ts })
    }
}
