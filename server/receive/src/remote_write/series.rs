//! One series on its way into the rows: its labels are checked here, for both versions.

use skep_proto::{
    Exemplar, Fingerprint, HistogramRows, HistogramSample, KeyedRow, KnownSeries, SeriesRef,
    names::METRIC_NAME,
};

use super::{
    Decoded,
    histogram::{self, HistogramFault},
    labels_text,
};
use crate::{
    Error, Limits, Reason, Refused, TooLarge,
    protobuf::{Fields, WireError, fields, take_varint},
    reason::Fault,
};

/// What is wrong with one series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SeriesFault {
    #[error("invalid metric name or labels, got {labels}")]
    Invalid { labels: String },
    #[error("invalid labels for series, labels {labels}, duplicated label {name}")]
    Duplicate { labels: String, name: String },
    #[error("series has more than {n_max} labels, labels {labels}")]
    TooManyLabels { labels: String, n_max: usize },
    #[error("label name is longer than {size_bytes_max} bytes, labels {labels}")]
    NameTooLong { labels: String, size_bytes_max: usize },
    #[error("value of label {name} is longer than {size_bytes_max} bytes, labels {labels}")]
    ValueTooLong { labels: String, name: String, size_bytes_max: usize },
    #[error("invalid labelRefs: {n_refs} is an odd number of references")]
    OddRefs { n_refs: usize },
    #[error("labelRefs {symbol_ref} outside of symbols table (size {n_symbols})")]
    Ref { symbol_ref: u64, n_symbols: usize },
}

impl Fault for SeriesFault {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid { .. } | Self::OddRefs { .. } | Self::Ref { .. } => Reason::InvalidLabels,
            Self::Duplicate { .. } => Reason::DuplicateLabels,
            Self::TooManyLabels { .. } => Reason::TooManyLabels,
            Self::NameTooLong { .. } => Reason::LabelNameTooLong,
            Self::ValueTooLong { .. } => Reason::LabelValueTooLong,
        }
    }
}

/// Reused from series to series, so that a request costs no allocation per series. Its samples are
/// in the rows already, as those that no series has yet.
#[derive(Debug, Default)]
pub(super) struct Series<'a> {
    /// Empty where the series is known.
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) known: Option<SeriesRef>,
    /// Of the labels' spelling, where it can be told.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Those that are valid.
    histograms: Vec<HistogramSample>,
    histogram_faults: Vec<HistogramFault>,
    n_histograms: usize,
    pub(super) exemplars: Vec<Exemplar>,
    /// Found while scanning; the samples are still counted.
    pub(super) fault: Option<SeriesFault>,
}

impl<'a> Series<'a> {
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.known = None;
        self.fingerprint = None;
        self.histograms.clear();
        self.histogram_faults.clear();
        self.n_histograms = 0;
        self.exemplars.clear();
        self.fault = None;
    }

    pub(super) fn label(&mut self, name: &'a str, value: &'a str, limits: &Limits) {
        if self.labels.len() < limits.labels_max {
            self.labels.push((name, value));
        } else if self.fault.is_none() {
            let labels = labels_text(&self.labels);
            self.fault = Some(SeriesFault::TooManyLabels { labels, n_max: limits.labels_max });
        }
    }

    /// A native histogram. What is wrong with it is told with the labels, so that they are read.
    pub(super) fn histogram(
        &mut self,
        message: Fields<'_>,
        limits: &Limits,
    ) -> Result<(), WireError> {
        self.n_histograms += 1;
        if self.n_histograms > histograms_max(limits) {
            return Ok(());
        }
        match histogram::read(message, limits)? {
            Ok(histogram) => self.histograms.push(histogram),
            Err(fault) => {
                self.known = None;
                self.histogram_faults.push(fault);
            }
        }
        Ok(())
    }

    /// An exemplar; `None` is not one.
    pub(super) fn exemplar(&mut self, exemplar: Option<Exemplar>) {
        if self.exemplars.len() < EXEMPLARS_MAX {
            self.exemplars.extend(exemplar);
        }
    }

    /// Looks for the series by its fingerprint, unless its labels have to be told.
    pub(super) fn know(&mut self, known: &mut impl KnownSeries) {
        let fingerprint = self.fingerprint.filter(|_| self.histogram_faults.is_empty());
        self.known = fingerprint.and_then(|it| known.find(it));
    }

    pub(super) fn not_utf8(&mut self) {
        let labels = labels_text(&self.labels);
        self.fault.get_or_insert(SeriesFault::Invalid { labels });
    }

    /// Puts the series into the rows, or what is wrong with it into `refused`.
    pub(super) fn finish(
        &mut self,
        decoded: &mut Decoded<'a>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let Decoded { rows, refused, histograms, exemplars, .. } = decoded;
        if rows.n_series() + refused.n_series >= limits.series_max {
            return Err(TooLarge::Series { n_max: limits.series_max }.into());
        }
        if rows.n_samples() + refused.n_values > limits.values_max {
            return Err(TooLarge::Values { n_max: limits.values_max }.into());
        }
        decoded.n_histograms += self.n_histograms;
        if decoded.n_histograms > histograms_max(limits) {
            return Err(TooLarge::Histograms { n_max: histograms_max(limits) }.into());
        }
        let checked = match (self.fault.take(), self.known) {
            (Some(fault), _) => Err(fault),
            (None, Some(_)) => Ok(()),
            (None, None) => check(&mut self.labels, limits),
        };
        if checked.is_ok() && self.n_histograms > 0 {
            self.finish_histograms(histograms, refused);
        }
        if checked.is_ok() && !self.exemplars.is_empty() {
            let items = std::mem::take(&mut self.exemplars);
            exemplars.series.push(self.keyed(items));
        }
        match (checked, self.known) {
            (Err(fault), _) => refused.series(rows.drop_unended() + self.n_histograms, &fault),
            // No samples, so no series to register for them.
            (Ok(()), _) if rows.n_unended() == 0 => {}
            (Ok(()), Some(known)) => rows.end_known(known),
            (Ok(()), None) => rows.end_unknown(self.labels.iter().copied(), self.fingerprint),
        }
        Ok(())
    }
}

