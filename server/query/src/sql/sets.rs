//! Label sets as tables: series and streams.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
    },
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::memory::MemorySourceConfig,
    error::DataFusionError,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use skep_proto::{
    LabelIndex, Labels, SeriesId, StreamId, TimeRange,
    names::{METRIC_NAME, column},
};

use crate::Limits;

/// Rows of a table of label sets per batch.
const BATCH_ROWS: usize = 8_192;

/// An id and what it stands for.
pub(super) type Set = (i64, Arc<Labels>);

/// The label sets of one kind of row.
#[derive(Clone)]
pub(super) struct Sets {
    kind: Kind,
    limits: Limits,
}

#[derive(Clone)]
enum Kind {
    Series(Arc<dyn LabelIndex<SeriesId>>),
    Streams(Arc<dyn LabelIndex<StreamId>>),
}

impl fmt::Debug for Sets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sets").field("id", &self.id_column()).finish_non_exhaustive()
    }
}

impl Sets {
    pub(super) fn of_series(index: Arc<dyn LabelIndex<SeriesId>>, limits: Limits) -> Self {
        Self { kind: Kind::Series(index), limits }
    }

    pub(super) fn of_streams(index: Arc<dyn LabelIndex<StreamId>>, limits: Limits) -> Self {
        Self { kind: Kind::Streams(index), limits }
    }

    pub(super) fn id_column(&self) -> &'static str {
        match self.kind {
            Kind::Series(_) => column::SERIES_ID,
            Kind::Streams(_) => column::STREAM_ID,
        }
    }

    /// Series have their name in a column of its own.
    pub(super) fn has_name(&self) -> bool {
        matches!(self.kind, Kind::Series(_))
    }

    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new(self.id_column(), DataType::Int64, false)];
        if self.has_name() {
            fields.push(name_field());
        }
        fields.push(labels_field());
        Arc::new(Schema::new(fields))
    }

    /// All of them, by id.
    pub(super) fn all(&self) -> Result<Vec<(i64, Arc<Labels>)>> {
        let sets: Vec<_> = match &self.kind {
            Kind::Series(index) => {
                index.select(&[], TimeRange::ALL).into_iter().map(|(id, it)| (id.0, it)).collect()
            }
            Kind::Streams(index) => {
                index.select(&[], TimeRange::ALL).into_iter().map(|(id, it)| (id.0, it)).collect()
            }
        };
        self.limits
            .check_series(sets.len())
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(sets)
    }

    /// As rows of [`Self::schema`].
    pub(super) fn batches(&self, sets: &[(i64, Arc<Labels>)]) -> Result<Vec<RecordBatch>> {
        sets.chunks(BATCH_ROWS)
            .map(|sets| {
                let ids: Int64Array = sets.iter().map(|it| it.0).collect();
                let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
                if self.has_name() {
                    columns.push(names_of(sets.iter().map(|it| (&*it.1, 1))));
                }
                columns.push(maps_of(sets.iter().map(|it| (&*it.1, 1)), self.has_name())?);
                Ok(RecordBatch::try_new(self.schema(), columns)?)
            })
            .collect()
    }
}

pub(super) fn name_field() -> Field {
    Field::new(column::NAME, DataType::Utf8, false)
}

pub(super) fn labels_field() -> Field {
    let names = map_names();
    let entries = Fields::from(vec![
        Field::new(names.key, DataType::Utf8, false),
        Field::new(names.value, DataType::Utf8, true),
    ]);
    let entries = Field::new(names.entry, DataType::Struct(entries), false);
    Field::new(column::LABELS, DataType::Map(Arc::new(entries), false), false)
}

/// As in the files of the store.
fn map_names() -> MapFieldNames {
    MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    }
}

/// Each label set's metric name, as often as told.
pub(super) fn names_of<'a>(runs: impl Iterator<Item = (&'a Labels, usize)>) -> ArrayRef {
    let names = runs.flat_map(|(labels, n)| std::iter::repeat_n(Some(labels.metric_name()), n));
    Arc::new(names.collect::<StringArray>())
}

/// Each label set as a map, as often as told; of series without their name.
pub(super) fn maps_of<'a>(
    runs: impl Iterator<Item = (&'a Labels, usize)>,
    is_without_name: bool,
) -> Result<ArrayRef> {
    let mut maps = MapBuilder::new(Some(map_names()), StringBuilder::new(), StringBuilder::new());
    for (labels, n) in runs {
        for _ in 0..n {
            for (name, value) in labels.iter() {
                if !is_without_name || name != METRIC_NAME {
                    maps.keys().append_value(name);
                    maps.values().append_value(value);
                }
            }
            maps.append(true)?;
        }
    }
    Ok(Arc::new(maps.finish()))
}

/// The table of label sets itself.
#[derive(Debug)]
pub(super) struct SetTable {
    sets: Sets,
}

impl SetTable {
    pub(super) fn new(sets: Sets) -> Self {
        Self { sets }
    }
}

#[async_trait]
impl TableProvider for SetTable {
    fn schema(&self) -> SchemaRef {
        self.sets.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batches = self.sets.batches(&self.sets.all()?)?;
        let plan =
            MemorySourceConfig::try_new_exec(&[batches], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}
