//! What a push becomes beyond its own text, and which of its entries are too old or too new: what
//! Loki's `limits_config` says of it, under Loki's names.

use std::time::Duration;

use skep_proto::TimestampNs;

use super::level::LevelFields;
use crate::Limits;

/// The label that tells which service a stream is of.
pub(super) const SERVICE_NAME: &str = "service_name";
/// Its value where no other label tells.
pub(super) const UNKNOWN_SERVICE: &str = "unknown_service";

/// Labels that may name the service, the first that a stream has counts: Loki's default.
pub const SERVICE_NAME_LABELS: &[&str] = &[
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Under which rules pushes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `discover_log_levels`: entries get `detected_level` as structured metadata.
    pub levels: Option<LevelFields>,
    /// `discover_service_name`: streams without `service_name` get it from the first of these
    /// labels. Empty: they do not.
    pub service_name_labels: Vec<String>,
    /// `max_line_size_truncate`: longer lines are cut and end with this text. None: refused.
    pub truncate: Option<String>,
    /// `increment_duplicate_timestamp`: of entries of a stream with one time stamp that follow each
    /// other in a request, each later one is a nanosecond later.
    pub increment_duplicate_timestamp: bool,
    /// `allow_structured_metadata`.
    pub allow_structured_metadata: bool,
    /// `reject_old_samples` and its `_max_age`.
    pub age_max: Option<Duration>,
    /// `creation_grace_period`: how far ahead of the clock an entry may be.
    pub ahead_max: Option<Duration>,
    /// Which names the labels of a JSON push may have.
    pub label_names: LabelNames,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNames {
    /// `[a-zA-Z_][a-zA-Z0-9_]*`, as Loki has it; others refuse the request.
    Identifiers,
    /// Any: what was stored once is stored again.
    Any,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            levels: Some(LevelFields::default()),
            service_name_labels: SERVICE_NAME_LABELS.iter().map(|it| (*it).to_owned()).collect(),
            label_names: LabelNames::Identifiers,
            ..Self::verbatim()
        }
    }
}

impl Rules {
    /// Nothing is added, cut or refused for its age: what comes back from an export.
    pub fn verbatim() -> Self {
        Self {
            levels: None,
            service_name_labels: Vec::new(),
            truncate: None,
            increment_duplicate_timestamp: false,
            allow_structured_metadata: true,
            age_max: None,
            ahead_max: None,
            label_names: LabelNames::Any,
        }
    }
}

/// What a decoder goes by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'t> {
    pub limits: &'t Limits,
    pub rules: &'t Rules,
    pub now: TimestampNs,
}

impl Terms<'_> {
    /// The oldest time stamp that is taken.
    pub(super) fn oldest(&self) -> i64 {
        self.rules.age_max.map_or(i64::MIN, |it| self.now.0.saturating_sub(ns(it)))
    }

    /// The newest time stamp that is taken.
    pub(super) fn newest(&self) -> i64 {
        self.rules.ahead_max.map_or(i64::MAX, |it| self.now.0.saturating_add(ns(it)))
    }
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
