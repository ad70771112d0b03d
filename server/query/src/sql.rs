//! SQL over one snapshot: read-only, with the limits of every other query.

mod labelled;
mod sets;

use std::{fmt, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    catalog::{
        CatalogProvider as _, CatalogProviderList as _, MemoryCatalogProvider,
        MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider as _, TableProvider,
    },
    common::{
        DataFusionError,
        tree_node::{Transformed, TreeNode as _},
    },
    execution::{
        SendableRecordBatchStream, SessionState, SessionStateBuilder, context::SQLOptions,
    },
    physical_plan::{ExecutionPlan, coop::CooperativeExec, execute_stream},
    sql::sqlparser::parser::ParserError,
};
use futures::StreamExt as _;
use skep_promql::StorageError;
use tokio::time::{Instant, timeout_at};

use crate::{
    Engine, Limits, QuerySession, Snapshot,
    budget::Budget,
    session::{UNBOUNDED_FUNCTIONS, has_spilled_too_much, storage_error},
};
use labelled::LabelledTable;
use sets::{SetTable, Sets};

/// What a query can read, in order.
const TABLES: [&str; 6] = ["log_lines", "logs", "metrics", "samples", "series", "streams"];
const CATALOG: &str = "skep";
const SCHEMA: &str = "public";

/// A running query: its columns, and its rows as they come.
pub struct SqlAnswer {
    pub schema: SchemaRef,
    rows: SendableRecordBatchStream,
    n_rows: u64,
    limits: Limits,
    deadline: Instant,
}

impl fmt::Debug for SqlAnswer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqlAnswer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Why a query failed, by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The text is wrong, or asks for what is refused.
    #[error("{0}")]
    Bad(String),
    /// The data does not allow it: a division by zero, a cast that does not fit.
    #[error("{0}")]
    Execution(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl SqlAnswer {
    /// The next rows; `None` after the last.
    ///
    /// # Errors
    /// See [`SqlError`]; the answer is over then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        let batch = match timeout_at(self.deadline, self.rows.next()).await {
            Err(_elapsed) => return Err(StorageError::Timeout.into()),
            Ok(batch) => batch.transpose().map_err(|error| sql_error(error, &self.limits))?,
        };
        let n_rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
        self.n_rows = self.n_rows.saturating_add(u64::try_from(n_rows).unwrap_or(u64::MAX));
        let max = self.limits.n_samples_max;
        if self.n_rows > max {
            let message = format!(
                "the answer has more than {max} rows; write LIMIT or a narrower WHERE, or raise \
                 query.samples_max"
            );
            return Err(StorageError::Limit(message).into());
        }
        Ok(batch)
    }
}

impl Engine {
    /// Plans a query over the tables of one snapshot and begins it. Dropping the answer cancels it.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn sql(&self, query: &str, timeout: Option<Duration>) -> Result<SqlAnswer, SqlError> {
        let session = self.begin(timeout);
        let (limits, deadline) = (session.limits.clone(), session.deadline);
        let failed = |error| sql_error(error, &limits);
        let planning = async {
            let state = state_over(self.snapshot(), &session)?;
            let plan = state.create_logical_plan(query).await?;
            let options = SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false);
            options.verify_plan(&plan)?;
            let plan = interruptible(state.create_physical_plan(&plan).await?)?;
            execute_stream(plan, state.task_ctx())
        };
        let rows = timeout_at(deadline, planning)
            .await
            .map_err(|_elapsed| StorageError::Timeout)?
            .map_err(failed)?;
        Ok(SqlAnswer { schema: rows.schema(), rows, n_rows: 0, limits, deadline })
    }
}

/// Lets go of the thread between batches of every operator, not only where rows are read: a join
/// makes millions of them of one that it reads, and could be neither timed out nor cancelled.
fn interruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let plan = plan.transform_up(|it| {
        if it.children().is_empty() {
            return Ok(Transformed::no(it));
        }
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(it)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(plan.data)
}

/// A planner that sees the tables of the snapshot and nothing else.
fn state_over(snapshot: Snapshot, session: &QuerySession) -> Result<SessionState, DataFusionError> {
    let budget = Arc::new(Budget::new(session.limits.n_samples_max, session.deadline));
    let series = Sets::of_series(snapshot.series, session.limits.clone());
    let streams = Sets::of_streams(snapshot.streams, session.limits.clone());
    let plain = |rows: &Arc<dyn TableProvider>| {
        Arc::new(LabelledTable::plain(Arc::clone(rows), Arc::clone(&budget)))
    };
    let labelled = |rows: &Arc<dyn TableProvider>, sets: &Sets| {
        Arc::new(LabelledTable::labelled(Arc::clone(rows), sets.clone(), Arc::clone(&budget)))
    };
    let schema = MemorySchemaProvider::new();
    let register = |name: &str, table: Arc<dyn TableProvider>| {
        schema.register_table(name.to_owned(), table).map(drop)
    };
    register("samples", plain(&snapshot.samples))?;
    register("logs", plain(&snapshot.logs))?;
    register("metrics", labelled(&snapshot.samples, &series))?;
    register("log_lines", labelled(&snapshot.logs, &streams))?;
    register("series", Arc::new(SetTable::new(series)))?;
    register("streams", Arc::new(SetTable::new(streams)))?;
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    let config = session
        .state
        .config()
        .clone()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA);
    Ok(SessionStateBuilder::new_from_existing(SessionState::clone(&session.state))
        .with_config(config)
        .with_catalog_list(Arc::new(catalogs))
        .with_runtime_env(session.task.runtime_env())
        .build())
}

fn sql_error(error: DataFusionError, limits: &Limits) -> SqlError {
    match error.find_root() {
        root if has_spilled_too_much(root) => SqlError::Storage(storage_error(error, limits)),
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Configuration(_) => SqlError::Bad(taught(&fault_of(&error))),
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => {
            SqlError::Execution(fault_of(&error))
        }
        _ => SqlError::Storage(storage_error(error, limits)),
    }
}

/// What it says, without where it comes from.
fn fault_of(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::TokenizerError(fault) | ParserError::ParserError(fault) => fault.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deep".to_owned(),
        },
        other => other.message().trim().to_owned(),
    }
}

/// Says what there is where the text names what there is not.
fn taught(fault: &str) -> String {
    if let Some(name) = between(fault, "table '", "' not found") {
        let name = name.rsplit('.').next().unwrap_or(name);
        return format!("there is no table {name:?}; there are {}", TABLES.join(", "));
    }
    if let Some(name) = between(fault, "Invalid function '", "'")
        && UNBOUNDED_FUNCTIONS.contains(&name)
    {
        return format!("{name} is refused: it makes values of any size, past query.memory_max");
    }
    if let Some((what, construct)) = fault.split_once(" not supported: ")
        && ["DDL", "DML", "Statement"].contains(&what)
    {
        return format!(
            "{construct} is refused: tables are only read here; write SELECT, EXPLAIN, SHOW TABLES \
             or DESCRIBE"
        );
    }
    fault.to_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests;
