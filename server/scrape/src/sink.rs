//! Where samples go.

use async_trait::async_trait;
use skep_proto::SampleRows;

/// Takes what was scraped.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Returns once the rows are durable and queries see them. Rows that are refused one by one
    /// are the sink's to tell. Calls of one target come one after the other.
    ///
    /// # Errors
    /// Why none of them was taken.
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), SinkError>;
}

/// A scrape that is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);
