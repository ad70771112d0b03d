//! Deletes reach what was summed up: days whose samples are all there are summed up again, of the
//! others the buckets go that may hold a deleted sample.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Summing, Tier,
    bucket::Buckets,
    newest,
    read::{Columns, buckets},
    table::RollupWriter,
};
use crate::{
    delete::Mask,
    encode::EncodeError,
    filter::RowFilter,
    flush::{FlushError, PartName},
    merge::Table,
    part::Part,
    store::Store,
};

impl Store {
    /// The parts of tiers that a mask is about.
    pub(crate) fn rollups_under(&self, mask: &Mask) -> Vec<Arc<Part>> {
        self.tiers_under(mask).into_iter().map(|it| it.1).collect()
    }

    fn tiers_under(&self, mask: &Mask) -> Vec<(Tier, Arc<Part>)> {
        if mask.table != Table::Samples {
            return Vec::new();
        }
        let is_under = |(tier, part): &&(Tier, Arc<Part>)| {
            mask.concerns_within(&part.info, tier.ts_within(&part.info))
        };
        self.view().tiers.iter().filter(is_under).cloned().collect()
    }

    /// Writes days of tiers anew without what the mask hides.
    pub(crate) async fn clean_rollups(&self, mask: &Mask) -> Result<(), FlushError> {
        let mut days: BTreeMap<i32, Vec<(Tier, Arc<Part>)>> = BTreeMap::new();
        for (tier, part) in self.tiers_under(mask) {
            if holds_hidden(tier, &part, mask).await? {
                days.entry(part.info.day).or_default().push((tier, part));
            }
        }
        for (day, found) in days {
            let now_ms = self.clock.now().to_ms().0;
            let samples: Vec<_> = {
                let view = self.view();
                let of_day = view.samples.parts.iter().filter(|it| it.info.day == day);
                of_day.map(Arc::clone).collect()
            };
            let is_made = found.iter().all(|(tier, _)| self.is_made(*tier, day, now_ms));
            if self.is_whole(day, now_ms) && is_made && !samples.is_empty() {
                // A part whose samples were all older would be taken for an older one.
                let rank = found.iter().map(|it| it.1.info.rank).max().unwrap_or(0);
                self.sum_up(day, rank.max(newest(&samples))).await?;
                continue;
            }
            for (tier, part) in found {
                self.strike_buckets(tier, &part, mask).await?;
            }
        }
        Ok(())
    }

    async fn strike_buckets(&self, tier: Tier, part: &Part, mask: &Mask) -> Result<(), FlushError> {
        let day = part.info.day;
        let name = PartName { day, rank: part.info.rank, level: part.info.level + 1 };
        let path = {
            let tables = self.tables.lock().await;
            let Some((_, log)) = tables.tiers.0.iter().find(|it| it.0 == tier) else {
                return Ok(());
            };
            name.prepare(log, self.fs.as_ref())?
        };
        let mut file = RollupWriter::create(&path, self.fs.as_ref())?;
        let _pin = part.pin_if_room().await.map_err(|source| unreadable(part, source))?;
        for rows in buckets(part, &RowFilter::ALL, Columns::ALL).map_err(EncodeError::Merge)? {
            for (id, bucket) in rows.map_err(EncodeError::Merge)? {
                if !tier.hides(mask, day, id, bucket.end) {
                    file.push(id, &bucket)?;
                }
            }
        }
        let written = file.finish()?;
        let summing = Summing { tier, name, path, rows: Buckets::new(tier) };
        self.commit_rollups(day, vec![(summing, written)]).await
    }

    /// Of a mask's ids those that have a bucket left on that day.
    pub(crate) async fn ids_summed_up(
        &self,
        mask: &Mask,
        day: i32,
    ) -> Result<HashSet<i64>, FlushError> {
        let mut left = HashSet::new();
        if mask.table != Table::Samples {
            return Ok(left);
        }
        let tiers = self.view().tiers.clone();
        let filter = RowFilter::of_ids(mask.each_id().collect(), (i64::MIN, i64::MAX));
        for (tier, part) in tiers.into_iter().filter(|it| it.1.info.day == day) {
            let _pin = part.pin_if_room().await.map_err(|source| unreadable(&part, source))?;
            let masks = part.masks();
            let found = buckets(&part, &filter, Columns::NONE).map_err(EncodeError::Merge)?;
            for rows in found {
                let rows = rows.map_err(EncodeError::Merge)?;
                let is_left = |(id, end): &(i64, i64)| {
                    !masks.iter().any(|mask| tier.hides(mask, day, *id, *end))
                };
                let ends = rows.iter().map(|(id, bucket)| (*id, bucket.end));
                left.extend(ends.filter(is_left).map(|it| it.0));
            }
        }
        Ok(left)
    }
}

async fn holds_hidden(tier: Tier, part: &Part, mask: &Mask) -> Result<bool, FlushError> {
    let _pin = part.pin_if_room().await.map_err(|source| unreadable(part, source))?;
    let filter = RowFilter::of_ids(mask.each_id().collect(), (i64::MIN, i64::MAX));
    for rows in buckets(part, &filter, Columns::NONE).map_err(EncodeError::Merge)? {
        let rows = rows.map_err(EncodeError::Merge)?;
        if rows.iter().any(|(id, bucket)| tier.hides(mask, part.info.day, *id, bucket.end)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unreadable(part: &Part, source: std::io::Error) -> FlushError {
    FlushError::Io { path: part.path.clone(), source }
}
