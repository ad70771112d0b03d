//! Remote read: whole series for another Prometheus to evaluate.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use skep_proto::{
    MatchOp, Matcher, Sample, TimeRange, TimestampMs,
    remote_read::{
        CONTENT_TYPE_CHUNKS, CONTENT_TYPE_SAMPLES, Chunk, ChunkedReadResponse, ChunkedSeries,
        ENCODING_XOR, LabelMatcher, Query, QueryResult, RESPONSE_CHUNKS, RESPONSE_SAMPLES,
        ReadResponse, decode_request, encode_response, push_frame, wire_labels, xor,
    },
    remote_write::{TimeSeries, WireSample},
};
use skep_query::WholeSeries;

use crate::{
    Api,
    error::{ApiError, WriteError},
    stream::{Sink, streamed},
    watch::query_turn,
};

/// Of the chunks in a frame, as Prometheus' `--storage.remote.read-max-bytes-in-frame`.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What an answer with samples takes for one of them while it is made: decoded, as a message,
/// encoded and compressed.
const BYTES_PER_SAMPLE: usize = 64;

/// One query, made valid.
type Asked = (Vec<Matcher>, TimeRange);

pub(super) async fn read(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, WriteError> {
    let body = body.map_err(ApiError::from)?;
    let request = decode_request(&body, api.receive.plain_bytes_max)
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let queries = request.queries.iter().map(asked).collect::<Result<Vec<Asked>, ApiError>>()?;
    match response_type(&request.accepted)? {
        RESPONSE_CHUNKS => Ok(chunks(api, queries).await?),
        _ => Ok(samples(&api, &queries).await?),
    }
}

/// The first that the client likes and we know.
fn response_type(accepted: &[i32]) -> Result<i32, ApiError> {
    if accepted.is_empty() {
        return Ok(RESPONSE_SAMPLES);
    }
    let known = |it: &&i32| [RESPONSE_SAMPLES, RESPONSE_CHUNKS].contains(*it);
    accepted.iter().find(known).copied().ok_or_else(|| {
        ApiError::bad_data(format!(
            "server does not support any of the requested response types: {accepted:?}; \
             supported: SAMPLES, STREAMED_XOR_CHUNKS"
        ))
    })
}

fn asked(query: &Query) -> Result<Asked, ApiError> {
    let matchers = query.matchers.iter().map(matcher).collect::<Result<_, _>>()?;
    let range = TimeRange { start: TimestampMs(query.start_ms), end: TimestampMs(query.end_ms) };
    Ok((matchers, range))
}

fn matcher(LabelMatcher { op, name, value }: &LabelMatcher) -> Result<Matcher, ApiError> {
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(ApiError::bad_data("invalid matcher type")),
    };
    Matcher::new(name, op, value).map_err(|error| ApiError::bad_data(error.to_string()))
}

/// One message: all of it is held at once, so there is a limit.
async fn samples(api: &Api, queries: &[Asked]) -> Result<Response, ApiError> {
    let _turn = query_turn(api).await?;
    let limits = api.engine.limits();
    let n_samples_max = usize::try_from(limits.n_samples_max)
        .unwrap_or(usize::MAX)
        .min(limits.memory_bytes_max / BYTES_PER_SAMPLE);
    let mut n_samples = 0;
    let mut results = Vec::with_capacity(queries.len());
    for (matchers, range) in queries {
        let mut rows = api.engine.read_series(matchers, *range)?;
        let mut timeseries = Vec::new();
        loop {
            let group = rows.next().await?;
            if group.is_empty() {
                break;
            }
            n_samples += group.iter().map(|it| it.samples.len()).sum::<usize>();
            if n_samples > n_samples_max {
                return Err(ApiError::bad_data(format!(
                    "exceeded sample limit ({n_samples_max}); ask for streamed chunks, or raise \
                     query.samples_max and query.memory_max"
                )));
            }
            timeseries.extend(group.iter().map(wire_series));
        }
        results.push(QueryResult { timeseries });
    }
    let headers = [(CONTENT_TYPE, CONTENT_TYPE_SAMPLES), (CONTENT_ENCODING, "snappy")];
    Ok((headers, encode_response(&ReadResponse { results })).into_response())
}

fn wire_series(WholeSeries { labels, samples }: &WholeSeries) -> TimeSeries {
    let sample = |it: &Sample| WireSample { value: it.value, timestamp: it.ts.0 };
    TimeSeries { labels: wire_labels(labels), samples: samples.iter().map(sample).collect() }
}

/// Frames as the series are read; a client that reads slowly is waited for.
async fn chunks(api: Arc<Api>, queries: Vec<Asked>) -> Result<Response, ApiError> {
    streamed(CONTENT_TYPE_CHUNKS, |mut sink| async move {
        let _turn = query_turn(&api).await?;
        for (query_index, (matchers, range)) in (0..).zip(queries) {
            let mut rows = api.engine.read_series(&matchers, range)?;
            loop {
                let group = rows.next().await?;
                if group.is_empty() {
                    break;
                }
                send_group(&mut sink, query_index, &group).await?;
            }
        }
        sink.finish().await
    })
    .await
}

async fn send_group(
    sink: &mut Sink,
    query_index: i64,
    group: &[WholeSeries],
) -> Result<(), ApiError> {
    let mut out = Vec::new();
    for series in group {
        let labels = wire_labels(&series.labels);
        let mut chunks = Vec::new();
        let mut n_bytes = 0;
        let mut samples = series.samples.chunks(xor::N_SAMPLES_MAX).peekable();
        while let Some(run) = samples.next() {
            let chunk = chunk(run);
            n_bytes += chunk.data.len();
            chunks.push(chunk);
            if n_bytes < FRAME_BYTES_MAX && samples.peek().is_some() {
                continue;
            }
            n_bytes = 0;
            let chunks = std::mem::take(&mut chunks);
            let series = ChunkedSeries { labels: labels.clone(), chunks };
            push_frame(
                &mut out,
                &ChunkedReadResponse { chunked_series: vec![series], query_index },
            );
        }
        if out.len() >= FRAME_BYTES_MAX {
            sink.bytes(std::mem::take(&mut out)).await?;
        }
    }
    sink.bytes(out).await
}

fn chunk(samples: &[Sample]) -> Chunk {
    let ms = |it: Option<&Sample>| it.map_or(0, |it| it.ts.0);
    Chunk {
        min_ms: ms(samples.first()),
        max_ms: ms(samples.last()),
        encoding: ENCODING_XOR,
        data: xor::encode(samples),
    }
}
