//! The `global` section: what jobs get that do not say it themselves.

use std::time::Duration;

use super::{Fault, FieldError, raw::RawGlobal};
use crate::protocol::Protocol;

const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Global {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) protocols: Option<Vec<Protocol>>,
    pub(super) external_labels: Vec<(String, String)>,
    pub(super) raw: RawGlobal,
}

impl Global {
    pub(super) fn new(mut raw: RawGlobal) -> Result<Self, Fault> {
        let interval = Some(raw.scrape_interval.0).filter(|it| !it.is_zero()).unwrap_or(INTERVAL);
        let timeout = match raw.scrape_timeout.0 {
            it if it.is_zero() => TIMEOUT.min(interval),
            it if it > interval => {
                let text = "global scrape timeout greater than scrape interval";
                return Err(("global.scrape_timeout", FieldError::new(text)));
            }
            it => it,
        };
        let protocols = raw.scrape_protocols.take();
        let protocols = protocols
            .map(|it| Protocol::list(&it))
            .transpose()
            .map_err(|text| ("global.scrape_protocols", FieldError::new(text)))?;
        let external_labels: Vec<_> =
            raw.external_labels.take().unwrap_or_default().into_iter().collect();
        if external_labels.iter().any(|(name, _)| name.is_empty()) {
            let text = "\"\" is not a valid label name";
            return Err(("global.external_labels", FieldError::new(text)));
        }
        Ok(Self { interval, timeout, protocols, external_labels, raw })
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let raw = &self.raw;
        [
            ("evaluation_interval", raw.evaluation_interval.is_some()),
            ("rule_query_offset", raw.rule_query_offset.is_some()),
            ("query_log_file", raw.query_log_file.is_some()),
            ("scrape_failure_log_file", raw.scrape_failure_log_file.is_some()),
            ("runtime", raw.runtime.is_some()),
            ("external_labels", !self.external_labels.is_empty()),
        ]
        .into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(name, _)| format!("global.{name} is ignored"))
        .collect()
    }
}
