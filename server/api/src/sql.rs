//! SQL: a text in, rows out in the format the client asks for.

mod cell;
mod format;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::Response,
    routing::get,
};
use http::{
    HeaderMap, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::Deserialize;

use crate::{
    Api,
    asker::Asker,
    error::ApiError,
    params::{Params, go_duration_ms},
    queries::{Language, Meter},
    stream::{Sink, streamed},
};
use format::{Encoder, Format};

pub(crate) fn router() -> Router<Arc<Api>> {
    Router::new().route("/api/v1/sql", get(by_url).post(by_body))
}

async fn by_url(
    State(api): State<Arc<Api>>,
    asker: Asker,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let format = Format::of(&params, &headers)?;
    let timeout = timeout(params.given("timeout"))?;
    answer(api, &asker, params.get("query").to_owned(), format, timeout).await
}

/// What a JSON body may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    query: String,
    format: Option<String>,
    timeout: Option<String>,
}

/// The body is the text itself, JSON, or a form.
async fn by_body(
    State(api): State<Arc<Api>>,
    asker: Asker,
    url: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body?;
    let media = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut params = Params::of_url(&url)?;
    let query = if media.starts_with("application/json") {
        let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
            ApiError::bad_data(format!("the body is not {{\"query\": …}}: {error}"))
        })?;
        params.put("format", asked.format);
        params.put("timeout", asked.timeout);
        asked.query
    } else {
        let text = std::str::from_utf8(&body)
            .map_err(|error| ApiError::bad_data(format!("the body is not UTF-8: {error}")))?;
        if media.starts_with("application/x-www-form-urlencoded") {
            params.add_form(text)?;
            params.get("query").to_owned()
        } else {
            text.to_owned()
        }
    };
    let format = Format::of(&params, &headers)?;
    answer(api, &asker, query, format, timeout(params.given("timeout"))?).await
}

fn timeout(text: Option<&str>) -> Result<Option<Duration>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let ms = go_duration_ms(text).and_then(|it| u64::try_from(it).ok());
    let ms = ms.ok_or_else(|| {
        ApiError::invalid("timeout", format_args!("cannot parse {text:?} to a valid duration"))
    })?;
    Ok(Some(Duration::from_millis(ms)))
}

async fn answer(
    api: Arc<Api>,
    asker: &Asker,
    query: String,
    format: Format,
    timeout: Option<Duration>,
) -> Result<Response, ApiError> {
    if query.trim().is_empty() {
        return Err(ApiError::invalid("query", "it is empty; write SELECT …"));
    }
    let mut ticket = api.queries.begin(api.now(), asker, (Language::Sql, &query), None);
    streamed(format.content_type(), |sink| async move {
        let _turn = ticket.turn(&api).await?;
        let meter = Arc::clone(ticket.meter());
        ticket.run(send(&api, &query, (format, timeout), sink, &meter)).await
    })
    .await
}

async fn send(
    api: &Api,
    query: &str,
    (format, timeout): (Format, Option<Duration>),
    mut sink: Sink,
    meter: &Arc<Meter>,
) -> Result<(), ApiError> {
    sink.count_into(meter);
    let mut rows = api.engine.sql(query, timeout).await?;
    let mut encoder = Encoder::begin(format, &rows.schema, &mut sink.text)?;
    while let Some(batch) = rows.next().await? {
        meter.read(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX), 0);
        if let Some(bytes) = encoder.push(&batch, &mut sink.text)? {
            sink.bytes(bytes).await?;
        }
        sink.flow().await?;
    }
    if let Some(bytes) = encoder.end(&mut sink.text)? {
        sink.bytes(bytes).await?;
    }
    sink.finish().await
}

/// The kinds of answer a client may list in `Accept`, the first that we know counts.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(|it| it.split(';').next().unwrap_or_default().trim())
}
