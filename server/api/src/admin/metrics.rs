//! What each metric takes on the disk, about.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use axum::{extract::State, response::Response};
use serde_json::{Value, json};
use skep_store::LabelsOf;

use super::{data, limit};
use crate::{Api, error::ApiError, params::Params};

/// Metrics without a `limit`.
const N_LISTED: usize = 50;

pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = limit(&params, N_LISTED)?;
    let sizes = api.store.sizes(LabelsOf::Series);
    let mut by_metric: HashMap<&str, (usize, u64)> = HashMap::new();
    for it in &sizes {
        let (n_series, n_bytes) = by_metric.entry(it.labels.metric_name()).or_default();
        *n_series += 1;
        *n_bytes += it.estimated_bytes;
    }
    let (n_metrics, total) = (by_metric.len(), by_metric.values().map(|it| it.1).sum::<u64>());
    let mut sorted: Vec<(&str, (usize, u64))> = by_metric.into_iter().collect();
    sorted.sort_unstable_by_key(|(name, (_, n_bytes))| (Reverse(*n_bytes), *name));
    let listed = sorted.into_iter().take(limit).map(|(name, (n_series, n_bytes))| {
        json!({"name": name, "series": n_series, "estimated_bytes": n_bytes})
    });
    Ok(data(json!({
        "metrics": listed.collect::<Vec<Value>>(),
        "n_metrics": n_metrics,
        "n_series": sizes.len(),
        "estimated_bytes": total,
    })))
}
