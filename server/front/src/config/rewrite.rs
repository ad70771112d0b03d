//! What a route changes about a path before its action sees it.

use super::{ConfigError, Template};

/// First `strip_prefix`, then `to`; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    strip_prefix: Option<String>,
    to: Option<Template>,
}

impl Rewrite {
    /// Takes `/api` from the front of `/api/x`.
    pub fn with_strip_prefix(mut self, prefix: &str) -> Result<Self, ConfigError> {
        let bare = prefix.strip_suffix('/').unwrap_or(prefix);
        if !bare.starts_with('/') || bare.contains(['*', '?', '#', '%']) || bare.contains("//") {
            return Err(ConfigError::StripPrefix(prefix.to_owned()));
        }
        self.strip_prefix = Some(bare.to_owned());
        Ok(self)
    }

    /// Another path; the query stays if none is written.
    pub fn with_to(mut self, to: &str) -> Result<Self, ConfigError> {
        let template = Template::parse(to)?;
        if !(template.start().starts_with('/') || template.starts_with_path()) {
            return Err(ConfigError::RewriteTo(to.to_owned()));
        }
        self.to = Some(template);
        Ok(self)
    }

    pub(crate) fn strip_prefix(&self) -> Option<&str> {
        self.strip_prefix.as_deref()
    }

    pub(crate) fn to(&self) -> Option<&Template> {
        self.to.as_ref()
    }
}
