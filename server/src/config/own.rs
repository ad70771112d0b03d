//! `[self]` and `[front.access_log]`: what the server stores about itself.

use std::time::Duration;

use serde::Deserialize;

use super::values::positive_duration;

/// Where a duration may be one, for none.
const OFF: &str = "off";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSelf {
    metrics_interval: String,
}

impl Default for RawSelf {
    fn default() -> Self {
        Self { metrics_interval: "15s".to_owned() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAccessLog {
    enabled: bool,
}

impl Default for RawAccessLog {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What of the server's own is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// Of `/metrics`; never without it.
    pub(crate) metrics_interval: Option<Duration>,
    /// A line for each request.
    pub(crate) access_log: AccessLog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLog {
    Stored,
    Off,
}

pub(super) fn own(raw: &RawSelf, access_log: &RawAccessLog) -> anyhow::Result<Own> {
    let interval = &raw.metrics_interval;
    let metrics_interval = match interval == OFF {
        true => None,
        false => Some(positive_duration("self.metrics_interval", interval)?),
    };
    let access_log = if access_log.enabled { AccessLog::Stored } else { AccessLog::Off };
    Ok(Own { metrics_interval, access_log })
}
