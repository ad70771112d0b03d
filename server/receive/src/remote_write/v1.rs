//! `prometheus.WriteRequest`: every series spells its labels out, metadata comes beside them.

use skep_proto::{MetricKind, MetricMetadata};

use super::{
    Decoded,
    series::{self, Series},
};
use crate::{
    BadData, Error, Limits,
    protobuf::{Field, Fields, WireError, fields},
};

pub(super) fn decode<'a>(plain: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, Error> {
    let mut decoded = Decoded::default();
    let mut series = Series::default();
    for field in fields(plain) {
        let field = field.map_err(BadData::Wire)?;
        match field.number {
            1 => {
                series.clear();
                scan_series(field, &mut series, limits).map_err(BadData::Wire)?;
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

/// `TimeSeries`: labels 1, samples 2, exemplars 3, histograms 4.
fn scan_series<'a>(
    message: Field<'a>,
    series: &mut Series<'a>,
    limits: &Limits,
) -> Result<(), WireError> {
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => match label(field.message()?) {
                Ok((name, value)) => series.label(name, value, limits),
                Err(WireError::Utf8(_)) => series.not_utf8(),
                Err(error) => return Err(error),
            },
            2 => series.sample(series::sample(field.message()?)?, limits),
            3 => series.n_exemplars += 1,
            4 => series.n_histograms += 1,
            _ => {}
        }
    }
    Ok(())
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
