//! `prometheus.WriteRequest`: every series spells its labels out, metadata comes beside them.

use skep_proto::{
    EXEMPLAR_CHARS_MAX, Exemplar, KnownSeries, MetricKind, MetricMetadata, TimestampMs,
};

use super::{
    Decoded,
    series::{self, Series},
};
use crate::{
    BadData, Error, Limits,
    protobuf::{Fields, WireError, fields, take_varint},
};

/// The tag of a label in a series.
const LABEL_TAG: u8 = 0x0a;

pub(super) fn decode<'a>(
    plain: &'a [u8],
    limits: &Limits,
    known: &mut impl KnownSeries,
) -> Result<Decoded<'a>, Error> {
    let mut decoded = Decoded::default();
    let mut series = Series::default();
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        match field.number {
            1 => {
                series.clear();
                field
                    .bytes()
                    .and_then(|it| scan_series(it, &mut series, &mut decoded, limits, known))
                    .map_err(BadData::Wire)?;
                series.finish(&mut decoded, limits)?;
            }
            3 => {
                let metadata = field.message().and_then(metadata).map_err(BadData::Wire)?;
                let room = decoded.rows.metadata.len() < limits.series_max;
                decoded.rows.metadata.extend(metadata.filter(|_| room));
            }
            _ => {}
        }
    }
    Ok(decoded)
}

/// `TimeSeries`: labels 1, samples 2, exemplars 3, histograms 4. Labels stand before everything
/// else, and where their bytes are known they are not looked at.
fn scan_series<'a>(
    message: &'a [u8],
    series: &mut Series<'a>,
    decoded: &mut Decoded<'a>,
    limits: &Limits,
    known: &mut impl KnownSeries,
) -> Result<(), WireError> {
    let (mut spelling, rest) = split_labels(message);
    let fingerprint = known.secret().fingerprint(spelling);
    series.fingerprint = Some(fingerprint);
    series.known = known.find(fingerprint);
    for field in fields(rest) {
        let field = field?;
        match field.number {
            // A label out of its place: legal, and no sender's habit.
            1 => {
                spelling = message;
                series.known = None;
                series.fingerprint = None;
            }
            2 => series::sample(field.bytes()?, decoded, limits)?,
            3 => series.exemplar(exemplar(field.message()?)?),
            4 => series.histogram(field.message()?, limits)?,
            _ => {}
        }
    }
    if series.known.is_some() {
        return Ok(());
    }
    for field in fields(spelling) {
        let field = field?;
        if field.number == 1 {
            match label(field.message()?) {
                Ok((name, value)) => series.label(name, value, limits),
                Err(WireError::Utf8(_)) => series.not_utf8(),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The labels at the front of a series, and what follows them.
fn split_labels(message: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = message;
    while let [LABEL_TAG, label @ ..] = rest {
        let mut after = label;
        let n_bytes = take_varint(&mut after).ok().and_then(|it| usize::try_from(it).ok());
        // Damage is told by whoever reads the rest.
        let Some((_, after)) = n_bytes.and_then(|it| after.split_at_checked(it)) else { break };
        rest = after;
    }
    message.split_at(message.len() - rest.len())
}

/// `Label`: name 1, value 2.
fn label(message: Fields<'_>) -> Result<(&str, &str), WireError> {
    let mut label = ("", "");
    for field in message {
        let field = field?;
        match field.number {
            1 => label.0 = field.text()?,
            2 => label.1 = field.text()?,
            _ => {}
        }
    }
    Ok(label)
}

/// `Exemplar`: labels 1, value 2, timestamp 3.
fn exemplar(message: Fields<'_>) -> Result<Option<Exemplar>, WireError> {
    let (mut labels, mut value, mut ts) = (Vec::new(), 0.0, TimestampMs(0));
    for field in message {
        let field = field?;
        match field.number {
            1 if labels.len() <= EXEMPLAR_CHARS_MAX => match label(field.message()?) {
                Ok(pair) => labels.push(pair),
                Err(WireError::Utf8(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
            2 => value = field.double()?,
            3 => ts = TimestampMs(field.int64()?),
            _ => {}
        }
    }
    Ok(Exemplar::new(labels, value, ts))
}

/// `MetricMetadata`: type 1, family 2, help 4, unit 5; none where it names no metric or is not
/// UTF-8, since samples do not depend on it.
fn metadata(message: Fields<'_>) -> Result<Option<MetricMetadata<'_>>, WireError> {
    let mut metadata = MetricMetadata { metric: "", kind: MetricKind::Unknown, help: "", unit: "" };
    for field in message {
        let field = field?;
        let target = match field.number {
            1 => {
                metadata.kind = kind(field.varint()?);
                continue;
            }
            2 => &mut metadata.metric,
            4 => &mut metadata.help,
            5 => &mut metadata.unit,
            _ => continue,
        };
        match field.text() {
            Ok(text) => *target = text,
            Err(WireError::Utf8(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(metadata).filter(|it| !it.metric.is_empty()))
}

/// `MetricMetadata.MetricType`.
fn kind(number: u64) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}
