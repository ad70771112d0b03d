//! The store's figures as text for `/metrics`.

use std::fmt::{Display, Write as _};

use skep_store::StoreStats;

use crate::{object_figures, space_figures, telemetry::head};

/// Values of one metric: the label set as it prints, and the number.
type Values = Vec<(&'static str, String)>;

/// Prometheus' text format, added to `out`.
pub(crate) fn push_text(out: &mut String, stats: &StoreStats) {
    write_text(out, stats).expect("a String never fails");
}

fn write_text(out: &mut String, stats: &StoreStats) -> std::fmt::Result {
    for (name, kind, help, values) in gauges(stats)
        .into_iter()
        .chain(counters(stats))
        .chain(space_figures::families(&stats.space))
    {
        head(out, name, kind, help)?;
        for (labels, value) in values {
            writeln!(out, "{name}{labels} {value}")?;
        }
    }
    stats.object_store.as_ref().map_or(Ok(()), |it| object_figures::write_text(out, it))
}

pub(crate) type Family = (&'static str, &'static str, &'static str, Values);

pub(crate) const GAUGE: &str = "gauge";
pub(crate) const COUNTER: &str = "counter";

fn gauges(stats: &StoreStats) -> Vec<Family> {
    let disk = &stats.disk_bytes;
    vec![
        ("skep_store_series", GAUGE, "Series known.", one(stats.n_series)),
        ("skep_store_streams", GAUGE, "Log streams known.", one(stats.n_streams)),
        (
            "skep_store_head_rows",
            GAUGE,
            "Rows in memory, repeated and overwritten ones included.",
            rows(stats.n_head_samples, stats.n_head_entries),
        ),
        ("skep_store_head_bytes", GAUGE, "Bytes of rows in memory.", one(stats.head_bytes)),
        ("skep_store_parts", GAUGE, "Parquet files of samples and logs.", one(stats.n_parts)),
        (
            "skep_store_damaged_parts",
            GAUGE,
            "Files that were missing or of the wrong size at the start; queries go on without them.",
            one(stats.n_damaged_parts),
        ),
        (
            "skep_store_damaged_checkpoints",
            GAUGE,
            "Checkpoints of commit logs that the start could not read; it read older commits instead.",
            one(stats.n_damaged_checkpoints),
        ),
        (
            "skep_store_damaged_indexes",
            GAUGE,
            "Parts of logs whose index of words a search found damaged; it reads all of them.",
            one(stats.n_damaged_indexes),
        ),
        (
            "skep_store_disk_bytes",
            GAUGE,
            "Bytes of Parquet files, as of the last flush or merge.",
            vec![
                ("{table=\"series\"}", disk.series.to_string()),
                ("{table=\"streams\"}", disk.streams.to_string()),
                ("{table=\"samples\"}", disk.samples.to_string()),
                ("{table=\"logs\"}", disk.logs.to_string()),
                ("{table=\"rollups\"}", disk.rollups.to_string()),
            ],
        ),
        ("skep_store_wal_bytes", GAUGE, "Bytes of the write-ahead log.", one(stats.wal_bytes)),
        (
            "skep_store_wal_segments",
            GAUGE,
            "Files of the write-ahead log.",
            one(stats.n_wal_segments),
        ),
        (
            "skep_store_last_flush_timestamp_seconds",
            GAUGE,
            "Unix time of the last flush; 0 for none since the start.",
            vec![("", seconds(stats.last_flush_ms))],
        ),
    ]
}

fn counters(stats: &StoreStats) -> Vec<Family> {
    vec![
        (
            "skep_store_rejected_rows_total",
            COUNTER,
            "Rows the store refused: too old, too far in the future, or of unusable labels.",
            rows(stats.n_samples_rejected, stats.n_entries_rejected),
        ),
        (
            "skep_store_wal_syncs_total",
            COUNTER,
            "Syncs of the write-ahead log to the disk.",
            one(stats.n_wal_syncs),
        ),
        (
            "skep_store_wal_failures_total",
            COUNTER,
            "Writes and syncs of the write-ahead log that failed.",
            one(stats.n_wal_failures),
        ),
        (
            "skep_store_flushes_total",
            COUNTER,
            "Times that rows in memory were written to Parquet files.",
            one(stats.n_flushes),
        ),
        (
            "skep_store_flush_failures_total",
            COUNTER,
            "Such times that failed; the rows stayed in memory and in the write-ahead log.",
            one(stats.n_flush_failures),
        ),
    ]
}

pub(crate) fn one(value: impl Display + Copy) -> Values {
    vec![("", value.to_string())]
}

fn rows(samples: impl Display + Copy, logs: impl Display + Copy) -> Values {
    vec![("{table=\"samples\"}", samples.to_string()), ("{table=\"logs\"}", logs.to_string())]
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}
