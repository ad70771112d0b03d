//! What is remembered of a target from scrape to scrape: which series its lines are, which of them
//! were there the last time, and what it says of its metrics.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use skep_proto::Labels;

use crate::batch::Metadata;

/// Scrapes for which a metric that has gone is still described.
const METADATA_SCRAPES: u64 = 10;

/// Lines of failed scrapes that are kept beyond twice those of a good one.
const SPARE_LINES: usize = 1_000;

/// Guarded by its target's lock; a scrape changes it from beginning to end.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// The number of the scrape that is under way.
    scrape: u64,
    /// By a line's text up to the value.
    by_text: HashMap<Box<str>, Entry>,
    /// Lines of the last scrape that did not fail.
    n_lines: usize,
    /// Series that get a stale marker when they are gone, by hash of their labels: of the last
    /// scrape, and of the one that is under way.
    before: HashMap<u64, Arc<Labels>>,
    now: HashMap<u64, Arc<Labels>>,
    metadata: BTreeMap<String, Described>,
}

#[derive(Debug)]
struct Entry {
    seen: u64,
    /// `None`: dropped by a rule.
    series: Option<Series>,
}

/// A line's series after relabelling.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Arc<Labels>,
    pub(crate) hash: u64,
}

#[derive(Debug, Default)]
struct Described {
    seen: u64,
    metadata: Metadata,
}

impl Cache {
    /// The series of a line that was seen before; `Some(None)` if rules drop it.
    #[expect(clippy::option_option, reason = "unknown, dropped, kept")]
    pub(crate) fn get(&mut self, text: &str) -> Option<Option<&Series>> {
        let entry = self.by_text.get_mut(text)?;
        entry.seen = self.scrape;
        Some(entry.series.as_ref())
    }

    pub(crate) fn put(&mut self, text: &str, series: Option<Series>) {
        self.by_text.insert(text.into(), Entry { seen: self.scrape, series });
    }

    /// The series is there in this scrape. Whether it was so already.
    pub(crate) fn track(&mut self, series: &Series) -> bool {
        self.now.insert(series.hash, Arc::clone(&series.labels)).is_some()
    }

    /// Says something of a metric; what is known of it now, if that is news.
    pub(crate) fn describe(
        &mut self,
        metric: &str,
        change: impl FnOnce(&mut Metadata),
    ) -> Option<&Metadata> {
        if !self.metadata.contains_key(metric) {
            self.metadata.insert(metric.to_owned(), Described::default());
        }
        let entry = self.metadata.get_mut(metric)?;
        let before = entry.metadata.clone();
        change(&mut entry.metadata);
        entry.seen = self.scrape;
        (entry.metadata != before).then_some(&entry.metadata)
    }

    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.metadata.iter().map(|(metric, it)| (metric.as_str(), &it.metadata))
    }

    /// Ends a scrape; the series that have gone with it.
    pub(crate) fn end_scrape(&mut self) -> Vec<Arc<Labels>> {
        let scrape = self.scrape;
        self.by_text.retain(|_, entry| entry.seen == scrape);
        self.n_lines = self.by_text.len();
        self.metadata.retain(|_, it| scrape - it.seen <= METADATA_SCRAPES);
        self.turn()
    }

    /// Ends a scrape that failed: all series have gone. Its lines will be the same ones when it
    /// comes back; a target that breaks off in other lines each time is not remembered for ever.
    pub(crate) fn fail_scrape(&mut self) -> Vec<Arc<Labels>> {
        if self.by_text.len() > 2 * self.n_lines + SPARE_LINES {
            let scrape = self.scrape;
            self.by_text.retain(|_, entry| entry.seen == scrape);
        }
        self.now.clear();
        self.turn()
    }

    fn turn(&mut self) -> Vec<Arc<Labels>> {
        self.scrape += 1;
        let gone = self.before.extract_if(|hash, _| !self.now.contains_key(hash));
        let gone = gone.map(|(_, labels)| labels).collect();
        self.before.clear();
        std::mem::swap(&mut self.before, &mut self.now);
        gone
    }

    /// Hashes of the series that were there in the last scrape.
    pub(crate) fn tracked(&self) -> impl Iterator<Item = u64> {
        self.before.keys().copied()
    }
}
