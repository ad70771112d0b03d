//! How many bytes streams hold in spans of time: lines and their metadata.
//!
//! The bytes of lines are counted. Metadata would have to be read for it, so beyond the newest
//! lines it is taken to be the same share of each stream's bytes as among those.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use skep_logql::{
    Direction, EntryLabels, LogScan, LogStream, QueryError, RangeLeaf, Storage as _, ast::RangeOp,
};
use skep_promql::{Grid, Grouping, StorageError, is_absent};
use skep_proto::{Labels, Matcher, StreamId, TimeRange, TimestampMs};
use tokio::time::timeout_at;

use crate::{Engine, logs::LogStorage};

/// What a pair of metadata takes in Loki's chunks, which keep two references to its texts.
const PAIR_BYTES: f64 = 8.0;
/// The newest lines, whose metadata is looked at.
const N_LINES_SAMPLED: usize = 20_000;

/// A span of time, from `start` to `end` (not included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeBucket {
    pub start: TimestampMs,
    pub end: TimestampMs,
}

/// The bytes of the streams of one label set, a value for each bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamVolume {
    pub labels: Arc<Labels>,
    pub bytes: Vec<f64>,
}

impl Engine {
    /// The bytes of each stream that a selector matches. Buckets follow each other.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn log_volume(
        &self,
        matchers: &[Matcher],
        buckets: &[VolumeBucket],
    ) -> Result<Vec<StreamVolume>, QueryError> {
        let Some((first, last)) = buckets.first().zip(buckets.last()) else {
            return Ok(Vec::new());
        };
        let session = self.begin(None);
        let deadline = session.deadline;
        let snapshot = self.snapshot();
        let range = TimeRange { start: first.start, end: last.end };
        let streams = snapshot.streams.select(matchers, range);
        self.limits().check_series(streams.len())?;
        let mut volumes = Volumes::new(&streams, buckets.len());
        let work = async {
            let storage = LogStorage::new(snapshot, session);
            for (at, leaf) in leaves(matchers, &volumes.names(), buckets) {
                let matrix = storage.range(&leaf).await?;
                for row in matrix.rows {
                    volumes.add_bytes(&row.labels, at, &row.values);
                }
            }
            let newest = LogScan {
                matchers: matchers.to_vec(),
                stages: Vec::new(),
                start: first.start.to_ns(),
                end: last.end.to_ns(),
                direction: Direction::Backward,
                limit: N_LINES_SAMPLED,
            };
            volumes.add_metadata(&storage.entries(&newest).await?, buckets);
            Ok::<(), QueryError>(())
        };
        timeout_at(deadline, work)
            .await
            .map_err(|_elapsed| QueryError::from(StorageError::Timeout))??;
        Ok(volumes.finish())
    }
}

/// Range leaves that count the bytes of the buckets' lines, each with the bucket it begins at:
/// neighbours of equal width are one leaf.
fn leaves(
    matchers: &[Matcher],
    names: &[String],
    buckets: &[VolumeBucket],
) -> Vec<(usize, RangeLeaf)> {
    let mut leaves = Vec::new();
    let mut at = 0;
    let width = |it: &VolumeBucket| it.end.0.saturating_sub(it.start.0);
    for run in buckets.chunk_by(|left, right| width(left) == width(right)) {
        if let Some(first) = run.first()
            && width(first) > 0
        {
            // A window ends with its last millisecond.
            let end = TimestampMs(first.end.0 - 1);
            leaves.push((
                at,
                RangeLeaf {
                    matchers: matchers.to_vec(),
                    stages: Vec::new(),
                    unwrap: None,
                    op: RangeOp::BytesOverTime,
                    quantile: None,
                    interval_ns: width(first).saturating_mul(1_000_000),
                    offset_ns: 0,
                    grid: Grid::with_steps(end, width(first), run.len()),
                    grouping: Some(Grouping::By(names.to_owned())),
                },
            ));
        }
        at += run.len();
    }
    leaves
}

/// Bytes by stream and bucket.
struct Volumes {
    streams: Vec<StreamVolume>,
    by_labels: HashMap<Arc<Labels>, usize>,
}

impl Volumes {
    fn new(streams: &[(StreamId, Arc<Labels>)], n_buckets: usize) -> Self {
        let mut volumes = Self { streams: Vec::new(), by_labels: HashMap::new() };
        for (_, labels) in streams {
            volumes.by_labels.insert(Arc::clone(labels), volumes.streams.len());
            let bytes = vec![0.0; n_buckets];
            volumes.streams.push(StreamVolume { labels: Arc::clone(labels), bytes });
        }
        volumes
    }

