//! What a query wants its reader to know beside its result: warnings and infos.

use std::collections::BTreeSet;

use skep_proto::TimestampMs;

use crate::{
    ast::Span,
    functions::date::format_time,
    lex::quote,
    number::{format_go, format_two_digits},
    parse::position,
};

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
