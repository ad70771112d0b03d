//! The state of one spool directory: its segments, what waits in memory, and what is done with.

use std::collections::VecDeque;

use skep_proto::{TimestampMs, frame};
use tracing::{error, warn};

use crate::spool::{
    SpoolError, SpoolLimits,
    disk::{Disk, TEMPORARY_SUFFIX},
    position::{POSITION_FILE, Position},
    positions::Positions,
    record::Record,
    segment::{Scan, Segment, Waiting, file_name, parse_file_name, scan},
};

/// Damaged segments kept for a person to look at; the oldest goes first.
const DAMAGED_FILES_MAX: usize = 4;
/// Files (two a batch) kept of batches the server refused; the oldest go first.
const REJECTED_FILES_MAX: usize = 32;
const DAMAGED_PREFIX: &str = "damaged-";
const REJECTED_PREFIX: &str = "rejected-";

/// One queue on disk, oldest batch first. Batches with lower numbers are older, wherever they are:
/// `segments` in order, then `memory`.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(super) disk: Box<dyn Disk>,
    pub(super) limits: SpoolLimits,
    /// Oldest first.
    pub(super) segments: VecDeque<Segment>,
    /// Whether the last segment may be appended to: it was begun by this process and no write to
    /// it has failed.
    pub(super) is_open: bool,
    /// Where the next frame of the first segment starts.
    pub(super) offset: u64,
    /// Newest batches that no disk could take. Lost with the process.
    pub(super) memory: VecDeque<Record>,
    pub(super) memory_bytes: usize,
    /// The number of the next new batch. Never goes back, so that a number means one content.
    pub(super) next_seq: u64,
    pub(super) position: Position,
    /// Where to go on reading.
    resume: Positions,
    /// Samples or entries given up because of a limit or damage, since the start.
    pub(super) n_items_dropped: u64,
}

impl Lane {
    /// Reads every segment, so that what is damaged is known before anything is sent.
    pub(crate) fn open(mut disk: Box<dyn Disk>, limits: SpoolLimits) -> Result<Self, SpoolError> {
        let names = disk.list().map_err(SpoolError::List)?;
        for name in names.iter().filter(|it| it.ends_with(TEMPORARY_SUFFIX)) {
            remove(disk.as_mut(), name);
        }
        let position = read_position(disk.as_ref(), &names);
        let mut first_seqs: Vec<u64> = names.iter().filter_map(|it| parse_file_name(it)).collect();
        first_seqs.sort_unstable();
        let mut lane = Self {
            disk,
            limits,
            segments: VecDeque::new(),
            is_open: false,
            offset: 0,
            memory: VecDeque::new(),
            memory_bytes: 0,
            next_seq: position.next.max(1),
            resume: position.sources.clone(),
            position,
            n_items_dropped: 0,
        };
        let mut next_first_seqs = first_seqs.iter().skip(1).copied();
        for first_seq in &first_seqs {
            lane.open_segment(*first_seq, next_first_seqs.next());
        }
        Ok(lane)
    }

    /// Of each source, behind the newest batch in the spool when it was opened, else behind the
    /// last acknowledged one.
    pub(crate) fn resume(&self) -> &Positions {
        &self.resume
    }

    /// Notes sources that no batch has told of yet, so that they are known after a crash.
    pub(crate) fn begin(&mut self, positions: &Positions) -> Result<(), SpoolError> {
        self.position.sources.advance(positions);
        self.disk.replace(POSITION_FILE, &self.position.encode()).map_err(SpoolError::Position)
    }

    /// Moves positions without a batch: what lies before them is worth none. `false` while
    /// batches wait, whose positions would come after these.
    pub(crate) fn advance(&mut self, positions: &Positions) -> Result<bool, SpoolError> {
        if self.waiting().n_batches > 0 {
            return Ok(false);
        }
        self.begin(positions)?;
        Ok(true)
    }

    /// What is left to deliver.
    pub(crate) fn waiting(&self) -> Waiting {
        let mut sum = Waiting::default();
        for segment in &self.segments {
            sum.add(segment.waiting);
        }
        for record in &self.memory {
            sum.add(Waiting::of(record));
        }
        sum
    }

