//! The table of samples, as DataFusion plans it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

use super::{Cache, scan::SampleScanExec};
use crate::{
    filter::RowFilter,
    heads::SampleHeads,
    part::Part,
    retention::Expiry,
    schema::{SAMPLES, SAMPLES_KEY},
};

/// `(series_id, ts, value)` of parts and heads, each pair of id and time once.
#[derive(Debug)]
pub(crate) struct SampleTable {
    /// Oldest first.
    parts: Vec<Arc<Part>>,
    /// Oldest first; all newer than the parts.
    heads: Vec<Arc<SampleHeads>>,
    cache: Arc<Cache>,
    expiry: Option<Expiry>,
}

impl SampleTable {
    pub(crate) fn new(
        parts: Vec<Arc<Part>>,
        heads: Vec<Arc<SampleHeads>>,
        cache: Arc<Cache>,
    ) -> Self {
        Self { parts, heads, cache, expiry: None }
    }

    /// Without the samples that are expired.
    pub(crate) fn with_expiry(mut self, expiry: &Expiry) -> Self {
        self.expiry = Some(expiry.clone());
        self
    }

    /// A scan of the wanted rows alone.
    pub(crate) fn plan(
        &self,
        mut filter: RowFilter,
        projection: Option<Vec<usize>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(expiry) = &self.expiry {
            filter.ts_min = filter.ts_min.max(expiry.oldest_of_all(SAMPLES_KEY.unit));
        }
        let (heads, cache) = (self.heads.clone(), Arc::clone(&self.cache));
        let scan = SampleScanExec::new(filter, &self.parts, heads, cache, projection)?;
        Ok(match &self.expiry {
            Some(expiry) => Arc::new(scan.with_expiry(expiry)),
            None => Arc::new(scan),
        })
    }
}

#[async_trait]
impl TableProvider for SampleTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SAMPLES)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut filter = RowFilter::ALL;
        for expr in filters {
            filter.narrow(expr, &SAMPLES_KEY);
        }
        self.plan(filter, projection.cloned())
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |expr: &&Expr| {
            if RowFilter::ALL.clone().narrow(expr, &SAMPLES_KEY) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(support).collect())
    }
}
