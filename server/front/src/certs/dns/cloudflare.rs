//! Cloudflare's DNS API, version 4.

use async_trait::async_trait;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DnsError, DnsProvider, TxtRecord};
use crate::certs::http::{self, HttpError, Roots};
use crate::config::Cloudflare;

/// The least that Cloudflare takes but for "automatic".
const TTL_SECONDS: u32 = 60;
/// "Record already exists" and "An identical record already exists".
const EXISTS: [u64; 2] = [81057, 81058];

#[derive(Debug)]
pub(super) struct Provider {
    config: Cloudflare,
    client: Client,
}

#[derive(Deserialize)]
struct Reply {
    success: bool,
    #[serde(default)]
    errors: Vec<ReplyError>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct ReplyError {
    code: u64,
    message: String,
}

impl Provider {
    pub(super) fn new(config: Cloudflare, roots: &Roots) -> Result<Self, HttpError> {
        Ok(Self { config, client: http::client(roots)? })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, DnsError> {
        let url = format!("{}{path}", self.config.api_base.as_str().trim_end_matches('/'));
        let token = self.config.token_file.read()?;
        let mut request = self.client.request(method, &url).query(query).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = http::send(request, &url).await?;
        let reply: Reply = match serde_json::from_str(&answer.text) {
            Ok(reply) => reply,
            Err(_not_the_api) => {
                return Err(DnsError::Refused { url, status: answer.status, text: answer.quote() });
            }
        };
        let is_there = reply.errors.iter().any(|it| EXISTS.contains(&it.code));
        if reply.success || is_there {
            return Ok(reply);
        }
        let errors: Vec<String> =
            reply.errors.iter().map(|it| format!("{} ({})", it.message, it.code)).collect();
        Err(DnsError::Refused { url, status: answer.status, text: errors.join(", ") })
    }

    /// The zone that has the name: the longest suffix the account knows.
    async fn zone_id(&self, domain: &str) -> Result<String, DnsError> {
        let mut name = domain;
        while name.contains('.') {
            let zones = self.call(Method::GET, "/zones", &[("name", name)], None).await?.result;
            if let Some(id) = zones.pointer("/0/id").and_then(Value::as_str) {
                return Ok(id.to_owned());
            }
            name = name.split_once('.').map_or("", |(_label, rest)| rest);
        }
        Err(DnsError::NoZone { name: domain.to_owned() })
    }
}

#[async_trait]
impl DnsProvider for Provider {
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError> {
        let zone = self.zone_id(record.domain()).await?;
        let body = json!({
            "type": "TXT",
            "name": record.name,
            "content": format!("\"{}\"", record.value),
            "ttl": TTL_SECONDS,
        });
        let path = format!("/zones/{zone}/dns_records");
        self.call(Method::POST, &path, &[], Some(&body)).await?;
        Ok(())
    }

    /// Looks the record up, so that one of a run before a crash goes too.
    async fn clean_up(&self, record: &TxtRecord) -> Result<(), DnsError> {
        let zone = self.zone_id(record.domain()).await?;
        let path = format!("/zones/{zone}/dns_records");
        let query = [("type", "TXT"), ("name", record.name.as_str())];
        let found = self.call(Method::GET, &path, &query, None).await?.result;
        for it in found.as_array().into_iter().flatten() {
            let content = it.pointer("/content").and_then(Value::as_str).unwrap_or_default();
            let id = it.pointer("/id").and_then(Value::as_str);
            if let (Some(id), true) = (id, content.trim_matches('"') == record.value) {
                self.call(Method::DELETE, &format!("{path}/{id}"), &[], None).await?;
            }
        }
        Ok(())
    }
}
