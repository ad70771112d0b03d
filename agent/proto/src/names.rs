//! Names that more than one crate has to spell the same: reserved labels, columns, headers.

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label of a classic histogram's upper bound.
pub const BUCKET_LE: &str = "le";
/// The label of a summary's quantile.
pub const QUANTILE: &str = "quantile";
/// Where a LogQL stage reports that it could not process a line.
pub const LOG_ERROR: &str = "__error__";
/// What exactly went wrong, beside [`LOG_ERROR`].
pub const LOG_ERROR_DETAILS: &str = "__error_details__";

/// Columns of the Parquet tables; the files are public, so these never change meaning.
pub mod column {
    /// `BIGINT`: which row of the series table a sample belongs to.
    pub const SERIES_ID: &str = "series_id";
    /// `BIGINT`: which row of the streams table a log line belongs to.
    pub const STREAM_ID: &str = "stream_id";
    /// `TIMESTAMP(ms, UTC)` of a sample, `TIMESTAMP(ns, UTC)` of a log line.
    pub const TS: &str = "ts";
    /// `BIGINT?`: the decimal mantissa; the value is `mantissa / 10^scale`.
    pub const MANTISSA: &str = "mantissa";
    /// `TINYINT?`: the decimal scale.
    pub const SCALE: &str = "scale";
    /// `DOUBLE?`: the value where no decimal is bit-exact.
    pub const VALUE_FLOAT: &str = "value_float";
    /// `DOUBLE`: the value as queries see it (not stored).
    pub const VALUE: &str = "value";
    /// Of samples summed up, `DOUBLE`: the smallest, greatest, and all of them added.
    pub const MIN: &str = "min";
    pub const MAX: &str = "max";
    pub const SUM: &str = "sum";
    /// `BIGINT`: how many samples were summed up.
    pub const COUNT: &str = "count";
    /// `TIMESTAMP(ms, UTC)` and `DOUBLE`: the first and the last sample that were summed up.
    pub const FIRST_TS: &str = "first_ts";
    pub const FIRST: &str = "first";
    pub const LAST_TS: &str = "last_ts";
    pub const LAST: &str = "last";
    /// `DOUBLE`: what a counter stood at before its resets; it rose by `last - first + lost`.
    pub const LOST: &str = "lost";
    /// `TIMESTAMP(ms, UTC)`: a stale marker after the last sample that was summed up.
    pub const STALE_TS: &str = "stale_ts";
    /// Of native histograms, `TINYINT`: what is known of counter resets before it (0 nothing, 1 a
    /// reset, 2 none, 3 a gauge), and the resolution of its buckets.
    pub const RESET_HINT: &str = "reset_hint";
    pub const SCHEMA: &str = "schema";
    /// `DOUBLE`: the zero bucket; `count` and `sum` are of all observations.
    pub const ZERO_THRESHOLD: &str = "zero_threshold";
    pub const ZERO_COUNT: &str = "zero_count";
    /// `LIST<STRUCT<offset INT, length INT>>`: which buckets are there.
    pub const POSITIVE_SPANS: &str = "positive_spans";
    pub const NEGATIVE_SPANS: &str = "negative_spans";
    pub const OFFSET: &str = "offset";
    pub const LENGTH: &str = "length";
    /// `LIST<DOUBLE>`: their counts, and the upper bounds of custom buckets.
    pub const POSITIVE: &str = "positive";
    pub const NEGATIVE: &str = "negative";
    pub const CUSTOM_VALUES: &str = "custom_values";
    /// `VARCHAR`: a series' metric name.
    pub const NAME: &str = "name";
    /// `MAP<VARCHAR, VARCHAR>`: a series' labels without the metric name, or a stream's labels.
    pub const LABELS: &str = "labels";
    /// `TIMESTAMP(ms, UTC)`: the oldest row of a series or stream known when this was written.
    pub const FIRST_SEEN: &str = "first_seen";
    /// `TIMESTAMP(ms, UTC)`: the newest one.
    pub const LAST_SEEN: &str = "last_seen";
    /// `VARCHAR`: a log line as queries see it; files hold it as `format(template, v0, …, v7)`.
    pub const LINE: &str = "line";
    /// `VARCHAR`: a log line with `{}` for each of its values, other braces doubled.
    pub const TEMPLATE: &str = "template";
    /// `VARCHAR`: a log line's values, empty where the template asks for fewer.
    pub const VALUES: [&str; 8] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7"];
    /// `INTEGER`: how many bytes a log line has.
    pub const LINE_BYTES: &str = "line_bytes";
    /// `MAP<VARCHAR, VARCHAR>`: a log line's structured metadata.
    pub const METADATA: &str = "metadata";
}

/// HTTP headers of remote-write (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>).
pub mod header {
    pub const REMOTE_WRITE_VERSION: &str = "X-Prometheus-Remote-Write-Version";
    pub const SAMPLES_WRITTEN: &str = "X-Prometheus-Remote-Write-Samples-Written";
    pub const HISTOGRAMS_WRITTEN: &str = "X-Prometheus-Remote-Write-Histograms-Written";
    pub const EXEMPLARS_WRITTEN: &str = "X-Prometheus-Remote-Write-Exemplars-Written";
}
