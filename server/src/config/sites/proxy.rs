//! `to` and `upstream`: servers that answer for a site, and how they are spoken to.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_front::{
    Balance, HealthConfig, HealthPath, HealthStatus, HostSent, ProxyConfig, ProxyTimeouts, Retries,
    Trust, UpstreamTls, UpstreamUrl,
};

use crate::config::values::{authorities, count, duration, positive, positive_duration};

/// A visitor waits for all of them.
const TRIES_MAX: u32 = 10;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUpstream {
    balance: Option<String>,
    host: Option<String>,
    health: Option<RawHealth>,
    timeouts: RawTimeouts,
    retries: RawRetries,
    tls: RawTls,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    path: String,
    interval: Option<String>,
    timeout: Option<String>,
    status: Option<String>,
    failures: Option<u32>,
    successes: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTimeouts {
    connect: Option<String>,
    response: Option<String>,
    idle: Option<String>,
    pool_idle: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRetries {
    tries: Option<u32>,
    within: Option<String>,
    shun: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTls {
    ca_file: Option<PathBuf>,
    insecure: bool,
    server_name: Option<String>,
}

pub(super) fn config(to: &[String], raw: &RawUpstream) -> anyhow::Result<ProxyConfig> {
    let urls: Result<Vec<_>, _> = to.iter().map(|it| UpstreamUrl::parse(it)).collect();
    let mut config = ProxyConfig::new(urls.context("to")?).context("to")?;
    if let Some(it) = &raw.balance {
        config.balance = Balance::parse(it).context("upstream.balance")?;
    }
    if let Some(it) = &raw.host {
        config.host = HostSent::parse(it).context("upstream.host")?;
    }
    config.health = raw.health.as_ref().map(health).transpose()?;
    config.timeouts = timeouts(&raw.timeouts)?;
    config.retries = retries(&raw.retries)?;
    config.tls = tls(&raw.tls)?;
    Ok(config)
}

fn health(raw: &RawHealth) -> anyhow::Result<HealthConfig> {
    let path = HealthPath::parse(&raw.path).context("upstream.health.path")?;
    let mut health = HealthConfig::new(path);
    for (key, text, value) in [
        ("upstream.health.interval", &raw.interval, &mut health.interval),
        ("upstream.health.timeout", &raw.timeout, &mut health.timeout),
    ] {
        if let Some(text) = text {
            *value = positive_duration(key, text)?;
        }
    }
    if let Some(it) = &raw.status {
        health.status = HealthStatus::parse(it).context("upstream.health.status")?;
    }
    if let Some(n) = raw.failures {
        health.failures = positive("upstream.health.failures", n)?;
    }
    if let Some(n) = raw.successes {
        health.successes = positive("upstream.health.successes", n)?;
    }
    Ok(health)
}

fn timeouts(raw: &RawTimeouts) -> anyhow::Result<ProxyTimeouts> {
    let mut timeouts = ProxyTimeouts::default();
    for (key, text, value) in [
        ("upstream.timeouts.connect", &raw.connect, &mut timeouts.connect),
        ("upstream.timeouts.response", &raw.response, &mut timeouts.response),
        ("upstream.timeouts.idle", &raw.idle, &mut timeouts.idle),
    ] {
        if let Some(text) = text {
            *value = positive_duration(key, text)?;
        }
    }
    if let Some(text) = &raw.pool_idle {
        timeouts.pool_idle = duration("upstream.timeouts.pool_idle", text)?;
    }
    Ok(timeouts)
}

fn retries(raw: &RawRetries) -> anyhow::Result<Retries> {
    let mut retries = Retries::default();
    if let Some(n) = raw.tries {
        retries.tries = count("upstream.retries.tries", n, 1..=TRIES_MAX)?;
    }
    if let Some(text) = &raw.within {
        retries.within = duration("upstream.retries.within", text)?;
    }
    if let Some(text) = &raw.shun {
        retries.shun = duration("upstream.retries.shun", text)?;
    }
    Ok(retries)
}

fn tls(raw: &RawTls) -> anyhow::Result<UpstreamTls> {
    let trust = match (&raw.ca_file, raw.insecure) {
        (None, false) => Trust::System,
        (None, true) => Trust::Anyone,
        (Some(path), false) if path.is_absolute() => {
            // Read again when the site is made: here it is known which line is wrong.
            authorities("upstream.tls.ca_file", path)?;
            Trust::File(path.clone())
        }
        (Some(path), false) => {
            bail!(
                "upstream.tls.ca_file {path:?} is not an absolute path; write one that begins with /"
            )
        }
        (Some(_), true) => {
            bail!("upstream.tls.insecure makes ca_file useless; leave one of them out")
        }
    };
    let name = raw.server_name.as_deref().map(UpstreamTls::name).transpose();
    Ok(UpstreamTls { trust, server_name: name.context("upstream.tls.server_name")? })
}
