//! Samples and log lines as SQL sees them: alone, or each row with its labels beside it.
//!
//! Conditions on names and labels are decided once for each label set; what is left is a scan of
//! the chosen ids, so a query for one metric reads that metric.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
    datatypes::{Field, Int64Type, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, ToDFSchema as _, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{
        Expr, TableProviderFilterPushDown, TableType, execution_props::ExecutionProps,
        physical_planning_context::PhysicalPlanningContext, utils::conjunction,
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr, create_physical_expr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, PlanProperties,
        empty::EmptyExec, stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt as _;
use skep_proto::{Labels, names::column};

use super::sets::{Set, Sets, labels_field, maps_of, name_field, names_of};
use crate::{budget::Budget, id_filter::id_filter};

/// One column of the table: of the row itself, or of its label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Row(usize),
    Name,
    Labels,
}

/// A big table, its rows counted against the query's limits.
#[derive(Debug)]
pub(super) struct LabelledTable {
    rows: Arc<dyn TableProvider>,
    /// `None` for the rows alone.
    sets: Option<Sets>,
    columns: Vec<From>,
    schema: SchemaRef,
    budget: Arc<Budget>,
}

impl LabelledTable {
    pub(super) fn plain(rows: Arc<dyn TableProvider>, budget: Arc<Budget>) -> Self {
        let columns = (0..rows.schema().fields().len()).map(From::Row).collect();
        let schema = rows.schema();
        Self { rows, sets: None, columns, schema, budget }
    }

    /// Name (if there is one) and labels first, the id last.
    pub(super) fn labelled(rows: Arc<dyn TableProvider>, sets: Sets, budget: Arc<Budget>) -> Self {
        let name = sets.has_name().then_some(From::Name);
        let of_rows = (1..rows.schema().fields().len()).map(From::Row);
        let columns: Vec<From> =
            name.into_iter().chain([From::Labels]).chain(of_rows).chain([From::Row(0)]).collect();
        let row_schema = rows.schema();
        let fields: Vec<Field> = columns
            .iter()
            .map(|it| match it {
                From::Row(at) => row_schema.field(*at).clone(),
                From::Name => name_field(),
                From::Labels => labels_field(),
            })
            .collect();
        Self { rows, sets: Some(sets), columns, schema: Arc::new(Schema::new(fields)), budget }
    }

    fn is_about(&self, expr: &Expr) -> About {
        let named: BTreeSet<&str> =
            expr.column_refs().into_iter().map(|it| it.name.as_str()).collect();
        let of_set = |it: &&str| {
            self.sets
                .as_ref()
                .is_some_and(|sets| [column::NAME, column::LABELS, sets.id_column()].contains(it))
        };
        if named.is_empty() || expr.is_volatile() {
            About::Else
        } else if named.iter().all(of_set) {
            About::Set
        } else if self.sets.is_none() || named.iter().all(|it| *it == column::TS) {
            About::Row
        } else {
            About::Else
        }
    }

    /// The label sets that satisfy all conditions on them, and whether that is not all of them.
    fn chosen(&self, sets: &Sets, filters: &[Expr]) -> Result<(Vec<Set>, bool)> {
        let all = sets.all()?;
        let about_sets = filters.iter().filter(|it| self.is_about(it) == About::Set).cloned();
        let Some(condition) = conjunction(about_sets) else { return Ok((all, false)) };
        let schema = sets.schema().to_dfschema()?;
        let condition = create_physical_expr(
            &condition,
            &schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;
        let mut is_chosen = Vec::with_capacity(all.len());
        for batch in sets.batches(&all)? {
            let chosen = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
            let chosen = chosen
                .as_boolean_opt()
                .ok_or_else(|| internal_datafusion_err!("a condition is no boolean"))?;
            is_chosen.extend(chosen.iter().map(|it| it.unwrap_or(false)));
        }
        let chosen = all.into_iter().zip(is_chosen).filter(|it| it.1).map(|it| it.0).collect();
        Ok((chosen, true))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Set,
    Row,
    Else,
}

#[async_trait]
impl TableProvider for LabelledTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        filters
            .iter()
            .map(|filter| match self.is_about(filter) {
                About::Set => Ok(TableProviderFilterPushDown::Exact),
                About::Row => {
                    let answers = self.rows.supports_filters_pushdown(&[filter])?;
                    Ok(answers.into_iter().next().unwrap_or(TableProviderFilterPushDown::Inexact))
                }
                About::Else => Ok(TableProviderFilterPushDown::Unsupported),
            })
            .collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        let columns: Vec<From> =
            wanted.iter().filter_map(|it| self.columns.get(*it)).copied().collect();
        let about_rows = |it: &&Expr| self.is_about(it) == About::Row;
        let mut row_filters: Vec<Expr> = filters.iter().filter(about_rows).cloned().collect();
        let mut sets = None;
        if let Some(of) = &self.sets {
            let (chosen, is_part) = self.chosen(of, filters)?;
            if is_part {
                let ids: Vec<i64> = chosen.iter().map(|it| it.0).collect();
                match id_filter(of.id_column(), &ids) {
                    Some(filter) => row_filters.push(filter),
                    None => return Ok(Arc::new(EmptyExec::new(schema))),
                }
            }
            sets = Some(Arc::new(chosen.into_iter().collect::<HashMap<_, _>>()));
        }
        let mut row_columns: BTreeSet<usize> = columns
            .iter()
            .filter_map(|it| match it {
                From::Row(at) => Some(*at),
                From::Name | From::Labels => None,
            })
            .collect();
        row_columns.insert(0);
        let row_columns: Vec<usize> = row_columns.into_iter().collect();
        let source = self.rows.scan(state, Some(&row_columns), &row_filters, None).await?;
        // From a place in the table to one in what the scan yields.
        let place = |at: usize| row_columns.iter().position(|it| *it == at).unwrap_or(0);
        let columns = columns
            .into_iter()
            .map(|it| match it {
                From::Row(at) => From::Row(place(at)),
                other => other,
            })
            .collect();
        let has_name = self.sets.as_ref().is_some_and(Sets::has_name);
        let label = Label { columns, sets, has_name, schema, budget: Arc::clone(&self.budget) };
        Ok(Arc::new(LabelExec::new(source, Arc::new(label))))
    }
}

/// A label set and how many rows of it follow each other.
type LabelRun = (Arc<Labels>, usize);

/// What becomes of a batch of rows.
struct Label {
    columns: Vec<From>,
    /// The chosen label sets by id; rows of others are dropped. `None` keeps all.
    sets: Option<Arc<HashMap<i64, Arc<Labels>>>>,
    has_name: bool,
    schema: SchemaRef,
    budget: Arc<Budget>,
}

impl Label {
    fn apply(&self, batch: RecordBatch) -> Result<RecordBatch> {
        self.budget.spend(batch.num_rows())?;
        let (batch, runs) = self.known(batch)?;
        let runs = || runs.iter().map(|(labels, n)| (&**labels, *n));
        let columns = self
            .columns
            .iter()
            .map(|it| match it {
                From::Row(at) => Ok(Arc::clone(batch.column(*at))),
                From::Name => Ok(names_of(runs())),
                From::Labels => maps_of(runs(), self.has_name),
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// The rows of chosen label sets, and how many come in a row of each.
    fn known(&self, batch: RecordBatch) -> Result<(RecordBatch, Vec<LabelRun>)> {
        let Some(sets) = &self.sets else { return Ok((batch, Vec::new())) };
        let ids = batch
            .column(0)
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| internal_datafusion_err!("rows lack their id"))?;
        let mut keep = Vec::with_capacity(ids.len());
        let mut runs = Vec::new();
        for run in ids.values().chunk_by(|left, right| left == right) {
            let labels = run.first().and_then(|id| sets.get(id));
            keep.resize(keep.len() + run.len(), labels.is_some());
            runs.extend(labels.map(|it| (Arc::clone(it), run.len())));
        }
        if keep.iter().all(|it| *it) {
            return Ok((batch, runs));
        }
        Ok((filter_record_batch(&batch, &BooleanArray::from(keep))?, runs))
    }
}

struct LabelExec {
    source: Arc<dyn ExecutionPlan>,
    label: Arc<Label>,
    properties: Arc<PlanProperties>,
}

impl LabelExec {
    fn new(source: Arc<dyn ExecutionPlan>, label: Arc<Label>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&label.schema)),
            source.output_partitioning().clone(),
            source.pipeline_behavior(),
            source.boundedness(),
        );
        Self { source, label, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for LabelExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as(DisplayFormatType::Default, out)
    }
}

impl DisplayAs for LabelExec {
    fn fmt_as(&self, _: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LabelExec: columns={:?}", self.label.columns)?;
        match &self.label.sets {
            Some(sets) => write!(out, ", sets={}", sets.len()),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for LabelExec {
    fn name(&self) -> &'static str {
        "LabelExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.source]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = children
            .into_iter()
            .next()
            .ok_or_else(|| internal_datafusion_err!("a scan with labels lost its source"))?;
        Ok(Arc::new(Self::new(source, Arc::clone(&self.label))))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.source.execute(partition, context)?;
        let label = Arc::clone(&self.label);
        let labelled = rows.and_then(move |batch| futures::future::ready(label.apply(batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.label.schema), labelled)))
    }
}
