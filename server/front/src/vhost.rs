//! Which site a request is for: by `Host` or `:authority`, which must agree with the TLS name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::access::attempts::Attempts;
use crate::config::{Config, ConfigError, Domain, HostPattern, SiteConfig};
use crate::error::Error;
use crate::sites::{Served, UpstreamStatus};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Site {
    /// The page, with every API below it so that it works same-origin.
    Everything,
    /// The Prometheus API.
    Metrics,
    /// The Loki API.
    Logs,
    /// A service of the user's.
    Served(Arc<Served>),
}

/// The router a path of a site belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Page,
    Metrics,
    Logs,
}

/// The names this server answers to.
#[derive(Debug, Clone)]
pub(crate) struct Sites {
    domain: Domain,
    extra_names: Vec<String>,
    /// By name, or by `*.` and the name without its first label.
    served: HashMap<String, Arc<Served>>,
}

/// A server behind a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteUpstream {
    /// One of the site's names.
    pub site: String,
    pub status: UpstreamStatus,
}

/// Why a request names no site of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum HostError {
    #[error("the request names no host, or more than one")]
    Malformed,
    #[error("there is no site {0:?} here")]
    Unknown(String),
    #[error("this connection was made for {sni:?}, not for {host:?}")]
    OtherConnection { sni: String, host: String },
}

/// Always ours, whatever the domain: how tools on this machine come in.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

const METRICS_PREFIXES: [&str; 4] = ["/api/", "/-/", "/metrics", "/federate"];
/// Asked before the metrics' ones: Loki's first API is inside Prometheus' `/api/`.
const LOGS_PREFIXES: [&str; 5] = ["/loki/", "/ready", "/api/prom/", "/prometheus/api/", "/config"];

impl Sites {
    /// `attempts` counts wrong passwords at any of them; what those of `before` know of their
    /// servers stays known.
    pub(crate) fn new(
        domain: &Domain,
        extra_names: &[String],
        configs: &[SiteConfig],
        attempts: &Arc<Attempts>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let mut sites = Self::own_names(domain, extra_names);
        for site in configs {
            let known = before.and_then(|it| it.served_as(&site.hosts));
            let served = Arc::new(Served::new(site, attempts, known)?);
            for host in &site.hosts {
                let is_taken = sites.own(host.as_str()).is_some()
                    || sites.served.insert(host.to_string(), Arc::clone(&served)).is_some();
                if is_taken {
                    return Err(ConfigError::HostTaken(host.to_string()).into());
                }
            }
        }
        Ok(sites)
    }

    /// Those that are always there.
    fn own_names(domain: &Domain, extra_names: &[String]) -> Self {
        Self {
            domain: domain.clone(),
            extra_names: extra_names.iter().map(|name| as_host(name)).collect(),
            served: HashMap::new(),
        }
    }
    /// The site that has one of these names.
    fn served_as(&self, hosts: &[HostPattern]) -> Option<&Served> {
        hosts.iter().find_map(|it| self.served.get(it.as_str())).map(|it| &**it)
    }

    /// For the certificate of whoever names no site: the machine's names, and a wildcard so that
    /// what will be below the domain can be refused in words.
    pub(crate) fn certificate_names(config: &Config) -> Vec<String> {
        let domain = &config.domain;
        let ours = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let below = [domain.to_string(), format!("*.{domain}")];
        once_each(ours.into_iter().chain(below).chain(config.extra_names.iter().cloned()))
    }

    /// The DNS names among [`Self::names`], wildcards too: each has a certificate of its own.
    pub(crate) fn dns_names(config: &Config) -> Vec<String> {
        let is_ip = |it: &String| it.starts_with('[') || it.parse::<std::net::IpAddr>().is_ok();
        let is_local = |it: &String| LOCAL_NAMES.contains(&it.as_str());
        once_each(Self::names(config).into_iter().filter(|it| !is_ip(it) && !is_local(it)))
    }

    /// Whether each site has its names for itself.
    pub(crate) fn check_names(config: &Config) -> Result<(), ConfigError> {
        let own = Self::own_names(&config.domain, &config.extra_names);
        let mut seen = HashSet::new();
        for host in config.sites.iter().flat_map(|it| &it.hosts) {
            if own.own(host.as_str()).is_some() || !seen.insert(host) {
                return Err(ConfigError::HostTaken(host.to_string()));
            }
        }
        Ok(())
    }

    /// Every name that `site` knows, as it is configured.
    pub(crate) fn names(config: &Config) -> Vec<String> {
        let domain = &config.domain;
        let own = ["", "lan.", "metrics.", "logs."].map(|head| format!("{head}{domain}"));
        let local = LOCAL_NAMES.map(str::to_owned);
        let extra = config.extra_names.iter().map(|name| as_host(name));
        let served = config.sites.iter().flat_map(|it| &it.hosts).map(ToString::to_string);
        own.into_iter().chain(local).chain(extra).chain(served).collect()
    }

