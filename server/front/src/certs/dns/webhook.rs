//! An HTTP endpoint that sets records, called as lego's `httpreq` provider calls it.

use async_trait::async_trait;
use reqwest::Client;
use serde_json::json;

use super::{DnsError, DnsProvider, TxtRecord};
use crate::certs::http::{self, HttpError, Roots};
use crate::config::Webhook;

#[derive(Debug)]
pub(super) struct Provider {
    config: Webhook,
    client: Client,
}

impl Provider {
    pub(super) fn new(config: Webhook, roots: &Roots) -> Result<Self, HttpError> {
        Ok(Self { config, client: http::client(roots)? })
    }

    async fn call(&self, action: &str, record: &TxtRecord) -> Result<(), DnsError> {
        let url = format!("{}/{action}", self.config.url.as_str().trim_end_matches('/'));
        let body = json!({"fqdn": record.fqdn(), "value": record.value});
        let mut request = self.client.post(&url).json(&body);
        if let Some(username) = &self.config.username {
            let password = self.config.password_file.as_ref().map(|it| it.read()).transpose()?;
            request = request.basic_auth(username, password);
        }
        let answer = http::send(request, &url).await?;
        if answer.is_success() {
            Ok(())
        } else {
            Err(DnsError::Refused { url, status: answer.status, text: answer.quote() })
        }
    }
}

#[async_trait]
impl DnsProvider for Provider {
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.call("present", record).await
    }

    async fn clean_up(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.call("cleanup", record).await
    }
}
