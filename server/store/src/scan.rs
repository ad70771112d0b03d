//! Reading one part through DataFusion's Parquet source.

use std::sync::Arc;

use datafusion::{
    common::{Result, ToDFSchema as _},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileScanConfigBuilder, ParquetSource,
            parquet::{DefaultParquetFileReaderFactory, ParquetRowSelection},
        },
        source::DataSourceExec,
    },
    execution::object_store::ObjectStoreUrl,
    logical_expr::{
        execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::create_physical_expr,
    physical_plan::ExecutionPlan,
};
use parquet::arrow::arrow_reader::RowSelection;

use crate::{delete::MaskExec, filter::RowFilter, merge::Table, part::Part, schema};

/// A scan of the part, without deleted rows and without the row groups and pages that its
/// statistics rule out. It still yields rows that the filter does not want. With `rows`, no others
/// are read.
pub(crate) fn part_source(
    table: Table,
    part: &Part,
    filter: &RowFilter,
    rows: Option<RowSelection>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(MaskExec::wrap(unmasked_source(table, part, filter, rows)?, part.masks()))
}

/// As [`part_source`], deleted rows included.
pub(crate) fn unmasked_source(
    table: Table,
    part: &Part,
    filter: &RowFilter,
    rows: Option<RowSelection>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let file_schema = match table {
        Table::Samples => Arc::clone(&schema::SAMPLES_FILE),
        Table::Histograms => Arc::clone(&schema::HISTOGRAMS),
        Table::Logs => Arc::clone(&schema::LOGS_FILE),
    };
    let mut source = ParquetSource::new(Arc::clone(&file_schema)).with_enable_page_index(true);
    if let Some(expr) = filter.to_expr(&table.key()) {
        let df_schema = file_schema.to_dfschema()?;
        let predicate = create_physical_expr(
            &expr,
            &df_schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;
        source = source.with_predicate(predicate);
    }
    if let Some(reader) = part.reader() {
        let factory = DefaultParquetFileReaderFactory::new(reader);
        source = source.with_parquet_file_reader_factory(Arc::new(factory));
    }
    let path = object_store::path::Path::from_absolute_path(&part.path)?;
    let mut file = PartitionedFile::new(String::new(), part.info.size_bytes);
    // As it is: made from text, special characters would be escaped twice.
    file.object_meta.location = path;
    if let Some(rows) = rows {
        file = file.with_extension(ParquetRowSelection::new(rows));
    }
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file(file)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}
