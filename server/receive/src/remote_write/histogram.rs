//! One native histogram: wire to value, checked as Prometheus checks it.
//!
//! Integer histograms come with differences between buckets and leave as absolute floats.

use skep_proto::{
    CUSTOM_BUCKETS_SCHEMA, HistogramSample, NativeHistogram, ResetHint, Span, TimestampMs,
};

use crate::{
    Limits,
    protobuf::{Field, Fields, WireError, unzigzag},
};

const SCHEMA_MIN: i8 = -4;
/// What is finer is made as coarse as this.
const SCHEMA_MAX: i8 = 8;
/// The finest that Prometheus has a meaning for.
const SCHEMA_MAX_RESERVED: i64 = 52;

/// What is wrong with one histogram, in Prometheus' words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum HistogramFault {
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential \
         buckets, or -53 for custom buckets, got schema {0}"
    )]
    Schema(i64),
    #[error("{side}: {fault}")]
    Side { side: &'static str, fault: SideFault },
    #[error(
        "zero bucket has observation count of {0}: histogram has a bucket whose observation \
         count is negative"
    )]
    NegativeZeroBucket(f64),
    #[error("observation count is {0}: histogram's observation count is negative")]
    NegativeCount(f64),
    #[error(
        "{n_found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall { n_found: i128, count: u64 },
    #[error(
        "{n_found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should equal the number of observations found in the buckets (in \
         absence of NaN)"
    )]
    CountMismatch { n_found: i128, count: u64 },
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    #[error("histogram with exponential schema must not have custom bounds")]
    CustomBounds,
    #[error("histogram has {n_buckets} buckets, the limit is {n_max}")]
    TooManyBuckets { n_buckets: usize, n_max: usize },
}

/// What is wrong with its positive, negative or custom buckets.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum SideFault {
    #[error(
        "span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    NegativeOffset { number: usize, offset: i32 },
    #[error(
        "spans need {n_spans} buckets, have {n_buckets} buckets: histogram spans specify \
         different number of buckets than provided"
    )]
    Spans { n_spans: u64, n_buckets: usize },
    /// Ours: Prometheus computes on with what is left of such an index.
    #[error("histogram has a bucket whose index is beyond 32 bits")]
    Index,
    #[error(
        "bucket number {number} has observation count of {count}: histogram has a bucket whose \
         observation count is negative"
    )]
    NegativeBucket { number: usize, count: f64 },
    #[error("histogram custom bounds must not be NaN")]
    BoundNan,
    #[error(
        "previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds \
         must be in strictly increasing order"
    )]
    BoundOrder { previous: f64, current: f64 },
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    BoundInfinite,
    #[error(
        "only {n_bounds} custom bounds defined which is insufficient to cover total span length \
         of {n_spanned}: histogram custom bounds are too few"
    )]
    BoundsTooFew { n_bounds: usize, n_spanned: i64 },
}

/// `Histogram` of both versions.
///
/// # Errors
/// The outer: not the message. The inner: not a histogram.
pub(super) fn read(
    message: Fields<'_>,
    limits: &Limits,
) -> Result<Result<HistogramSample, HistogramFault>, WireError> {
    let wire = Wire::scan(message)?;
    let ts = TimestampMs(wire.ts);
    Ok(wire.checked(limits).map(|it| HistogramSample { ts, histogram: it.into() }))
}

/// The message's fields. What is given as integers and as floats counts as what its count is.
#[derive(Debug, Default)]
struct Wire {
    count: Number,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: Number,
    negative: Side,
    positive: Side,
    reset_hint: u64,
    ts: i64,
    custom_values: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Int(u64),
    Float(f64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Int(0)
    }
}