    pub(crate) fn n_items_dropped(&self) -> u64 {
        self.n_items_dropped
    }

    /// Bytes of all segments, delivered ones of the first included.
    pub(super) fn n_bytes(&self) -> u64 {
        self.segments.iter().map(|it| it.n_bytes).sum()
    }

    fn open_segment(&mut self, first_seq: u64, next_first_seq: Option<u64>) {
        self.next_seq = self.next_seq.max(first_seq);
        let name = file_name(first_seq);
        let bytes = match self.disk.read(&name, 0, usize::MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                error!(%error, segment = name, "A spool segment cannot be read; its batches are lost.");
                set_aside(self.disk.as_mut(), &name);
                return;
            }
        };
        let mut scan = scan(&bytes);
        if let Some(next_first_seq) = next_first_seq {
            scan.forget_from(next_first_seq);
        }
        let n_bytes = match scan.torn_at {
            _ if scan.n_damaged > 0 => match self.salvage(&name, &bytes, &scan) {
                Ok(n_bytes) => n_bytes,
                Err(error) => {
                    error!(%error, segment = name, "Left a damaged segment for the next start.");
                    let last_seq = scan.records.last().map_or(first_seq, |(_, it)| it.seq);
                    self.next_seq = self.next_seq.max(last_seq + 1);
                    return;
                }
            },
            Some(torn_at) => self.cut_off(&name, torn_at, bytes.len(), next_first_seq.is_none()),
            None => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        };
        // Killed between write and sync, it has what it never promised to keep; now it does.
        if let Err(error) = self.disk.sync(&name) {
            warn!(%error, segment = name, "Could not sync a segment of an earlier run.");
        }
        self.adopt(first_seq, n_bytes, scan);
    }

    /// Returns the new length, which is also where reading stops if the file stays longer.
    fn cut_off(&mut self, name: &str, torn_at: usize, n_bytes: usize, is_last: bool) -> u64 {
        let n_bytes = n_bytes - torn_at;
        if is_last {
            // The write that a crash cut off: it was never reported as done.
            warn!(segment = name, n_bytes, "Cut off the unfinished end of the spool.");
        } else {
            // A write that failed while the disk could not even be told to take it back.
            warn!(segment = name, n_bytes, "Cut off the unfinished end of an older segment.");
        }
        let torn_at = u64::try_from(torn_at).unwrap_or(u64::MAX);
        if let Err(error) = self.disk.truncate(name, torn_at) {
            warn!(%error, segment = name, "Could not cut off an unfinished write.");
        }
        torn_at
    }

    /// Takes a scanned segment into the queue, or deletes it if all of it is done with.
    fn adopt(&mut self, first_seq: u64, n_bytes: u64, scan: Scan) {
        let mut waiting = Waiting::default();
        let mut newest_at = TimestampMs(i64::MIN);
        for (_, record) in scan.records {
            newest_at = newest_at.max(record.at);
            // Below `next_seq` it is delivered, or the second copy of a batch whose first write
            // looked failed.
            if record.seq >= self.next_seq {
                waiting.add(Waiting::of(&record));
                self.next_seq = record.seq + 1;
                self.resume.advance(&record.batch.positions);
            }
        }
        // A damaged batch keeps its number, too.
        self.next_seq = self.next_seq.max(first_seq + 1);
        if waiting.n_batches == 0 {
            remove(self.disk.as_mut(), &file_name(first_seq));
            return;
        }
        self.segments.push_back(Segment { first_seq, n_bytes, waiting, newest_at });
    }

    /// Keeps the damaged file under another name and writes the readable frames anew. Returns the
    /// new length.
    pub(super) fn salvage(
        &mut self,
        name: &str,
        bytes: &[u8],
        scan: &Scan,
    ) -> Result<u64, SpoolError> {
        error!(
            segment = name,
            n_damaged = scan.n_damaged,
            n_readable = scan.records.len(),
            "A spool segment is damaged; what can be read of it will be sent."
        );
        let mut readable = Vec::new();
        for (_, record) in &scan.records {
            frame::append(&mut readable, &record.encode());
        }
        // A copy, not a rename: a crash in between must not hide the readable frames.
        let aside = format!("{DAMAGED_PREFIX}{name}");
        if let Err(error) = self.disk.replace(&aside, bytes) {
            warn!(%error, segment = name, "Could not keep a copy of the damaged segment.");
        }
        bound_files(self.disk.as_mut(), DAMAGED_PREFIX, DAMAGED_FILES_MAX);
        self.disk.replace(name, &readable).map_err(SpoolError::Repair)?;
        Ok(u64::try_from(readable.len()).unwrap_or(u64::MAX))
    }

    /// Gives the first segment up.
    pub(super) fn drop_first_segment(&mut self, reason: &'static str) {
        let Some(segment) = self.segments.pop_front() else { return };
        self.offset = 0;
        if self.segments.is_empty() {
            self.is_open = false;
        }
        if segment.waiting.n_batches > 0 {
            error!(
                reason,
                n_batches = segment.waiting.n_batches,
                n_items = segment.waiting.n_items,
                "Dropped the oldest batches of the spool."
            );
            self.n_items_dropped += segment.waiting.n_items;
        }
        remove(self.disk.as_mut(), &file_name(segment.first_seq));
    }

    /// Drops what is older than the limit. A segment goes once its newest batch is too old.
    pub(crate) fn expire(&mut self, now: TimestampMs) {
        let age = i64::try_from(self.limits.age_max.as_millis()).unwrap_or(i64::MAX);
        let oldest = TimestampMs(now.0.saturating_sub(age));
        while self.segments.front().is_some_and(|it| it.newest_at < oldest) {
            self.drop_first_segment("age");
        }
    }

    /// Keeps a batch the server will never take, with the server's words, for a person to look at.
    pub(crate) fn keep_rejected(&mut self, record: &Record, reason: &str) {
        for (suffix, bytes) in [("txt", reason.as_bytes()), ("body", &record.batch.body)] {
            let name = format!("{REJECTED_PREFIX}{:020}.{suffix}", record.seq);
            if let Err(error) = self.disk.replace(&name, bytes) {
                warn!(%error, name, "Could not keep a rejected batch.");
            }
        }
        bound_files(self.disk.as_mut(), REJECTED_PREFIX, REJECTED_FILES_MAX);
    }
}

