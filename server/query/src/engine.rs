//! The one door of this crate: query text and parameters in, results out.

use std::{sync::Arc, time::Duration};

use datafusion::common::DataFusionError;

use crate::{
    Catalog, Limits, QuerySession, Snapshot,
    catalog::Changes,
    flights::Flights,
    promql::{Asked, Told},
    results::Results,
    session::SharedSession,
};

/// Answers queries over whatever the catalog shows. Cheap to clone, shared by all requests;
/// dropping a query's future cancels it.
#[derive(Debug, Clone)]
pub struct Engine {
    catalog: Arc<dyn Catalog>,
    session: Arc<SharedSession>,
    limits: Limits,
    /// What metric queries share.
    pub(crate) metrics: Arc<SharedMetrics>,
}

/// Answers that are kept, and those at work.
#[derive(Debug)]
pub(crate) struct SharedMetrics {
    pub(crate) results: Results,
    pub(crate) flights: Flights<Asked, Told>,
}

impl Engine {
    /// # Errors
    /// DataFusion refuses our configuration: a bug.
    pub fn new(catalog: Arc<dyn Catalog>, limits: Limits) -> Result<Self, DataFusionError> {
        let session = Arc::new(SharedSession::new(&limits)?);
        let results = Results::new(limits.result_cache_bytes);
        let metrics = Arc::new(SharedMetrics { results, flights: Flights::default() });
        Ok(Self { catalog, session, limits, metrics })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// For label and series listings, which need no plan.
    pub fn snapshot(&self) -> Snapshot {
        self.catalog.snapshot()
    }

    pub(crate) fn changes(&self) -> Option<&dyn Changes> {
        self.catalog.changes()
    }

    /// What one query runs with.
    pub(crate) fn begin(&self, timeout: Option<Duration>) -> QuerySession {
        self.session.query(&self.limits, timeout.unwrap_or(self.limits.timeout))
    }
}