#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Wire {
    fn scan(message: Fields<'_>) -> Result<Self, WireError> {
        let mut it = Self::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => it.count = Number::Int(field.varint()?),
                2 => it.count = Number::Float(field.double()?),
                3 => it.sum = field.double()?,
                4 => it.schema = field.zigzag()?,
                5 => it.zero_threshold = field.double()?,
                6 => it.zero_count = Number::Int(field.varint()?),
                7 => it.zero_count = Number::Float(field.double()?),
                8 => it.negative.spans.push(span(field)?),
                9 => extend(&mut it.negative.deltas, field)?,
                10 => field.doubles(&mut it.negative.counts)?,
                11 => it.positive.spans.push(span(field)?),
                12 => extend(&mut it.positive.deltas, field)?,
                13 => field.doubles(&mut it.positive.counts)?,
                14 => it.reset_hint = field.varint()?,
                15 => it.ts = field.int64()?,
                16 => field.doubles(&mut it.custom_values)?,
                _ => {}
            }
        }
        Ok(it)
    }

    fn checked(self, limits: &Limits) -> Result<NativeHistogram, HistogramFault> {
        let schema = match i8::try_from(self.schema) {
            Ok(CUSTOM_BUCKETS_SCHEMA) => CUSTOM_BUCKETS_SCHEMA,
            Ok(schema) if (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema) => schema,
            Ok(schema) if schema > SCHEMA_MAX && self.schema <= SCHEMA_MAX_RESERVED => schema,
            _ => return Err(HistogramFault::Schema(self.schema)),
        };
        let zero_count = self.zero_count.as_float();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            self.check_custom(zero_count)?;
        } else if !self.custom_values.is_empty() {
            return Err(HistogramFault::CustomBounds);
        }
        let is_float = matches!(self.count, Number::Float(_));
        for (side, name) in [(&self.positive, "positive side"), (&self.negative, "negative side")] {
            let name = if schema == CUSTOM_BUCKETS_SCHEMA { "custom buckets" } else { name };
            let checked = side.check_spans(is_float);
            checked.map_err(|fault| HistogramFault::Side { side: name, fault })?;
        }
        let (negative, n_negative) = self.negative.absolute(is_float, "negative side")?;
        let (positive, n_positive) = self.positive.absolute(is_float, "positive side")?;
        if let (Number::Int(count), Number::Int(n_zero)) = (self.count, self.zero_count) {
            let n_found = n_negative + n_positive + i128::from(n_zero);
            let count_of_all = i128::from(count);
            if self.sum.is_nan() && n_found > count_of_all {
                return Err(HistogramFault::CountTooSmall { n_found, count });
            }
            if !self.sum.is_nan() && n_found != count_of_all {
                return Err(HistogramFault::CountMismatch { n_found, count });
            }
        }
        let count = self.count.as_float();
        if zero_count < 0.0 {
            return Err(HistogramFault::NegativeZeroBucket(zero_count));
        }
        if count < 0.0 {
            return Err(HistogramFault::NegativeCount(count));
        }
        let mut histogram = NativeHistogram {
            reset_hint: reset_hint(self.reset_hint),
            schema,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            negative_spans: self.negative.spans,
            positive,
            negative,
            custom_values: self.custom_values,
        };
        if schema > SCHEMA_MAX {
            reduce(&mut histogram, schema.abs_diff(SCHEMA_MAX));
            histogram.schema = SCHEMA_MAX;
        }
        fit(&mut histogram, limits)?;
        Ok(histogram)
    }

    fn check_custom(&self, zero_count: f64) -> Result<(), HistogramFault> {
        let checked = self.positive.check_bounds(&self.custom_values);
        checked.map_err(|fault| HistogramFault::Side { side: "custom buckets", fault })?;
        if zero_count != 0.0 {
            return Err(HistogramFault::CustomZeroCount);
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramFault::CustomZeroThreshold);
        }
        if !self.negative.spans.is_empty() {
            return Err(HistogramFault::CustomNegativeSpans);
        }
        if !self.negative.deltas.is_empty() || !self.negative.counts.is_empty() {
            return Err(HistogramFault::CustomNegativeBuckets);
        }
        Ok(())
    }
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
    fn as_float(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(n) => n,
        }
    }
}

impl Side {
    fn check_spans(&self, is_float: bool) -> Result<(), SideFault> {
        let (mut n_spans, mut end) = (0_u64, 0_i64);
        for (at, span) in self.spans.iter().enumerate() {
            if at > 0 && span.offset < 0 {
                return Err(SideFault::NegativeOffset { number: at + 1, offset: span.offset });
            }
            n_spans = n_spans.saturating_add(u64::from(span.length));
            end = end.saturating_add(i64::from(span.offset) + i64::from(span.length));
        }
        let n_buckets = if is_float { self.counts.len() } else { self.deltas.len() };
        if n_spans != n_buckets as u64 {
            return Err(SideFault::Spans { n_spans, n_buckets });
        }
        if i32::try_from(end).is_err() { Err(SideFault::Index) } else { Ok(()) }
    }

