//! Everything there is of some series, as VictoriaMetrics' JSON lines or as text.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use skep_proto::{is_stale_marker, names::METRIC_NAME};
use skep_query::SampleRun;
use skep_store::Metadata;

use super::{
    exposition::{is_plain, push_series},
    labels::selectors,
    params::listing_range,
};
use crate::{
    Api,
    error::ApiError,
    json::{ARRAY, push_labels, push_list},
    number::{push_int, push_seconds, push_value},
    params::Params,
    stream::streamed,
    watch::query_turn,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    JsonLines,
    Prometheus,
    OpenMetrics,
}

impl Format {
    fn of(params: &Params) -> Result<Self, ApiError> {
        match params.get("format") {
            "" | "json" | "jsonl" => Ok(Self::JsonLines),
            "prometheus" => Ok(Self::Prometheus),
            "openmetrics" => Ok(Self::OpenMetrics),
            other => Err(ApiError::invalid(
                "format",
                format_args!("there is no format {other:?}; write json, prometheus or openmetrics"),
            )),
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/stream+json",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The samples of every series that any `match[]` finds, from `start` to `end`, as long as the
/// client reads them.
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let format = Format::of(&params)?;
    let range = listing_range(&params)?;
    let selectors = selectors(&params).map_err(|fault| ApiError::invalid("match[]", fault))?;
    streamed(format.content_type(), |mut sink| async move {
        let _turn = query_turn(&api).await?;
        let snapshot = api.store.snapshot();
        let mut rows = api.engine.export_samples(&selectors, range)?;
        let mut last_metric = String::new();
        loop {
            let runs = rows.next_samples().await?;
            if runs.is_empty() {
                break;
            }
            for run in &runs {
                if format == Format::Prometheus && run.labels.metric_name() != last_metric {
                    run.labels.metric_name().clone_into(&mut last_metric);
                    push_about(&mut sink.text, &last_metric, snapshot.metadata().get(&last_metric));
                }
                match format {
                    Format::JsonLines => push_json(&mut sink.text, run),
                    Format::Prometheus | Format::OpenMetrics => {
                        push_text(&mut sink.text, run, format);
                    }
                }
            }
            sink.flow().await?;
        }
        if format == Format::OpenMetrics {
            sink.text.push_str("# EOF\n");
        }
        sink.finish().await
    })
    .await
}

/// `null` is a stale marker; NaN and infinities are strings.
fn push_json(out: &mut String, run: &SampleRun) {
    out.push_str("{\"metric\":");
    push_labels(out, &run.labels);
    out.push_str(",\"values\":");
    push_list(out, ARRAY, &run.values, |out, value| match *value {
        it if is_stale_marker(it) => out.push_str("null"),
        it if it.is_nan() => out.push_str("\"NaN\""),
        f64::INFINITY => out.push_str("\"Infinity\""),
        f64::NEG_INFINITY => out.push_str("\"-Infinity\""),
        it => push_value(out, it),
    });
    out.push_str(",\"timestamps\":");
    push_list(out, ARRAY, &run.ts_ms, |out, ts| push_int(out, *ts));
    out.push_str("}\n");
}

/// Text knows no stale markers: they are left out.
fn push_text(out: &mut String, run: &SampleRun, format: Format) {
    let mut series = String::new();
    let others = run.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    push_series(&mut series, run.labels.metric_name(), others);
    for (ts, value) in run.ts_ms.iter().zip(&run.values).filter(|it| !is_stale_marker(*it.1)) {
        out.push_str(&series);
        out.push(' ');
        push_value(out, *value);
        out.push(' ');
        match format {
            Format::OpenMetrics => push_seconds(out, skep_proto::TimestampMs(*ts)),
            _ => push_int(out, *ts),
        }
        out.push('\n');
    }
}

fn push_about(out: &mut String, metric: &str, about: Option<&Metadata>) {
    let Some(about) = about.filter(|_| is_plain(metric)) else { return };
    if !about.help.is_empty() {
        let help = about.help.replace('\\', "\\\\").replace('\n', "\\n");
        out.push_str(&format!("# HELP {metric} {help}\n"));
    }
    let kind = match about.kind.as_str() {
        "unknown" => "untyped",
        kind => kind,
    };
    out.push_str(&format!("# TYPE {metric} {kind}\n"));
}
