//! `request_headers` and `response_headers` of a site or a route.

use std::collections::BTreeMap;

use serde::Deserialize;
use skep_front::{ConfigError, HeaderRules};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHeaderRules {
    set: BTreeMap<String, String>,
    add: BTreeMap<String, String>,
    remove: Vec<String>,
}

impl RawHeaderRules {
    pub(super) fn rules(&self) -> Result<HeaderRules, ConfigError> {
        let mut rules = HeaderRules::default();
        for name in &self.remove {
            rules.remove(name)?;
        }
        for (name, value) in &self.set {
            rules.set(name, value)?;
        }
        for (name, value) in &self.add {
            rules.add(name, value)?;
        }
        Ok(rules)
    }
}