fn read_position(disk: &dyn Disk, names: &[String]) -> Position {
    if !names.iter().any(|it| it == POSITION_FILE) {
        return Position::default();
    }
    let position = disk
        .read(POSITION_FILE, 0, usize::MAX)
        .inspect_err(|error| warn!(%error, "Could not read the spool's position."))
        .ok()
        .and_then(|bytes| Position::decode(&bytes));
    position.unwrap_or_else(|| {
        warn!("The spool's position is damaged; sending again what lies in the spool.");
        Position::default()
    })
}

fn set_aside(disk: &mut dyn Disk, name: &str) {
    if let Err(error) = disk.rename(name, &format!("{DAMAGED_PREFIX}{name}")) {
        warn!(%error, name, "Could not set a spool segment aside.");
    }
    bound_files(disk, DAMAGED_PREFIX, DAMAGED_FILES_MAX);
}

/// Deletes the oldest files of a prefix; their names hold sequence numbers, so they sort by age.
fn bound_files(disk: &mut dyn Disk, prefix: &str, n_files_max: usize) {
    let Ok(mut names) = disk.list() else { return };
    names.retain(|it| it.starts_with(prefix));
    names.sort_unstable();
    let n_excess = names.len().saturating_sub(n_files_max);
    for name in names.iter().take(n_excess) {
        remove(disk, name);
    }
}

/// A file that stays is found and judged again at the next start.
pub(super) fn remove(disk: &mut dyn Disk, name: &str) {
    if let Err(error) = disk.remove(name) {
        warn!(%error, name, "Could not delete a file of the spool.");
    }
}
