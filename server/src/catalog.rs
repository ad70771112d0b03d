//! Where query and store meet: a snapshot of the one, in the words of the other.

use std::sync::Arc;

use skep_proto::{HistogramSample, TimeRange, TimestampMs};
use skep_query::{
    Catalog, Changes, DataFusionError, Histograms, RecordBatch, Rollup, RollupTables, RollupTier,
    Rollups, Snapshot, TableProvider,
};
use skep_store::Store;

#[derive(Debug)]
pub(crate) struct StoreCatalog(pub(crate) Arc<Store>);

impl Catalog for StoreCatalog {
    fn snapshot(&self) -> Snapshot {
        let snapshot = self.0.snapshot();
        Snapshot {
            series: snapshot.series(),
            samples: snapshot.samples(),
            streams: snapshot.streams(),
            logs: snapshot.logs(),
            lines: snapshot.log_lines(),
            histograms: StoreHistograms::of(&snapshot),
            rollups: Some(Arc::new(StoreRollups(snapshot))),
        }
    }

    fn changes(&self) -> Option<&dyn Changes> {
        Some(self)
    }
}

impl Changes for StoreCatalog {
    fn version(&self) -> u64 {
        self.0.sample_changes().version()
    }

    fn first_since(&self, version: u64, range: TimeRange) -> Option<TimestampMs> {
        self.0.sample_changes().first_since(version, range)
    }
}

/// Native histograms as queries read them.
#[derive(Debug)]
struct StoreHistograms {
    snapshot: skep_store::Snapshot,
    table: Arc<dyn TableProvider>,
}

impl StoreHistograms {
    fn of(snapshot: &skep_store::Snapshot) -> Option<Arc<dyn Histograms>> {
        let table = snapshot.histograms()?;
        Some(Arc::new(Self { snapshot: snapshot.clone(), table }))
    }
}

impl Histograms for StoreHistograms {
    fn may_have(&self, range: TimeRange) -> bool {
        self.snapshot.may_have_histograms(range)
    }

    fn table(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.table)
    }

    fn read(&self, batch: &RecordBatch) -> Result<Vec<(i64, HistogramSample)>, DataFusionError> {
        skep_store::read_histograms(batch)
    }
}

#[derive(Debug)]
struct StoreRollups(skep_store::Snapshot);

impl Rollups for StoreRollups {
    fn tier(&self, grain_ms: i64) -> Option<RollupTier> {
        let rollups = self.0.rollups(grain_ms)?;
        Some(RollupTier {
            horizon: TimestampMs(rollups.horizon_ms()),
            width_ms: rollups.width_ms(),
            tables: Arc::new(StoreTier(rollups)),
        })
    }
}

#[derive(Debug)]
struct StoreTier(skep_store::Rollups);

impl RollupTables for StoreTier {
    fn table(&self, rollup: Rollup) -> Arc<dyn TableProvider> {
        self.0.table(match rollup {
            Rollup::Last => skep_store::Rollup::Last,
            Rollup::Ends => skep_store::Rollup::Ends,
            Rollup::Counter => skep_store::Rollup::Counter,
            Rollup::Rate => skep_store::Rollup::Rate,
            Rollup::Min => skep_store::Rollup::Min,
            Rollup::Max => skep_store::Rollup::Max,
            Rollup::Sum => skep_store::Rollup::Sum,
            Rollup::Count => skep_store::Rollup::Count,
        })
    }
}

#[cfg(test)]
mod kept_answers_tests;
#[cfg(test)]
mod tests;
