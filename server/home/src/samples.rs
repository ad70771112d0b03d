//! What checks have found, as samples.

use std::sync::Arc;

use async_trait::async_trait;
use skep_proto::{MetricKind, MetricMetadata, SampleRows, TimestampMs};

use crate::checks::{Report, Subject};

pub(crate) const UP: &str = "skep_service_up";
pub(crate) const RESPONSE: &str = "skep_service_response_seconds";
pub(crate) const STATUS: &str = "skep_service_status_code";
pub(crate) const CERTIFICATE: &str = "skep_service_certificate_expiry_timestamp_seconds";

const HELP: [(&str, &str, &str); 4] = [
    (UP, "Whether the service answered as expected.", ""),
    (RESPONSE, "Time until the answer began.", "seconds"),
    (STATUS, "Status of the answer of HTTP.", ""),
    (CERTIFICATE, "When the certificate of the service expires.", "seconds"),
];

/// Takes what was measured.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Returns once the rows are durable and queries see them.
    ///
    /// # Errors
    /// Why none of them was taken.
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), SinkError>;
}

/// Results that are lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// One value of a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    group: Arc<str>,
    service: Arc<str>,
    metric: &'static str,
    at: TimestampMs,
    value: f64,
}

impl Measured {
    /// Nothing of widgets: their values are the page's alone.
    pub(crate) fn of(subject: &Subject, report: &Report) -> Vec<Self> {
        let Subject::Service { group, service } = subject else { return Vec::new() };
        let finding = &report.finding;
        #[expect(clippy::cast_precision_loss, reason = "dates of this aeon are exact")]
        let expiry = finding.certificate_expires_s.map(|it| it as f64);
        let values = [
            (UP, Some(f64::from(u8::from(finding.is_up)))),
            (RESPONSE, finding.seconds),
            (STATUS, finding.status.map(f64::from)),
            (CERTIFICATE, expiry),
        ];
        let measured = values.into_iter().filter_map(|(metric, value)| {
            let (group, service) = (Arc::clone(group), Arc::clone(service));
            Some(Self { group, service, metric, at: report.at, value: value? })
        });
        measured.collect()
    }
}

/// Results that the store refuses are told and lost: the next ones are due.
pub(crate) async fn append(sink: &dyn Sink, measured: &[Measured]) {
    let mut rows = SampleRows::default();
    for it in measured {
        rows.push_sample(it.at.0, it.value.to_bits());
        let labels = [("__name__", it.metric), ("group", &*it.group), ("service", &*it.service)];
        rows.end_unknown(labels, None);
    }
    let described =
        HELP.iter().filter(|(metric, ..)| measured.iter().any(|it| it.metric == *metric));
    rows.metadata = described
        .map(|&(metric, help, unit)| MetricMetadata { metric, kind: MetricKind::Gauge, help, unit })
        .collect();
    if let Err(error) = sink.append(&rows).await {
        tracing::error!(%error, n_samples = measured.len(), "Results of checks are lost.");
    }
}
