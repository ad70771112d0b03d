//! What the scraper tells about itself.

use std::time::Duration;

use skep_proto::{Labels, TimestampMs};

pub use crate::batch::Metadata;

/// The targets of a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoolStatus {
    pub name: String,
    /// Sorted by URL.
    pub active: Vec<TargetStatus>,
    /// Labels before relabelling of targets that rules dropped; not all if there are many.
    pub dropped: Vec<Labels>,
    pub n_dropped: usize,
}

/// A target and how its last scrape went.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStatus {
    /// Before relabelling.
    pub discovered: Labels,
    pub labels: Labels,
    pub url: String,
    pub health: Health,
    /// Empty if the last scrape went well.
    pub last_error: String,
    /// `None` before the first one.
    pub last_scrape: Option<TimestampMs>,
    pub last_took: Duration,
    /// As Prometheus prints durations: `1m30s`.
    pub interval: String,
    pub timeout: String,
    /// What it says of its metrics, by name.
    pub metadata: Vec<(String, Metadata)>,
}

/// As the HTTP API spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
