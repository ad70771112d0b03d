//! Label sets whose rows were deleted.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use super::{Bits, Entry, Index};

impl Index {
    /// Forgets that the chosen ids have a row in this day's table.
    pub(crate) fn unmark_written(&self, day: i32, is_chosen: &dyn Fn(i64) -> bool) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let Some(written) = inner.written.get_mut(&day) else { return };
        for entry in inner.entries.iter().filter(|it| is_chosen(it.id)) {
            written.remove(entry.ordinal);
        }
    }

    /// Sets the days of the chosen ids anew: those of the tables, and `head_days` for the ids that
    /// have rows in memory. Nobody may mark days meanwhile.
    pub(crate) fn recount_days(
        &self,
        is_chosen: &dyn Fn(i64) -> bool,
        is_in_heads: &dyn Fn(i64) -> bool,
        head_days: &BTreeSet<i32>,
    ) {
        let inner = self.inner();
        for entry in inner.entries.iter().filter(|it| is_chosen(it.id)) {
            let in_tables = inner.written.iter();
            let mut days: Vec<i32> = in_tables
                .filter(|(_, written)| written.contains(entry.ordinal))
                .map(|(day, _)| *day)
                .collect();
            if is_in_heads(entry.id) {
                days.extend(head_days);
            }
            entry.set_days(&days);
        }
    }
}

impl Entry {
    fn set_days(&self, days: &[i32]) {
        let first = days.iter().copied().min().unwrap_or(i32::MAX);
        let last = days.iter().copied().max().unwrap_or(i32::MIN);
        self.first_day.store(first, Ordering::Relaxed);
        self.last_day.store(last, Ordering::Relaxed);
    }
}

impl Bits {
    fn remove(&mut self, at: u32) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}
