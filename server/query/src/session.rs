//! The DataFusion side of one query: planner state that all queries share, memory and time that
//! each has of its own.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use datafusion::{
    common::DataFusionError,
    execution::{
        DiskManager, SessionState, SessionStateBuilder, TaskContext,
        memory_pool::{GreedyMemoryPool, MemoryLimit, MemoryPool, MemoryReservation},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use skep_promql::StorageError;
use tokio::time::Instant;

use crate::{Limits, tally::Tally};

/// Rows a batch: what the store's pages decode to, and small enough for L2.
const BATCH_ROWS: usize = 8_192;

/// As DataFusion says it, in one of several errors.
const SPILLED_TOO_MUCH: &str = "The used disk space during the spilling process has exceeded";

/// They make values of any size out of a number, past every limit of memory: a gigabyte of
/// `repeat` took four.
pub(crate) const UNBOUNDED_FUNCTIONS: [&str; 7] =
    ["repeat", "lpad", "rpad", "range", "generate_series", "array_repeat", "array_resize"];

/// Made once per engine.
#[derive(Debug)]
pub(crate) struct SharedSession {
    state: Arc<SessionState>,
    memory: Arc<dyn MemoryPool>,
    n_cores: usize,
}

/// Made for each query: a few allocations, no registry is built.
#[derive(Debug, Clone)]
pub struct QuerySession {
    /// What `TableProvider::scan` asks for.
    pub state: Arc<SessionState>,
    /// What `ExecutionPlan::execute` asks for; its memory pool is the query's own share.
    pub task: Arc<TaskContext>,
    pub limits: Limits,
    /// What scans may be spread over.
    pub n_cores: usize,
    /// When the query must have answered.
    pub deadline: Instant,
    /// What its log leaves read.
    pub(crate) tally: Arc<Tally>,
}

impl SharedSession {
    /// # Errors
    /// DataFusion refuses the configuration: a bug.
    pub(crate) fn new(limits: &Limits) -> Result<Self, DataFusionError> {
        let config = SessionConfig::new()
            // Parallelism is ours: disjoint series ranges, never a file cut by bytes.
            .with_target_partitions(1)
            .with_repartition_file_scans(false)
            .with_batch_size(BATCH_ROWS)
            .with_information_schema(false)
            .set_bool("datafusion.execution.parquet.pushdown_filters", false)
            .set_bool("datafusion.execution.collect_statistics", false);
        let memory: Arc<dyn MemoryPool> =
            Arc::new(GreedyMemoryPool::new(limits.memory_bytes_total));
        let disk = DiskManager::builder().with_max_temp_directory_size(limits.spill_bytes_total);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&memory))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let mut builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features();
        if let Some(functions) = builder.scalar_functions() {
            functions.retain(|it| !UNBOUNDED_FUNCTIONS.contains(&it.name()));
        }
        let state = builder.build();
        // Asked once: the answer is read from the files of control groups.
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { state: Arc::new(state), memory, n_cores })
    }

    pub(crate) fn query(&self, limits: &Limits, timeout: Duration) -> QuerySession {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool {
            own: GreedyMemoryPool::new(limits.memory_bytes_max),
            shared: Arc::clone(&self.memory),
        });
        let runtime =
            RuntimeEnv { memory_pool: pool, ..RuntimeEnv::clone(self.state.runtime_env()) };
        let task = TaskContext::new(
            None,
            String::new(),
            self.state.config().clone(),
            // Physical plans carry their functions with them.
            HashMap::default(),
            HashMap::default(),
            HashMap::default(),
            HashMap::default(),
            Arc::new(runtime),
        );
        QuerySession {
            state: Arc::clone(&self.state),
            task: Arc::new(task),
            limits: limits.clone(),
            n_cores: self.n_cores,
            deadline: Instant::now() + timeout.min(limits.timeout),
            tally: Arc::default(),
        }
    }
}

/// One query's share of the memory of all queries.
#[derive(Debug)]
struct QueryPool {
    own: GreedyMemoryPool,
    shared: Arc<dyn MemoryPool>,
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> Result<(), DataFusionError> {
        self.own.try_grow(reservation, additional)?;
        self.shared
            .try_grow(reservation, additional)
            .inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "query pool: {}", self.own)
    }
}

/// Whether temporary files took more than they may.
pub(crate) fn has_spilled_too_much(root: &DataFusionError) -> bool {
    root.message().contains(SPILLED_TOO_MUCH)
}

/// A failed plan as the evaluators report it: limits keep their meaning, the rest is internal.
pub(crate) fn storage_error(error: DataFusionError, limits: &Limits) -> StorageError {
    if let DataFusionError::External(source) = error.find_root()
        && let Some(known) = source.downcast_ref::<StorageError>()
    {
        match known {
            StorageError::Limit(message) => return StorageError::Limit(message.clone()),
            StorageError::Timeout => return StorageError::Timeout,
            StorageError::Canceled => return StorageError::Canceled,
            StorageError::Internal(_) => {}
        }
    }
    match error.find_root() {
        root if has_spilled_too_much(root) => StorageError::Limit(format!(
            "queries need more than {} bytes of temporary files; narrow this one, or raise \
             query.spill_total",
            limits.spill_bytes_total
        )),
        DataFusionError::ResourcesExhausted(_) => {
            let max = limits.memory_bytes_max;
            StorageError::Limit(format!(
                "query needs more than its {max} bytes of memory, or all queries together more \
                 than {}; narrow it, or raise query.memory_max or query.memory_total",
                limits.memory_bytes_total
            ))
        }
        _ => StorageError::Internal(Arc::new(error)),
    }
}
