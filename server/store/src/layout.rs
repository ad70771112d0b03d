//! What is on the disk, by table and day, what goes next, and what each label set takes: for status
//! pages. All of it from what is known without reading a part.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use skep_proto::{Labels, TimestampMs};

use crate::{
    config::StoreConfig,
    day::{NS_PER_MS, format_day},
    downsample::RollupPeriods,
    index::Index,
    merge::Table,
    part::PartInfo,
    retention::RetentionRule,
    store::Store,
    view::{LabelsOf, View},
};

/// What the store holds, as of the last flush or merge.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Tables of rows, those summed up included.
    pub tables: Vec<TableLayout>,
    /// What goes first when the store's cap is reached; nothing without a cap.
    pub next_out: Vec<DayOut>,
}

/// One table of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    pub name: &'static str,
    /// In order.
    pub days: Vec<DayLayout>,
}

/// The parts of one day of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayLayout {
    /// `2026-11-22`, in UTC.
    pub day: String,
    pub n_parts: usize,
    /// Parts as a flush wrote them: no merge has had them yet.
    pub n_unmerged: usize,
    pub n_rows: u64,
    pub size_bytes: u64,
    pub oldest: TimestampMs,
    pub newest: TimestampMs,
}

/// Parts of one day that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOut {
    pub table: &'static str,
    pub day: String,
    pub n_parts: usize,
    pub size_bytes: u64,
}

/// How long rows are kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// `None` for ever.
    pub retention: Option<Duration>,
    pub rules: &'a [RetentionRule],
    pub rollups: RollupPeriods,
}

/// One label set and what its rows take.
#[derive(Debug, Clone)]
pub struct SetSize {
    pub labels: Arc<Labels>,
    /// Its share of its days, as if all label sets of a day took the same.
    pub estimated_bytes: u64,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Histograms => "histograms",
            Self::Logs => "logs",
        }
    }

    /// Of time stamps, in a millisecond.
    fn units(self) -> i64 {
        if self == Self::Logs { NS_PER_MS } else { 1 }
    }
}

impl Store {
    /// What is on the disk, and what of it goes next.
    pub fn layout(&self) -> Layout {
        let view = self.view().clone();
        let rows = Table::ALL.iter().map(|table| {
            let parts = view.parts(*table).iter().map(|it| &it.info);
            TableLayout { name: table.name(), days: days_of(parts, table.units()) }
        });
        let mut tables: Vec<TableLayout> = rows.collect();
        let mut tiers: BTreeMap<&'static str, Vec<&PartInfo>> = BTreeMap::new();
        for (tier, part) in &view.tiers {
            tiers.entry(tier.name()).or_default().push(&part.info);
        }
        let tiers = tiers.into_iter();
        tables.extend(tiers.map(|(name, parts)| TableLayout { name, days: days_of(parts, 1) }));
        Layout { tables, next_out: self.next_out(&view) }
    }

    /// How long rows are kept.
    pub fn kept(&self) -> Kept<'_> {
        let StoreConfig { retention, retention_rules, rollups, .. } = &self.config;
        Kept { retention: *retention, rules: retention_rules, rollups: *rollups }
    }

    /// All label sets with what each takes, about.
    pub fn sizes(&self, of: LabelsOf) -> Vec<SetSize> {
        let view = self.view().clone();
        let (index, tables): (&Index, &[Table]) = match of {
            LabelsOf::Series => (&self.series, Table::Samples.with_same_sets()),
            LabelsOf::Streams => (&self.streams, Table::Logs.with_same_sets()),
        };
        let mut by_day: BTreeMap<i32, u64> = BTreeMap::new();
        let parts = tables.iter().flat_map(|it| view.parts(*it));
        let tiers = view.tiers.iter().map(|(_, part)| part).filter(|_| of == LabelsOf::Series);
        for part in parts.chain(tiers) {
            *by_day.entry(part.info.day).or_default() += part.info.size_bytes;
        }
        let shares = index.shares(&by_day).into_iter();
        shares.map(|(labels, estimated_bytes)| SetSize { labels, estimated_bytes }).collect()
    }

    fn next_out(&self, view: &View) -> Vec<DayOut> {
        let mut out: BTreeMap<(&'static str, i32), (usize, u64)> = BTreeMap::new();
        for (name, part) in self.next_victims(view) {
            let (n_parts, size_bytes) = out.entry((name, part.day)).or_default();
            *n_parts += 1;
            *size_bytes += part.size_bytes;
        }
        let out = out.into_iter().map(|((table, day), (n_parts, size_bytes))| DayOut {
            table,
            day: format_day(day),
            n_parts,
            size_bytes,
        });
        out.collect()
    }

    /// Tables by name and the parts of them that would go.
    fn next_victims(&self, view: &View) -> Vec<(&'static str, PartInfo)> {
        if !self.has_cap() {
            return Vec::new();
        }
        let summed_up = view.tiers.iter().map(|(tier, part)| (tier.name(), &part.info));
        if let Some(day) = self.rollups_go_first(view) {
            let of_day = summed_up.filter(|(_, it)| it.day == day);
            return of_day.map(|(name, it)| (name, it.clone())).collect();
        }
        let victims = crate::space::next_victims(view);
        victims.into_iter().map(|(table, part)| (table.name(), part)).collect()
    }
}

/// Parts by their day; `units` of their time stamps are a millisecond.
fn days_of<'a>(parts: impl IntoIterator<Item = &'a PartInfo>, units: i64) -> Vec<DayLayout> {
    let mut days: BTreeMap<i32, DayLayout> = BTreeMap::new();
    for part in parts {
        let (oldest, newest) = (part.ts.0.div_euclid(units), part.ts.1.div_euclid(units));
        let day = days.entry(part.day).or_insert_with(|| DayLayout {
            day: format_day(part.day),
            n_parts: 0,
            n_unmerged: 0,
            n_rows: 0,
            size_bytes: 0,
            oldest: TimestampMs(oldest),
            newest: TimestampMs(newest),
        });
        day.n_parts += 1;
        day.n_unmerged += usize::from(part.level == 0);
        day.n_rows += part.n_rows;
        day.size_bytes += part.size_bytes;
        day.oldest = day.oldest.min(TimestampMs(oldest));
        day.newest = day.newest.max(TimestampMs(newest));
    }
    days.into_values().collect()
}

#[cfg(test)]
mod tests;
