//! `skep-server sql`.

use std::io::{self, Write as _};

use clap::ValueEnum;
use futures::StreamExt as _;
use http::Method;

use super::{table::aligned, target::Target};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns side by side.
    Table,
    Csv,
    Json,
    /// An object a line.
    Ndjson,
}

pub(super) async fn run(target: &Target, query: &str, format: Format) -> anyhow::Result<()> {
    let name = match format {
        Format::Table | Format::Csv => "csv",
        Format::Json => "json",
        Format::Ndjson => "ndjson",
    };
    let path = format!("/api/v1/sql?format={name}");
    if format == Format::Table {
        let csv = target.ask_text(&path, "text/plain", query.to_owned()).await?;
        io::stdout().write_all(aligned(&csv).as_bytes())?;
        return Ok(());
    }
    let body = futures::stream::iter([Ok(query.to_owned().into())]).boxed();
    let mut rows = target.ask(Method::POST, &path, "text/plain", body).await?;
    let mut out = io::stdout().lock();
    while let Some(bytes) = rows.next().await {
        out.write_all(&bytes?)?;
    }
    out.flush()?;
    Ok(())
}
