//! `skep-server check`: what is wrong with a configuration, and what soon will be.

use std::path::Path;

use anyhow::Context as _;
use time::{Duration, OffsetDateTime};

use crate::config::Config;

/// Whoever renews a certificate has done it by then.
const EXPIRY_WARNING: Duration = Duration::days(14);

/// Reads a configuration, and looks at what it names outside of itself.
///
/// # Errors
/// All that is wrong with it; warnings go to standard error.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    if let Some(object_store) = &config.store.object_store {
        object_store.check()?;
    }
    warnings(&config)?.iter().for_each(|it| eprintln!("warning: {it}"));
    Ok(())
}

/// What will be wrong with certificates soon, or is already.
///
/// # Errors
/// They cannot be read.
pub(crate) fn warnings(config: &Config) -> anyhow::Result<Vec<String>> {
    let now = OffsetDateTime::now_utc();
    let mut warnings = Vec::new();
    let stored = skep_front::stored_certificates(&config.front).context("certificates")?;
    for certificate in &stored {
        let names = certificate.names.join(", ");
        if let Some(expires) = certificate.not_after
            && expires - now < EXPIRY_WARNING
        {
            warnings.push(format!("the certificate of {names} expires at {expires}"));
        }
        if let Some(error) = &certificate.last_error {
            warnings.push(format!("the certificate of {names}: {error}"));
        }
    }
    Ok(warnings)
}
