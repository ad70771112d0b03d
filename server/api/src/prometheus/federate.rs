//! `/federate`: the newest sample of each series, for another Prometheus to scrape.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap,
    header::{ACCEPT, CONTENT_TYPE},
};
use skep_proto::{
    Labels, Matcher, Sample, TimeRange, TimestampMs, is_stale_marker, names::METRIC_NAME,
};

use super::{
    exposition::{is_plain, push_series, with_underscores},
    labels::selectors,
};
use crate::{
    Api,
    error::{ApiError, WriteError},
    number::{push_exposed, push_int},
    params::Params,
    watch::query_turn,
};

/// Added, empty, to a series without it: whoever scrapes with `honor_labels` must not take our
/// address for the series' own.
const INSTANCE: &str = "instance";

pub(super) async fn federate(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, WriteError> {
    let selectors = selectors(&params).map_err(ApiError::bad_data)?;
    let escaping = Escaping::of(&headers);
    let newest = newest(&api, &selectors).await?;
    let mut out = String::new();
    let mut last_metric = "";
    for (labels, sample) in &newest {
        let metric = labels.metric_name();
        // Without a name it cannot be written.
        if metric.is_empty() {
            continue;
        }
        if metric != last_metric {
            push_type(&mut out, &escaping.name(metric));
            last_metric = metric;
        }
        push_sample(&mut out, labels, *sample, escaping);
    }
    Ok(([(CONTENT_TYPE, escaping.content_type())], out).into_response())
}

/// In order of name, then of the other labels.
async fn newest(
    api: &Api,
    selectors: &[Vec<Matcher>],
) -> Result<Vec<(Arc<Labels>, Sample)>, ApiError> {
    let now = api.now();
    let lookback = api.engine.limits().lookback.as_millis();
    let start = now.0.saturating_sub(i64::try_from(lookback).unwrap_or(i64::MAX));
    let range = TimeRange { start: TimestampMs(start), end: now };
    let _turn = query_turn(api).await?;
    let mut rows = api.engine.export_samples(selectors, range)?;
    // A series that is read in several runs is there once, with the last.
    let mut newest = HashMap::new();
    loop {
        let runs = rows.next_samples().await?;
        if runs.is_empty() {
            break;
        }
        for run in runs {
            if let (Some(ts), Some(value)) = (run.ts_ms.last(), run.values.last()) {
                newest.insert(run.labels, Sample { ts: TimestampMs(*ts), value: *value });
            }
        }
    }
    newest.retain(|_, sample: &mut Sample| !is_stale_marker(sample.value));
    let mut newest: Vec<_> = newest.into_iter().collect();
    newest.sort_unstable_by(|(a, _), (b, _)| {
        a.metric_name().cmp(b.metric_name()).then_with(|| a.cmp(b))
    });
    Ok(newest)
}

/// How names beyond the old alphabet are written, by what the scraper says it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escaping {
    Underscores,
    Utf8,
}

impl Escaping {
    fn of(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok());
        if accepts.into_iter().any(|it| it.contains("escaping=allow-utf-8")) {
            Self::Utf8
        } else {
            Self::Underscores
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Self::Utf8 => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
        }
    }

    fn name(self, name: &str) -> String {
        match self {
            Self::Underscores if !is_plain(name) => with_underscores(name),
            Self::Underscores | Self::Utf8 => name.to_owned(),
        }
    }
}

fn push_type(out: &mut String, metric: &str) {
    out.push_str("# TYPE ");
    if is_plain(metric) {
        out.push_str(metric);
    } else {
        let mut quoted = String::new();
        push_series(&mut quoted, metric, std::iter::empty());
        out.push_str(quoted.trim_matches(['{', '}']));
    }
    out.push_str(" untyped\n");
}

fn push_sample(out: &mut String, labels: &Labels, sample: Sample, escaping: Escaping) {
    let mut pairs: Vec<(String, &str)> = labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| (escaping.name(name), value))
        .collect();
    if labels.get(INSTANCE).is_empty() {
        pairs.push((INSTANCE.to_owned(), ""));
    }
    let metric = escaping.name(labels.metric_name());
    push_series(out, &metric, pairs.iter().map(|(name, value)| (name.as_str(), *value)));
    out.push(' ');
    push_exposed(out, sample.value);
    out.push(' ');
    push_int(out, sample.ts.0);
    out.push('\n');
}
