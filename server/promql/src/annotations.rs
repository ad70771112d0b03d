//! What a query wants its reader to know beside its result: warnings and infos.

use std::collections::BTreeSet;

use crate::{ast::Span, lex::quote, parse::position};

/// Each text once, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

impl Annotations {
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    pub fn infos(&self) -> impl Iterator<Item = &str> {
        self.infos.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    fn warn(&mut self, query: &str, at: Span, text: &str) {
        self.warnings.insert(format!("PromQL warning: {text} ({})", position(query, at.start)));
    }

    fn info(&mut self, query: &str, at: Span, text: &str) {
        self.infos.insert(format!("PromQL info: {text} ({})", position(query, at.start)));
    }

    pub(crate) fn invalid_quantile(&mut self, query: &str, at: Span, q: f64) {
        let q = crate::number::format_go(q);
        self.warn(query, at, &format!("quantile value should be between 0 and 1, got {q}"));
    }

    pub(crate) fn invalid_ratio(&mut self, query: &str, at: Span, ratio: f64, to: f64) {
        let (ratio, to) = (crate::number::format_go(ratio), crate::number::format_go(to));
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

    pub(crate) fn bad_bucket(&mut self, query: &str, at: Span, metric: &str, le: &str) {
        self.warn(
            query,
            at,
            &format!(
                "bucket label \"le\" is missing or has a malformed value of {} for metric name {}",
                quote(le),
                quote(metric)
            ),
        );
    }

    pub(crate) fn not_monotonic(&mut self, query: &str, at: Span, metric: &str) {
        self.info(
            query,
            at,
            &format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/\
                 #histogram_quantile) for metric name {}",
                quote(metric)
            ),
        );
    }
}
