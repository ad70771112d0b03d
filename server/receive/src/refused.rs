//! What of a request was left out of its rows.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

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
    /// The first faults, each text once, and how often it came.
    texts: Vec<(String, usize)>,
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

    /// The faults as Loki tells them: a single one by its text, others as `2 errors like: …`.
    pub fn grouped(&self) -> String {
        let is_single = self.n_faults == 1;
        let mut groups: Vec<String> = self
            .texts
            .iter()
            .map(
                |(text, n)| {
                    if is_single { text.clone() } else { format!("{n} errors like: {text}") }
                },
            )
            .collect();
        match self.n_untold() {
            0 => {}
            n_more => groups.push(format!("and {n_more} more")),
        }
        groups.join("; ")
    }

    pub(crate) fn series(&mut self, n_values: usize, fault: &dyn Fault) {
        self.n_series += 1;
        self.values(n_values, fault);
    }

    pub(crate) fn values(&mut self, n_values: usize, fault: &dyn Fault) {
        self.n_values += n_values;
        self.n_faults += 1;
        self.reasons.insert(fault.reason());
        let text = shortened(fault);
        let has_room = self.texts.len() < TEXTS_MAX;
        match self.texts.iter_mut().find(|(it, _)| *it == text) {
            Some((_, n)) => *n += 1,
            None if has_room => self.texts.push((text, 1)),
            None => {}
        }
    }

    fn n_untold(&self) -> usize {
        self.n_faults - self.texts.iter().map(|(_, n)| n).sum::<usize>()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (text, n)) in self.texts.iter().enumerate() {
            out.write_str(if i == 0 { "" } else { "\n" })?;
            out.write_str(text)?;
            if *n > 1 {
                write!(out, " ({n} times)")?;
            }
        }
        match self.n_untold() {
            0 => Ok(()),
            n_more => write!(out, "\nand {n_more} more"),
        }
    }
}

/// A fault's text, of which no more is made than is kept: it may quote megabytes.
fn shortened(fault: &dyn Fault) -> String {
    let mut bounded = Bounded(String::new());
    if write!(bounded, "{fault}").is_err() {
        bounded.0.push('…');
    }
    bounded.0
}

/// Takes [`TEXT_BYTES_MAX`] bytes, and fails at the first one more.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_BYTES_MAX - self.0.len();
        let taken = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        self.0.push_str(taken);
        if taken.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