    /// Every label name there is.
    fn names(&self) -> Vec<String> {
        let all = self.streams.iter().flat_map(|it| it.labels.iter().map(|(name, _)| name));
        let mut names: Vec<&str> = all.collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    fn add_bytes(&mut self, labels: &Labels, first_bucket: usize, values: &[f64]) {
        let found = self.by_labels.get(labels).or_else(|| {
            // A name that is no label of the stream came from a line's metadata.
            let is_of = |it: &&StreamVolume| it.labels.iter().all(|(k, v)| labels.get(k) == v);
            let of = self.streams.iter().filter(is_of).max_by_key(|it| it.labels.iter().count())?;
            self.by_labels.get(&of.labels)
        });
        let Some(stream) = found.and_then(|it| self.streams.get_mut(*it)) else { return };
        for (held, value) in stream.bytes.iter_mut().skip(first_bucket).zip(values) {
            if !is_absent(*value) {
                *held += value;
            }
        }
    }

    /// Adds what metadata takes, by the newest lines; exactly where these are all.
    fn add_metadata(&mut self, newest: &[LogStream], buckets: &[VolumeBucket]) {
        let n_lines: usize = newest.iter().map(|it| it.entries.len()).sum();
        let mut texts: HashSet<(usize, &str)> = HashSet::new();
        let mut shares: HashMap<usize, Share> = HashMap::new();
        let mut of_all = Share::default();
        for LogStream { labels, entries } in newest {
            let Some(&at) = self.by_labels.get(&stream_labels(labels)) else { continue };
            let pair_bytes = float(labels.metadata.len()) * PAIR_BYTES;
            // A chunk has each text once; it is counted where it came first.
            let mut new_bytes = 0;
            for text in labels.metadata.iter().flat_map(|(name, value)| [name, value]) {
                if texts.insert((at, text)) {
                    new_bytes += text.len();
                }
            }
            if n_lines < N_LINES_SAMPLED
                && let Some(first) = entries.first()
                && let Some(held) = self.bucket(at, first.ts.to_ms(), buckets)
            {
                *held += float(new_bytes);
            }
            for entry in entries {
                let share = Share { line_bytes: float(entry.line.len()), pair_bytes };
                shares.entry(at).or_default().add(share);
                of_all.add(share);
                if n_lines < N_LINES_SAMPLED
                    && let Some(held) = self.bucket(at, entry.ts.to_ms(), buckets)
                {
                    *held += pair_bytes;
                }
            }
        }
        if n_lines < N_LINES_SAMPLED {
            return;
        }
        for (at, stream) in self.streams.iter_mut().enumerate() {
            let factor = shares.get(&at).unwrap_or(&of_all).factor();
            stream.bytes.iter_mut().for_each(|it| *it *= factor);
        }
    }

    fn bucket(
        &mut self,
        stream: usize,
        ts: TimestampMs,
        buckets: &[VolumeBucket],
    ) -> Option<&mut f64> {
        let at = buckets.partition_point(|it| it.end <= ts);
        buckets.get(at).filter(|it| it.start <= ts)?;
        self.streams.get_mut(stream)?.bytes.get_mut(at)
    }

    fn finish(self) -> Vec<StreamVolume> {
        self.streams
    }
}

/// Bytes of some lines.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    line_bytes: f64,
    pair_bytes: f64,
}

impl Share {
    fn add(&mut self, other: Self) {
        self.line_bytes += other.line_bytes;
        self.pair_bytes += other.pair_bytes;
    }

    /// How many times the bytes of the lines all bytes are.
    fn factor(self) -> f64 {
        1.0 + self.pair_bytes / self.line_bytes.max(1.0)
    }
}

fn stream_labels(labels: &EntryLabels) -> Labels {
    let mut stream = Labels::default().to_builder();
    for (name, value) in &labels.stream {
        stream.set(name, value);
    }
    stream.build()
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a line, pairs of an entry")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use skep_logql::Entry;

    use super::*;

    fn volumes(n_lines: usize) -> Vec<StreamVolume> {
        let labels = Arc::new(Labels::from_pairs([("app", "web")]).unwrap());
        let bucket = |start, end| VolumeBucket { start: TimestampMs(start), end: TimestampMs(end) };
        let buckets = [bucket(0, 10), bucket(10, 20)];
        let mut volumes = Volumes::new(&[(StreamId(1), Arc::clone(&labels))], 2);
        volumes.add_bytes(&labels, 0, &[40.0, 80.0]);
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let stream = vec![pair("app", "web")];
        let metadata = vec![pair("pid", "7")];
        let labels = Arc::new(EntryLabels { stream, metadata, parsed: Vec::new() });
        let entry = Entry { ts: TimestampMs(15).to_ns(), line: "four".to_owned() };
        let newest = LogStream { labels, entries: vec![entry; n_lines] };
        volumes.add_metadata(&[newest], &buckets);
        volumes.finish()
    }

    #[test]
    fn metadata_of_all_lines_is_counted_and_of_more_lines_estimated() {
        assert_eq!(volumes(3)[0].bytes, [40.0, 80.0 + 3.0 * PAIR_BYTES + 4.0]);
        assert_eq!(volumes(N_LINES_SAMPLED)[0].bytes, [120.0, 240.0]);
    }

    #[test]
    fn neighbours_of_equal_width_are_one_leaf() {
        let bucket = |start, end| VolumeBucket { start: TimestampMs(start), end: TimestampMs(end) };
        let buckets = [bucket(5, 10), bucket(10, 20), bucket(20, 30), bucket(30, 31)];
        let leaves = leaves(&[], &[], &buckets);
        let shown: Vec<_> = leaves
            .iter()
            .map(|(at, leaf)| (*at, leaf.range().0.0, leaf.range().1.0, leaf.grid.n_steps()))
            .collect();
        const MS: i64 = 1_000_000;
        assert_eq!(
            shown,
            [(0, 4 * MS + 1, 9 * MS, 1), (1, 9 * MS + 1, 29 * MS, 2), (3, 29 * MS + 1, 30 * MS, 1),]
        );
    }
}
