//! The appending side of a lane: segments are begun, filled and closed; limits are kept.

use skep_proto::{TimestampMs, frame};
use tracing::{error, info, warn};

use crate::spool::{
    AppendError, Stored, WhenFull,
    lane::Lane,
    record::{NewRecord, Record},
    segment::{Segment, Waiting, file_name},
};

/// Bounds what is kept in memory while the disk takes nothing: at a usual host's 100 KB a
/// collection, some 40 minutes.
pub(crate) const MEMORY_BYTES_MAX: usize = 16 << 20;

/// A segment is the unit of dropping; an eighth of the spool at most, so that little goes at once.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;

impl Lane {
    /// Returns once the batch is on disk, or, where the disk takes nothing and `when_full` says to
    /// drop, once it is in memory.
    ///
    /// A batch that was refused may still turn up after a crash; it never takes the place of
    /// another one.
    pub(crate) fn append(
        &mut self,
        now: TimestampMs,
        batch: NewRecord,
        when_full: WhenFull,
    ) -> Result<Stored, AppendError> {
        self.expire(now);
        let record = Record { seq: self.next_seq, at: now, batch };
        self.next_seq += 1;
        let stored = self.flush_memory(when_full).and_then(|()| self.write(&record, when_full));
        match (stored, when_full) {
            (Ok(()), _) => Ok(Stored::OnDisk),
            (Err(AppendError::Disk(error)), WhenFull::DropOldest) => {
                if self.memory.is_empty() {
                    error!(%error, "Could not write to the spool; keeping the newest batches in memory.");
                }
                self.remember(record);
                Ok(Stored::InMemory)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether a batch of this size would be taken without dropping another.
    pub(crate) fn has_room(&self, n_bytes: u64) -> bool {
        let n_done: u64 = self
            .segments
            .front()
            .filter(|it| it.waiting.n_batches == 0)
            .map_or(0, |segment| segment.n_bytes);
        self.n_bytes() - n_done + n_bytes <= self.limits.bytes_max
    }

    /// Older batches must reach the disk first, or order is lost.
    fn flush_memory(&mut self, when_full: WhenFull) -> Result<(), AppendError> {
        if self.memory.is_empty() {
            return Ok(());
        }
        while let Some(record) = self.memory.pop_front() {
            if let Err(error) = self.write(&record, when_full) {
                self.memory.push_front(record);
                return Err(error);
            }
            self.memory_bytes = self.memory_bytes.saturating_sub(record.batch.body.len());
        }
        info!("The spool can be written again.");
        Ok(())
    }

    fn remember(&mut self, record: Record) {
        self.memory_bytes += record.batch.body.len();
        self.memory.push_back(record);
        while self.memory_bytes > MEMORY_BYTES_MAX && self.memory.len() > 1 {
            let Some(oldest) = self.memory.pop_front() else { break };
            self.memory_bytes = self.memory_bytes.saturating_sub(oldest.batch.body.len());
            self.n_items_dropped += u64::from(oldest.batch.n_items);
            error!(n_items = oldest.batch.n_items, "Dropped a batch: disk and memory are full.");
        }
    }

    fn write(&mut self, record: &Record, when_full: WhenFull) -> Result<(), AppendError> {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, &record.encode());
        let n_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.make_room(n_bytes, when_full)?;
        let segment_bytes_max = SEGMENT_BYTES_MAX.min(self.limits.bytes_max / 8);
        let is_filled =
            self.segments.back().is_none_or(|it| it.n_bytes + n_bytes > segment_bytes_max);
        if !self.is_open || is_filled {
            self.is_open = false;
            self.begin_segment(record, &bytes, n_bytes)
        } else {
            self.extend_segment(record, &bytes, n_bytes)
        }
    }

    fn begin_segment(
        &mut self,
        record: &Record,
        bytes: &[u8],
        n_bytes: u64,
    ) -> Result<(), AppendError> {
        // As a whole or not at all: a second try under the same name finds no half of the first.
        self.disk.replace(&file_name(record.seq), bytes).map_err(AppendError::Disk)?;
        // A segment whose every batch is delivered is only kept while it can be appended to.
        self.delete_delivered();
        self.segments.push_back(Segment {
            first_seq: record.seq,
            n_bytes,
            waiting: Waiting::of(record),
            newest_at: record.at,
        });
        self.is_open = true;
        Ok(())
    }

    fn extend_segment(
        &mut self,
        record: &Record,
        bytes: &[u8],
        n_bytes: u64,
    ) -> Result<(), AppendError> {
        let Some((first_seq, n_bytes_before)) =
            self.segments.back().map(|it| (it.first_seq, it.n_bytes))
        else {
            return self.begin_segment(record, bytes, n_bytes);
        };
        let name = file_name(first_seq);
        if let Err(error) = self.append_and_sync(&name, bytes) {
            // After a failed sync nobody knows what is on disk: never append behind it.
            self.is_open = false;
            if let Err(error) = self.disk.truncate(&name, n_bytes_before) {
                warn!(%error, segment = name, "Could not cut off an unfinished write.");
            }
            return Err(AppendError::Disk(error));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.n_bytes += n_bytes;
            segment.waiting.add(Waiting::of(record));
            segment.newest_at = segment.newest_at.max(record.at);
        }
        Ok(())
    }

    fn append_and_sync(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.append(name, bytes)?;
        self.disk.sync(name)
    }

    fn make_room(&mut self, n_bytes: u64, when_full: WhenFull) -> Result<(), AppendError> {
        if n_bytes > self.limits.bytes_max {
            return Err(AppendError::TooLarge { n_bytes, n_bytes_max: self.limits.bytes_max });
        }
        while self.n_bytes() + n_bytes > self.limits.bytes_max {
            let is_delivered = self.segments.front().is_some_and(|it| it.waiting.n_batches == 0);
            if !is_delivered && when_full == WhenFull::Refuse {
                return Err(AppendError::Full { n_bytes_max: self.limits.bytes_max });
            }
            self.drop_first_segment("size");
        }
        Ok(())
    }
}
