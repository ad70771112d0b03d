//! Lines in memory: the storage of case files.

use std::sync::Arc;

use async_trait::async_trait;
use skep_promql::Matrix;
use skep_proto::{Labels, LogEntry, Matcher, TimestampNs};

use crate::{
    LogCollector, LogScan, LogStream, QueryError, RangeCollector, RangeLeaf, RangeLimits, Storage,
};

/// Streams in the order they came, lines in order of time.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    streams: Vec<(Labels, Vec<LogEntry>)>,
}

const LIMITS: RangeLimits = RangeLimits { n_series_max: 100_000, n_samples_max: 10_000_000 };

impl MemoryStorage {
    /// Adds a line; metadata may come in any order.
    pub fn push(
        &mut self,
        stream: &Labels,
        ts: TimestampNs,
        line: &str,
        mut metadata: Vec<(String, String)>,
    ) {
        metadata.sort();
        let entry = LogEntry { ts, line: line.to_owned(), metadata };
        match self.streams.iter_mut().find(|(it, _)| it == stream) {
            Some((_, entries)) => {
                let at = entries.partition_point(|it| it.ts <= ts);
                entries.insert(at, entry);
            }
            None => self.streams.push((stream.clone(), vec![entry])),
        }
    }

    fn select(&self, matchers: &[Matcher]) -> impl Iterator<Item = &(Labels, Vec<LogEntry>)> {
        self.streams
            .iter()
            .filter(|(labels, _)| matchers.iter().all(|it| it.matches_labels(labels)))
    }
}

fn metadata(entry: &LogEntry) -> impl Iterator<Item = (&str, &str)> {
    entry.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn entries(&self, scan: &LogScan) -> Result<Vec<LogStream>, QueryError> {
        let mut collector = LogCollector::new(scan, Arc::new(scan.compile()?));
        let mut place = 0;
        for (labels, entries) in self.select(&scan.matchers) {
            collector.set_stream(labels);
            for entry in entries.iter().filter(|it| scan.start <= it.ts && it.ts < scan.end) {
                place += 1;
                collector.push(entry.ts, place, &entry.line, metadata(entry));
            }
        }
        Ok(collector.finish())
    }

    async fn range(&self, leaf: &RangeLeaf) -> Result<Matrix, QueryError> {
        let mut collector = RangeCollector::new(leaf, Arc::new(leaf.compile()?), LIMITS);
        let (first, last) = leaf.range();
        for (labels, entries) in self.select(&leaf.matchers) {
            collector.set_stream(labels);
            for entry in entries.iter().filter(|it| first <= it.ts && it.ts <= last) {
                collector.push(entry.ts, &entry.line, metadata(entry))?;
            }
        }
        collector.finish()
    }
}
