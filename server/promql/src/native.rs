//! Native histograms taken apart: a count for each bucket index, for arithmetic and estimates.
//!
//! Semantics are those of Prometheus' float histograms
//! (<https://prometheus.io/docs/specs/native_histograms/>).

mod add;
mod bounds;
mod count;
mod fold;
mod quantile;
mod reset;
mod schema;
mod show;
mod trim;
mod variance;
mod walk;
mod zero;

use skep_proto::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, ResetHint, Span};

pub(crate) use add::{Added, MixedSchemas};
pub(crate) use count::Count;
pub(crate) use fold::{Fold, fold};
pub(crate) use quantile::{Unsure, fraction, quantile};
pub(crate) use show::show;
pub(crate) use trim::{Side, trim};
pub(crate) use variance::variance;
pub use walk::{Bucket, buckets};

/// One histogram, its buckets as pairs of index and count in order of index. Empty buckets that
/// were spelled out are kept until [`Histogram::compact`].
#[derive(Debug, Clone)]
pub(crate) struct Histogram<N = f64> {
    pub(crate) hint: ResetHint,
    pub(crate) schema: i8,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: N,
    pub(crate) count: N,
    pub(crate) sum: N,
    pub(crate) positive: Buckets<N>,
    pub(crate) negative: Buckets<N>,
    /// Upper bounds of custom buckets, ascending.
    pub(crate) custom_values: Vec<f64>,
}

pub(crate) type Buckets<N> = Vec<(i32, N)>;

impl From<&NativeHistogram> for Histogram {
    fn from(it: &NativeHistogram) -> Self {
        Self {
            hint: it.reset_hint,
            schema: it.schema,
            zero_threshold: it.zero_threshold,
            zero_count: it.zero_count,
            count: it.count,
            sum: it.sum,
            positive: pairs(&it.positive_spans, &it.positive),
            negative: pairs(&it.negative_spans, &it.negative),
            custom_values: it.custom_values.clone(),
        }
    }
}

/// Spans that promise more buckets than there are counts end with the counts.
fn pairs(spans: &[Span], counts: &[f64]) -> Buckets<f64> {
    let mut counts = counts.iter();
    let mut pairs = Vec::with_capacity(counts.len());
    let mut next = 0_i32;
    for span in spans {
        next = next.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else {
                return pairs;
            };
            pairs.push((next, *count));
            next = next.saturating_add(1);
        }
    }
    pairs
}

impl<N: Count> Histogram<N> {
    /// Nothing counted, in the layout of another.
    pub(crate) fn empty_like<M>(other: &Histogram<M>) -> Self {
        Self {
            hint: ResetHint::Unknown,
            schema: other.schema,
            zero_threshold: 0.0,
            zero_count: N::new(0.0),
            count: N::new(0.0),
            sum: N::new(0.0),
            positive: Vec::new(),
            negative: Vec::new(),
            custom_values: other.custom_values.clone(),
        }
    }

    pub(crate) fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The same with another kind of counts.
    pub(crate) fn counted<M: Count>(&self) -> Histogram<M> {
        let of = |it: &Buckets<N>| it.iter().map(|(i, n)| (*i, M::new(n.total()))).collect();
        Histogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: M::new(self.zero_count.total()),
            count: M::new(self.count.total()),
            sum: M::new(self.sum.total()),
            positive: of(&self.positive),
            negative: of(&self.negative),
            custom_values: self.custom_values.clone(),
        }
    }

    fn each_count(&mut self, mut change: impl FnMut(&mut N)) {
        change(&mut self.zero_count);
        change(&mut self.count);
        change(&mut self.sum);
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            change(count);
        }
    }

    /// Every count and the sum times a factor; a negative one makes a gauge of it.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.each_count(|it| it.scale(factor));
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Division by zero leaves no bucket.
    pub(crate) fn divide(&mut self, by: f64) {
        if by == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
        self.each_count(|it| it.divide(by));
        if by < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Whether a count went beyond what floats hold.
    pub(crate) fn has_overflow(&mut self) -> bool {
        let mut is_over = false;
        self.each_count(|it| is_over |= it.is_infinite());
        is_over
    }
}

impl Histogram {
    /// Drops empty buckets.
    pub(crate) fn compact(&mut self) {
        self.positive.retain(|(_, count)| *count != 0.0);
        self.negative.retain(|(_, count)| *count != 0.0);
    }

    /// Whether both say the same, empty buckets included; the hint does not count.
    #[expect(clippy::float_cmp, reason = "equal or not, as the language says")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_bits = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let same = |a: &Buckets<f64>, b: &Buckets<f64>| {
            a.len() == b.len()
                && a.iter().zip(b).all(|((i, a), (j, b))| i == j && same_bits(*a, *b))
        };
        self.schema == other.schema
            && self.count == other.count
            && (self.sum == other.sum || same_bits(self.sum, other.sum))
            && self.zero_threshold == other.zero_threshold
            && same_bits(self.zero_count, other.zero_count)
            && self.custom_values == other.custom_values
            && same(&self.positive, &other.positive)
            && same(&self.negative, &other.negative)
    }

    /// Puts it together again.
    pub(crate) fn build(self) -> NativeHistogram {
        let (positive_spans, positive) = spans(self.positive);
        let (negative_spans, negative) = spans(self.negative);
        NativeHistogram {
            reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive,
            negative,
            custom_values: self.custom_values,
        }
    }
}

fn spans(buckets: Buckets<f64>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut counts = Vec::with_capacity(buckets.len());
    let mut next = 0_i32;
    for (idx, count) in buckets {
        match spans.last_mut() {
            Some(held) if idx == next => held.length += 1,
            _ => spans.push(Span { offset: idx.saturating_sub(next), length: 1 }),
        }
        counts.push(count);
        next = idx.saturating_add(1);
    }
    (spans, counts)
}