impl<'a> Series<'a> {
    /// Its labels are checked.
    fn finish_histograms(&mut self, rows: &mut HistogramRows<'a>, refused: &mut Refused) {
        for fault in &self.histogram_faults {
            let labels = labels_text(&self.labels);
            refused.values(1, &HistogramOf { fault, labels });
        }
        let histograms = std::mem::take(&mut self.histograms);
        if !histograms.is_empty() {
            rows.series.push(self.keyed(histograms));
        }
    }

    fn keyed<T>(&self, items: Vec<T>) -> KeyedRow<'a, T> {
        match self.known {
            Some(known) => KeyedRow::of_known(known, items),
            None => KeyedRow::of_unknown(self.labels.clone(), self.fingerprint, items),
        }
    }
}

/// What is wrong with a histogram, and whose it is.
#[derive(Debug, thiserror::Error)]
#[error("{fault} for series {labels}")]
struct HistogramOf<'f> {
    fault: &'f HistogramFault,
    labels: String,
}

impl Fault for HistogramOf<'_> {
    fn reason(&self) -> Reason {
        Reason::InvalidHistogram
    }
}

/// Of one series and request: senders have one for each bucket at most.
pub(super) const EXEMPLARS_MAX: usize = 1_000;
/// Each takes more memory than bytes: of empty ones two are enough for two hundred.
const HISTOGRAMS_MAX: usize = 100_000;

fn histograms_max(limits: &Limits) -> usize {
    HISTOGRAMS_MAX.min(limits.values_max)
}

/// Sorts the labels if the sender did not, and drops empty values.
fn check(labels: &mut Vec<(&str, &str)>, limits: &Limits) -> Result<(), SeriesFault> {
    if !labels.is_sorted_by(|(left, _), (right, _)| left < right) {
        labels.sort_unstable();
        let duplicate = labels.array_windows::<2>().find(|[(left, _), (right, _)]| left == right);
        if let Some([(name, _), _]) = duplicate {
            let name = (*name).to_owned();
            return Err(SeriesFault::Duplicate { labels: labels_text(labels), name });
        }
    }
    labels.retain(|(_, value)| !value.is_empty());
    let mut has_name = false;
    for (name, value) in labels.iter() {
        if name.is_empty() {
            return Err(SeriesFault::Invalid { labels: labels_text(labels) });
        }
        if name.len() > limits.label_name_bytes_max {
            let size_bytes_max = limits.label_name_bytes_max;
            return Err(SeriesFault::NameTooLong { labels: labels_text(labels), size_bytes_max });
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(SeriesFault::ValueTooLong {
                labels: labels_text(labels),
                name: (*name).to_owned(),
                size_bytes_max: limits.label_value_bytes_max,
            });
        }
        has_name |= *name == METRIC_NAME;
    }
    if has_name { Ok(()) } else { Err(SeriesFault::Invalid { labels: labels_text(labels) }) }
}

/// `Sample` of both versions, value 1, timestamp (ms) 2, on its way into the rows. One more than
/// the limit is kept, so that [`Series::finish`] sees it.
pub(super) fn sample(
    message: &[u8],
    decoded: &mut Decoded<'_>,
    limits: &Limits,
) -> Result<(), WireError> {
    let (ts, bits) = match plain_sample(message) {
        Some(sample) => sample,
        None => any_sample(message)?,
    };
    if decoded.rows.n_samples() <= limits.values_max {
        decoded.rows.push_sample(ts, bits);
    }
    Ok(())
}

/// Both fields in their order and nothing else, as every sender writes them.
fn plain_sample(message: &[u8]) -> Option<(i64, u64)> {
    let (&[0x09, v0, v1, v2, v3, v4, v5, v6, v7, 0x10], mut rest) = message.split_first_chunk()?
    else {
        return None;
    };
    let ts = take_varint(&mut rest).ok()?.cast_signed();
    rest.is_empty().then(|| (ts, u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7])))
}

fn any_sample(message: &[u8]) -> Result<(i64, u64), WireError> {
    let mut sample = (0, 0.0_f64.to_bits());
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => sample.1 = field.double()?.to_bits(),
            2 => sample.0 = field.int64()?,
            _ => {}
        }
    }
    Ok(sample)
}
