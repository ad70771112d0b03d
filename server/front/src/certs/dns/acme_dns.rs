//! acme-dns: a small DNS server that only answers challenges; a CNAME leads from the zone to it.

use std::collections::HashMap;

use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;

use super::{DnsError, DnsProvider, TxtRecord};
use crate::certs::http::{self, HttpError, Roots};
use crate::config::AcmeDns;

#[derive(Debug)]
pub(super) struct Provider {
    config: AcmeDns,
    client: Client,
}

/// As `/register` answers.
#[derive(Debug, Clone, Deserialize)]
struct Account {
    username: String,
    password: String,
    subdomain: String,
}

/// One account for all names, or one for each, as lego and certbot store them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Credentials {
    One(Account),
    ByDomain(HashMap<String, Account>),
}

impl Provider {
    pub(super) fn new(config: AcmeDns, roots: &Roots) -> Result<Self, HttpError> {
        Ok(Self { config, client: http::client(roots)? })
    }

    fn account(&self, domain: &str) -> Result<Account, DnsError> {
        let text = self.config.credentials_file.read()?;
        match serde_json::from_str(&text).map_err(DnsError::Credentials)? {
            Credentials::One(account) => Ok(account),
            Credentials::ByDomain(accounts) => accounts
                .get(domain)
                .cloned()
                .ok_or_else(|| DnsError::NoCredentials { domain: domain.to_owned() }),
        }
    }
}

#[async_trait]
impl DnsProvider for Provider {
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError> {
        let account = self.account(record.domain())?;
        let url = format!("{}/update", self.config.url.as_str().trim_end_matches('/'));
        let request = self
            .client
            .post(&url)
            .header("X-Api-User", &account.username)
            .header("X-Api-Key", &account.password)
            .json(&json!({"subdomain": account.subdomain, "txt": record.value}));
        let answer = http::send(request, &url).await?;
        if answer.is_success() {
            Ok(())
        } else {
            Err(DnsError::Refused { url, status: answer.status, text: answer.quote() })
        }
    }

    /// The server keeps the newest two values of a name and has no call to remove one.
    async fn clean_up(&self, _record: &TxtRecord) -> Result<(), DnsError> {
        Ok(())
    }
}
