//! Series with native histograms, read whole: histograms and floats side by side.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::common::{DataFusionError, internal_datafusion_err};
use futures::TryStreamExt as _;
use skep_promql::{HistogramSeries, StorageError};
use skep_proto::{HistogramSample, Matcher, NativeHistogram, Sample, TimeRange, TimestampMs};

use super::{MetricStorage, Selection};
use crate::{catalog::Histograms, explain::LeafPlan};

impl MetricStorage {
    pub(super) async fn histograms_of(
        &self,
        histograms: &dyn Histograms,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<HistogramSeries>, StorageError> {
        let Selection { ids, labels } = self.select(matchers, range)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.read_histograms(histograms, matchers, &ids, range).await;
        let by_id = read.map_err(|it| self.failed(it))?;
        if by_id.is_empty() {
            return Ok(Vec::new());
        }
        let with_histograms: Vec<i64> = by_id.keys().copied().collect();
        let floats = self.read_floats(&with_histograms, range).await;
        let mut floats = floats.map_err(|it| self.failed(it))?;
        let series = by_id.into_iter().filter_map(|(id, histograms)| {
            let labels = labels.get(ids.binary_search(&id).ok()?)?;
            let mut samples = floats.remove(&id).unwrap_or_default();
            // Of both at one time the histogram counts.
            samples.retain(|it| histograms.binary_search_by_key(&it.ts, |it| it.ts).is_err());
            Some(HistogramSeries { labels: Arc::clone(labels), samples, histograms })
        });
        Ok(series.collect())
    }

    async fn read_histograms(
        &self,
        histograms: &dyn Histograms,
        matchers: &[Matcher],
        ids: &[i64],
        range: TimeRange,
    ) -> Result<BTreeMap<i64, Vec<HistogramSample>>, DataFusionError> {
        let plan = self.scan_columns(&histograms.table(), None, ids, range).await?;
        let mut by_id: BTreeMap<i64, Vec<HistogramSample>> = BTreeMap::new();
        let mut batches = plan.execute(0, Arc::clone(&self.session.task))?;
        while let Some(batch) = batches.try_next().await? {
            let rows = histograms.read(&batch)?;
            self.budget.spend(rows.iter().map(|(_, it)| n_samples(&it.histogram)).sum())?;
            self.memory.lock().await.try_grow(batch.get_array_memory_size())?;
            for (id, it) in rows {
                // A scan may return more than was asked for.
                if range.contains(it.ts) && ids.binary_search(&id).is_ok() {
                    by_id.entry(id).or_default().push(it);
                }
            }
        }
        if let Some(plans) = &self.plans {
            plans.lock().await.push(LeafPlan::new(matchers, plan.as_ref()));
        }
        Ok(by_id)
    }

    /// Stale markers included, which tell where a series of histograms ends, too.
    async fn read_floats(
        &self,
        ids: &[i64],
        range: TimeRange,
    ) -> Result<BTreeMap<i64, Vec<Sample>>, DataFusionError> {
        let plan = self.scan(&self.snapshot.samples, ids, range).await?;
        let mut by_id: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
        let mut batches = plan.execute(0, Arc::clone(&self.session.task))?;
        while let Some(batch) = batches.try_next().await? {
            self.budget.spend(batch.num_rows())?;
            self.memory.lock().await.try_grow(batch.get_array_memory_size())?;
            for (id, sample) in float_rows(&batch)? {
                if !range.contains(sample.ts) || ids.binary_search(&id).is_err() {
                    continue;
                }
                let samples = by_id.entry(id).or_default();
                // The newest write of a time stamp comes last.
                samples.pop_if(|it| it.ts == sample.ts);
                samples.push(sample);
            }
        }
        Ok(by_id)
    }
}

/// What a histogram counts for against the limit, by its size as Prometheus does: a sample is 16
/// bytes.
fn n_samples(it: &NativeHistogram) -> usize {
    let n_spans = it.positive_spans.len() + it.negative_spans.len();
    let n_floats = it.positive.len() + it.negative.len() + it.custom_values.len();
    (size_of::<NativeHistogram>() + 8 * (n_spans + n_floats)).div_ceil(16)
}

fn float_rows(batch: &RecordBatch) -> Result<impl Iterator<Item = (i64, Sample)>, DataFusionError> {
    let wrong = || internal_datafusion_err!("samples have other columns than asked for");
    let [ids, ts, values] = batch.columns() else { return Err(wrong()) };
    let ids = ids.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values();
    let ts = ts.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(wrong)?.values();
    let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
    let rows = ids.iter().zip(ts).zip(values);
    Ok(rows.map(|((id, ts), value)| (*id, Sample { ts: TimestampMs(*ts), value: *value })))
}
