//! Label sets whose rows were deleted, or are gone.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, atomic::Ordering},
};

use super::{Bits, Entry, Index, Inner};
use crate::day::hours_of_day;

impl Index {
    /// Forgets that the chosen ids have a row in this day's table.
    pub(crate) fn unmark_written(&self, day: i32, is_chosen: &dyn Fn(i64) -> bool) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let Some(written) = inner.written.get_mut(&day) else { return };
        for entry in inner.entries.iter().flatten().filter(|it| is_chosen(it.id)) {
            written.remove(entry.ordinal);
        }
    }

    /// Has this day's table hold rows of these ids and no others.
    pub(crate) fn restate_written(&self, day: i32, ids: &HashSet<i64>) {
        let mut inner = self.inner();
        let mut written = Bits::default();
        for entry in inner.entries.iter().flatten().filter(|it| ids.contains(&it.id)) {
            written.insert(entry.ordinal);
        }
        inner.written.insert(day, written);
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
        for entry in inner.entries.iter().flatten().filter(|it| is_chosen(it.id)) {
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

    /// Takes out the sets that have rows on no day and in no head; returns how many. Nobody may be
    /// about to append to one.
    pub(crate) fn forget_unused(&self, is_in_heads: impl Fn(i64) -> bool) -> usize {
        let gone = self.inner().take_unused(is_in_heads);
        for entry in &gone {
            let mut shard = self.shard(entry.hash);
            if let Ok(found) = shard.find_entry(entry.hash, |it| Arc::ptr_eq(it, entry)) {
                found.remove();
            }
        }
        gone.len()
    }
}

impl Inner {
    fn take_unused(&mut self, is_in_heads: impl Fn(i64) -> bool) -> Vec<Arc<Entry>> {
        let (entries, written) = (&self.entries, &self.written);
        let is_used =
            |it: &Entry| written.values().any(|day| day.contains(it.ordinal)) || is_in_heads(it.id);
        let gone: Vec<_> = entries.iter().flatten().filter(|it| !is_used(it)).cloned().collect();
        let mut ordinals = Bits::default();
        let mut labels = BTreeSet::new();
        for entry in &gone {
            ordinals.insert(entry.ordinal);
            labels.extend(entry.labels.iter());
            if let Some(slot) = self.entries.get_mut(entry.ordinal as usize) {
                *slot = None;
            }
        }
        for (name, value) in labels {
            let Some(values) = self.postings.get_mut(name) else { continue };
            if let Some(list) = values.get_mut(value) {
                list.retain(|it| !ordinals.contains(*it));
                if list.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.postings.remove(name);
            }
        }
        if gone.iter().any(|it| self.exceptions.contains_key(&it.id)) {
            let exceptions = Arc::make_mut(&mut self.exceptions);
            for entry in &gone {
                exceptions.remove(&entry.id);
            }
        }
        self.n_live -= gone.len();
        gone
    }
}

impl Entry {
    fn set_days(&self, days: &[i32]) {
        let hours = days.iter().map(|it| hours_of_day(*it));
        let first = hours.clone().map(|(first, _)| first).min().unwrap_or(i32::MAX);
        let last = hours.map(|(_, last)| last).max().unwrap_or(i32::MIN);
        self.first_hour.store(first, Ordering::Relaxed);
        self.last_hour.store(last, Ordering::Relaxed);
    }
}

impl Bits {
    fn remove(&mut self, at: u32) {
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}
