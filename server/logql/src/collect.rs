//! Lines to the streams of an answer: the newest (or oldest) so many across all streams.

use std::{
    borrow::Cow,
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use skep_proto::{Labels, TimestampNs};

use crate::{
    leaf::{Direction, Entry, EntryLabels, LogScan, LogStream},
    pipeline::{Category, Line, LineLabels, Pipeline, Shape},
};

/// What a kept line takes beside its text.
const KEPT_BYTES: usize = size_of::<Kept>();

/// Runs lines through a pipeline and keeps the best `limit` of them. Rows come stream by stream.
#[derive(Debug)]
pub struct LogCollector {
    pipeline: Arc<Pipeline>,
    labels: LineLabels,
    direction: Direction,
    limit: usize,
    /// The worst kept line is on top.
    kept: BinaryHeap<Kept>,
    n_bytes: usize,
    groups: Vec<Arc<EntryLabels>>,
    group_of: HashMap<Arc<EntryLabels>, usize>,
    /// The group of lines that carry the stream's labels and nothing else.
    base_group: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct Kept {
    /// Grows from best to worst; lines of equal times keep the order they came in, or its reverse.
    rank: Rank,
    group: usize,
    line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Forward(i64, u64),
    Backward(Reverse<i64>, Reverse<u64>),
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl LogCollector {
    pub fn new(scan: &LogScan, pipeline: Arc<Pipeline>) -> Self {
        Self {
            labels: LineLabels::new(pipeline.hints().clone()),
            pipeline,
            direction: scan.direction,
            limit: scan.limit,
            kept: BinaryHeap::new(),
            n_bytes: 0,
            groups: Vec::new(),
            group_of: HashMap::new(),
            base_group: None,
        }
    }

    /// Starts a stream; all following lines are its.
    pub fn set_stream(&mut self, labels: &Labels) {
        self.labels.set_stream(labels);
        self.base_group = None;
    }

    /// Whether a line of this time could still be in the answer: a scan may stop or skip by it.
    pub fn wants(&self, ts: TimestampNs) -> bool {
        if self.kept.len() < self.limit {
            return true;
        }
        match self.kept.peek().map(|it| it.rank) {
            None => false,
            Some(Rank::Forward(worst, _)) => ts.0 < worst,
            // A line of equal time that comes later goes before the one that is there.
            Some(Rank::Backward(Reverse(worst), _)) => ts.0 >= worst,
        }
    }

    /// Takes one line of the stream, with its metadata sorted by name. Of lines of one time, that
    /// of the greater place came later.
    pub fn push<'a>(
        &mut self,
        ts: TimestampNs,
        place: u64,
        text: &'a str,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        if !self.wants(ts) {
            return;
        }
        self.labels.reset();
        self.labels.add_metadata(metadata);
        let mut line = Line { ts_ns: ts.0, text: Cow::Borrowed(text), labels: &mut self.labels };
        if !self.pipeline.process(&mut line) {
            return;
        }
        let line = line.text.into_owned();
        let group = self.group();
        let rank = match self.direction {
            Direction::Forward => Rank::Forward(ts.0, place),
            Direction::Backward => Rank::Backward(Reverse(ts.0), Reverse(place)),
        };
        self.n_bytes += line.len() + KEPT_BYTES;
        self.kept.push(Kept { rank, group, line });
        if self.kept.len() > self.limit
            && let Some(worst) = self.kept.pop()
        {
            self.n_bytes = self.n_bytes.saturating_sub(worst.line.len() + KEPT_BYTES);
        }
    }

    /// What the pipeline makes of lines of this template that belong to the stream.
    pub fn shape(&mut self, template: &str) -> Shape {
        self.pipeline.shape(template, &mut self.labels)
    }

    /// What the kept lines take, for the memory account of a query.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    fn group(&mut self) -> usize {
        let is_base = self.labels.is_base();
        if let (true, Some(group)) = (is_base, self.base_group) {
            return group;
        }
        let labels = entry_labels(&self.labels);
        let group = match self.group_of.get(&labels) {
            Some(group) => *group,
            None => {
                let labels = Arc::new(labels);
                self.groups.push(Arc::clone(&labels));
                self.group_of.insert(labels, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        if is_base {
            self.base_group = Some(group);
        }
        group
    }

    /// The kept lines by label set, streams in the order of their best line.
    pub fn finish(self) -> Vec<LogStream> {
        let mut streams: Vec<LogStream> = Vec::new();
        let mut stream_of: HashMap<usize, usize> = HashMap::new();
        for kept in self.kept.into_sorted_vec() {
            let Some(labels) = self.groups.get(kept.group) else { continue };
            let next = streams.len();
            let at = *stream_of.entry(kept.group).or_insert(next);
            if at == next {
                streams.push(LogStream { labels: Arc::clone(labels), entries: Vec::new() });
            }
            let ts = match kept.rank {
                Rank::Forward(ts, _) | Rank::Backward(Reverse(ts), _) => TimestampNs(ts),
            };
            if let Some(stream) = streams.get_mut(at) {
                stream.entries.push(Entry { ts, line: kept.line });
            }
        }
        streams
    }
}

fn entry_labels(labels: &LineLabels) -> EntryLabels {
    let mut out = EntryLabels::default();
    for (category, name, value) in labels.iter() {
        let list = match category {
            Category::Stream => &mut out.stream,
            Category::Metadata => &mut out.metadata,
            Category::Parsed => &mut out.parsed,
        };
        list.push((name.to_owned(), value.to_owned()));
    }
    for list in [&mut out.stream, &mut out.metadata, &mut out.parsed] {
        list.sort_unstable();
    }
    out
}
