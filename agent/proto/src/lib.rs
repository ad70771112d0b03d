//! What agent and server both speak: label sets, samples, log entries, the standard wire formats
//! that carry them, and the frame format of everything appended to a disk.
//!
//! No tokio, no arrow, no I/O: bytes and values only.

mod color;
mod escape;
mod exemplar;
mod fingerprint;
pub mod frame;
pub mod go_regex;
pub mod go_template;
mod go_text;
pub mod go_time;
pub mod go_units;
mod histogram;
mod index;
mod keyed_rows;
mod labels;
mod log_blocks;
pub mod logfmt;
pub mod loki_push;
mod matcher;
pub mod names;
pub mod relabel;
pub mod remote_read;
pub mod remote_write;
mod rows;
mod sample;
pub mod snappy;
mod time;

pub use color::decolorized;
pub use exemplar::{EXEMPLAR_CHARS_MAX, Exemplar};
pub use fingerprint::{Fingerprint, HashSecret, KnownSeries, SeriesRef};
pub use go_text::{quote, unquote};
pub use histogram::{CUSTOM_BUCKETS_SCHEMA, HistogramSample, NativeHistogram, ResetHint, Span};
pub use index::{LabelIndex, SeriesId, StreamId};
pub use keyed_rows::{ExemplarRows, HistogramRows, KeyedRow, KeyedRows};
pub use labels::{
    LabelError, Labels, LabelsBuilder, hash_sorted_pairs, is_label_name, is_metric_name,
};
pub use log_blocks::{
    LineNeed, LogBlock, LogBlockInfo, LogBlockReader, LogBlocks, LogColumnData, LogColumns,
    LogReadError, LogTable, LogWanted, MetadataBuilder, MetadataColumn, Pending, TEMPLATE_VALUES,
    TextColumn, Texts, join_template,
};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use rows::{
    LogRow, LogRows, MetricKind, MetricMetadata, Pairs, SampleRows, SeriesKey, SeriesRow,
};
pub use sample::{
    LogEntry, STALE_NAN_BITS, Sample, is_stale_marker, stale_marker, uncounted, uncounted_marker,
};
pub use time::{Clock, SystemClock, TimeRange, TimestampMs, TimestampNs};
