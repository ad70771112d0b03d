//! What of a request was left out of its rows.

use std::{collections::BTreeSet, fmt};

use crate::{Reason, reason::Fault};

/// Texts kept of one request; more are only counted.
const TEXTS_MAX: usize = 10;
/// Bytes kept of one text: it quotes what the sender wrote.
const TEXT_BYTES_MAX: usize = 1 << 10;

/// Series, streams and entries that were left out, and what is wrong with the first. Prints as the
/// text of a 400 answer: a fault a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Whole series or streams.
    pub n_series: usize,
    /// Samples or entries, those of refused series included.
    pub n_values: usize,
    n_faults: usize,
    texts: Vec<String>,
    reasons: BTreeSet<Reason>,
}

impl Refused {
    pub fn is_empty(&self) -> bool {
        self.n_faults == 0
    }

    /// Each once.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.reasons.iter().copied()
    }

    pub(crate) fn series(&mut self, n_values: usize, fault: &dyn Fault) {
        self.n_series += 1;
        self.values(n_values, fault);
    }

    pub(crate) fn values(&mut self, n_values: usize, fault: &dyn Fault) {
        self.n_values += n_values;
        self.n_faults += 1;
        self.reasons.insert(fault.reason());
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(shortened(fault.to_string()));
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, text) in self.texts.iter().enumerate() {
            out.write_str(if i == 0 { "" } else { "\n" })?;
            out.write_str(text)?;
        }
        match self.n_faults - self.texts.len() {
            0 => Ok(()),
            n_more => write!(out, "\nand {n_more} more"),
        }
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
