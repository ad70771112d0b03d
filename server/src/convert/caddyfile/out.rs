//! What is written: the parts of this server's configuration that a Caddyfile can say.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub(super) struct Config {
    pub(super) front: Front,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) certificates: Vec<Certificate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) acme: Vec<Acme>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sites: Vec<Site>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Front {
    pub(super) https: Vec<String>,
    pub(super) redirect: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) trusted_proxies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) proxy_protocol: Vec<String>,
    pub(super) drain: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Certificate {
    pub(super) cert_file: String,
    pub(super) key_file: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Acme {
    pub(super) directory: Option<String>,
    pub(super) email: Option<String>,
    pub(super) terms_agreed: bool,
    pub(super) names: Vec<String>,
    pub(super) ca_file: Option<String>,
    pub(super) dns: Option<Dns>,
    pub(super) external_account: Option<ExternalAccount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Dns {
    pub(super) provider: String,
    pub(super) token_file: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ExternalAccount {
    pub(super) kid: String,
    pub(super) hmac_key_file: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Site {
    pub(super) hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) allow: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) compress: bool,
    pub(super) body_max: Option<String>,
    #[serde(flatten)]
    pub(super) guard: Guard,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub(super) request_headers: Headers,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub(super) response_headers: Headers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) routes: Vec<Route>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Guard {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) basic_auth: Vec<BasicUser>,
    pub(super) forward_auth: Option<ForwardAuth>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BasicUser {
    pub(super) name: String,
    pub(super) password_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ForwardAuth {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) copy_headers: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Headers {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remove: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) set: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) add: BTreeMap<String, String>,
}

impl Headers {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.remove.extend(other.remove.iter().cloned());
        self.set.extend(other.set.clone());
        self.add.extend(other.add.clone());
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Route {
    pub(super) path: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) allow: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) open: bool,
    pub(super) strip_prefix: Option<String>,
    pub(super) rewrite: Option<String>,
    #[serde(flatten)]
    pub(super) guard: Guard,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub(super) request_headers: Headers,
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub(super) response_headers: Headers,
    #[serde(flatten)]
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Files(Files),
    Redirect(Redirect),
    Respond(Respond),
    #[serde(untagged)]
    Proxy(Box<Proxy>),
}

impl Default for Action {
    fn default() -> Self {
        Self::Respond(Respond::default())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Proxy {
    pub(super) to: Vec<String>,
    #[serde(skip_serializing_if = "Upstream::is_empty")]
    pub(super) upstream: Upstream,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Upstream {
    pub(super) balance: Option<String>,
    pub(super) host: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) health: BTreeMap<&'static str, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) timeouts: BTreeMap<&'static str, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) retries: BTreeMap<&'static str, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tls: BTreeMap<&'static str, toml::Value>,
}

impl Upstream {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Files {
    pub(super) root: String,
    pub(super) index: Option<Vec<String>>,
    pub(super) fallback: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) browse: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) precompressed: bool,
    /// Caddy follows them.
    pub(super) links: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Redirect {
    pub(super) to: String,
    pub(super) status: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Respond {
    pub(super) status: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) body: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(it: &bool) -> bool {
    !*it
}
