//! `skep-server check`: what is wrong with a configuration, and what soon will be.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use skep_front::{Action, CertificateStatus, ProxyConfig, SiteConfig};
use time::{Duration, OffsetDateTime};

use crate::config::{self, Config};

/// Whoever renews a certificate has done it by then.
const EXPIRY_WARNING: Duration = Duration::days(14);

/// What is looked at besides files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What the configuration cannot do without: its object storage.
    Needed,
    /// The servers behind the sites, too.
    Upstreams,
}

/// Reads a configuration, and looks at what it names outside of itself.
///
/// # Errors
/// All that is wrong with it; warnings go to standard error.
pub(crate) fn run(path: &Path, reach: Reach) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    config.home_file()?;
    if let Some(object_store) = &config.store.object_store {
        object_store.check()?;
    }
    let mut warnings = folders_missing(&config);
    let stored = stored(&config)?;
    warnings.extend(names_left_to_the_local_ca(&config, &stored));
    if reach == Reach::Upstreams {
        warnings.extend(servers_silent(&config)?);
    }
    for warning in config::located(path, &warnings)?.lines() {
        eprintln!("warning: {warning}");
    }
    of_certificates(&stored).iter().for_each(|it| eprintln!("warning: {it}"));
    Ok(())
}

/// What answers on each route, with the keys that lead there.
fn actions(config: &Config) -> impl Iterator<Item = (String, String, &Action)> {
    let sites = config.front.sites.iter().enumerate();
    sites.flat_map(|(site_idx, site)| {
        let n_written = n_routes_written(config, site_idx);
        site.routes.iter().enumerate().map(move |(idx, route)| {
            // `to` of the site itself is a route behind those that are written.
            let route_key = if idx < n_written { format!("routes[{idx}].") } else { String::new() };
            (format!("sites[{site_idx}]"), route_key, &route.action)
        })
    })
}

fn n_routes_written(config: &Config, site_idx: usize) -> usize {
    let site = config.settings.get("sites").and_then(|it| it.as_array()?.get(site_idx));
    let routes = site.and_then(|it| it.get("routes")?.as_array());
    routes.map_or(0, Vec::len)
}

fn folders_missing(config: &Config) -> Vec<anyhow::Error> {
    let unreadable = actions(config).filter_map(|(site, route, action)| {
        let Action::Files(files) = action else { return None };
        let root = files.root();
        let error = std::fs::read_dir(root).err()?;
        let text = format!("{route}files.root {:?}: {error}", root.display().to_string());
        Some(anyhow!(text).context(site))
    });
    unreadable.collect()
}

/// Where certificates come from elsewhere, a name that has none of them is probably forgotten.
fn names_left_to_the_local_ca(config: &Config, stored: &[CertificateStatus]) -> Vec<anyhow::Error> {
    let names = skep_front::names_of_local_ca(&config.front, stored);
    let warning = |name: &String| {
        let text = format!(
            "{name:?} is in no certificate but the local CA's; add it to acme.names or acme.zones, or name files of it in [[certificates]]"
        );
        let has_it = |it: &SiteConfig| it.hosts.iter().any(|host| host.as_str() == name);
        match config.front.sites.iter().position(has_it) {
            Some(idx) => anyhow!("hosts {text}").context(format!("sites[{idx}]")),
            None => anyhow!("front.domain: {text}"),
        }
    };
    names.iter().map(warning).collect()
}

fn servers_silent(config: &Config) -> anyhow::Result<Vec<anyhow::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut warnings = Vec::new();
    for (site, route, action) in actions(config) {
        let Action::Proxy(proxy) = action else { continue };
        let proxy: &ProxyConfig = proxy;
        for silent in runtime.block_on(skep_front::unreached(proxy))? {
            let (upstream, reason) = (silent.upstream, silent.reason);
            let text = format!("{route}to {upstream:?} gives no good answer: {reason}");
            warnings.push(anyhow!(text).context(site.clone()));
        }
    }
    Ok(warnings)
}

/// What will be wrong with certificates soon, or is already.
///
/// # Errors
/// They cannot be read.
pub(crate) fn warnings(config: &Config) -> anyhow::Result<Vec<String>> {
    Ok(of_certificates(&stored(config)?))
}

fn stored(config: &Config) -> anyhow::Result<Vec<CertificateStatus>> {
    skep_front::stored_certificates(&config.front).context("certificates")
}

fn of_certificates(stored: &[CertificateStatus]) -> Vec<String> {
    let now = OffsetDateTime::now_utc();
    let mut warnings = Vec::new();
    for certificate in stored {
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
    warnings
}
