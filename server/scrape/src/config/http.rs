//! How a job's requests are made: credentials, TLS, proxy, redirects.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IgnoredAny};

use super::{Fault, FieldError, values::Secret};

/// Valid settings of an HTTP client.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    pub authorization: Option<Authorization>,
    /// Names and values, more than one of a name as given.
    pub headers: Vec<(http::HeaderName, Credential)>,
    pub proxy: Option<Proxy>,
    pub tls: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
}

/// The header `Authorization`; files are read for each request, so that they can be exchanged.
#[derive(Debug, Clone, PartialEq)]
pub enum Authorization {
    Basic { username: Credential, password: Credential },
    Scheme { kind: String, credentials: Credential },
}

/// As written, or in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Credential {
    Inline(Secret),
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    pub url: String,
    /// Hosts that are asked directly, separated by commas.
    pub no_proxy: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct TlsConfig {
    /// Those of the system if left out.
    pub ca: Option<Credential>,
    /// Chain and key of this client.
    pub identity: Option<(Credential, Credential)>,
    /// Which name the certificate must have, if another than the address.
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
    pub min_version: TlsVersion,
    pub max_version: Option<TlsVersion>,
}

/// Those that are still safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

/// Adds the fields of an HTTP client to a section.
macro_rules! http_fields {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident { $($fields:tt)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        $visible struct $name {
            $($fields)*
            basic_auth: Option<$crate::config::http::RawBasicAuth>,
            authorization: Option<$crate::config::http::RawAuthorization>,
            oauth2: Option<serde::de::IgnoredAny>,
            bearer_token: Option<$crate::config::values::Secret>,
            bearer_token_file: Option<std::path::PathBuf>,
            proxy_url: Option<String>,
            no_proxy: Option<String>,
            proxy_from_environment: bool,
            proxy_connect_header: Option<serde::de::IgnoredAny>,
            tls_config: Option<$crate::config::http::RawTls>,
            follow_redirects: Option<bool>,
            enable_http2: Option<bool>,
            http_headers: Option<std::collections::BTreeMap<String, $crate::config::http::RawHeader>>,
        }

        impl $name {
            /// Takes the client's fields out.
            fn take_http(&mut self) -> $crate::config::http::RawHttp {
                $crate::config::http::RawHttp {
                    basic_auth: self.basic_auth.take(),
                    authorization: self.authorization.take(),
                    oauth2: self.oauth2.take(),
                    bearer_token: self.bearer_token.take(),
                    bearer_token_file: self.bearer_token_file.take(),
                    proxy_url: self.proxy_url.take(),
                    no_proxy: self.no_proxy.take(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.take(),
                    tls_config: self.tls_config.take(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    http_headers: self.http_headers.take(),
                }
            }

            /// # Errors
            /// The field that is wrong.
            pub(in $crate::config) fn http(
                &mut self,
                dir: &std::path::Path,
            ) -> Result<$crate::config::HttpConfig, $crate::config::Fault> {
                self.take_http().config(dir)
            }
        }
    };
}
pub(super) use http_fields;

#[derive(Debug)]
pub(crate) struct RawHttp {
    pub(super) basic_auth: Option<RawBasicAuth>,
    pub(super) authorization: Option<RawAuthorization>,
    pub(super) oauth2: Option<IgnoredAny>,
    pub(super) bearer_token: Option<Secret>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) proxy_url: Option<String>,
    pub(super) no_proxy: Option<String>,
    pub(super) proxy_from_environment: bool,
    pub(super) proxy_connect_header: Option<IgnoredAny>,
    pub(super) tls_config: Option<RawTls>,
    pub(super) follow_redirects: Option<bool>,
    pub(super) enable_http2: Option<bool>,
    pub(super) http_headers: Option<BTreeMap<String, RawHeader>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawBasicAuth {
    username: Option<Secret>,
    username_file: Option<PathBuf>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAuthorization {
    #[serde(rename = "type")]
    kind: String,
    credentials: Option<Secret>,
    credentials_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTls {
    ca: Option<Secret>,
    ca_file: Option<PathBuf>,
    cert: Option<Secret>,
    cert_file: Option<PathBuf>,
    key: Option<Secret>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
    min_version: Option<String>,
    max_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawHeader {
    values: Vec<Secret>,
    secrets: Vec<Secret>,
    files: Vec<PathBuf>,
}

/// One of the two at most; `field` names both.
fn one_of(
    field: &'static str,
    inline: Option<Secret>,
    file: Option<PathBuf>,
    dir: &Path,
) -> Result<Option<Credential>, Fault> {
    match (inline.filter(|it| !it.0.is_empty()), file.filter(|it| !it.as_os_str().is_empty())) {
        (None, None) => Ok(None),
        (Some(it), None) => Ok(Some(Credential::Inline(it))),
        (None, Some(it)) => Ok(Some(Credential::File(dir.join(it)))),
        (Some(_), Some(_)) => {
            let name = field.rsplit('.').next().unwrap_or(field);
            let text = format!("at most one of {name} & {name}_file must be configured");
            Err((field, FieldError::new(text)))
        }
    }
}

fn unsupported(field: &'static str) -> Fault {
    (field, FieldError::new("not supported"))
}

impl RawHttp {
    /// Files are meant from `dir`.
    pub(super) fn config(self, dir: &Path) -> Result<HttpConfig, Fault> {
        for (field, is_there) in [
            ("oauth2", self.oauth2.is_some()),
            ("proxy_from_environment", self.proxy_from_environment),
            ("proxy_connect_header", self.proxy_connect_header.is_some()),
        ] {
            if is_there {
                return Err(unsupported(field));
            }
        }
        let bearer = one_of("bearer_token", self.bearer_token, self.bearer_token_file, dir)?;
        let n_ways = usize::from(bearer.is_some())
            + usize::from(self.basic_auth.is_some())
            + usize::from(self.authorization.is_some());
        if n_ways > 1 {
            let text = "at most one of basic_auth, authorization, bearer_token & \
                        bearer_token_file must be configured";
            return Err(("authorization", FieldError::new(text)));
        }
        let authorization = match (self.basic_auth, self.authorization, bearer) {
            (Some(it), _, _) => Some(it.authorization(dir)?),
            (_, Some(it), _) => it.authorization(dir)?,
            (_, _, Some(credentials)) => {
                Some(Authorization::Scheme { kind: "Bearer".to_owned(), credentials })
            }
            _ => None,
        };
        Ok(HttpConfig {
            authorization,
            headers: headers(self.http_headers.unwrap_or_default(), dir)?,
            proxy: proxy(self.proxy_url, self.no_proxy)?,
            tls: self.tls_config.unwrap_or_default().config(dir)?,
            follow_redirects: self.follow_redirects.unwrap_or(true),
            enable_http2: self.enable_http2.unwrap_or(true),
        })
    }
}

fn proxy(url: Option<String>, no_proxy: Option<String>) -> Result<Option<Proxy>, Fault> {
    let no_proxy = no_proxy.unwrap_or_default();
    let Some(url) = url.filter(|it| !it.is_empty()) else {
        if no_proxy.is_empty() {
            return Ok(None);
        }
        let text = "if no_proxy is configured, proxy_url must also be configured";
        return Err(("no_proxy", FieldError::new(text)));
    };
    match url.split_once("://") {
        Some(("http" | "https", _)) => Ok(Some(Proxy { url, no_proxy })),
        _ => Err(("proxy_url", FieldError::new(format!("{url:?} is no URL of http or https")))),
    }
}

fn headers(
    raw: BTreeMap<String, RawHeader>,
    dir: &Path,
) -> Result<Vec<(http::HeaderName, Credential)>, Fault> {
    /// Set for each request.
    const RESERVED: [&str; 8] = [
        "accept",
        "accept-encoding",
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "user-agent",
        "x-prometheus-scrape-timeout-seconds",
    ];
    let fault = |text| ("http_headers", FieldError::new(text));
    let mut headers = Vec::new();
    for (name, header) in raw {
        let parsed: http::HeaderName =
            name.parse().map_err(|_bad: http::header::InvalidHeaderName| {
                fault(format!("{name:?} is no name of a header"))
            })?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err(fault(format!("setting header {name:?} is not allowed")));
        }
        let inline = header.values.into_iter().chain(header.secrets).map(Credential::Inline);
        let files = header.files.into_iter().map(|it| Credential::File(dir.join(it)));
        headers.extend(inline.chain(files).map(|it| (parsed.clone(), it)));
    }
    Ok(headers)
}

impl RawBasicAuth {
    fn authorization(self, dir: &Path) -> Result<Authorization, Fault> {
        let empty = || Credential::Inline(Secret(String::new()));
        let username = one_of("basic_auth.username", self.username, self.username_file, dir)?;
        let password = one_of("basic_auth.password", self.password, self.password_file, dir)?;
        Ok(Authorization::Basic {
            username: username.unwrap_or_else(empty),
            password: password.unwrap_or_else(empty),
        })
    }
}

impl RawAuthorization {
    fn authorization(self, dir: &Path) -> Result<Option<Authorization>, Fault> {
        let kind = match self.kind.trim() {
            "" => "Bearer".to_owned(),
            kind if kind.eq_ignore_ascii_case("basic") => {
                let text =
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
                return Err(("authorization.type", FieldError::new(text)));
            }
            kind => kind.to_owned(),
        };
        let credentials =
            one_of("authorization.credentials", self.credentials, self.credentials_file, dir)?;
        Ok(credentials.map(|credentials| Authorization::Scheme { kind, credentials }))
    }
}

impl RawTls {
    fn config(self, dir: &Path) -> Result<TlsConfig, Fault> {
        let ca = one_of("tls_config.ca", self.ca, self.ca_file, dir)?;
        let cert = one_of("tls_config.cert", self.cert, self.cert_file, dir)?;
        let key = one_of("tls_config.key", self.key, self.key_file, dir)?;
        let identity = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(_), None) => {
                let text = "exactly one of key or key_file must be configured when a client \
                            certificate is configured";
                return Err(("tls_config.key", FieldError::new(text)));
            }
            (None, Some(_)) => {
                let text = "exactly one of cert or cert_file must be configured when a client \
                            key is configured";
                return Err(("tls_config.cert", FieldError::new(text)));
            }
        };
        let version = |text: Option<String>, field| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => tls_version(text)
                .map(Some)
                .ok_or_else(|| (field, FieldError::new(format!("unknown TLS version: {text}")))),
        };
        let min_version = version(self.min_version, "tls_config.min_version")?;
        let max_version = version(self.max_version, "tls_config.max_version")?;
        // Versions before 1.2 are not spoken at all.
        if max_version == Some(None) {
            let text = "TLS before version 1.2 is not supported";
            return Err(("tls_config.max_version", FieldError::new(text)));
        }
        Ok(TlsConfig {
            ca,
            identity,
            server_name: self.server_name.filter(|it| !it.is_empty()),
            insecure_skip_verify: self.insecure_skip_verify,
            min_version: min_version.flatten().unwrap_or_default(),
            max_version: max_version.flatten(),
        })
    }
}

/// `Some(None)` for one that is known and too old.
#[expect(clippy::option_option, reason = "unknown, too old, spoken")]
fn tls_version(text: &str) -> Option<Option<TlsVersion>> {
    Some(match text {
        "TLS13" => Some(TlsVersion::Tls13),
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS11" | "TLS10" => None,
        _ => return None,
    })
}
