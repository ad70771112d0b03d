//! Queries: which leaves a text needs, and how they are read.
//!
//! It meets the store only at DataFusion's `TableProvider` and [`skep_proto::LabelIndex`]; what the
//! languages mean is `skep-promql`'s and `skep-logql`'s business.

pub mod catalog;
pub mod engine;
pub mod limits;
pub mod session;

pub use catalog::{Catalog, Snapshot};
pub use engine::Engine;
pub use limits::Limits;
pub use session::QuerySession;