    pub(crate) fn domain(&self) -> &str {
        self.domain.as_str()
    }

    pub(crate) fn is_below_domain(&self, host: &str) -> bool {
        host.strip_suffix(self.domain.as_str()).is_some_and(|head| head.ends_with('.'))
    }

    /// The servers behind all sites; one that several names lead to is told once.
    pub(crate) fn upstreams(&self) -> Vec<SiteUpstream> {
        let mut names: Vec<_> = self.served.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        let mut told = HashSet::new();
        names.retain(|(_, served)| told.insert(Arc::as_ptr(served)));
        let of_site = names.into_iter().flat_map(|(name, served)| {
            served.upstreams().map(|status| SiteUpstream { site: name.clone(), status })
        });
        of_site.collect()
    }

    /// The site of a host name without port, in lower case.
    pub(crate) fn site(&self, host: &str) -> Option<Site> {
        self.own(host).or_else(|| {
            let wildcard = || host.split_once('.').map(|(_label, rest)| format!("*.{rest}"));
            let exact = self.served.get(host);
            let served = exact.or_else(|| self.served.get(wildcard()?.as_str()));
            served.map(|it| Site::Served(Arc::clone(it)))
        })
    }

    /// A site that is always there.
    fn own(&self, host: &str) -> Option<Site> {
        if LOCAL_NAMES.contains(&host) || host == self.domain.as_str() {
            return Some(Site::Everything);
        }
        let below = host.strip_suffix(self.domain.as_str()).and_then(|head| head.strip_suffix('.'));
        match below {
            Some("lan") => Some(Site::Everything),
            Some("metrics") => Some(Site::Metrics),
            Some("logs") => Some(Site::Logs),
            _other if self.extra_names.iter().any(|name| name == host) => Some(Site::Everything),
            _other => None,
        }
    }

    /// The site of a request over a connection whose TLS name was `sni`.
    pub(crate) fn find(&self, host: &Host, sni: Option<&str>) -> Result<Site, HostError> {
        let site = self.site(&host.name).ok_or_else(|| HostError::Unknown(host.name.clone()))?;
        match sni {
            // A browser reuses a connection for another name the certificate covers; 421 tells it
            // to open one of its own.
            Some(sni) if trimmed(sni) != host.name => {
                Err(HostError::OtherConnection { sni: sni.to_owned(), host: host.name.clone() })
            }
            _agrees => Ok(site),
        }
    }
}

impl Site {
    pub(crate) fn target(&self, path: &str) -> Target {
        let any = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        match self {
            Self::Metrics => Target::Metrics,
            Self::Logs => Target::Logs,
            Self::Everything if any(&LOGS_PREFIXES) => Target::Logs,
            Self::Everything if any(&METRICS_PREFIXES) => Target::Metrics,
            Self::Everything | Self::Served(_) => Target::Page,
        }
    }
}

/// The host a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Lower case, no port, no trailing dot; an IPv6 address keeps its brackets.
    pub name: String,
    pub port: Option<u16>,
}

impl Host {
    /// From the request line or `:authority`, else from the one `Host` header; both must agree.
    pub(crate) fn of(parts: &Parts) -> Result<Self, HostError> {
        let mut headers = parts.headers.get_all(HOST).iter();
        let header = match (headers.next(), headers.next()) {
            (None, _) => None,
            (Some(value), None) => {
                Some(value.to_str().ok().and_then(Self::parse).ok_or(HostError::Malformed)?)
            }
            (Some(_), Some(_)) => return Err(HostError::Malformed),
        };
        let line = match parts.uri.authority() {
            None => None,
            Some(authority) => Some(Self::parse(authority.as_str()).ok_or(HostError::Malformed)?),
        };
        match (line, header) {
            (Some(line), Some(header)) if line != header => Err(HostError::Malformed),
            (Some(host), _) | (None, Some(host)) => Ok(host),
            (None, None) => Err(HostError::Malformed),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        let port = match authority.port() {
            None if authority.as_str().len() != authority.host().len() => return None,
            None => None,
            Some(port) => Some(port.as_str().parse().ok()?),
        };
        let name = trimmed(&authority.host().to_ascii_lowercase()).to_owned();
        (!name.is_empty()).then_some(Self { name, port })
    }
}

fn once_each(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn trimmed(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// An extra name as a `Host` header spells it.
fn as_host(name: &str) -> String {
    match name.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_not_ipv6) => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use expect_test::{Expect, expect};

    use super::*;
    use crate::config::HostPattern;

    fn made(extra_names: &[String], served: &[SiteConfig]) -> Result<Sites, Error> {
        let attempts = Arc::new(Attempts::new(1, std::time::Duration::from_secs(1)));
        let domain = Domain::parse("home.lan").unwrap();
        Sites::new(&domain, extra_names, served, &attempts, None)
    }

    fn sites() -> Sites {
        let extra = ["nas.local".to_owned(), "fd00::7".to_owned()];
        let site = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|it| HostPattern::parse(it).unwrap());
            SiteConfig::new(hosts.collect(), Vec::new())
        };
        let served = [site(&["photos.home.lan", "example.org"]), site(&["*.apps.home.lan"])];
        made(&extra, &served).unwrap()
    }

