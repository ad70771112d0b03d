//! What a Promtail configuration may say, field by field.
//!
//! Source: Grafana's "Configure Promtail".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::relabel::RawRule;

use super::{ConvertError, Server, refused};
use crate::pipeline::RawStages;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPromtail {
    pub(super) scrape_configs: Vec<RawJob>,
    clients: Vec<RawClient>,
    client: Option<RawClient>,
    limits_config: RawLimits,
    server: Option<Json>,
    positions: Option<Json>,
    global: Option<Json>,
    target_config: Option<Json>,
    options: Option<Json>,
    tracing: Option<Json>,
    wal: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawClient {
    url: String,
    name: Option<String>,
    tenant_id: Option<String>,
    batchwait: Option<String>,
    batchsize: Option<u64>,
    basic_auth: Option<Json>,
    oauth2: Option<Json>,
    bearer_token: Option<String>,
    bearer_token_file: Option<String>,
    authorization: Option<Json>,
    proxy_url: Option<String>,
    tls_config: RawTls,
    backoff_config: Option<Json>,
    drop_rate_limited_batches: Option<bool>,
    external_labels: BTreeMap<String, String>,
    timeout: Option<String>,
    headers: Option<Json>,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTls {
    ca_file: Option<String>,
    cert_file: Option<String>,
    key_file: Option<String>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
    min_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    readline_rate_enabled: bool,
    readline_rate: Option<f64>,
    readline_burst: Option<u32>,
    readline_rate_drop: Option<bool>,
    max_streams: u64,
    max_line_size: Option<Json>,
    max_line_size_truncate: bool,
}

/// What `limits_config` says about lines.
#[derive(Debug, Default)]
pub(super) struct LineLimits {
    pub(super) max_line_bytes: Option<usize>,
    pub(super) is_truncated: bool,
    /// A stage for every job.
    pub(super) rate: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawJob {
    pub(super) job_name: String,
    pub(super) pipeline_stages: RawStages,
    pub(super) journal: Option<RawJournalTarget>,
    pub(super) static_configs: Vec<RawStatic>,
    pub(super) relabel_configs: Vec<RawRule>,
    pub(super) docker_sd_configs: Option<Vec<RawDockerSd>>,
    pub(super) encoding: Option<String>,
    pub(super) decompression: Option<Json>,
    pub(super) entry_parser: Option<Json>,
    pub(super) limit_config: Option<Json>,
    pub(super) file_sd_configs: Option<Json>,
    pub(super) kubernetes_sd_configs: Option<Json>,
    pub(super) consul_sd_configs: Option<Json>,
    pub(super) consulagent_sd_configs: Option<Json>,
    pub(super) syslog: Option<Json>,
    pub(super) loki_push_api: Option<Json>,
    pub(super) windows_events: Option<Json>,
    pub(super) gcplog: Option<Json>,
    pub(super) azure_event_hubs: Option<Json>,
    pub(super) kafka: Option<Json>,
    pub(super) gelf: Option<Json>,
    pub(super) cloudflare: Option<Json>,
    pub(super) heroku_drain: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawJournalTarget {
    pub(super) json: bool,
    pub(super) max_age: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) path: Option<String>,
    pub(super) matches: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStatic {
    /// Always the host itself: Promtail reads nothing else.
    #[serde(rename = "targets")]
    _targets: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDockerSd {
    pub(super) host: String,
    pub(super) filters: Option<Json>,
    #[serde(rename = "refresh_interval")]
    _refresh_interval: Option<String>,
    #[serde(rename = "port")]
    _port: Option<u32>,
    #[serde(rename = "host_networking_host")]
    _host_networking_host: Option<String>,
}

/// Reads one document, and says where a fault is.
pub(super) fn parse(yaml: &str) -> Result<RawPromtail, ConvertError> {
    let mut at = None;
    // As in Promtail's YAML, `y` and `off` are texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::with_deserializer_from_str_with_options(yaml, options, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            at = Some(error.path().to_string());
            error.into_inner()
        })
    })
    .map_err(|error| {
        let text = match error.without_snippet() {
            serde_saphyr::Error::SerdeUnknownField { field, .. } => {
                let line = error.location().map_or(0, |it| it.line());
                format!("line {line}: {field} is not known")
            }
            other => other.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "),
        };
        match at.as_deref() {
            None | Some(".") => ConvertError::Yaml(text),
            Some(at) => refused(at, text),
        }
    })
}

impl RawPromtail {
    fn all_clients(&self) -> impl Iterator<Item = &RawClient> {
        self.client.iter().chain(&self.clients)
    }

    /// The first client's address, without the path that the agent appends itself.
    pub(super) fn server_of_clients(
        &self,
        notes: &mut Vec<String>,
    ) -> Result<Server, ConvertError> {
        let mut clients = self.all_clients();
        let Some(client) = clients.next() else {
            return Err(refused("clients", "there is none; the agent needs the server's address"));
        };
        for other in clients {
            notes.push(format!("Left out the client {}: an agent has one server.", other.url));
        }
        for (what, is_given) in [
            ("basic_auth", client.basic_auth.is_some()),
            ("oauth2", client.oauth2.is_some()),
            ("bearer_token", client.bearer_token.is_some()),
            ("authorization", client.authorization.is_some()),
        ] {
            if is_given {
                notes.push(format!(
                    "Left out clients.{what}: put a token of the server into a file and name it as server.token_file."
                ));
            }
        }
        for (what, is_given) in [
            ("proxy_url", client.proxy_url.is_some()),
            ("headers", client.headers.is_some()),
            ("tls_config.insecure_skip_verify", client.tls_config.insecure_skip_verify),
            ("tls_config.cert_file", client.tls_config.cert_file.is_some()),
        ] {
            if is_given {
                return Err(refused(format!("clients.{what}"), "this agent has no such setting"));
            }
        }
        if client.tenant_id.as_ref().is_some_and(|it| !it.is_empty()) {
            notes.push("Left out clients.tenant_id: a Skep server has one tenant.".to_owned());
        }
        let url = client.url.trim_end_matches('/');
        let url = ["/loki/api/v1/push", "/api/prom/push"]
            .iter()
            .find_map(|it| url.strip_suffix(it))
            .unwrap_or(url);
        notes.push(format!(
            "The server is that of clients ({url}); write another one if it is not a Skep server. Metrics go there, too."
        ));
        Ok(Server {
            url: url.to_owned(),
            token_file: client.bearer_token_file.clone(),
            ca_file: client.tls_config.ca_file.clone(),
        })
    }

    pub(super) fn external_labels(&self) -> BTreeMap<String, String> {
        self.all_clients().next().map(|it| it.external_labels.clone()).unwrap_or_default()
    }

    /// Sections that have nothing to do here.
    pub(super) fn note_ignored(&self, notes: &mut Vec<String>) {
        let is_tuned = self.all_clients().any(|it| {
            it.batchwait.is_some()
                || it.batchsize.is_some()
                || it.backoff_config.is_some()
                || it.timeout.is_some()
                || it.drop_rate_limited_batches.is_some()
                || it.follow_redirects.is_some()
                || it.enable_http2.is_some()
                || it.name.is_some()
                || it.tls_config.server_name.is_some()
                || it.tls_config.key_file.is_some()
                || it.tls_config.min_version.is_some()
        });
        for (section, is_given, why) in [
            ("server", self.server.is_some(), "see [expose] for /metrics"),
            ("positions", self.positions.is_some(), "positions are in data_dir"),
            ("global", self.global.is_some(), "files are looked for every 10 s and watched"),
            ("target_config", self.target_config.is_some(), "files are looked for every 10 s"),
            ("options", self.options.is_some(), "it has no counterpart"),
            ("tracing", self.tracing.is_some(), "the agent has no tracing"),
            ("wal", self.wal.is_some(), "the agent always has its spool"),
            ("clients' tuning", is_tuned, "batches, retries and timeouts are the agent's own"),
            (
                "limits_config.max_streams",
                self.limits_config.max_streams > 0,
                "the server has limits of its own",
            ),
        ] {
            if is_given {
                notes.push(format!("Left out {section}: {why}."));
            }
        }
    }

    pub(super) fn line_limits(&self) -> Result<LineLimits, ConvertError> {
        let limits = &self.limits_config;
        let max_line_bytes = match &limits.max_line_size {
            None => None,
            Some(Json::Number(number)) => number.as_u64().and_then(|it| usize::try_from(it).ok()),
            Some(Json::String(text)) => Some(
                crate::pipeline::size("max_line_size", text)
                    .map_err(|error| refused("limits_config", error.to_string()))?,
            ),
            Some(_) => return Err(refused("limits_config.max_line_size", "this is no size")),
        };
        let rate = limits.readline_rate_enabled.then(|| {
            serde_json::json!({
                "rate": limits.readline_rate.unwrap_or(10_000.0),
                "burst": limits.readline_burst.unwrap_or(10_000),
                "drop": limits.readline_rate_drop.unwrap_or(true),
            })
        });
        Ok(LineLimits {
            max_line_bytes: max_line_bytes.filter(|it| *it > 0),
            is_truncated: limits.max_line_size_truncate,
            rate,
        })
    }
}
