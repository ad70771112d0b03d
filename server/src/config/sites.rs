//! `[[sites]]`: the user's own services behind the front.

mod files;
mod guard;
mod headers;
mod proxy;

use anyhow::{Context as _, bail};
use axum::http::Method;
use serde::Deserialize;
use skep_front::{
    Action, Compress, ConfigError, HostPattern, PathPattern, RequestLog, Rewrite, Route,
    RouteGuard, Scope, SiteAccess, SiteConfig,
};

use self::{
    files::{RawFiles, RawRedirect, RawRespond},
    guard::{RawBasicUser, RawForwardAuth},
    headers::RawHeaderRules,
    proxy::RawUpstream,
};
use super::{
    front::{networks, yes},
    values::bytes,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    hosts: Vec<String>,
    #[serde(default)]
    access: RawAccess,
    to: Option<Vec<String>>,
    upstream: Option<RawUpstream>,
    body_max: Option<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    basic_auth: Vec<RawBasicUser>,
    forward_auth: Option<RawForwardAuth>,
    #[serde(default)]
    compress: bool,
    #[serde(default = "yes")]
    log: bool,
    #[serde(default)]
    request_headers: RawHeaderRules,
    #[serde(default)]
    response_headers: RawHeaderRules,
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
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    basic_auth: Vec<RawBasicUser>,
    forward_auth: Option<RawForwardAuth>,
    #[serde(default)]
    request_headers: RawHeaderRules,
    #[serde(default)]
    response_headers: RawHeaderRules,
    strip_prefix: Option<String>,
    rewrite: Option<String>,
    to: Option<Vec<String>>,
    upstream: Option<RawUpstream>,
    files: Option<RawFiles>,
    redirect: Option<RawRedirect>,
    respond: Option<RawRespond>,
}

/// All sites; what is wrong with one does not hide the others.
pub(super) fn config(sites: &[RawSite], errors: &mut Vec<anyhow::Error>) -> Vec<SiteConfig> {
    let sites = sites.iter().enumerate();
    let sites = sites.map(|(i, it)| site(it).with_context(|| format!("sites[{i}]")));
    sites.filter_map(|it| it.map_err(|error| errors.push(error)).ok()).collect()
}

fn site(raw: &RawSite) -> anyhow::Result<SiteConfig> {
    if raw.hosts.is_empty() {
        bail!("hosts is empty; write the names of the site, like [\"photos.home.lan\"]");
    }
    let hosts = raw.hosts.iter().map(|it| HostPattern::parse(it));
    let hosts = hosts.collect::<Result<_, _>>().context("hosts")?;
    let routes =
        raw.routes.iter().enumerate().map(|(i, it)| {
            route(it, raw.upstream.as_ref()).with_context(|| format!("routes[{i}]"))
        });
    let mut routes: Vec<Route> = routes.collect::<anyhow::Result<_>>()?;
    if let Some(to) = &raw.to {
        routes.push(Route::new(PathPattern::ALL, proxied(to, raw.upstream.as_ref())?));
    }
    Ok(SiteConfig {
        access: match raw.access {
            RawAccess::Public => SiteAccess::Public,
            RawAccess::Viewer => SiteAccess::Scope(Scope::Query),
            RawAccess::Admin => SiteAccess::Scope(Scope::Admin),
        },
        allow: networks("allow", &raw.allow)?,
        body_max: raw.body_max.as_deref().map(|it| bytes("body_max", it)).transpose()?,
        guard: guard::guard(&raw.basic_auth, raw.forward_auth.as_ref())?,
        request_headers: raw.request_headers.rules().context("request_headers")?,
        response_headers: raw.response_headers.rules().context("response_headers")?,
        compress: if raw.compress { Compress::On } else { Compress::Off },
        log: if raw.log { RequestLog::On } else { RequestLog::Off },
        ..SiteConfig::new(hosts, routes)
    })
}

fn route(raw: &RawRoute, of_site: Option<&RawUpstream>) -> anyhow::Result<Route> {
    let path = raw.path.as_deref().map_or(Ok(PathPattern::ALL), PathPattern::parse);
    let methods = raw.methods.iter().map(|it| method(it));
    Ok(Route {
        methods: methods.collect::<Result<_, _>>().context("methods")?,
        allow: networks("allow", &raw.allow)?,
        guard: route_guard(raw)?,
        request_headers: raw.request_headers.rules().context("request_headers")?,
        response_headers: raw.response_headers.rules().context("response_headers")?,
        rewrite: rewrite(raw)?,
        ..Route::new(path.context("path")?, action(raw, of_site)?)
    })
}

/// Their case counts, and nobody means another one than these.
fn method(text: &str) -> Result<Method, ConfigError> {
    let is_upper = text.bytes().all(|it| it.is_ascii_uppercase() || it == b'-');
    let method = text.parse::<Method>().ok().filter(|_method| is_upper);
    method.ok_or_else(|| ConfigError::Method(text.to_owned()))
}

fn route_guard(raw: &RawRoute) -> anyhow::Result<RouteGuard> {
    let has_own = !raw.basic_auth.is_empty() || raw.forward_auth.is_some();
    match (raw.open, has_own) {
        (true, true) => {
            bail!("open = true asks nobody; take out basic_auth and forward_auth, or open")
        }
        (true, false) => Ok(RouteGuard::Open),
        (false, true) => {
            Ok(RouteGuard::Own(guard::guard(&raw.basic_auth, raw.forward_auth.as_ref())?))
        }
        (false, false) => Ok(RouteGuard::AsSite),
    }
}

fn rewrite(raw: &RawRoute) -> anyhow::Result<Rewrite> {
    let mut rewrite = Rewrite::default();
    if let Some(prefix) = &raw.strip_prefix {
        rewrite = rewrite.with_strip_prefix(prefix).context("strip_prefix")?;
    }
    if let Some(to) = &raw.rewrite {
        rewrite = rewrite.with_to(to).context("rewrite")?;
    }
    Ok(rewrite)
}

fn action(raw: &RawRoute, of_site: Option<&RawUpstream>) -> anyhow::Result<Action> {
    let files = raw.files.as_ref().map(|it| Ok(Action::Files(it.config().context("files")?)));
    let redirect =
        raw.redirect.as_ref().map(|it| Ok(Action::Redirect(it.config().context("redirect")?)));
    let respond =
        raw.respond.as_ref().map(|it| Ok(Action::Respond(it.config().context("respond")?)));
    let to = raw.to.as_ref().map(|it| proxied(it, raw.upstream.as_ref().or(of_site)));
    let mut actions = [to, files, redirect, respond].into_iter().flatten();
    match (actions.next(), actions.next()) {
        (Some(action), None) => action,
        (None, _) => bail!("nothing answers here; write `to`, `files`, `redirect` or `respond`"),
        (Some(_), Some(_)) => {
            bail!("only one of `to`, `files`, `redirect` and `respond` can answer")
        }
    }
}

/// What a route says of its upstreams counts instead of all that the site says.
fn proxied(to: &[String], upstream: Option<&RawUpstream>) -> anyhow::Result<Action> {
    let upstream = upstream.cloned().unwrap_or_default();
    Ok(Action::Proxy(Box::new(proxy::config(to, &upstream)?)))
}
