//! What a query wants its reader to know beside its result: warnings and infos.

mod note;

use std::collections::BTreeMap;

pub use note::{Note, Notes, Operation};

use skep_proto::TimestampMs;

use crate::{
    ast::Span,
    functions::date::format_time,
    lex::quote,
    number::{format_go, format_two_digits},
    parse::position,
};

/// Bounds the texts kept of each kind: a selector can match any number of metric names.
const N_TEXTS_MAX: usize = 1000;

/// Each text once, sorted, with where in the query it is about: the last place of those that have
/// the same to say, as in Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    warnings: Texts,
    infos: Texts,
}

/// What is said once, to where it was said and how it reads with that.
type Texts = BTreeMap<String, (usize, String)>;

impl Annotations {
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.values().map(|(_, text)| text.as_str())
    }

    pub fn infos(&self) -> impl Iterator<Item = &str> {
        self.infos.values().map(|(_, text)| text.as_str())
    }

    /// Warnings and infos for an answer, at most `n_max` of each and then how many more there are.
    pub fn limited(&self, n_max: usize) -> (Vec<String>, Vec<String>) {
        (limited(&self.warnings, n_max, "warning"), limited(&self.infos, n_max, "info"))
    }

    /// Takes those of another part of the same query.
    pub fn append(&mut self, mut other: Self) {
        self.warnings.append(&mut other.warnings);
        self.infos.append(&mut other.infos);
    }

    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    fn warn(&mut self, query: &str, at: Span, text: &str) {
        insert(&mut self.warnings, query, at, format!("PromQL warning: {text}"));
    }

    fn info(&mut self, query: &str, at: Span, text: &str) {
        insert(&mut self.infos, query, at, format!("PromQL info: {text}"));
    }

    pub(crate) fn note(&mut self, query: &str, at: Span, note: &Note) {
        if note.is_info() {
            self.info(query, at, &note.text());
        } else {
            self.warn(query, at, &note.text());
        }
    }

    pub(crate) fn invalid_quantile(&mut self, query: &str, at: Span, q: f64) {
        let q = format_go(q);
        self.warn(query, at, &format!("quantile value should be between 0 and 1, got {q}"));
    }

    pub(crate) fn invalid_ratio(&mut self, query: &str, at: Span, ratio: f64, to: f64) {
        let (ratio, to) = (format_go(ratio), format_go(to));
        self.warn(
            query,
            at,
            &format!("ratio value should be between -1 and 1, got {ratio}, capping to {to}"),
        );
    }

    pub(crate) fn possible_non_counter(&mut self, query: &str, at: Span, metric: &str) {
        self.info(
            query,
            at,
            &format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
                 {}",
                quote(metric)
            ),
        );
    }

    pub(crate) fn ineffective_sort(&mut self, query: &str, at: Span) {
        self.warn(
            query,
            at,
            "sort is ineffective for range queries since results are always ordered by labels",
        );
    }

    pub(crate) fn bad_bucket(&mut self, query: &str, at: Span, metric: &str, le: &str) {
        let le = quote(le);
        let metric = for_metric(metric);
        self.warn(
            query,
            at,
            &format!("bucket label \"le\" is missing or has a malformed value of {le}{metric}"),
        );
    }

    pub(crate) fn not_monotonic(&mut self, query: &str, at: Span, metric: &str, fixes: &Fixes) {
        self.info(
            query,
            at,
            &format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/\
                 #histogram_quantile){}, from buckets {} to {}, with a max diff of {}, over {} \
                 samples from {} to {}",
                for_metric(metric),
                format_go(fixes.bound_min),
                format_go(fixes.bound_max),
                format_two_digits(fixes.difference_max),
                fixes.n_samples,
                format_time(fixes.first),
                format_time(fixes.last),
            ),
        );
    }
}

fn insert(texts: &mut Texts, query: &str, at: Span, text: String) {
    let is_later = match texts.get(&text) {
        Some((held, _)) => *held < at.start,
        None => texts.len() < N_TEXTS_MAX,
    };
    if is_later {
        let shown = format!("{text} ({})", position(query, at.start));
        texts.insert(text, (at.start, shown));
    }
}

fn limited(texts: &Texts, n_max: usize, kind: &str) -> Vec<String> {
    let mut shown: Vec<String> = texts.values().take(n_max).map(|(_, text)| text.clone()).collect();
    if let Some(n_more @ 1..) = texts.len().checked_sub(n_max) {
        shown.push(format!("{n_more} more {kind} annotations omitted"));
    }
    shown
}

fn for_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for metric name {}", quote(name)) }
}

/// What was changed so that bucket counts rise, over all histograms of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fixes {
    pub(crate) bound_min: f64,
    pub(crate) bound_max: f64,
    pub(crate) difference_max: f64,
    pub(crate) n_samples: i64,
    pub(crate) first: TimestampMs,
    pub(crate) last: TimestampMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_some_texts_and_counts_the_rest() {
        let mut annotations = Annotations::default();
        for i in 0..N_TEXTS_MAX + 5 {
            annotations.possible_non_counter("m", Span::default(), &format!("m{i:04}"));
        }
        let (warnings, infos) = annotations.limited(2);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(infos.len(), 3);
        assert_eq!(infos[2], format!("{} more info annotations omitted", N_TEXTS_MAX - 2));
    }
}
