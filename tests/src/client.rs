//! An HTTP client of the server under test, in the words of Prometheus and Loki.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use skep_proto::{Labels, LogEntry, loki_push, remote_write};

/// Talks to one address with one token.
#[derive(Debug, Clone)]
pub struct Client {
    pub url: String,
    pub token: String,
    http: reqwest::Client,
}

impl Client {
    /// Trusts `ca_pem` and nothing else; an empty token sends no credentials.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn new(url: &str, token: &str, ca_pem: &[u8]) -> anyhow::Result<Self> {
        // Fails if a test before us has done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(ca_pem)?)
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { url: url.to_owned(), token: token.to_owned(), http })
    }

    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Response> {
        let request = self.http.get(format!("{}{path}", self.url)).query(params);
        self.authorized(request).send().await.with_context(|| format!("GET {path}"))
    }

    /// As [`Self::get`], with headers.
    ///
    /// # Errors
    /// No answer.
    pub async fn get_with(
        &self,
        path: &str,
        params: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        let mut request = self.http.get(format!("{}{path}", self.url)).query(params);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.authorized(request).send().await.with_context(|| format!("GET {path}"))
    }

    /// # Errors
    /// No answer.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Response> {
        let mut request = self.authorized(self.http.post(format!("{}{path}", self.url)).body(body));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.with_context(|| format!("POST {path}"))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// The `data` of a successful answer.
    ///
    /// # Errors
    /// Any other answer, with its text.
    pub async fn data(&self, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Value> {
        let response = self.get(path, params).await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status == StatusCode::OK, "GET {path} {params:?}: {status}: {text}");
        let mut answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// The values of an instant PromQL query, with their label sets.
    ///
    /// # Errors
    /// The query fails, or its result is no vector.
    pub async fn promql(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        self.vector("/api/v1/query", &[("query", query)]).await
    }

    /// The values of an instant LogQL metric query.
    ///
    /// # Errors
    /// The query fails, or its result is no vector.
    pub async fn logql(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        self.vector("/loki/api/v1/query", &[("query", query)]).await
    }

    async fn vector(
        &self,
        path: &str,
        params: &[(&str, &str)],
    ) -> anyhow::Result<Vec<(Value, f64)>> {
        let data = self.data(path, params).await?;
        let result = data.get("result").and_then(Value::as_array).context("no result")?;
        result
            .iter()
            .map(|it| {
                let value = it.pointer("/value/1").and_then(Value::as_str).context("no value")?;
                Ok((it.get("metric").cloned().unwrap_or_default(), value.parse()?))
            })
            .collect()
    }

    /// The lines of a LogQL query over all time, as (nanoseconds, line), oldest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn lines(&self, query: &str, limit: usize) -> anyhow::Result<Vec<(i64, String)>> {
        self.lines_since(query, 0, limit).await
    }

    /// As [`Client::lines`], from `start` on, in nanoseconds.
    ///
    /// # Errors
    /// The query fails.
    pub async fn lines_since(
        &self,
        query: &str,
        start: i64,
        limit: usize,
    ) -> anyhow::Result<Vec<(i64, String)>> {
        let params = [
            ("query", query),
            ("start", &start.to_string()),
            ("end", "4000000000"),
            ("limit", &limit.to_string()),
            ("direction", "forward"),
        ];
        let data = self.data("/loki/api/v1/query_range", &params).await?;
        let streams = data.get("result").and_then(Value::as_array).context("no result")?;
        let mut lines = Vec::new();
        for values in streams.iter().filter_map(|it| it.get("values")?.as_array()) {
            for value in values {
                let ts = value.get(0).and_then(Value::as_str).context("no time stamp")?;
                let line = value.get(1).and_then(Value::as_str).context("no line")?;
                lines.push((ts.parse()?, line.to_owned()));
            }
        }
        lines.sort();
        Ok(lines)
    }

    /// Sends one batch of samples as remote-write 1.0 and returns the status.
    ///
    /// # Errors
    /// No answer: whether the batch arrived is unknown.
    pub async fn write(&self, batch: &[remote_write::SeriesBatch]) -> anyhow::Result<StatusCode> {
        let headers = [
            ("Content-Type", remote_write::CONTENT_TYPE_V1),
            ("Content-Encoding", "snappy"),
            (skep_proto::names::header::REMOTE_WRITE_VERSION, remote_write::VERSION_V1),
        ];
        let body = remote_write::encode_v1(batch);
        Ok(self.post("/api/v1/write", &headers, body).await?.status())
    }

    /// Pushes log entries and returns the status.
    ///
    /// # Errors
    /// No answer: whether the batch arrived is unknown.
    pub async fn push(&self, streams: &[(Labels, Vec<LogEntry>)]) -> anyhow::Result<StatusCode> {
        let headers = [("Content-Type", loki_push::CONTENT_TYPE)];
        let body = loki_push::encode(streams);
        Ok(self.post("/loki/api/v1/push", &headers, body).await?.status())
    }

    /// Has the server write everything to parts.
    ///
    /// # Errors
    /// It refuses.
    pub async fn flush(&self) -> anyhow::Result<()> {
        let response = self.post("/-/flush", &[], Vec::new()).await?;
        ensure!(response.status().is_success(), "flush: {}", response.status());
        Ok(())
    }

    /// Has the server merge parts.
    ///
    /// # Errors
    /// It refuses.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let response = self.post("/-/compact", &[], Vec::new()).await?;
        ensure!(response.status().is_success(), "compact: {}", response.status());
        Ok(())
    }
}
