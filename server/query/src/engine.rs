//! The one door of this crate: query text and parameters in, results out.

use std::{sync::Arc, time::Duration};

use datafusion::common::DataFusionError;

use crate::{Catalog, Limits, QuerySession, Snapshot, session::SharedSession};

/// Answers queries over whatever the catalog shows. Cheap to clone, shared by all requests;
/// dropping a query's future cancels it.
#[derive(Debug, Clone)]
pub struct Engine {
    catalog: Arc<dyn Catalog>,
    session: Arc<SharedSession>,
    limits: Limits,
}

impl Engine {
    /// # Errors
    /// DataFusion refuses our configuration: a bug.
    pub fn new(catalog: Arc<dyn Catalog>, limits: Limits) -> Result<Self, DataFusionError> {
        let session = Arc::new(SharedSession::new(&limits)?);
        Ok(Self { catalog, session, limits })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// For label and series listings, which need no plan.
    pub fn snapshot(&self) -> Snapshot {
        self.catalog.snapshot()
    }

    /// What one query runs with.
    pub(crate) fn begin(&self, timeout: Option<Duration>) -> QuerySession {
        self.session.query(&self.limits, timeout.unwrap_or(self.limits.timeout))
    }
}
