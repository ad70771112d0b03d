//! This server's limits under the names Loki has for them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Api;

/// In order of their names.
pub(super) fn limits(api: &Api) -> Vec<(&'static str, Value)> {
    let query = api.engine.limits();
    let (receive, push) = (&api.receive, &api.push);
    vec![
        ("allow_structured_metadata", json!(push.allow_structured_metadata)),
        (
            "deletion_mode",
            json!(if api.is_admin_enabled { "filter-and-delete" } else { "disabled" }),
        ),
        ("discover_log_levels", json!(push.levels.is_some())),
        ("discover_service_name", json!(push.service_name_labels)),
        ("increment_duplicate_timestamp", json!(push.increment_duplicate_timestamp)),
        ("max_concurrent_tail_requests", json!(api.tails.limits().n_tails_max)),
        ("max_entries_limit_per_query", json!(query.n_lines_max)),
        ("max_label_name_length", json!(receive.label_name_bytes_max)),
        ("max_label_names_per_series", json!(receive.labels_max)),
        ("max_label_value_length", json!(receive.label_value_bytes_max)),
        ("max_line_size", json!(receive.line_bytes_max)),
        ("max_line_size_truncate", json!(push.truncate.is_some())),
        ("max_query_bytes_read", json!("0B")),
        ("max_query_length", json!("0s")),
        ("max_query_lookback", json!("0s")),
        ("max_query_range", json!("0s")),
        ("max_query_series", json!(query.n_log_series_max)),
        ("max_structured_metadata_entries_count", json!(receive.metadata_fields_max)),
        ("max_structured_metadata_size", json!(receive.metadata_bytes_max)),
        ("metric_aggregation_enabled", json!(false)),
        ("pattern_persistence_enabled", json!(false)),
        ("query_timeout", json!(duration(query.timeout))),
        ("volume_enabled", json!(true)),
        ("volume_max_series", json!(query.n_series_max)),
    ]
}

/// As Prometheus' `model.Duration` prints it.
fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = ms;
    let mut out = String::new();
    for (unit, unit_ms) in units {
        if rest >= unit_ms {
            out.push_str(&format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_no_empty_units() {
        assert_eq!(duration(Duration::from_mins(2)), "2m");
        assert_eq!(duration(Duration::from_millis(3_661_001)), "1h1m1s1ms");
        assert_eq!(duration(Duration::ZERO), "0s");
    }
}
