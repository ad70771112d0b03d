//! What one scrape brought, on its way to the store.

use std::{collections::BTreeMap, sync::Arc};

use skep_proto::{Labels, MetricKind, MetricMetadata, SampleRows};

/// Samples of series whose labels are shared with the target's cache.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    samples: Vec<(Arc<Labels>, i64, u64)>,
    metadata: BTreeMap<String, Metadata>,
}

/// What a target says of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    pub kind: MetricKind,
    pub help: String,
    pub unit: String,
}

impl Batch {
    pub(crate) fn push(&mut self, labels: &Arc<Labels>, ts_ms: i64, value: f64) {
        self.samples.push((Arc::clone(labels), ts_ms, value.to_bits()));
    }

    pub(crate) fn describe(&mut self, metric: &str, metadata: &Metadata) {
        self.metadata.insert(metric.to_owned(), metadata.clone());
    }

    /// Forgets the samples; what was said of metrics stays true.
    pub(crate) fn clear_samples(&mut self) {
        self.samples.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.metadata.is_empty()
    }

    /// Rows that borrow from this.
    pub(crate) fn rows(&self) -> SampleRows<'_> {
        let mut rows = SampleRows::default();
        for (labels, ts, bits) in &self.samples {
            rows.push_sample(*ts, *bits);
            rows.end_unknown(labels.iter(), None);
        }
        rows.metadata = self
            .metadata
            .iter()
            .map(|(metric, it)| MetricMetadata {
                metric,
                kind: it.kind,
                help: &it.help,
                unit: &it.unit,
            })
            .collect();
        rows
    }
}
