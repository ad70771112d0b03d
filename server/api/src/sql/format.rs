//! The formats of rows: JSON, CSV, NDJSON, Arrow IPC.

use arrow::{
    array::RecordBatch, datatypes::SchemaRef, error::ArrowError, ipc::writer::StreamWriter,
};
use http::HeaderMap;

use super::{accepted, cell::Cells};
use crate::{
    error::ApiError,
    json::{push_string, push_strings},
    params::Params,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Ndjson,
    Arrow,
}

/// Name, media type, format.
const FORMATS: [(&str, &str, Format); 4] = [
    ("json", "application/json", Format::Json),
    ("csv", "text/csv", Format::Csv),
    ("ndjson", "application/x-ndjson", Format::Ndjson),
    ("arrow", "application/vnd.apache.arrow.stream", Format::Arrow),
];

impl Format {
    /// What `format` says, else `Accept`, else JSON.
    pub(super) fn of(params: &Params, headers: &HeaderMap) -> Result<Self, ApiError> {
        if let Some(name) = params.given("format") {
            let known = FORMATS.iter().find(|it| it.0 == name);
            return known.map(|it| it.2).ok_or_else(|| {
                let fault =
                    format!("there is no format {name:?}; write json, csv, ndjson or arrow");
                ApiError::invalid("format", fault)
            });
        }
        let known = accepted(headers).find_map(|media| FORMATS.iter().find(|it| it.1 == media));
        Ok(known.map_or(Self::Json, |it| it.2))
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            _ => FORMATS.iter().find(|it| it.2 == self).map_or("application/json", |it| it.1),
        }
    }
}

/// Turns batches into text, or into bytes that are sent as they are.
pub(super) enum Encoder {
    Json { names: Vec<String>, n_rows: usize },
    Csv,
    Ndjson { names: Vec<String> },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn begin(
        format: Format,
        schema: &SchemaRef,
        out: &mut String,
    ) -> Result<Self, ApiError> {
        let names: Vec<String> = schema.fields().iter().map(|it| it.name().clone()).collect();
        Ok(match format {
            Format::Json => {
                out.push_str("{\"status\":\"success\",\"data\":{\"columns\":");
                push_strings(out, &names);
                out.push_str(",\"rows\":[");
                Self::Json { names, n_rows: 0 }
            }
            Format::Csv => {
                for (i, name) in names.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    push_quoted(out, name);
                }
                out.push_str("\r\n");
                Self::Csv
            }
            Format::Ndjson => Self::Ndjson { names },
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), schema).map_err(|it| failed(&it))?;
                Self::Arrow(Box::new(writer))
            }
        })
    }

    pub(super) fn push(
        &mut self,
        batch: &RecordBatch,
        out: &mut String,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        if let Self::Arrow(writer) = self {
            writer.write(batch).map_err(|it| failed(&it))?;
            return Ok(Some(std::mem::take(writer.get_mut())));
        }
        let cells = Cells::new(batch).map_err(|it| failed(&it))?;
        for row in 0..batch.num_rows() {
            match self {
                Self::Json { names, n_rows } => {
                    out.push_str(if *n_rows > 0 { ",\n" } else { "" });
                    *n_rows += 1;
                    push_object(out, names, &cells, row).map_err(|it| failed(&it))?;
                }
                Self::Ndjson { names } => {
                    push_object(out, names, &cells, row).map_err(|it| failed(&it))?;
                    out.push('\n');
                }
                Self::Csv => push_record(out, &cells, row).map_err(|it| failed(&it))?,
                Self::Arrow(_) => {}
            }
        }
        Ok(None)
    }

    pub(super) fn end(mut self, out: &mut String) -> Result<Option<Vec<u8>>, ApiError> {
        match &mut self {
            Self::Json { .. } => out.push_str("]}}\n"),
            Self::Csv | Self::Ndjson { .. } => {}
            Self::Arrow(writer) => {
                writer.finish().map_err(|it| failed(&it))?;
                return Ok(Some(std::mem::take(writer.get_mut())));
            }
        }
        Ok(None)
    }
}

fn failed(error: &ArrowError) -> ApiError {
    ApiError::internal(error)
}

fn push_object(
    out: &mut String,
    names: &[String],
    cells: &Cells<'_>,
    row: usize,
) -> Result<(), ArrowError> {
    out.push('{');
    for (i, name) in names.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(out, name);
        out.push(':');
        cells.push_json(out, i, row)?;
    }
    out.push('}');
    Ok(())
}

/// As RFC 4180 has it; a null is nothing, a map or list its JSON.
fn push_record(out: &mut String, cells: &Cells<'_>, row: usize) -> Result<(), ArrowError> {
    let mut text = String::new();
    for i in 0..cells.len() {
        out.push_str(if i > 0 { "," } else { "" });
        text.clear();
        cells.push_text(&mut text, i, row)?;
        push_quoted(out, &text);
    }
    out.push_str("\r\n");
    Ok(())
}

fn push_quoted(out: &mut String, text: &str) {
    if text.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}
