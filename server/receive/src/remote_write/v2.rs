//! `io.prometheus.write.v2.Request`: one table of strings, labels are references into it, metadata
//! comes with each series.

use std::collections::HashSet;

use skep_proto::{
    EXEMPLAR_CHARS_MAX, Exemplar, Fingerprint, HashSecret, KnownSeries, MetricKind, MetricMetadata,
    TimestampMs, names::METRIC_NAME,
};

use super::{
    Decoded,
    series::{self, EXEMPLARS_MAX, Series, SeriesFault},
};
use crate::{
    BadData, Error, Limits,
    protobuf::{Field, Fields, WireError, fields},
};

/// Before the symbols of a spelling: 1.0's begin with the tag of a label.
const SPELLING_V2: u8 = 2;

/// A string of the request.
struct Symbol<'a> {
    /// `None` where it is not UTF-8: only the series that use it are refused.
    text: Option<&'a str>,
    /// Worked out once, however many series refer to it.
    fingerprint: Fingerprint,
}

pub(super) fn decode<'a>(
    plain: &'a [u8],
    limits: &Limits,
    known: &mut impl KnownSeries,
) -> Result<Decoded<'a>, Error> {
    let symbols = symbols(plain, known.secret()).map_err(BadData::Wire)?;
    let mut decoded = Decoded::default();
    let mut series = Series::default();
    let mut refs = Refs::default();
    let mut described = HashSet::new();
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        if field.number != 5 {
            continue;
        }
        series.clear();
        refs.clear();
        scan_series(field, &mut series, &mut refs, &mut decoded, limits).map_err(BadData::Wire)?;
        series.fingerprint = refs.fingerprint(&symbols, known.secret(), limits);
        refs.resolve_exemplars(&mut series, &symbols);
        series.know(known);
        if series.known.is_some() {
            series.finish(&mut decoded, limits)?;
            continue;
        }
        refs.resolve(&mut series, &symbols, limits);
        let metadata = refs.metadata.as_ref().and_then(|it| it.resolve(&series, &symbols));
        let n_refused = decoded.refused.n_series;
        series.finish(&mut decoded, limits)?;
        let is_kept = decoded.refused.n_series == n_refused;
        decoded
            .rows
            .metadata
            .extend(metadata.filter(|it| is_kept && described.insert((it.metric, it.kind))));
    }
    Ok(decoded)
}

/// Field 4 of the request. They may stand behind the series that use them.
fn symbols<'a>(plain: &'a [u8], secret: &HashSecret) -> Result<Vec<Symbol<'a>>, WireError> {
    let mut symbols = Vec::new();
    for field in fields(plain) {
        let field = field?;
        if field.number == 4 {
            let bytes = field.bytes()?;
            symbols.push(Symbol {
                text: std::str::from_utf8(bytes).ok(),
                fingerprint: secret.fingerprint(bytes),
            });
        }
    }
    Ok(symbols)
}

/// `TimeSeries`: label references 1, samples 2, histograms 3, exemplars 4, metadata 5.
fn scan_series(
    message: Field<'_>,
    series: &mut Series<'_>,
    refs: &mut Refs,
    decoded: &mut Decoded<'_>,
    limits: &Limits,
) -> Result<(), WireError> {
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => refs.extend(field.varints()?, limits)?,
            2 => series::sample(field.bytes()?, decoded, limits)?,
            3 => series.histogram(field.message()?, limits)?,
            4 if refs.exemplars.len() < EXEMPLARS_MAX => {
                refs.exemplars.push(scan_exemplar(field.message()?)?);
            }
            5 => refs.metadata = Some(scan_metadata(field.message()?)?),
            _ => {}
        }
    }
    Ok(())
}

/// What a series says of itself in references; reused from series to series.
#[derive(Debug, Default)]
struct Refs {
    /// Names and values in turn.
    labels: Vec<u64>,
    n_labels: usize,
    metadata: Option<Metadata>,
    exemplars: Vec<ExemplarRefs>,
    spelling: Vec<u8>,
}

impl Refs {
    fn clear(&mut self) {
        self.labels.clear();
        self.n_labels = 0;
        self.metadata = None;
        self.exemplars.clear();
    }

    /// Keeps two more labels than the limit, so that [`Series::label`] sees that they are too many.
    fn extend(
        &mut self,
        refs: impl Iterator<Item = Result<u64, WireError>>,
        limits: &Limits,
    ) -> Result<(), WireError> {
        for symbol_ref in refs {
            let symbol_ref = symbol_ref?;
            self.n_labels += 1;
            if self.labels.len() < 2 * limits.labels_max + 4 {
                self.labels.push(symbol_ref);
            }
        }
        Ok(())
    }

