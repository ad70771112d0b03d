//! `[[sites]]`: the user's own services behind the front.

use anyhow::{Context as _, bail};
use axum::http::StatusCode;
use serde::Deserialize;
use skep_front::{Action, HostPattern, PathPattern, Respond, Route, Scope, SiteAccess, SiteConfig};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    hosts: Vec<String>,
    #[serde(default)]
    access: RawAccess,
    #[serde(default)]
    routes: Vec<RawRoute>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAccess {
    #[default]
    Public,
    Viewer,
    Admin,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    path: Option<String>,
    respond: Option<RawRespond>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRespond {
    status: u16,
    #[serde(default)]
    body: String,
}

pub(super) fn config(sites: &[RawSite]) -> anyhow::Result<Vec<SiteConfig>> {
    let sites = sites.iter().enumerate();
    sites.map(|(i, it)| site(it).with_context(|| format!("sites[{i}]"))).collect()
}

fn site(raw: &RawSite) -> anyhow::Result<SiteConfig> {
    if raw.hosts.is_empty() {
        bail!("hosts is empty; write the names of the site, like [\"photos.home.lan\"]");
    }
    let hosts = raw.hosts.iter().map(|it| HostPattern::parse(it));
    let routes = raw.routes.iter().enumerate();
    let routes = routes.map(|(i, it)| route(it).with_context(|| format!("routes[{i}]")));
    Ok(SiteConfig {
        hosts: hosts.collect::<Result<_, _>>().context("hosts")?,
        access: match raw.access {
            RawAccess::Public => SiteAccess::Public,
            RawAccess::Viewer => SiteAccess::Scope(Scope::Query),
            RawAccess::Admin => SiteAccess::Scope(Scope::Admin),
        },
        routes: routes.collect::<anyhow::Result<_>>()?,
    })
}

fn route(raw: &RawRoute) -> anyhow::Result<Route> {
    let path = raw.path.as_deref().map_or(Ok(PathPattern::ALL), PathPattern::parse);
    let Some(it) = &raw.respond else {
        bail!("nothing answers here; write `respond`");
    };
    let status = StatusCode::from_u16(it.status);
    let status = status.with_context(|| format!("respond.status {} is none", it.status))?;
    let action = Action::Respond(Respond { status, body: it.body.clone() });
    Ok(Route { path: path.context("path")?, action })
}
