//! How large a request and its parts may be.

/// Bounds of one request. A body over a bound is refused whole ([`crate::Error::TooLarge`]); a
/// series, stream or entry over one is left out and told in [`crate::Refused`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The body as it came over the wire. Default 16 MiB; Prometheus sends about 200 KiB.
    pub body_bytes_max: usize,
    /// The body unpacked. Default 32 MiB, as `VictoriaMetrics` takes.
    pub plain_bytes_max: usize,
    /// Series or streams in a request. Default 100,000.
    pub series_max: usize,
    /// Samples or log entries in a request. Default 1,000,000.
    pub values_max: usize,
    /// Fields of structured metadata in a push, and labels of one in JSON. Default 1,000,000.
    pub pairs_max: usize,
    /// Labels of one series or stream, its name included. Default 64.
    pub labels_max: usize,
    /// Bytes of a label's name. Default 1 KiB, as in Loki.
    pub label_name_bytes_max: usize,
    /// Bytes of a label's value. Default 4 KiB.
    pub label_value_bytes_max: usize,
    /// Buckets of one native histogram: one with more loses resolution until it fits, one with
    /// custom bounds is left out. Default 10,000.
    pub buckets_max: usize,
    /// Bytes of a log line. Default 256 KiB, as in Loki.
    pub line_bytes_max: usize,
    /// Fields of structured metadata of a log entry. Default 128, as in Loki.
    pub metadata_fields_max: usize,
    /// Bytes of names and values of an entry's structured metadata together. Default 256 KiB: a
    /// journal entry with all its fields fits.
    pub metadata_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            plain_bytes_max: 32 << 20,
            series_max: 100_000,
            values_max: 1_000_000,
            pairs_max: 1_000_000,
            labels_max: 64,
            label_name_bytes_max: 1 << 10,
            label_value_bytes_max: 4 << 10,
            buckets_max: 10_000,
            line_bytes_max: 256 << 10,
            metadata_fields_max: 128,
            metadata_bytes_max: 256 << 10,
        }
    }
}
