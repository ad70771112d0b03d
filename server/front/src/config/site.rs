//! `[[sites]]`: the names of the user's own services, who may come, and what answers.

use std::fmt;

use axum::http::Method;

use super::{
    BasicUser, ConfigError, FilesConfig, ForwardAuth, HeaderRules, Networks, ProxyConfig,
    RedirectConfig, Rewrite, is_dns_label,
};
use crate::access::Scope;

/// One site: some names, and what answers a request for them.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    pub hosts: Vec<HostPattern>,
    pub access: SiteAccess,
    /// Whose requests are answered at all; empty for everybody's.
    pub allow: Networks,
    /// Larger bodies are answered 413.
    pub body_max: Option<usize>,
    /// Who may pass; routes that are not open ask this.
    pub guard: Guard,
    pub request_headers: HeaderRules,
    pub response_headers: HeaderRules,
    pub compress: Compress,
    pub log: RequestLog,
    /// The first that takes a path answers; none that does is 404.
    pub routes: Vec<Route>,
}

impl SiteConfig {
    /// For everybody, nothing changed.
    pub fn new(hosts: Vec<HostPattern>, routes: Vec<Route>) -> Self {
        Self {
            hosts,
            access: SiteAccess::default(),
            allow: Networks::default(),
            body_max: None,
            guard: Guard::default(),
            request_headers: HeaderRules::default(),
            response_headers: HeaderRules::default(),
            compress: Compress::default(),
            log: RequestLog::default(),
            routes,
        }
    }
}

/// Whom a site asks to log in here before anything reaches its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SiteAccess {
    /// Nobody: the service has a login of its own, or needs none.
    #[default]
    Public,
    /// Callers with this scope.
    Scope(Scope),
}

/// A DNS name, or `*.` and a DNS name for every name that is one label longer; in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern(String);

impl HostPattern {
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let name = text.to_ascii_lowercase();
        let base = name.strip_prefix("*.").unwrap_or(&name);
        let is_ip = base.parse::<std::net::IpAddr>().is_ok();
        if !is_ip && base.len() <= 253 && base.split('.').all(is_dns_label) {
            Ok(Self(name))
        } else {
            Err(ConfigError::Host(text.to_owned()))
        }
    }

    /// As written: for the certificate and the table of sites.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Logins that a site asks for besides the front's own.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Empty: no name and password is asked for.
    pub basic_auth: Vec<BasicUser>,
    pub forward_auth: Option<ForwardAuth>,
}

/// Whether answers are compressed for who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    #[default]
    Off,
    On,
}

/// Whether requests are told to the access log; they are counted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestLog {
    #[default]
    On,
    Off,
}

/// Which paths and methods, and what answers them.
#[derive(Debug, Clone)]
pub struct Route {
    pub path: PathPattern,
    /// Empty for all.
    pub methods: Vec<Method>,
    /// Besides the site's own list.
    pub allow: Networks,
    pub guard: RouteGuard,
    /// After those of the site.
    pub request_headers: HeaderRules,
    /// After those of the site.
    pub response_headers: HeaderRules,
    pub rewrite: Rewrite,
    pub action: Action,
}

impl Route {
    /// For everybody and every method, nothing changed.
    pub fn new(path: PathPattern, action: Action) -> Self {
        Self {
            path,
            methods: Vec::new(),
            allow: Networks::default(),
            guard: RouteGuard::default(),
            request_headers: HeaderRules::default(),
            response_headers: HeaderRules::default(),
            rewrite: Rewrite::default(),
            action,
        }
    }
}

/// What a route makes of the site's guard.
#[derive(Debug, Clone, Default)]
pub enum RouteGuard {
    #[default]
    AsSite,
    /// Asks nobody.
    Open,
    /// Asks this instead.
    Own(Guard),
}

/// `/path` for this path only, `/path/*` for it and everything below, `/path*` for all that begin
/// so, `*.js` for all that end so, `*` or `/*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    Exact(String),
    /// Without the `/*`; empty for all.
    Below(String),
    /// Without the star.
    Starting(String),
    /// Without the star.
    Ending(String),
}

impl PathPattern {
    pub const ALL: Self = Self::Below(String::new());

    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::Path(text.to_owned());
        if text == "*" {
            return Ok(Self::ALL);
        }
        let (path, pattern): (&str, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(start) => match start.strip_suffix('/') {
                Some(folder) => (folder, Self::Below),
                None => (start, Self::Starting),
            },
            None => match text.strip_prefix('*') {
                Some(end) => (end, Self::Ending),
                None => (text, Self::Exact),
            },
        };
        let pattern = pattern(path.to_owned());
        let is_path = match &pattern {
            Self::Below(folder) => folder.is_empty() || folder.starts_with('/'),
            Self::Ending(end) => !end.is_empty(),
            Self::Exact(path) | Self::Starting(path) => path.starts_with('/'),
        };
        if !is_path || path.contains(['*', '?', '#']) || path.contains("//") {
            return Err(bad());
        }
        Ok(pattern)
    }

    pub(crate) fn takes(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Below(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Starting(start) => path.starts_with(start.as_str()),
            Self::Ending(end) => path.ends_with(end.as_str()),
        }
    }
}

/// What answers a request.
#[derive(Debug, Clone)]
pub enum Action {
    Files(FilesConfig),
    Redirect(RedirectConfig),
    Respond(Respond),
    Proxy(Box<ProxyConfig>),
}

/// The same answer for everybody.
#[derive(Debug, Clone)]
pub struct Respond {
    pub status: axum::http::StatusCode,
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_a_wildcard_of_one_label() {
        assert_eq!(HostPattern::parse("Photos.Home.LAN").unwrap().as_str(), "photos.home.lan");
        assert_eq!(HostPattern::parse("*.apps.home.lan").unwrap().as_str(), "*.apps.home.lan");
        for bad in ["", "*", "*.", "a.*.b", "10.0.0.1", "x y", "a/b", "a:80"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_path_is_taken_whole_or_with_everything_below_it() {
        let takes = |pattern, path| PathPattern::parse(pattern).unwrap().takes(path);
        assert!(takes("/api/*", "/api") && takes("/api/*", "/api/") && takes("/api/*", "/api/v1"));
        assert!(!takes("/api/*", "/apix"));
        assert!(takes("/robots.txt", "/robots.txt") && !takes("/robots.txt", "/robots.txt/x"));
        assert!(takes("*", "/") && takes("/*", "/any"));
        assert!(takes("/a*", "/a") && takes("/a*", "/ab/c") && !takes("/a*", "/b"));
        assert!(takes("*.js", "/x/y.js") && !takes("*.js", "/x.js/y"));
        for bad in ["", "api", "a*", "/a*b", "*a*", "/a//b", "/a?b"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