    /// Of labels and metadata: a series that is known has told its metadata before. `None` where
    /// a reference leads nowhere.
    fn fingerprint(
        &mut self,
        symbols: &[Symbol<'_>],
        secret: &HashSecret,
        limits: &Limits,
    ) -> Option<Fingerprint> {
        if self.n_labels % 2 == 1 || self.n_labels > 2 * limits.labels_max {
            return None;
        }
        self.spelling.clear();
        self.spelling.push(SPELLING_V2);
        for symbol_ref in &self.labels {
            self.spelling.extend(symbol(symbols, *symbol_ref)?.fingerprint.to_bytes());
        }
        if let Some(metadata) = &self.metadata {
            self.spelling.push(u8::try_from(metadata.wire_kind).unwrap_or(u8::MAX));
            for symbol_ref in [metadata.help_ref, metadata.unit_ref] {
                self.spelling.extend(symbol(symbols, symbol_ref)?.fingerprint.to_bytes());
            }
        }
        Some(secret.fingerprint(&self.spelling))
    }

    fn resolve_exemplars(&self, series: &mut Series<'_>, symbols: &[Symbol<'_>]) {
        let text = |symbol_ref: &u64| symbol(symbols, *symbol_ref)?.text;
        for it in &self.exemplars {
            let (pairs, rest) = it.labels.as_chunks::<2>();
            let pairs = pairs.iter().map(|[name, value]| text(name).zip(text(value)));
            let pairs: Option<Vec<_>> = pairs.collect();
            let pairs = pairs.filter(|_| rest.is_empty());
            series.exemplar(pairs.and_then(|pairs| Exemplar::new(pairs, it.value, it.ts)));
        }
    }

    fn resolve<'a>(&self, series: &mut Series<'a>, symbols: &[Symbol<'a>], limits: &Limits) {
        let mut name = None;
        for symbol_ref in &self.labels {
            let text = text(series, symbols, *symbol_ref);
            match name.take() {
                None => name = Some(text),
                Some(name) => series.label(name, text, limits),
            }
        }
        if self.n_labels % 2 == 1 {
            series.fault.get_or_insert(SeriesFault::OddRefs { n_refs: self.n_labels });
        }
    }
}

fn symbol<'s, 'a>(symbols: &'s [Symbol<'a>], symbol_ref: u64) -> Option<&'s Symbol<'a>> {
    usize::try_from(symbol_ref).ok().and_then(|it| symbols.get(it))
}

fn text<'a>(series: &mut Series<'a>, symbols: &[Symbol<'a>], symbol_ref: u64) -> &'a str {
    match symbol(symbols, symbol_ref) {
        Some(Symbol { text: Some(text), .. }) => text,
        Some(Symbol { text: None, .. }) => {
            series.not_utf8();
            ""
        }
        None => {
            let n_symbols = symbols.len();
            series.fault.get_or_insert(SeriesFault::Ref { symbol_ref, n_symbols });
            ""
        }
    }
}

/// An exemplar whose labels are references.
#[derive(Debug)]
struct ExemplarRefs {
    labels: Vec<u64>,
    value: f64,
    ts: TimestampMs,
}

/// `Exemplar`: label references 1, value 2, timestamp 3.
fn scan_exemplar(message: Fields<'_>) -> Result<ExemplarRefs, WireError> {
    let mut exemplar = ExemplarRefs { labels: Vec::new(), value: 0.0, ts: TimestampMs(0) };
    for field in message {
        let field = field?;
        match field.number {
            1 => {
                for symbol_ref in field.varints()? {
                    let symbol_ref = symbol_ref?;
                    // One more than there can be in as many characters.
                    if exemplar.labels.len() <= 2 * EXEMPLAR_CHARS_MAX {
                        exemplar.labels.push(symbol_ref);
                    }
                }
            }
            2 => exemplar.value = field.double()?,
            3 => exemplar.ts = TimestampMs(field.int64()?),
            _ => {}
        }
    }
    Ok(exemplar)
}

#[derive(Debug, Default)]
struct Metadata {
    /// `Metadata.MetricType`.
    wire_kind: u64,
    help_ref: u64,
    unit_ref: u64,
}

/// `Metadata`: type 1, help 3, unit 4.
fn scan_metadata(message: Fields<'_>) -> Result<Metadata, WireError> {
    let mut metadata = Metadata::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => metadata.wire_kind = field.varint()?,
            3 => metadata.help_ref = field.varint()?,
            4 => metadata.unit_ref = field.varint()?,
            _ => {}
        }
    }
    Ok(metadata)
}

impl Metadata {
    /// What it says of the family, unless it says nothing.
    fn resolve<'a>(
        &self,
        series: &Series<'a>,
        symbols: &[Symbol<'a>],
    ) -> Option<MetricMetadata<'a>> {
        let text = |symbol_ref| symbol(symbols, symbol_ref)?.text;
        let kind = kind(self.wire_kind);
        let (_, name) = series.labels.iter().find(|(name, _)| *name == METRIC_NAME)?;
        let help = text(self.help_ref).unwrap_or_default();
        let unit = text(self.unit_ref).unwrap_or_default();
        let says_something = kind != MetricKind::Unknown || !help.is_empty() || !unit.is_empty();
        let metric = skep_proto::remote_write::family_name(name, kind);
        says_something.then_some(MetricMetadata { metric, kind, help, unit })
    }
}

/// `Metadata.MetricType`.
fn kind(number: u64) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::Summary,
        5 => MetricKind::GaugeHistogram,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}
