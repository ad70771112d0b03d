//! Queries: which leaves a text needs, and how they are read.
//!
//! It meets the store only at DataFusion's `TableProvider`, [`skep_proto::LabelIndex`] and
//! [`skep_proto::LogTable`]; what the
//! languages mean is `skep-promql`'s and `skep-logql`'s business.

mod budget;
pub mod catalog;
pub mod engine;
pub mod explain;
pub mod export;
mod flights;
mod groups;
mod id_filter;
pub mod limits;
pub mod logql;
mod logs;
mod metrics;
mod patterns;
pub mod promql;
mod read;
mod results;
mod rollups;
mod series_cut;
mod series_walk;
mod series_window;
pub mod session;
pub mod sql;
mod tally;
mod volume;

pub use arrow::array::RecordBatch;
pub use catalog::{
    Catalog, Changes, Histograms, Rollup, RollupTables, RollupTier, Rollups, Snapshot,
};
pub use datafusion::{catalog::TableProvider, common::DataFusionError};
pub use engine::Engine;
pub use explain::{Explanation, LeafPlan};
pub use export::{EntryRun, Export, SampleRun};
pub use limits::Limits;
pub use logql::{LogqlAnswer, LogqlOptions};
pub use patterns::{LinePattern, PatternOptions};
pub use promql::{PromqlAnswer, PromqlError, PromqlOptions, PromqlStats};
pub use read::{WholeSeries, WholeSeriesReader};
pub use session::QuerySession;
pub use sql::{SqlAnswer, SqlError};
pub use tally::LogqlStats;
pub use volume::{StreamVolume, VolumeBucket};
