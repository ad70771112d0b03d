//! The contract of each endpoint, asked of real routers over a real store.

mod about;
mod admin;
mod beside;
mod cors;
mod federate;
mod files;
mod loki;
mod paths;
mod prometheus;
mod push;
mod query_log;
mod read;
mod spellings;
mod sql;
mod targets;
mod tree;

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Method, Request, header};
use skep_proto::{
    Clock, Labels, LogEntry, MetricKind, Sample, TimestampMs, TimestampNs, loki_push,
    remote_write::{self, SeriesBatch},
};
use skep_query::{Catalog, Engine, Limits, Snapshot};
use skep_receive::loki_push::Rules;
use skep_store::{Store, StoreConfig};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{Api, ApiConfig, loki_router, ops_router, prometheus_router};

/// 3 June 2024, 00:00 UTC.
const BASE_MS: i64 = 1_717_372_800_000;

/// Stands still an hour after the data begins.
#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> TimestampNs {
        TimestampMs(BASE_MS + 3_600_000).to_ns()
    }
}

#[derive(Debug)]
struct OfStore(Arc<Store>);

impl Catalog for OfStore {
    fn snapshot(&self) -> Snapshot {
        let snapshot = self.0.snapshot();
        Snapshot {
            series: snapshot.series(),
            samples: snapshot.samples(),
            streams: snapshot.streams(),
            logs: snapshot.logs(),
            lines: snapshot.log_lines(),
            rollups: None,
            histograms: None,
        }
    }
}

/// A server without a network.
struct Server {
    router: Router,
    _dir: TempDir,
}

/// What a client sees.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    /// `200 body` on one line.
    fn text(&self) -> String {
        format!("{} {}", self.status, self.body.trim_end())
    }
}

/// Of a LogQL query: what it cost differs from run to run.
fn without_stats(answer: &str) -> String {
    let Some((result, stats)) = answer.split_once(",\"stats\":") else { return answer.to_owned() };
    assert!(stats.ends_with("}}}}"), "{stats}");
    format!("{result}}}}}")
}

impl Server {
    /// Lines are kept as they come: what is discovered of them has tests of its own.
    fn new() -> Self {
        let push = Rules { levels: None, service_name_labels: Vec::new(), ..Rules::default() };
        Self::with(ApiConfig { push, ..ApiConfig::default() })
    }

    fn with(config: ApiConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(FixedClock);
        let store = Store::open(StoreConfig::new(dir.path()), Arc::clone(&clock)).unwrap();
        let catalog = Arc::new(OfStore(Arc::clone(&store)));
        let engine = Engine::new(catalog, Limits::default()).unwrap();
        let api = Api::new(engine, store, clock, config);
        let router = prometheus_router(&api).merge(loki_router(&api)).merge(ops_router(&api));
        Self { router, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn post_for_bytes(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Vec<u8> {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    async fn get(&self, path_and_query: &str) -> Answer {
        self.send(Request::get(path_and_query).body(Body::empty()).unwrap()).await
    }

    async fn post_form(&self, path: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()));
        self.send(request.unwrap()).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Four samples a minute of two cores, and one of memory.
    async fn write_samples(&self) -> Answer {
        let series = |name: &str, core: &str, per_sample: f64| SeriesBatch {
            labels: labels(&[("__name__", name), ("core", core), ("host", "a")]),
            samples: (0..40)
                .map(|i: i32| Sample {
                    ts: TimestampMs(BASE_MS + i64::from(i) * 15_000),
                    value: f64::from(i) * per_sample,
                })
                .collect(),
            kind: MetricKind::Counter,
            help: "Seconds.".into(),
        };
        let batch = [
            series("cpu_seconds_total", "0", 1.5),
            series("cpu_seconds_total", "1", 3.0),
            series("memory_bytes", "", 1024.0),
        ];
        let headers =
            [("Content-Type", remote_write::CONTENT_TYPE_V2), ("Content-Encoding", "snappy")];
        self.post("/api/v1/write", &headers, remote_write::encode_v2(&batch)).await
    }

    /// Three lines of one stream, one of another.
    async fn push_lines(&self) -> Answer {
        let entry = |second: i64, line: &str, metadata: &[(&str, &str)]| LogEntry {
            ts: TimestampMs(BASE_MS + second * 1_000).to_ns(),
            line: line.to_owned(),
            metadata: metadata.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        };
        let streams = [
            (
                labels(&[("host", "a"), ("unit", "ssh.service")]),
                vec![
                    entry(1, "level=info msg=\"in\"", &[]),
                    entry(2, "level=warn msg=\"bad\"", &[("pid", "7")]),
                    entry(3, "level=info msg=\"out\"", &[]),
                ],
            ),
            (labels(&[("host", "b"), ("unit", "cron.service")]), vec![entry(2, "tick", &[])]),
        ];
        self.push(&streams).await
    }

    async fn push_line_at(&self, ms: i64) -> Answer {
        let entry =
            LogEntry { ts: TimestampMs(ms).to_ns(), line: "late".to_owned(), metadata: Vec::new() };
        self.push(&[(labels(&[("host", "a")]), vec![entry])]).await
    }

    async fn push(&self, streams: &[(Labels, Vec<LogEntry>)]) -> Answer {
        let headers = [("Content-Type", loki_push::CONTENT_TYPE)];
        self.post("/loki/api/v1/push", &headers, loki_push::encode(streams)).await
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}
