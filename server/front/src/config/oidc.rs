//! An OpenID Connect provider that people may log in at, and what its claims let them do.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::SecretFile;

/// A provider, and who of its people may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// On the button.
    pub name: String,
    pub issuer: Issuer,
    pub client_id: String,
    /// `None` for a client that proves itself by PKCE alone.
    pub client_secret_file: Option<SecretFile>,
    /// `None`: as the provider's document says.
    pub token_auth: Option<TokenAuth>,
    pub scopes: Vec<String>,
    /// Whose value is the user's name here.
    pub name_claim: String,
    pub roles: OidcRoles,
    /// Authorities to trust for the provider, and no others; `None`: those of the system, and the
    /// local CA.
    pub ca_file: Option<PathBuf>,
    /// A login ends then, and the provider is asked again; never after the limit for all logins.
    pub session_lifetime: Duration,
    pub logout: OidcLogout,
}

/// Which claims make a viewer or an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcRoles {
    /// Dots lead into objects, as in `realm_access.roles`.
    pub claim: String,
    pub admin_groups: Vec<String>,
    /// `*` is everybody whom the provider lets through.
    pub viewer_groups: Vec<String>,
    /// Only those that the provider says are verified count.
    pub admin_emails: Vec<String>,
    pub viewer_emails: Vec<String>,
}

/// How the client shows its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAuth {
    /// HTTP Basic.
    Basic,
    /// In the body.
    Post,
}

/// What a logout here ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OidcLogout {
    /// The login here.
    #[default]
    Here,
    /// The one at the provider, too.
    AtProvider,
}

/// The provider's name as its tokens have it, to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

/// Why people cannot log in this way.
#[derive(Debug, thiserror::Error)]
pub enum OidcConfigError {
    #[error(
        "issuer {0:?} is not one; write it as the provider's discovery document does, like \"https://auth.home.lan\" (plain http only on this machine)"
    )]
    Issuer(String),
    #[error("client_id is empty; write the one that the provider knows this server by")]
    NoClientId,
    #[error("scopes lack \"openid\", without which the provider tells nothing; add it")]
    NoOpenid,
    #[error(
        "nobody could log in; write whose role is what: admin_groups, viewer_groups, admin_emails or viewer_emails"
    )]
    NoRoles,
    #[error("{0:?} is no mail address; write one like \"ada@example.org\"")]
    Email(String),
}

impl Issuer {
    pub fn parse(text: &str) -> Result<Self, OidcConfigError> {
        let bad = || OidcConfigError::Issuer(text.to_owned());
        let url = Url::parse(text).ok().filter(is_safe).ok_or_else(bad)?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(bad());
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the provider tells about itself.
    pub(crate) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Secrets go over TLS, or do not leave this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    !host.is_empty() && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
}

impl OidcConfig {
    /// What no single value shows.
    pub fn check(&self) -> Result<(), OidcConfigError> {
        if self.client_id.is_empty() {
            return Err(OidcConfigError::NoClientId);
        }
        if !self.scopes.iter().any(|it| it == "openid") {
            return Err(OidcConfigError::NoOpenid);
        }
        let OidcRoles { admin_groups, viewer_groups, admin_emails, viewer_emails, .. } =
            &self.roles;
        if [admin_groups, viewer_groups, admin_emails, viewer_emails].iter().all(|it| it.is_empty())
        {
            return Err(OidcConfigError::NoRoles);
        }
        let is_email =
            |it: &&String| it.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        match admin_emails.iter().chain(viewer_emails).find(|it| !is_email(it)) {
            Some(bad) => Err(OidcConfigError::Email(bad.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_reached_over_tls_or_not_at_all() {
        for good in [
            "https://auth.home.lan",
            "https://id.home.lan:8443/realms/home/",
            "http://127.0.0.1:9091",
            "http://[::1]:9091",
            "http://localhost:9091",
        ] {
            assert_eq!(Issuer::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "auth.home.lan", "http://auth.home.lan", "ftp://a", "https://a/?x", "https://u@a"]
        {
            assert!(Issuer::parse(bad).is_err(), "{bad:?}");
        }
        let discovery = Issuer::parse("https://id.lan/realms/home/").unwrap().discovery();
        assert_eq!(discovery, "https://id.lan/realms/home/.well-known/openid-configuration");
    }
}
