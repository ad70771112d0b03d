//! The rows of a record of native histograms.
//!
//! ```text
//! rows      = n series, n × (id ±, n histograms, n × histogram)
//! histogram = ts ±, reset hint u8, schema u8, zero threshold, zero count, count, sum: f64 LE,
//!             positive spans, negative spans: n, n × (offset ±, length),
//!             positive, negative, custom values: n, n × f64 LE
//! ```
//! Ids and time stamps are differences from the ones before.

use std::sync::Arc;

use skep_proto::{HistogramSample, NativeHistogram, Span, TimestampMs};

use super::{RecordError, put_varint, take_length, take_varint, unzigzag, zigzag};
use crate::histograms::{hint_code, hint_of};

/// Ids with their histograms, in the order they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HistogramColumns(pub(crate) Vec<(i64, Vec<HistogramSample>)>);

pub(super) fn put(out: &mut Vec<u8>, columns: &HistogramColumns) {
    put_varint(out, columns.0.len() as u64);
    let (mut id_before, mut ts_before) = (0_i64, 0_i64);
    for (id, histograms) in &columns.0 {
        put_varint(out, zigzag(id.wrapping_sub(id_before)));
        id_before = *id;
        put_varint(out, histograms.len() as u64);
        for it in histograms {
            put_varint(out, zigzag(it.ts.0.wrapping_sub(ts_before)));
            ts_before = it.ts.0;
            put_histogram(out, &it.histogram);
        }
    }
}

fn put_histogram(out: &mut Vec<u8>, it: &NativeHistogram) {
    out.push(hint_code(it.reset_hint).cast_unsigned());
    out.push(it.schema.cast_unsigned());
    for float in [it.zero_threshold, it.zero_count, it.count, it.sum] {
        out.extend(float.to_le_bytes());
    }
    for spans in [&it.positive_spans, &it.negative_spans] {
        put_varint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, zigzag(i64::from(span.offset)));
            put_varint(out, u64::from(span.length));
        }
    }
    for floats in [&it.positive, &it.negative, &it.custom_values] {
        put_varint(out, floats.len() as u64);
        floats.iter().for_each(|it| out.extend(it.to_le_bytes()));
    }
}

pub(super) fn take(rest: &mut &[u8]) -> Result<HistogramColumns, RecordError> {
    let (mut id, mut ts) = (0_i64, 0_i64);
    let mut series = Vec::new();
    for _ in 0..take_length(rest)? {
        id = id.wrapping_add(unzigzag(take_varint(rest)?));
        let mut histograms = Vec::new();
        for _ in 0..take_length(rest)? {
            ts = ts.wrapping_add(unzigzag(take_varint(rest)?));
            let histogram = Arc::new(take_histogram(rest)?);
            histograms.push(HistogramSample { ts: TimestampMs(ts), histogram });
        }
        series.push((id, histograms));
    }
    Ok(HistogramColumns(series))
}

fn take_histogram(rest: &mut &[u8]) -> Result<NativeHistogram, RecordError> {
    let ([hint, schema], after) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    *rest = after;
    Ok(NativeHistogram {
        reset_hint: hint_of(hint.cast_signed()),
        schema: schema.cast_signed(),
        zero_threshold: take_float(rest)?,
        zero_count: take_float(rest)?,
        count: take_float(rest)?,
        sum: take_float(rest)?,
        positive_spans: take_spans(rest)?,
        negative_spans: take_spans(rest)?,
        positive: take_floats(rest)?,
        negative: take_floats(rest)?,
        custom_values: take_floats(rest)?,
    })
}

fn take_float(rest: &mut &[u8]) -> Result<f64, RecordError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    *rest = after;
    Ok(f64::from_le_bytes(*bytes))
}

fn take_floats(rest: &mut &[u8]) -> Result<Vec<f64>, RecordError> {
    (0..take_length(rest)?).map(|_| take_float(rest)).collect()
}

fn take_spans(rest: &mut &[u8]) -> Result<Vec<Span>, RecordError> {
    (0..take_length(rest)?)
        .map(|_| {
            let offset = unzigzag(take_varint(rest)?);
            let offset = i32::try_from(offset).or(Err(RecordError::Length))?;
            let length = u32::try_from(take_varint(rest)?).or(Err(RecordError::Length))?;
            Ok(Span { offset, length })
        })
        .collect()
}
