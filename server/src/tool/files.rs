//! `skep-server export`, `import` and `snapshot`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio_util::io::ReaderStream;

use super::{
    Where,
    target::{Chunks, Target},
};

/// What is read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// All series: a selector must be able to leave one out.
const ALL_SERIES: &str = "{__name__!=\"\"}";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Samples as VictoriaMetrics' JSON lines: nothing is lost.
    Json,
    /// Samples as Prometheus' text; stale markers are left out.
    Prometheus,
    /// Samples as OpenMetrics; stale markers are left out.
    Openmetrics,
    /// Log lines, a stream a line as in Loki's push and answers.
    Loki,
}

#[derive(Args)]
pub(crate) struct Export {
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Which series or streams; all if left out. May be given several times for series.
    #[arg(long = "match", value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// From this time on: RFC 3339, or seconds since 1970.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Up to this time.
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Standard output if left out.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) at: Where,
}

#[derive(Args)]
pub(crate) struct Import {
    /// `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Told by the first line if left out; OpenMetrics cannot be told from Prometheus' text.
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    pub(super) at: Where,
}

impl Export {
    pub(super) async fn run(&self, target: &Target) -> anyhow::Result<()> {
        let mut form: Vec<(&str, &str)> = Vec::new();
        let path = match self.format {
            Format::Loki => {
                anyhow::ensure!(self.selectors.len() < 2, "write one --match for log lines");
                form.push(("query", self.selectors.first().map_or("{}", String::as_str)));
                "/loki/api/v1/export"
            }
            _ => {
                let selectors = self.selectors.iter().map(String::as_str);
                form.extend(selectors.map(|it| ("match[]", it)));
                if form.is_empty() {
                    form.push(("match[]", ALL_SERIES));
                }
                "/api/v1/export"
            }
        };
        form.extend(match self.format {
            Format::Prometheus => Some(("format", "prometheus")),
            Format::Openmetrics => Some(("format", "openmetrics")),
            Format::Json | Format::Loki => None,
        });
        form.extend(self.start.as_deref().map(|it| ("start", it)));
        form.extend(self.end.as_deref().map(|it| ("end", it)));
        let body = self::form(form);
        let body = futures::stream::iter([Ok(Bytes::from(body))]).boxed();
        let media = "application/x-www-form-urlencoded";
        let mut rows = target.ask(Method::POST, path, media, body).await?;
        let mut out: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(
                std::fs::File::create(path)
                    .with_context(|| format!("cannot create {}", path.display()))?,
            ),
            None => Box::new(io::stdout()),
        };
        let bar = spinner();
        while let Some(bytes) = rows.next().await {
            let bytes = bytes.context("the answer broke off; the file is not whole")?;
            out.write_all(&bytes).context("writing the file")?;
            bar.inc(bytes.len() as u64);
        }
        out.flush().context("writing the file")?;
        bar.finish();
        Ok(())
    }
}

impl Import {
    pub(super) async fn run(&self, target: &Target) -> anyhow::Result<()> {
        for path in &self.files {
            self.one(target, path)
                .await
                .with_context(|| format!("importing {}", path.display()))?;
        }
        Ok(())
    }

    async fn one(&self, target: &Target, path: &Path) -> anyhow::Result<()> {
        let (bar, input): (ProgressBar, Box<dyn AsyncRead + Send + Unpin>) =
            if path == Path::new("-") {
                (spinner(), Box::new(tokio::io::stdin()))
            } else {
                let file = tokio::fs::File::open(path).await?;
                (bar_of(file.metadata().await?.len()), Box::new(file))
            };
        let mut input = BufReader::with_capacity(CHUNK_BYTES, input);
        let format = match self.format {
            Some(format) => format,
            None => format_of(input.fill_buf().await?),
        };
        let (path, media) = match format {
            Format::Json => ("/api/v1/import", "application/stream+json"),
            Format::Prometheus => ("/api/v1/import/prometheus", "text/plain"),
            Format::Openmetrics => ("/api/v1/import/prometheus", "application/openmetrics-text"),
            Format::Loki => ("/loki/api/v1/import", "application/x-ndjson"),
        };
        let counted = bar.clone();
        let body: Chunks = ReaderStream::with_capacity(input, CHUNK_BYTES)
            .inspect_ok(move |it| counted.inc(it.len() as u64))
            .map_err(anyhow::Error::from)
            .boxed();
        let mut answer = target.ask(Method::POST, path, media, body).await?;
        while answer.next().await.transpose()?.is_some() {}
        bar.finish();
        Ok(())
    }
}

/// Copies everything and prints where it is.
#[expect(clippy::print_stdout, reason = "a command line tool")]
pub(super) async fn snapshot(target: &Target) -> anyhow::Result<()> {
    let path = "/api/v1/admin/tsdb/snapshot";
    let answer = target.ask_text(path, "text/plain", String::new()).await?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let name = answer.pointer("/data/name").and_then(serde_json::Value::as_str);
    println!("snapshots/{}", name.context("the answer names no snapshot")?);
    Ok(())
}

/// By the first line of a file.
fn format_of(head: &[u8]) -> Format {
    let head = String::from_utf8_lossy(head);
    let line = head.lines().find(|it| !it.trim().is_empty()).unwrap_or_default();
    if !line.starts_with('{') {
        return Format::Prometheus;
    }
    let says = |key: &str| line.contains(&format!("\"{key}\""));
    if says("metric") && says("values") {
        Format::Json
    } else if says("stream") || says("streams") || says("line") {
        Format::Loki
    } else {
        // `{"a name",label="value"} 1`.
        Format::Prometheus
    }
}

/// The body of a form.
pub(super) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().map(|(name, value)| format!("{}={}&", name, escaped(value))).collect()
}

/// For a form: everything but letters and digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Of a file whose size is known. Nothing is drawn where standard error is no terminal.
fn bar_of(n_bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(n_bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec} {elapsed}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_format() {
        for (head, expected) in [
            ("\n{\"metric\":{},\"values\":[", Format::Json),
            ("{\"stream\":{}", Format::Loki),
            ("{\"labels\":{},\"line\":\"x\"}", Format::Loki),
            ("# HELP up x\nup 1", Format::Prometheus),
            ("{\"a b\",host=\"x\"} 1", Format::Prometheus),
        ] {
            assert_eq!(format_of(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn a_form_holds_any_text() {
        assert_eq!(escaped("{a=\"ä\"}"), "%7Ba%3D%22%C3%A4%22%7D");
    }
}
