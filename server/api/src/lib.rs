//! What Prometheus', Loki's and Grafana's clients expect to see: the only place that knows HTTP
//! shapes. Three routers, which the server mounts behind its front; errors become statuses in
//! [`error`] alone.

mod admin;
mod asker;
mod blocks;
mod cors;
mod error;
mod json;
mod label_name;
mod loki;
mod memory_figures;
mod number;
mod object_figures;
mod ops;
mod params;
mod prometheus;
mod queries;
mod query_log;
mod space_figures;
mod sql;
mod store_figures;
mod stream;
mod telemetry;
mod watch;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
};
use skep_proto::{Clock, TimestampMs};
use skep_query::Engine;
use skep_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::{loki::Tails, queries::Queries, query_log::QueryLog, telemetry::Telemetry};

pub use crate::{
    asker::Caller,
    loki::{IngestionRate, TailLimits},
    prometheus::Targets,
    query_log::QueryLogConfig,
};

/// What the endpoints may cost and what they say of themselves.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Bounds of one write.
    pub receive: skep_receive::Limits,
    /// What pushes of log lines become, and which are too old.
    pub push: skep_receive::loki_push::Rules,
    /// What log lines may come in a second, over all pushes; none is no bound.
    pub ingestion_rate: Option<IngestionRate>,
    /// `query.concurrency`: queries at work at once; more wait.
    pub n_queries_max: usize,
    /// `receive.concurrency`: writes at work at once; more are told to come again.
    pub n_writes_max: usize,
    /// `admin.enabled`: whether series and lines may be deleted and snapshots made.
    pub is_admin_enabled: bool,
    /// What `buildinfo` tells.
    pub version: String,
    pub query_log: QueryLogConfig,
    /// `query.history`: of the newest queries and of the slowest, each.
    pub n_queries_kept: usize,
    /// Settings under the names of Prometheus' flags.
    pub flags: Vec<(&'static str, String)>,
    /// Whoever scrapes, for `/api/v1/targets`.
    pub targets: Option<Arc<dyn Targets>>,
    /// What each part of the process may take, in bytes, as `/metrics` tells it.
    pub memory: Vec<(&'static str, u64)>,
    /// What else `/metrics` tells.
    pub figures: Vec<Arc<dyn Figures>>,
    /// What live tails may cost.
    pub tails: TailLimits,
    /// Cancelled when the server stops; live tails would go on for ever.
    pub shutdown: CancellationToken,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            receive: skep_receive::Limits::default(),
            push: skep_receive::loki_push::Rules::default(),
            ingestion_rate: None,
            // Prometheus' `--query.max-concurrency`.
            n_queries_max: 20,
            n_writes_max: 64,
            is_admin_enabled: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            query_log: QueryLogConfig::default(),
            n_queries_kept: 200,
            flags: Vec::new(),
            targets: None,
            memory: Vec::new(),
            figures: Vec::new(),
            tails: TailLimits::default(),
            shutdown: CancellationToken::new(),
        }
    }
}

/// Figures of a part of the server that this one does not know.
pub trait Figures: Send + Sync + std::fmt::Debug {
    /// Adds whole families in Prometheus' text format.
    fn push_text(&self, out: &mut String);
}

/// Of [`Api::metrics_text`].
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every endpoint works with.
#[derive(Debug)]
pub struct Api {
    engine: Engine,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    receive: skep_receive::Limits,
    push: skep_receive::loki_push::Rules,
    ingestion_rate: Option<loki::RateLimiter>,
    turns: Semaphore,
    queries: Arc<Queries>,
    writes: Semaphore,
    is_admin_enabled: bool,
    version: String,
    query_log: QueryLog,
    flags: Vec<(&'static str, String)>,
    targets: Option<Arc<dyn Targets>>,
    memory: Vec<(&'static str, u64)>,
    figures: Vec<Arc<dyn Figures>>,
    tails: Tails,
    started: TimestampMs,
    telemetry: Telemetry,
}

impl Api {
    pub fn new(
        engine: Engine,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        config: ApiConfig,
    ) -> Arc<Self> {
        let started = clock.now().to_ms();
        Arc::new(Self {
            engine,
            store,
            clock,
            receive: config.receive,
            push: config.push,
            ingestion_rate: config.ingestion_rate.map(loki::RateLimiter::new),
            turns: Semaphore::new(config.n_queries_max),
            queries: Queries::new(config.n_queries_kept),
            writes: Semaphore::new(config.n_writes_max),
            is_admin_enabled: config.is_admin_enabled,
            version: config.version,
            query_log: QueryLog::new(config.query_log),
            flags: config.flags,
            targets: config.targets,
            memory: config.memory,
            figures: config.figures,
            tails: Tails::new(config.tails, config.shutdown),
            started,
            telemetry: Telemetry::default(),
        })
    }

    /// Waits until live tails have said goodbye, once `shutdown` is cancelled.
    pub async fn tails_ended(&self) {
        self.tails.ended().await;
    }

    /// All of `/metrics`, of type [`METRICS_CONTENT_TYPE`].
    pub fn metrics_text(&self) -> String {
        ops::metrics_text(self)
    }

    /// # Errors
    /// Administration is switched off.
    fn check_admin(&self) -> Result<(), error::ApiError> {
        if self.is_admin_enabled {
            return Ok(());
        }
        Err(error::ApiError::unavailable("admin APIs disabled; admin.enabled switches them on"))
    }

    fn now(&self) -> TimestampMs {
        self.clock.now().to_ms()
    }
}

/// Prometheus' API below `/api/v1/`, remote-write included.
pub fn prometheus_router(api: &Arc<Api>) -> Router {
    finish(
        prometheus::router().merge(sql::router()).merge(admin::router()).layer(from_fn(cors::cors)),
        api,
    )
}

/// Loki's API below `/loki/api/v1/`, push included, and `/ready`.
pub fn loki_router(api: &Arc<Api>) -> Router {
    finish(loki::router(), api)
}

/// `/-/*` and the server's own `/metrics`.
pub fn ops_router(api: &Arc<Api>) -> Router {
    finish(ops::router(), api)
}

fn finish(router: Router<Arc<Api>>, api: &Arc<Api>) -> Router {
    router
        .layer(DefaultBodyLimit::max(api.receive.body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(api), watch::count))
        .layer(CompressionLayer::new())
        .with_state(Arc::clone(api))
}

#[cfg(test)]
mod tests;
