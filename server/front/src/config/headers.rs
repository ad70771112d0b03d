//! Rules that change the headers of a request before a route, or of its answer after it.

use axum::http::HeaderName;

use super::{ConfigError, Template};

/// Changes to headers: first `remove`, then `set`, then `add`.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    remove: Vec<Removed>,
    set: Vec<(HeaderName, Template)>,
    add: Vec<(HeaderName, Template)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Removed {
    Name(HeaderName),
    /// `X-Internal-*`, in lower case and without the star.
    StartingWith(String),
}

/// These say where a message ends and whom it is for; another value would be another message.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

impl HeaderRules {
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        self.set.push((header_name(name)?, Template::parse(value)?));
        Ok(())
    }

    pub fn add(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        self.add.push((header_name(name)?, Template::parse(value)?));
        Ok(())
    }

    /// `"Server"`, or `"X-Internal-*"` for all that begin so.
    pub fn remove(&mut self, name: &str) -> Result<(), ConfigError> {
        let removed = match name.strip_suffix('*') {
            None => Removed::Name(header_name(name)?),
            Some(start) => {
                let start = header_name(start)?.as_str().to_owned();
                match FRAMING.iter().find(|it| it.starts_with(&start)) {
                    None => Removed::StartingWith(start),
                    Some(_framing) => return Err(ConfigError::FramingHeader(name.to_owned())),
                }
            }
        };
        self.remove.push(removed);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    pub(crate) fn removed(&self) -> &[Removed] {
        &self.remove
    }

    pub(crate) fn to_set(&self) -> &[(HeaderName, Template)] {
        &self.set
    }

    pub(crate) fn to_add(&self) -> &[(HeaderName, Template)] {
        &self.add
    }
}

/// The name of a header that is not the connection's own.
pub(crate) fn header_name(text: &str) -> Result<HeaderName, ConfigError> {
    let bad = |_error| ConfigError::HeaderName(text.to_owned());
    let name: HeaderName = text.parse().map_err(bad)?;
    if FRAMING.contains(&name.as_str()) {
        return Err(ConfigError::FramingHeader(text.to_owned()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_what_is_no_name_can_not_be_changed() {
        let mut rules = HeaderRules::default();
        for bad in ["Content-Length", "transfer-encoding", "Host", "a b", "", "x\r\ny", "x:"] {
            assert!(rules.set(bad, "1").is_err(), "{bad:?} was set");
            assert!(rules.remove(bad).is_err(), "{bad:?} was removed");
        }
        for bad in ["*", "Con*", "transfer-*"] {
            assert!(rules.remove(bad).is_err(), "{bad:?} was removed");
        }
        assert!(rules.add("X-A", "b\nc").is_err());
        assert!(rules.is_empty());
        rules.remove("X-Internal-*").unwrap();
        rules.set("Cache-Control", "no-store").unwrap();
        assert!(!rules.is_empty());
    }
}
