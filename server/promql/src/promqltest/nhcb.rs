//! Classic histograms as native ones: `load_with_nhcb`.

use std::{collections::BTreeMap, sync::Arc};

use skep_proto::{
    CUSTOM_BUCKETS_SCHEMA, Labels, NativeHistogram,
    names::{BUCKET_LE, METRIC_NAME},
};

use super::series::{Item, Series, number};
use crate::native::Histogram;

/// What is known of one histogram at one step.
#[derive(Debug, Default)]
struct Parts {
    /// By bound, as cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of the classic ones among these series.
pub(super) fn converted(series: &[Series]) -> Vec<Series> {
    let mut found: BTreeMap<Labels, BTreeMap<usize, Parts>> = BTreeMap::new();
    for it in series {
        let name = it.labels.metric_name();
        let part = ["_bucket", "_count", "_sum"].into_iter().find(|suffix| name.ends_with(suffix));
        let (Some(part), le) = (part, it.labels.get(BUCKET_LE)) else {
            continue;
        };
        let bound = number(le);
        if part == "_bucket" && bound.is_none() {
            continue;
        }
        let mut labels = it.labels.to_builder();
        labels.set(METRIC_NAME, name.strip_suffix(part).unwrap_or(name));
        labels.remove(BUCKET_LE);
        let steps = found.entry(labels.build()).or_default();
        for (step_idx, value) in it.values.iter().enumerate() {
            let Some(Item::Float(value)) = value else {
                continue;
            };
            let parts = steps.entry(step_idx).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => parts.buckets.push((bound, *value)),
                ("_count", _) => parts.count = Some(*value),
                _ => parts.sum = *value,
            }
        }
    }
    found
        .into_iter()
        .map(|(labels, steps)| {
            let n_steps = steps.keys().next_back().map_or(0, |it| it + 1);
            let mut values = vec![None; n_steps];
            for (step_idx, parts) in steps {
                if let Some(slot) = values.get_mut(step_idx) {
                    let histogram = Arc::new(parts.histogram());
                    *slot = Some(Item::Histogram { histogram, has_hint: false });
                }
            }
            Series { labels, values }
        })
        .collect()
}

impl Parts {
    fn histogram(mut self) -> NativeHistogram {
        self.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let highest = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        if self.buckets.last().is_none_or(|(bound, _)| bound.is_finite()) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut before = 0.0;
        let mut positive = Vec::new();
        for (idx, (_, cumulated)) in (0..).zip(&self.buckets) {
            positive.push((idx, cumulated - before));
            before = *cumulated;
        }
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        let empty = Histogram::from(&NativeHistogram::default());
        let mut histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive,
            custom_values: bounds.filter(|it| it.is_finite()).collect(),
            ..empty
        };
        histogram.compact();
        histogram.build()
    }
}
