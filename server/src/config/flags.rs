//! Settings under the names of Prometheus' flags, for `/api/v1/status/flags`.

use std::time::Duration;

use skep_query::Limits;
use skep_store::StoreConfig;

use super::ApiConfig;

/// What `query.experimental` switches on.
const EXPERIMENTS: &str = "promql-experimental-functions,promql-duration-expr,\
                           promql-extended-range-selectors,promql-binop-fill-modifiers";

/// Those that have a counterpart.
pub(super) fn flags(
    store: &StoreConfig,
    query: &Limits,
    api: &ApiConfig,
) -> Vec<(&'static str, String)> {
    let max_bytes = store.max_bytes.map_or_else(|| "0B".to_owned(), |it| format!("{it}B"));
    let experiments = if query.is_experimental { EXPERIMENTS } else { "" };
    vec![
        ("enable-feature", experiments.to_owned()),
        ("query.lookback-delta", text(query.lookback)),
        ("query.max-concurrency", api.n_queries_max.to_string()),
        ("query.max-samples", query.n_samples_max.to_string()),
        ("query.timeout", text(query.timeout)),
        ("storage.remote.read-max-bytes-in-frame", "1048576".to_owned()),
        ("storage.remote.read-sample-limit", query.n_samples_max.to_string()),
        ("storage.tsdb.path", store.dir.display().to_string()),
        ("storage.tsdb.retention.size", max_bytes),
        ("storage.tsdb.retention.time", store.retention.map_or_else(|| "0s".to_owned(), text)),
        ("web.enable-admin-api", api.is_admin_enabled.to_string()),
        ("web.enable-remote-write-receiver", "true".to_owned()),
    ]
}

/// As Prometheus prints durations: `1d12h`.
fn text(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if rest >= ms {
            out.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_prometheus_units() {
        for (ms, expected) in
            [(0, "0s"), (120_000, "2m"), (90 * 86_400_000, "90d"), (5_400_001, "1h30m1ms")]
        {
            assert_eq!(text(Duration::from_millis(ms)), expected);
        }
    }
}
