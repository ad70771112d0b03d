//! Who may do what: what a request needs, what its credentials allow, and whether the two meet.

pub(crate) mod attempts;
mod book;
pub(crate) mod certificate;
pub(crate) mod credentials;
pub(crate) mod enrolments;
pub(crate) mod error;
pub(crate) mod handover;
pub(crate) mod origin;
pub(crate) mod passwords;
pub(crate) mod people;
pub(crate) mod records;
pub(crate) mod second_factor;
pub(crate) mod sessions;
pub(crate) mod tickets;
pub(crate) mod tokens;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::Method;
use serde::{Deserialize, Serialize};

use crate::vhost::Target;

/// One kind of thing a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Push samples and log lines.
    Ingest,
    /// Read: queries, and the page.
    Query,
    /// Flush, delete, configure.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Query, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not one of `ingest`, `query`, `admin`.
#[derive(Debug, thiserror::Error)]
#[error("there is no scope {0:?}; write ingest, query or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// Where a user or a token is written, and so where it can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `[[users]]`, `[[tokens]]`.
    Config,
    /// The lists that the command line and the page change.
    File,
}

/// A set of scopes; none implies another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    pub const ALL: Self = Self(0b111);

    pub fn contains(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    fn bit(scope: Scope) -> u8 {
        match scope {
            Scope::Ingest => 1,
            Scope::Query => 2,
            Scope::Admin => 4,
        }
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | Self::bit(scope)))
    }
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's or user's name.
    pub name: Arc<str>,
    pub scopes: Scopes,
    pub via: Via,
}

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Token,
    /// An agent's certificate.
    Certificate,
    /// A browser repeats it by itself once it was typed in.
    Basic,
    /// A browser sends it by itself.
    Session,
    /// The plain listener asks for nothing.
    Loopback,
}

impl Principal {
    pub(crate) fn loopback() -> Self {
        Self { name: Arc::from("loopback"), scopes: Scopes::ALL, via: Via::Loopback }
    }
}

/// The scope a request needs; `None` is open to anybody.
pub(crate) fn needed(target: Target, method: &Method, path: &str) -> Option<Scope> {
    const OPEN: [&str; 3] = ["/-/healthy", "/-/ready", "/ready"];
    const PUSH: [&str; 6] = [
        "/api/v1/write",
        "/api/v1/import",
        "/api/v1/import/prometheus",
        "/loki/api/v1/push",
        "/loki/api/v1/import",
        "/api/prom/push",
    ];
    const ADMIN: [&str; 4] = ["/-/", "/api/v1/admin/", "/loki/api/v1/delete", "/flush"];
    let is_api = target != Target::Page;
    if is_api && OPEN.contains(&path) && matches!(*method, Method::GET | Method::HEAD) {
        None
    } else if target == Target::Metrics && *method == Method::OPTIONS {
        // A browser asks without credentials whether a page of another origin may ask with them.
        None
    } else if is_api && PUSH.contains(&path) {
        Some(Scope::Ingest)
    } else if is_api && is_home(method, path) {
        Some(Scope::Query)
    } else if is_api && ADMIN.iter().any(|prefix| path.starts_with(prefix)) {
        Some(Scope::Admin)
    } else {
        Some(Scope::Query)
    }
}

/// Whether a path is of the home page: itself, its data, and the files of every build, which are
/// no secret.
pub(crate) fn is_home(method: &Method, path: &str) -> bool {
    const PAGE: [&str; 3] = ["/", "/shell", "/-/skep/v1/home"];
    const BELOW: [&str; 2] = ["/assets/", "/-/skep/v1/home/"];
    const ENDINGS: [&str; 4] = [".js", ".svg", ".png", ".webmanifest"];
    let is_file = || {
        let name = path.strip_prefix('/').unwrap_or(path);
        !name.contains('/') && ENDINGS.iter().any(|it| name.ends_with(it))
    };
    matches!(*method, Method::GET | Method::HEAD)
        && (PAGE.contains(&path) || BELOW.iter().any(|it| path.starts_with(it)) || is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_needs_the_scope_of_its_family() {
        let need = |target, path| needed(target, &Method::GET, path);
        let push = needed(Target::Metrics, &Method::POST, "/api/v1/write");
        assert_eq!(push, Some(Scope::Ingest));
        assert_eq!(need(Target::Logs, "/loki/api/v1/push"), Some(Scope::Ingest));
        assert_eq!(need(Target::Logs, "/api/prom/push"), Some(Scope::Ingest));
        assert_eq!(need(Target::Metrics, "/api/v1/import/prometheus"), Some(Scope::Ingest));
        assert_eq!(need(Target::Metrics, "/api/v1/admin/tsdb/snapshot"), Some(Scope::Admin));
        assert_eq!(need(Target::Logs, "/loki/api/v1/delete"), Some(Scope::Admin));
        assert_eq!(need(Target::Metrics, "/api/v1/query"), Some(Scope::Query));
        assert_eq!(need(Target::Metrics, "/-/flush"), Some(Scope::Admin));
        assert_eq!(need(Target::Metrics, "/-/skep/v1/home"), Some(Scope::Query));
        let post = needed(Target::Metrics, &Method::POST, "/-/skep/v1/home");
        assert_eq!(post, Some(Scope::Admin));
        assert_eq!(need(Target::Metrics, "/-/healthy"), None);
        assert_eq!(needed(Target::Metrics, &Method::POST, "/-/healthy"), Some(Scope::Admin));
        assert_eq!(needed(Target::Metrics, &Method::OPTIONS, "/api/v1/query"), None);
        assert_eq!(needed(Target::Page, &Method::OPTIONS, "/"), Some(Scope::Query));
        assert_eq!(need(Target::Page, "/ready"), Some(Scope::Query));
        assert_eq!(need(Target::Metrics, "/api/v1/write/"), Some(Scope::Query));
    }

    #[test]
    fn the_home_page_is_itself_its_data_and_files_of_the_build() {
        let is_home = |path| is_home(&Method::GET, path);
        for path in
            ["/", "/shell", "/theme.js", "/assets/index-1.css", "/-/skep/v1/home/icons/a.png"]
        {
            assert!(is_home(path), "{path}");
        }
        for path in
            ["/explore", "/host/nas", "/host/a.js", "/-/flush", "/-/skep/v1/homes", "/x.html"]
        {
            assert!(!is_home(path), "{path}");
        }
        assert!(!super::is_home(&Method::POST, "/"));
    }

    #[test]
    fn scopes_are_read_by_name_and_none_implies_another() {
        let scopes: Scopes =
            ["ingest", "admin"].iter().map(|s| s.parse::<Scope>().unwrap()).collect();
        assert!(scopes.contains(Scope::Ingest) && scopes.contains(Scope::Admin));
        assert!(!scopes.contains(Scope::Query));
        let error = "root".parse::<Scope>().unwrap_err();
        assert_eq!(error.to_string(), "there is no scope \"root\"; write ingest, query or admin");
    }
}
