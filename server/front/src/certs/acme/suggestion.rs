//! ACME Renewal Information (RFC 9773): when the CA would like a certificate to be renewed.

use serde::Deserialize;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::authority::Authority;
use super::order::AcmeError;
use crate::certs::chain::{Certificate, RenewalId};
use crate::certs::http;

/// A CA that revokes certificates in a hurry says so a day before at the latest.
pub(super) const INTERVAL: Duration = Duration::hours(6);

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suggestion {
    pub start: OffsetDateTime,
    pub end: OffsetDateTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDirectory {
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInfo {
    suggested_window: RawWindow,
}

#[derive(Deserialize)]
struct RawWindow {
    start: String,
    end: String,
}

impl Authority {
    /// `None` if the CA makes no suggestions.
    pub(super) async fn suggestion(
        &self,
        certificate: &Certificate,
    ) -> Result<Option<Suggestion>, AcmeError> {
        match &certificate.renewal_id {
            Some(id) => ask(&self.http, self.config.directory.as_str(), id).await,
            None => Ok(None),
        }
    }
}

async fn ask(
    client: &reqwest::Client,
    directory: &str,
    id: &RenewalId,
) -> Result<Option<Suggestion>, AcmeError> {
    let answer = http::send(client.get(directory), directory).await?;
    let answer =
        serde_json::from_str(&answer.text).map_err(|it| AcmeError::Directory(it.into()))?;
    let RawDirectory { renewal_info: Some(base) } = answer else { return Ok(None) };
    let url = format!("{}/{}", base.trim_end_matches('/'), id.to_path());
    let answer = http::send(client.get(&url), &url).await?;
    Ok(if answer.is_success() { parse(&answer.text) } else { None })
}

/// A window that ends before it starts says nothing (RFC 9773 §4.2).
fn parse(text: &str) -> Option<Suggestion> {
    let RawInfo { suggested_window: window } = serde_json::from_str(text).ok()?;
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let suggestion = Suggestion { start: time(&window.start)?, end: time(&window.end)? };
    (suggestion.start < suggestion.end).then_some(suggestion)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The certificate of RFC 9773 §4.1.
    fn id() -> RenewalId {
        let authority_key_id = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        let serial = [0x00, 0x87, 0x65, 0x43, 0x21];
        RenewalId { authority_key_id: authority_key_id.to_vec(), serial: serial.to_vec() }
    }

    #[tokio::test]
    async fn a_ca_is_asked_about_a_certificate_where_its_directory_says() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let window = r#"{"suggestedWindow": {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"}}"#;
        let directory = format!(r#"{{"renewalInfo": "{base}/ari", "newOrder": "x"}}"#);
        let get = |text: String| axum::routing::get(move || std::future::ready(text));
        let router = axum::Router::new()
            .route("/dir", get(directory))
            .route("/old", get(r#"{"newOrder": "x"}"#.to_owned()))
            .route("/ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", get(window.to_owned()));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = http::client(&http::Roots::system()).unwrap();
        let found = ask(&client, &format!("{base}/dir"), &id()).await.unwrap().unwrap();
        assert_eq!(found.start, time::macros::datetime!(2026-12-01 00:00 UTC));
        assert_eq!(ask(&client, &format!("{base}/old"), &id()).await.unwrap(), None);
        let other = RenewalId { serial: vec![1], ..id() };
        assert_eq!(ask(&client, &format!("{base}/dir"), &other).await.unwrap(), None);
    }

    #[test]
    fn a_window_is_read_and_nonsense_is_no_window() {
        let good = r#"{"suggestedWindow": {"start": "2026-12-01T00:00:00Z", "end": "2026-12-02T00:00:00Z"},
            "explanationURL": "https://ca.example/why"}"#;
        let window = parse(good).unwrap();
        assert_eq!(window.end - window.start, Duration::DAY);
        assert_eq!(parse(&good.replace("12-02", "11-02")), None);
        assert_eq!(parse("{}"), None);
    }
}
