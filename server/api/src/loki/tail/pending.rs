//! Lines of a tail in order of their time, until each is due.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use skep_logql::EntryLabels;
use skep_proto::{Labels, TimestampNs};
use skep_store::Missed;

/// Lines of one frame, as many as in Loki's.
const N_LINES_A_FRAME: usize = 100;
/// A frame ends with the line that makes it so long.
const FRAME_BYTES: usize = 1 << 20;
/// What a line takes beside its text.
const LINE_BYTES: usize = size_of::<ReadyLine>();

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadyLine {
    pub(super) ts: TimestampNs,
    pub(super) labels: Arc<EntryLabels>,
    pub(super) line: String,
}

/// What goes into one frame.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Ready {
    pub(super) lines: VecDeque<ReadyLine>,
    pub(super) missed: Missed,
}

/// A line is due `delay` after its own time; lines of the same time keep the order they came in.
#[derive(Debug)]
pub(super) struct Pending {
    delay_ns: i64,
    bytes_max: usize,
    n_bytes: usize,
    n_added: u64,
    /// The earliest on top.
    lines: BinaryHeap<Reverse<Held>>,
    missed: Missed,
}

#[derive(Debug, PartialEq, Eq)]
struct Held {
    rank: (i64, u64),
    line: ReadyLine,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Pending {
    pub(super) fn new(delay_ns: i64, bytes_max: usize) -> Self {
        Self {
            delay_ns,
            bytes_max,
            n_bytes: 0,
            n_added: 0,
            lines: BinaryHeap::new(),
            missed: Missed::default(),
        }
    }

    pub(super) fn add(&mut self, ts: TimestampNs, labels: Arc<EntryLabels>, line: String) {
        let n_bytes = LINE_BYTES + line.len();
        if self.n_bytes + n_bytes > self.bytes_max {
            let mut all = Labels::default().to_builder();
            labels.merged().into_iter().for_each(|(name, value)| {
                all.set(name, value);
            });
            return self.missed.add(ts, &Arc::new(all.build()));
        }
        self.n_bytes += n_bytes;
        self.n_added += 1;
        let rank = (ts.0, self.n_added);
        self.lines.push(Reverse(Held { rank, line: ReadyLine { ts, labels, line } }));
    }

    pub(super) fn miss(&mut self, missed: Missed) {
        self.missed.append(missed);
    }

    /// A frame of the earliest lines that are due; `None` if none is.
    pub(super) fn take_due(&mut self, now: TimestampNs) -> Option<Ready> {
        let mut ready = Ready::default();
        let mut n_bytes = 0;
        while ready.lines.len() < N_LINES_A_FRAME
            && n_bytes < FRAME_BYTES
            && self.wait(now) == Some(Duration::ZERO)
        {
            let Some(Reverse(Held { line, .. })) = self.lines.pop() else { break };
            n_bytes += LINE_BYTES + line.line.len();
            self.n_bytes = self.n_bytes.saturating_sub(LINE_BYTES + line.line.len());
            ready.lines.push_back(line);
        }
        if ready.lines.is_empty() && self.missed.n_rows == 0 {
            return None;
        }
        ready.missed = std::mem::take(&mut self.missed);
        Some(ready)
    }

    /// How long until a line is due; `None` without a line.
    pub(super) fn wait(&self, now: TimestampNs) -> Option<Duration> {
        let Reverse(first) = self.lines.peek()?;
        let due = first.rank.0.saturating_add(self.delay_ns);
        Some(Duration::from_nanos(u64::try_from(due.saturating_sub(now.0)).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(pending: &mut Pending, ts: i64, line: &str) {
        pending.add(TimestampNs(ts), Arc::default(), line.to_owned());
    }

    fn texts(ready: &Ready) -> Vec<&str> {
        ready.lines.iter().map(|it| it.line.as_str()).collect()
    }

    #[test]
    fn lines_come_in_order_once_their_delay_is_over() {
        let mut pending = Pending::new(10, 1 << 20);
        for (ts, line) in [(5, "b"), (3, "a"), (5, "c"), (40, "d")] {
            add(&mut pending, ts, line);
        }
        assert_eq!(pending.take_due(TimestampNs(12)), None);
        assert_eq!(texts(&pending.take_due(TimestampNs(13)).unwrap()), ["a"]);
        assert_eq!(texts(&pending.take_due(TimestampNs(20)).unwrap()), ["b", "c"]);
        assert_eq!(pending.wait(TimestampNs(20)), Some(Duration::from_nanos(30)));
        assert_eq!(texts(&pending.take_due(TimestampNs(50)).unwrap()), ["d"]);
        assert_eq!(pending.wait(TimestampNs(50)), None);
    }

    #[test]
    fn a_frame_has_so_many_lines_and_what_does_not_fit_is_missed() {
        let mut pending = Pending::new(0, 150 * (LINE_BYTES + 1));
        (0..160).for_each(|it| add(&mut pending, it, "x"));
        let first = pending.take_due(TimestampNs(1_000)).unwrap();
        assert_eq!((first.lines.len(), first.missed.n_rows), (100, 10));
        assert_eq!(first.missed.named.first().unwrap().0, TimestampNs(150));
        let rest = pending.take_due(TimestampNs(1_000)).unwrap();
        assert_eq!((rest.lines.len(), rest.missed.n_rows), (50, 0));
        add(&mut pending, 1, "again");
        assert_eq!(texts(&pending.take_due(TimestampNs(1_000)).unwrap()), ["again"]);
    }
}