    fn check_bounds(&self, bounds: &[f64]) -> Result<(), SideFault> {
        let mut previous = f64::NEG_INFINITY;
        for &current in bounds {
            if current.is_nan() {
                return Err(SideFault::BoundNan);
            }
            if current <= previous {
                return Err(SideFault::BoundOrder { previous, current });
            }
            previous = current;
        }
        if previous == f64::INFINITY {
            return Err(SideFault::BoundInfinite);
        }
        let mut n_spanned = 0_i64;
        for (at, span) in self.spans.iter().enumerate() {
            if span.offset < 0 {
                return Err(SideFault::NegativeOffset { number: at + 1, offset: span.offset });
            }
            n_spanned = n_spanned.saturating_add(i64::from(span.offset) + i64::from(span.length));
        }
        let n_bounds = bounds.len();
        if i64::try_from(n_bounds).is_ok_and(|it| it + 1 < n_spanned) {
            return Err(SideFault::BoundsTooFew { n_bounds, n_spanned });
        }
        Ok(())
    }

    /// Absolute counts, and what integers add up to.
    fn absolute(
        &self,
        is_float: bool,
        side: &'static str,
    ) -> Result<(Vec<f64>, i128), HistogramFault> {
        let negative = |number, count| {
            let fault = SideFault::NegativeBucket { number, count };
            Err(HistogramFault::Side { side, fault })
        };
        if is_float {
            return match self.counts.iter().position(|it| *it < 0.0) {
                Some(at) => negative(at + 1, self.counts.get(at).copied().unwrap_or_default()),
                None => Ok((self.counts.clone(), 0)),
            };
        }
        let (mut count, mut n_all) = (0_i128, 0_i128);
        let mut counts = Vec::with_capacity(self.deltas.len());
        for (at, delta) in self.deltas.iter().enumerate() {
            count += i128::from(*delta);
            #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53")]
            let as_float = count as f64;
            if count < 0 {
                return negative(at + 1, as_float);
            }
            n_all += count;
            counts.push(as_float);
        }
        Ok((counts, n_all))
    }
}

/// Has a histogram lose resolution until it has no more buckets than it may.
fn fit(histogram: &mut NativeHistogram, limits: &Limits) -> Result<(), HistogramFault> {
    loop {
        let n_buckets = histogram.positive.len() + histogram.negative.len();
        let n_max = limits.buckets_max;
        if n_buckets.max(histogram.custom_values.len()) <= n_max {
            return Ok(());
        }
        if histogram.schema <= SCHEMA_MIN {
            return Err(HistogramFault::TooManyBuckets { n_buckets, n_max });
        }
        reduce(histogram, 1);
        histogram.schema -= 1;
    }
}

/// Makes buckets `2^by` times as wide. The caller changes the schema.
fn reduce(histogram: &mut NativeHistogram, by: u8) {
    let NativeHistogram { positive_spans, positive, negative_spans, negative, .. } = histogram;
    for (spans, counts) in [(positive_spans, positive), (negative_spans, negative)] {
        (*spans, *counts) = reduced(spans, counts, by);
    }
}

fn reduced(spans: &[Span], counts: &[f64], by: u8) -> (Vec<Span>, Vec<f64>) {
    let (mut out_spans, mut out_counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut counts = counts.iter();
    // Of the next bucket, and of the one behind the last that was put out.
    let (mut idx, mut end) = (0_i64, None);
    for span in spans {
        idx += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            // Bucket i of a width holds those up to (1 + the greatest below it) of half that.
            let target = ((idx - 1) >> by.min(62)) + 1;
            idx += 1;
            if end == Some(target + 1) {
                if let Some(last) = out_counts.last_mut() {
                    *last += count;
                }
                continue;
            }
            match (out_spans.last_mut(), end) {
                (Some(span), Some(end)) if end == target => span.length += 1,
                _ => {
                    let offset = target - end.unwrap_or(0);
                    let offset = i32::try_from(offset).unwrap_or(i32::MAX);
                    out_spans.push(Span { offset, length: 1 });
                }
            }
            out_counts.push(*count);
            end = Some(target + 1);
        }
    }
    (out_spans, out_counts)
}

/// `BucketSpan`: offset 1, length 2.
fn span(field: Field<'_>) -> Result<Span, WireError> {
    let mut span = Span::default();
    for field in field.message()? {
        let field = field?;
        match field.number {
            // Both are of 32 bits, and cut to that by every reader of protobuf.
            1 => span.offset = low_32(field.varint()?, unzigzag_32),
            2 => span.length = low_32(field.varint()?, |it| it),
            _ => {}
        }
    }
    Ok(span)
}

fn unzigzag_32(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
fn low_32<T>(value: u64, read: impl Fn(u32) -> T) -> T {
    read(value as u32)
}

fn extend(deltas: &mut Vec<i64>, field: Field<'_>) -> Result<(), WireError> {
    for delta in field.varints()? {
        deltas.push(unzigzag(delta?));
    }
    Ok(())
}

/// `Histogram.ResetHint`.
fn reset_hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
