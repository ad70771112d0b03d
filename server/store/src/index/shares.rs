//! What each label set takes of what its days take.

use std::{collections::BTreeMap, sync::Arc};

use skep_proto::Labels;

use super::{Bits, Index};

impl Index {
    /// Spreads each day's bytes evenly over the label sets that have rows on it.
    pub(crate) fn shares(&self, bytes_by_day: &BTreeMap<i32, u64>) -> Vec<(Arc<Labels>, u64)> {
        let inner = self.inner();
        let shares: Vec<(&Bits, u64)> = bytes_by_day
            .iter()
            .filter_map(|(day, n_bytes)| {
                let written = inner.written.get(day)?;
                Some((written, n_bytes.checked_div(written.n_set())?))
            })
            .collect();
        let entries = inner.entries.iter().flatten();
        let of = |ordinal| shares.iter().filter(move |(written, _)| written.contains(ordinal));
        entries
            .map(|it| (Arc::clone(&it.labels), of(it.ordinal).map(|(_, share)| share).sum()))
            .collect()
    }
}

impl Bits {
    fn n_set(&self) -> u64 {
        self.0.iter().map(|it| u64::from(it.count_ones())).sum()
    }
}
