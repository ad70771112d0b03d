//! What is on the disk, by table and day; what is kept how long, and what goes next.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use serde_json::{Value, json};
use skep_proto::Matcher;
use skep_store::{DayLayout, DayOut, Kept, LabelsOf, RetentionRule, RollupPeriod, StoreStats};

use super::data;
use crate::Api;

pub(super) async fn storage(State(api): State<Arc<Api>>) -> Response {
    let (stats, layout) = (api.store.stats(), api.store.layout());
    let tables: Vec<Value> = layout
        .tables
        .iter()
        .map(|table| {
            let days: Vec<Value> = table.days.iter().map(of_day).collect();
            let sum = |of: fn(&DayLayout) -> u64| table.days.iter().map(of).sum::<u64>();
            json!({
                "name": table.name,
                "bytes": sum(|it| it.size_bytes),
                "rows": sum(|it| it.n_rows),
                "parts": table.days.iter().map(|it| it.n_parts).sum::<usize>(),
                "days": days,
            })
        })
        .collect();
    data(json!({
        "tables": tables,
        "label_sets": {
            "series": {"count": stats.n_series, "bytes": stats.disk_bytes.series},
            "streams": {"count": stats.n_streams, "bytes": stats.disk_bytes.streams},
        },
        "memory": of_memory(&stats),
        "disk": of_disk(&stats),
        "next_out": layout.next_out.iter().map(of_out).collect::<Vec<_>>(),
        "retention": of_retention(api.store.kept()),
    }))
}

fn of_day(day: &DayLayout) -> Value {
    json!({
        "day": day.day,
        "bytes": day.size_bytes,
        "rows": day.n_rows,
        "parts": day.n_parts,
        "unmerged_parts": day.n_unmerged,
        "oldest_unix_ms": day.oldest.0,
        "newest_unix_ms": day.newest.0,
    })
}

fn of_out(out: &DayOut) -> Value {
    json!({"table": out.table, "day": out.day, "parts": out.n_parts, "bytes": out.size_bytes})
}

/// Rows that no part has yet, and the log that would bring them back.
fn of_memory(stats: &StoreStats) -> Value {
    json!({
        "samples": stats.n_head_samples,
        "histograms": stats.n_head_histograms,
        "lines": stats.n_head_entries,
        "bytes": stats.head_bytes,
        "wal_bytes": stats.wal_bytes,
        "last_flush_unix_ms": (stats.last_flush_ms != 0).then_some(stats.last_flush_ms),
    })
}

fn of_disk(stats: &StoreStats) -> Value {
    let space = &stats.space;
    json!({
        "used_bytes": space.max_bytes.map(|_| space.used_bytes),
        "max_bytes": space.max_bytes,
        "free_bytes": space.free_bytes,
        "is_full": space.is_full,
        "evicted_parts": space.n_evicted_parts,
        "evicted_bytes": space.evicted_bytes,
        "merges_postponed": space.n_merges_postponed,
        "damaged_parts": stats.n_damaged_parts,
    })
}

fn of_retention(kept: Kept<'_>) -> Value {
    let tier = |it: Option<RollupPeriod>| match it {
        None => json!({"is_made": false, "seconds": null}),
        Some(RollupPeriod::Forever) => json!({"is_made": true, "seconds": null}),
        Some(RollupPeriod::For(period)) => json!({"is_made": true, "seconds": period.as_secs()}),
    };
    json!({
        "seconds": seconds(kept.retention),
        "rules": kept.rules.iter().map(of_rule).collect::<Vec<_>>(),
        "samples_5m": tier(kept.rollups.minutes_5),
        "samples_1h": tier(kept.rollups.hour_1),
    })
}

fn of_rule(rule: &RetentionRule) -> Value {
    let matchers: Vec<String> = rule.matchers.iter().map(Matcher::to_string).collect();
    json!({
        "table": match rule.of {
            LabelsOf::Series => "samples",
            LabelsOf::Streams => "logs",
        },
        "selector": format!("{{{}}}", matchers.join(", ")),
        "seconds": seconds(rule.period),
    })
}

/// None for ever.
fn seconds(period: Option<Duration>) -> Option<u64> {
    period.map(|it| it.as_secs())
}
