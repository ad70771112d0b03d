//! What of a request was left out of its rows.

use std::fmt;

/// Texts kept of one request; more are only counted.
const REASONS_MAX: usize = 10;
/// Bytes kept of one text: it quotes what the sender wrote.
const REASON_BYTES_MAX: usize = 1 << 10;

/// Series, streams and entries that were left out, and the first reasons. Prints as the text of a
/// 400 answer: a reason a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Whole series or streams.
    pub n_series: usize,
    /// Samples or entries, those of refused series included.
    pub n_values: usize,
    n_reasons: usize,
    reasons: Vec<String>,
}

impl Refused {
    pub fn is_empty(&self) -> bool {
        self.n_reasons == 0
    }

    pub(crate) fn series(&mut self, n_values: usize, reason: &dyn fmt::Display) {
        self.n_series += 1;
        self.values(n_values, reason);
    }

    pub(crate) fn values(&mut self, n_values: usize, reason: &dyn fmt::Display) {
        self.n_values += n_values;
        self.n_reasons += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(shortened(reason.to_string()));
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.reasons.iter().enumerate() {
            out.write_str(if i == 0 { "" } else { "\n" })?;
            out.write_str(reason)?;
        }
        match self.n_reasons - self.reasons.len() {
            0 => Ok(()),
            n_more => write!(out, "\nand {n_more} more"),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > REASON_BYTES_MAX {
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        text.push('…');
    }
    text
}
