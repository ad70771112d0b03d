//! Whether servers answer, asked once: for who looks at a configuration.

use std::sync::Arc;
use std::time::Duration;

use super::connect::{Connector, Versions};
use super::health::Checker;
use super::upstream::Upstream;
use super::with_causes;
use crate::config::ProxyConfig;
use crate::error::Error;

/// A server that gives no answer, or a bad one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreached {
    /// Its URL.
    pub upstream: String,
    pub reason: String,
}

/// Opens a connection to each server of a route; where its health is asked for, asks.
///
/// # Errors
/// The route itself cannot be served, whatever its servers do.
pub async fn unreached(config: &ProxyConfig) -> Result<Vec<Unreached>, Error> {
    let connector = Connector::new(config.upstreams(), &config.tls, config.timeouts.connect)?;
    let connector = Arc::new(connector);
    let checker = config.health.clone().map(|health| Checker {
        config: health,
        connector: Arc::clone(&connector),
        host: config.host.clone(),
    });
    let mut unreached = Vec::new();
    for url in config.upstreams() {
        let reason = match &checker {
            Some(checker) => {
                let asked = checker.ask(&Upstream::new(url, Duration::ZERO)).await;
                asked.err().map(|it| with_causes(&it))
            }
            None => {
                let connected = connector.connect(url, Versions::Any).await;
                connected.err().map(|it| with_causes(&it))
            }
        };
        unreached.extend(reason.map(|reason| Unreached { upstream: url.to_string(), reason }));
    }
    Ok(unreached)
}
