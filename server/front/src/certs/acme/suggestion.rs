//! ACME Renewal Information (RFC 9773): when the CA would like a certificate to be renewed.

use serde::Deserialize;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::authority::Authority;
use super::order::AcmeError;
use crate::certs::chain::Certificate;
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
        let Some(id) = &certificate.renewal_id else { return Ok(None) };
        let url = self.config.directory.as_str();
        let directory = http::send(self.http.get(url), url).await?;
        let directory =
            serde_json::from_str(&directory.text).map_err(|it| AcmeError::Directory(it.into()))?;
        let RawDirectory { renewal_info: Some(base) } = directory else { return Ok(None) };
        let url = format!("{}/{}", base.trim_end_matches('/'), id.to_path());
        let answer = http::send(self.http.get(&url), &url).await?;
        Ok(if answer.is_success() { parse(&answer.text) } else { None })
    }
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
