//! What a configuration makes of entries beyond labels and metadata: relabelling, JSON, pipelines.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;
use skep_proto::relabel;

use super::{
    entry::{JournalEntry, Naming, level, to_record},
    settings::JournalSettings,
};
use crate::{
    pipeline::{Context, Entry, Flush, Pipeline},
    sources::feed::Feed,
    spool::positions::JOURNAL_KEY,
};

/// Entries that may come behind one that is held back.
const HELD_MAX: usize = 10_000;

/// Between reader and feed. Keeps the cursor in front of the first entry that is held back.
#[derive(Debug)]
pub(super) struct Shaper {
    pipeline: Pipeline,
    context: Context,
    /// Numbers of entries and their cursors, from before the first that is held back.
    cursors: VecDeque<(u64, String)>,
    n_entries: u64,
    /// Kept to be used again.
    out: Vec<Entry>,
}

impl Shaper {
    pub(super) fn new(settings: &JournalSettings, context: Context) -> Self {
        Self {
            pipeline: settings.shape.pipeline.clone(),
            context,
            cursors: VecDeque::new(),
            n_entries: 0,
            out: Vec::new(),
        }
    }

    /// Returns how long to wait before the next entry.
    pub(super) fn take(
        &mut self,
        entry: JournalEntry,
        settings: &JournalSettings,
        feed: &mut Feed,
    ) -> std::time::Duration {
        self.context.now = tokio::time::Instant::now();
        self.n_entries += 1;
        self.cursors.push_back((self.n_entries, entry.cursor.clone()));
        if let Some(mut entry) = shaped(entry, settings) {
            entry.begins_at = self.n_entries;
            self.pipeline.run(entry, &mut self.context, &mut self.out);
        }
        let which = if self.cursors.len() > HELD_MAX { Flush::All } else { Flush::Due };
        self.flush(which, feed);
        self.context.take_delay()
    }

    pub(super) fn flush(&mut self, which: Flush, feed: &mut Feed) {
        self.context.now = tokio::time::Instant::now();
        self.pipeline.flush(&mut self.context, which, &mut self.out);
        for entry in self.out.drain(..) {
            let record = entry.into_record();
            // As in Promtail: without a label there is no stream.
            if !record.stream.is_empty() {
                feed.push(record);
            }
        }
        let held_from = self.pipeline.held_from().unwrap_or(u64::MAX);
        let mut done = None;
        while let Some((_, cursor)) = self.cursors.pop_front_if(|(n, _)| *n < held_from) {
            done = Some(cursor);
        }
        if let Some(cursor) = done {
            feed.set_position(JOURNAL_KEY, cursor);
        }
    }
}

/// `None` where relabelling drops the entry.
fn shaped(entry: JournalEntry, settings: &JournalSettings) -> Option<Entry> {
    let shape = &settings.shape;
    let fields: Vec<(String, String)> = entry
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let naming = if shape.is_bare { Naming::Bare } else { Naming::Labels };
    let record = to_record(entry, &settings.host, &settings.labels, naming);
    let mut labels = record.stream.to_builder();
    for (name, value) in &shape.labels {
        labels.set(name, value);
    }
    if !shape.relabel.is_empty() {
        for (name, value) in &fields {
            labels.set(&format!("__journal_{}", name.to_lowercase()), value);
            if name == "PRIORITY" {
                labels.set("__journal_priority_keyword", level(value).unwrap_or(value));
            }
        }
        if !relabel::process(&shape.relabel, &mut labels) {
            return None;
        }
    }
    labels.retain(|name| !name.starts_with("__"));
    let mut line = record.entry.line;
    if shape.is_json {
        let fields: BTreeMap<String, String> = fields.into_iter().collect();
        line = Json::from_iter(fields).to_string();
    }
    Some(Entry {
        labels,
        ts: record.entry.ts,
        line,
        metadata: record.entry.metadata,
        ..Entry::default()
    })
}