    #[track_caller]
    fn check(host: &str, sni: Option<&str>, expected: &Expect) {
        let (parts, ()) = Request::get("/").header(HOST, host).body(()).unwrap().into_parts();
        let shown = match Host::of(&parts).and_then(|host| sites().find(&host, sni)) {
            Ok(Site::Served(_)) => "Served".to_owned(),
            Ok(site) => format!("{site:?}"),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn names_of_ours_lead_to_their_sites() {
        check("home.lan", Some("home.lan"), &expect!["Everything"]);
        check("LAN.home.lan:8443", Some("lan.home.lan"), &expect!["Everything"]);
        check("metrics.home.lan.", Some("metrics.home.lan"), &expect!["Metrics"]);
        check("logs.home.lan", None, &expect!["Logs"]);
        check("127.0.0.1:1", None, &expect!["Everything"]);
        check("[::1]:1", None, &expect!["Everything"]);
        check("[fd00::7]", None, &expect!["Everything"]);
        check("nas.local", Some("nas.local"), &expect!["Everything"]);
    }

    #[test]
    fn a_service_has_its_names_and_a_wildcard_one_label_more() {
        let served = &expect!["Served"];
        check("photos.home.lan", Some("photos.home.lan"), served);
        check("EXAMPLE.org:8443", None, served);
        check("a.apps.home.lan", None, served);
        for host in ["apps.home.lan", "a.b.apps.home.lan", "x.example.org"] {
            assert!(sites().site(host).is_none(), "{host}");
        }
    }

    #[test]
    fn no_service_takes_a_name_that_is_ours_or_anothers() {
        let taken = |names: &[&str]| {
            let hosts = names.iter().map(|it| HostPattern::parse(it).unwrap());
            let config = SiteConfig::new(hosts.collect(), Vec::new());
            made(&[], &[config]).is_err()
        };
        assert!(taken(&["home.lan"]) && taken(&["metrics.home.lan"]) && taken(&["localhost"]));
        assert!(taken(&["a.lan", "a.lan"]));
        assert!(!taken(&["a.lan", "b.lan", "*.home.lan"]));
    }

    #[test]
    fn any_other_name_is_refused() {
        check("evil.example", None, &expect![[r#"error: there is no site "evil.example" here"#]]);
        check("x.home.lan", None, &expect![[r#"error: there is no site "x.home.lan" here"#]]);
        check("xhome.lan", None, &expect![[r#"error: there is no site "xhome.lan" here"#]]);
        check(
            "a.metrics.home.lan",
            None,
            &expect![[r#"error: there is no site "a.metrics.home.lan" here"#]],
        );
        check("", None, &expect!["error: the request names no host, or more than one"]);
        check(
            "home.lan:99999",
            None,
            &expect!["error: the request names no host, or more than one"],
        );
        check("x@home.lan", None, &expect!["error: the request names no host, or more than one"]);
        check("home.lan/..", None, &expect!["error: the request names no host, or more than one"]);
    }

    #[test]
    fn the_tls_name_must_be_the_host() {
        check(
            "metrics.home.lan",
            Some("home.lan"),
            &expect![[
                r#"error: this connection was made for "home.lan", not for "metrics.home.lan""#
            ]],
        );
        check(
            "127.0.0.1",
            Some("home.lan"),
            &expect![[r#"error: this connection was made for "home.lan", not for "127.0.0.1""#]],
        );
    }

    #[test]
    fn two_hosts_in_one_request_are_malformed() {
        let twice = Request::get("/").header(HOST, "home.lan").header(HOST, "logs.home.lan");
        let line = Request::get("http://logs.home.lan/").header(HOST, "home.lan");
        for request in [twice, line, Request::get("/")] {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(Host::of(&parts), Err(HostError::Malformed));
        }
    }

    #[test]
    fn a_page_site_carries_the_apis_below_it() {
        let targets = ["/", "/api/v1/query", "/-/flush", "/loki/api/v1/push", "/apix", "/ready"]
            .map(|path| Site::Everything.target(path));
        use Target::{Logs, Metrics, Page};
        assert_eq!(targets, [Page, Metrics, Metrics, Logs, Page, Logs]);
        assert_eq!(Site::Logs.target("/api/v1/query"), Logs);
        assert_eq!(Site::Everything.target("/api/prom/push"), Logs);
    }
}
