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
}

impl SampleTable {
    pub(crate) fn new(
        parts: Vec<Arc<Part>>,
        heads: Vec<Arc<SampleHeads>>,
        cache: Arc<Cache>,
    ) -> Self {
        Self { parts, heads, cache }
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
        let (heads, cache) = (self.heads.clone(), Arc::clone(&self.cache));
        let scan = SampleScanExec::new(filter, &self.parts, heads, cache, projection.cloned())?;
        Ok(Arc::new(scan))
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
