//! Log lines out of the server and into it, a stream a line as in a push:
//! `{"stream":{…},"values":[["<ns>","line",{…}],…]}`.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use skep_query::EntryRun;
use skep_receive::loki_push::{Encoding, Format, Message, Rules, Terms, decode};
use tokio::time::sleep;

use super::params::{parse_time, selector};
use crate::{
    Api,
    blocks::Blocks,
    error::{ApiError, LokiError, LokiPushError},
    json::{ARRAY, push_labels, push_list, push_pairs, push_string},
    number::push_int,
    params::{Params, rfc3339_ns},
    stream::streamed,
    watch::{query_turn, write_turn},
};

/// Every line of the streams that `query` selects, from `start` to `end`, both included.
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, LokiError> {
    let query =
        params.given("query").ok_or_else(|| ApiError::bad_data("query not set; {} is all"))?;
    let matchers = selector(query)?;
    let time = |name: &str, default| match params.given(name) {
        Some(text) => parse_time(text).map_err(|fault| {
            ApiError::bad_data(format!("could not parse '{name}' parameter: {fault}"))
        }),
        None => Ok(skep_proto::TimestampNs(default)),
    };
    let range = (time("start", i64::MIN)?, time("end", i64::MAX)?);
    let answer = streamed("application/x-ndjson", |mut sink| async move {
        let _turn = query_turn(&api).await?;
        let mut rows = api.engine.export_logs(&[matchers], range)?;
        loop {
            let runs = rows.next_entries().await?;
            if runs.is_empty() {
                break;
            }
            for run in &runs {
                push_run(&mut sink.text, run);
                sink.flow().await?;
            }
        }
        sink.finish().await
    });
    Ok(answer.await?)
}

fn push_run(out: &mut String, run: &EntryRun) {
    out.push_str("{\"stream\":");
    push_labels(out, &run.labels);
    out.push_str(",\"values\":");
    push_list(out, ARRAY, &run.entries, |out, entry| {
        out.push_str("[\"");
        push_int(out, entry.ts.0);
        out.push_str("\",");
        push_string(out, &entry.line);
        if !entry.metadata.is_empty() {
            out.push(',');
            push_pairs(out, entry.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        }
        out.push(']');
    });
    out.push_str("}\n");
}

/// Lines as [`export`] writes them, whole answers of `query_range`, or `logcli --output=jsonl`.
/// 204 once all of it is stored; 400 where some were left out, the others are stored.
pub(super) async fn import(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, LokiPushError> {
    const FORMAT: Format = Format { message: Message::Json, encoding: Encoding::Identity };
    let _turn = write_turn(&api)?;
    let mut blocks = Blocks::new(&headers, body, api.receive.plain_bytes_max)?;
    // What was stored once is stored as it was.
    let rules = Rules::verbatim();
    let mut left_out: Option<ApiError> = None;
    while let Some(block) = blocks.next().await? {
        api.telemetry.bytes_received.add(block.text.len());
        let (push, fault) = as_push(&block.text, block.first_line);
        left_out = left_out.or(fault);
        let Some(push) = push else { continue };
        let terms = Terms { limits: &api.receive, rules: &rules, now: api.clock.now() };
        let decoded = decode(FORMAT, push.as_bytes(), &terms).map_err(ApiError::from)?;
        let appended = loop {
            match api.store.append_logs(&decoded.rows).await {
                Err(skep_store::AppendError::Busy { retry_after }) => sleep(retry_after).await,
                other => break other.map_err(|error| ApiError::from_append(&api, &error))?,
            }
        };
        api.telemetry.entries_received.add(appended.n_accepted);
        api.telemetry.entries_refused.add(appended.n_rejected + decoded.refused.n_values);
        left_out = left_out.or_else(|| ApiError::from_left_out_lines(&decoded.refused, &appended));
    }
    left_out.map_or(Ok(StatusCode::NO_CONTENT), |error| Err(error.into()))
}

/// A block of lines as the body of one push, and what is wrong with the first bad line.
fn as_push(block: &str, first_line: usize) -> (Option<String>, Option<ApiError>) {
    let mut streams = Vec::new();
    let mut fault = None;
    for (at, line) in block.lines().enumerate().filter(|it| !it.1.trim().is_empty()) {
        let read =
            serde_json::from_str(line).map_err(|error| error.to_string()).and_then(streams_of);
        match read {
            Ok(found) => streams.extend(found),
            Err(text) => {
                fault.get_or_insert_with(|| {
                    ApiError::bad_data(format!("line {}: {text}", first_line + at))
                });
            }
        }
    }
    let push = (!streams.is_empty()).then(|| json!({ "streams": streams }).to_string());
    (push, fault)
}

fn streams_of(mut line: Value) -> Result<Vec<Value>, String> {
    if let Some(Value::Array(streams)) = line.pointer_mut("/data/result").map(Value::take) {
        return Ok(streams.into_iter().map(plain_stream).collect());
    }
    if line.get("stream").is_some() && line.get("values").is_some() {
        return Ok(vec![plain_stream(line)]);
    }
    let (Some(labels), Some(text), Some(at)) =
        (line.get("labels"), line.get("line"), line.get("timestamp").and_then(Value::as_str))
    else {
        return Err("neither {\"stream\":…,\"values\":…} nor {\"labels\":…,\"line\":…,\
                    \"timestamp\":…}"
            .to_owned());
    };
    let ns = rfc3339_ns(at).ok_or_else(|| format!("{at:?} is no RFC 3339 time"))?;
    Ok(vec![json!({ "stream": labels, "values": [[ns.to_string(), text]] })])
}

/// Answers that keep the kinds of labels apart have the metadata one level further in.
fn plain_stream(mut stream: Value) -> Value {
    if let Some(Value::Array(values)) = stream.get_mut("values") {
        for value in values {
            if let Some(third) = value.get_mut(2) {
                let inner = third.get_mut("structuredMetadata").filter(|it| it.is_object());
                match inner.map(Value::take) {
                    Some(inner) => *third = inner,
                    None if third.get("parsed").is_some_and(Value::is_object) => *third = json!({}),
                    None => {}
                }
            }
        }
    }
    stream
}
