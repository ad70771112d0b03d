//! `io.prometheus.write.v2.Request`: one table of strings, labels are references into it, metadata
//! comes with each series.

use std::collections::HashSet;

use skep_proto::{MetricKind, MetricMetadata, names::METRIC_NAME};

use super::{
    Decoded,
    series::{self, Series, SeriesFault},
};
use crate::{
    BadData, Error, Limits,
    protobuf::{Field, Fields, WireError, fields},
};

/// `None` where a symbol is not UTF-8: only the series that use it are refused.
type Symbols<'a> = Vec<Option<&'a str>>;

pub(super) fn decode<'a>(plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    let symbols = symbols(plain).map_err(BadData::Wire)?;
    let mut decoded = Decoded::default();
    let mut series = Series::default();
    let mut described = HashSet::new();
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        if field.number != 5 {
            continue;
        }
        series.clear();
        let metadata = scan_series(field, &mut series, &symbols, limits).map_err(BadData::Wire)?;
        let metadata = metadata.and_then(|it| it.resolve(&series, &symbols));
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
fn symbols(plain: &[u8]) -> Result<Symbols<'_>, WireError> {
    let mut symbols = Vec::new();
    for field in fields(plain) {
        let field = field?;
        if field.number == 4 {
            symbols.push(std::str::from_utf8(field.bytes()?).ok());
        }
    }
    Ok(symbols)
}

/// `TimeSeries`: label references 1, samples 2, histograms 3, exemplars 4, metadata 5.
fn scan_series<'a>(
    message: Field<'a>,
    series: &mut Series<'a>,
    symbols: &[Option<&'a str>],
    limits: &Limits,
) -> Result<Option<Metadata>, WireError> {
    let mut metadata = None;
    let mut n_refs = 0;
    let mut name = None;
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => {
                for symbol_ref in field.varints()? {
                    let symbol_ref = symbol_ref?;
                    n_refs += 1;
                    let text = symbol(series, symbols, symbol_ref);
                    match name.take() {
                        None => name = Some(text),
                        Some(name) => series.label(name, text, limits),
                    }
                }
            }
            2 => series.sample(series::sample(field.message()?)?, limits),
            3 => series.n_histograms += 1,
            4 => series.n_exemplars += 1,
            5 => metadata = Some(scan_metadata(field.message()?)?),
            _ => {}
        }
    }
    if name.is_some() {
        series.fault.get_or_insert(SeriesFault::OddRefs { n_refs });
    }
    Ok(metadata)
}

fn symbol<'a>(series: &mut Series<'a>, symbols: &[Option<&'a str>], symbol_ref: u64) -> &'a str {
    match usize::try_from(symbol_ref).ok().and_then(|it| symbols.get(it)) {
        Some(Some(text)) => text,
        Some(None) => {
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

#[derive(Debug, Default)]
struct Metadata {
    kind: MetricKind,
    help_ref: u64,
    unit_ref: u64,
}

/// `Metadata`: type 1, help 3, unit 4.
fn scan_metadata(message: Fields<'_>) -> Result<Metadata, WireError> {
    let mut metadata = Metadata::default();
    for field in message {
        let field = field?;
        match field.number {
            1 => metadata.kind = kind(field.varint()?),
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
        symbols: &[Option<&'a str>],
    ) -> Option<MetricMetadata<'a>> {
        let text = |symbol_ref| {
            let symbol_idx = usize::try_from(symbol_ref).ok()?;
            symbols.get(symbol_idx).copied().flatten()
        };
        let (_, name) = series.labels.iter().find(|(name, _)| *name == METRIC_NAME)?;
        let help = text(self.help_ref).unwrap_or_default();
        let unit = text(self.unit_ref).unwrap_or_default();
        let says_something =
            self.kind != MetricKind::Unknown || !help.is_empty() || !unit.is_empty();
        let metric = skep_proto::remote_write::family_name(name, self.kind);
        says_something.then_some(MetricMetadata { metric, kind: self.kind, help, unit })
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
