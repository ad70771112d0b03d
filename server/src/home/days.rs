//! The last day of the services of the home page, of those that a caller may see: what `skep_service_*`
//! tell, asked once for all tabs, and for people who may not query, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use skep_home::View;
use skep_promql::{Grid, Value};
use skep_proto::{Clock, TimestampMs};
use skep_query::{Engine, PromqlError, PromqlOptions};
use tokio::sync::Mutex;
use tracing::warn;

/// A day in slots of half an hour.
const N_SLOTS: usize = 49;
const SLOT_MS: i64 = 30 * 60 * 1_000;
/// It is asked anew this often.
const GRID_MS: i64 = 5 * 60 * 1_000;

const RESPONSE: &str = "avg_over_time(skep_service_response_seconds[30m])";
/// A slot in which it was down once is one in which it was down.
const UP: &str = "min_over_time(skep_service_up[30m])";
const UPTIME: &str = "100 * avg_over_time(skep_service_up[24h])";

/// Answers for any number of tabs.
pub(super) struct Days {
    engine: Engine,
    clock: Arc<dyn Clock>,
    newest: Mutex<Option<(TimestampMs, Arc<Services>)>>,
}

/// Group and name.
type Key = (String, String);
type Services = BTreeMap<Key, Day>;
/// A value a step, null without data.
type Rows = Vec<(Key, Vec<Option<f64>>)>;

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Day {
    /// Seconds until an answer began, on average; a value a slot, null without data.
    response: Vec<Option<f64>>,
    /// 1, or 0 where it was down.
    up: Vec<Option<f64>>,
    /// Percent of all checks.
    uptime: Option<f64>,
}

#[derive(Serialize)]
struct Told<'a> {
    /// Seconds; each slot ends at one of these times.
    start: i64,
    step: i64,
    services: Vec<ServiceDay<'a>>,
}

#[derive(Serialize)]
struct ServiceDay<'a> {
    group: &'a str,
    service: &'a str,
    #[serde(flatten)]
    day: &'a Day,
}

impl Days {
    pub(super) fn new(engine: Engine, clock: Arc<dyn Clock>) -> Self {
        Self { engine, clock, newest: Mutex::new(None) }
    }

    /// The days of what is checked in a view.
    pub(super) async fn answer(&self, view: &View) -> Response {
        let (end, services) = match self.newest().await {
            Ok(newest) => newest,
            Err(error) => {
                warn!(%error, "The last day of the services could not be read.");
                return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
            }
        };
        let seen: BTreeSet<(&str, &str)> = view.checked().collect();
        let shown = services.iter().filter_map(|((group, service), day)| {
            let (group, service) = (group.as_str(), service.as_str());
            seen.contains(&(group, service)).then_some(ServiceDay { group, service, day })
        });
        let told = Told {
            start: slots(end).start().0 / 1_000,
            step: SLOT_MS / 1_000,
            services: shown.collect(),
        };
        super::answered(serde_json::to_string(&told))
    }

    /// Who comes while it is asked waits for the same answer.
    async fn newest(&self) -> Result<(TimestampMs, Arc<Services>), PromqlError> {
        let now = self.clock.now().to_ms().0;
        let end = TimestampMs(now - now.rem_euclid(GRID_MS));
        let mut newest = self.newest.lock().await;
        if let Some((at, services)) = newest.as_ref().filter(|(at, _)| *at == end) {
            return Ok((*at, Arc::clone(services)));
        }
        let services = Arc::new(self.ask(end).await?);
        *newest = Some((end, Arc::clone(&services)));
        Ok((end, services))
    }

    async fn ask(&self, end: TimestampMs) -> Result<Services, PromqlError> {
        let slots = slots(end);
        let mut services = Services::new();
        for (key, values) in self.rows(RESPONSE, slots).await? {
            services.entry(key).or_default().response = values;
        }
        for (key, values) in self.rows(UP, slots).await? {
            services.entry(key).or_default().up = values;
        }
        for (key, values) in self.rows(UPTIME, Grid::instant(end)).await? {
            services.entry(key).or_default().uptime = values.first().copied().flatten();
        }
        Ok(services)
    }

    async fn rows(&self, query: &str, grid: Grid) -> Result<Rows, PromqlError> {
        let answer = self.engine.promql_range(query, grid, PromqlOptions::default()).await?;
        let Value::Vector(matrix) = answer.value else { return Ok(Vec::new()) };
        let rows = matrix.rows.into_iter().map(|row| {
            let label = |name| row.labels.get(name).to_owned();
            let values = row.values.iter().map(|it| it.is_finite().then_some(*it));
            ((label("group"), label("service")), values.collect())
        });
        Ok(rows.collect())
    }
}

fn slots(end: TimestampMs) -> Grid {
    Grid::with_steps(TimestampMs(end.0 - 24 * 3_600 * 1_000), SLOT_MS, N_SLOTS)
}
