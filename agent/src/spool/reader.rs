//! The delivering side of a lane: the oldest batch, until it is acknowledged.

use skep_proto::frame::{self, Frame};
use tracing::warn;

use crate::spool::{
    SpoolError,
    lane::{Lane, remove},
    position::POSITION_FILE,
    record::Record,
    segment::{Waiting, file_name, scan},
};

impl Lane {
    /// The oldest batch that has not been acknowledged; the same one until it is, or until a limit
    /// drops it.
    pub(crate) fn front(&mut self) -> Result<Option<Record>, SpoolError> {
        while let Some(record) = self.first_on_disk()? {
            if record.seq >= self.position.next {
                return Ok(Some(record));
            }
            // Delivered before a restart, or the second copy of a batch.
            self.offset += frame_bytes(&record);
        }
        Ok(self.memory.front().cloned())
    }

    /// The server has the batch: it is never sent again, once this returned `Ok`. After an error
    /// it is gone from the queue all the same, but a restart may send it again.
    pub(crate) fn ack(&mut self, record: &Record) -> Result<(), SpoolError> {
        if record.seq < self.position.next {
            return Ok(());
        }
        self.position.next = record.seq + 1;
        self.position.sources.advance(&record.batch.positions);
        if self.memory.pop_front_if(|it| it.seq == record.seq).is_some() {
            self.memory_bytes = self.memory_bytes.saturating_sub(record.batch.body.len());
        } else if let Some(segment) = self.segments.front_mut()
            && segment.first_seq <= record.seq
            && segment.waiting.n_batches > 0
        {
            segment.waiting.subtract(Waiting::of(record));
            self.offset += frame_bytes(record);
        }
        let stored = self.disk.replace(POSITION_FILE, &self.position.encode());
        self.delete_delivered();
        stored.map_err(SpoolError::Position)
    }

    /// Deletes segments at the front whose every batch is delivered, but not the open one.
    pub(super) fn delete_delivered(&mut self) {
        while self.segments.front().is_some_and(|it| it.waiting.n_batches == 0)
            && (self.segments.len() > 1 || !self.is_open)
        {
            if let Some(segment) = self.segments.pop_front() {
                remove(self.disk.as_mut(), &file_name(segment.first_seq));
                self.offset = 0;
            }
        }
    }

    /// The frame at the read offset, moving on to the next segment where one ends.
    fn first_on_disk(&mut self) -> Result<Option<Record>, SpoolError> {
        loop {
            let Some(segment) = self.segments.front() else { return Ok(None) };
            let name = file_name(segment.first_seq);
            if self.offset >= segment.n_bytes {
                if self.segments.len() == 1 {
                    return Ok(None);
                }
                // Whatever was counted as waiting here cannot be found any more.
                self.drop_first_segment("not found");
                continue;
            }
            if let Some(record) = self.read_frame(&name)? {
                return Ok(Some(record));
            }
            self.repair_first_segment(&name)?;
        }
    }

    /// `None` where the frame is damaged.
    fn read_frame(&self, name: &str) -> Result<Option<Record>, SpoolError> {
        let header =
            self.disk.read(name, self.offset, frame::HEADER_BYTES).map_err(SpoolError::Read)?;
        let Some(length) = header.first_chunk::<4>() else { return Ok(None) };
        let n_payload = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if n_payload > frame::PAYLOAD_BYTES_MAX {
            return Ok(None);
        }
        let bytes = self
            .disk
            .read(name, self.offset, frame::HEADER_BYTES + n_payload)
            .map_err(SpoolError::Read)?;
        Ok(match frame::read(&bytes) {
            Frame::Whole { payload, .. } => Record::decode(payload)
                .inspect_err(|error| warn!(%error, segment = name, "Skipping an odd batch."))
                .ok(),
            _ => None,
        })
    }

    /// The disk gave other bytes than were written: keeps what is readable and starts over.
    fn repair_first_segment(&mut self, name: &str) -> Result<(), SpoolError> {
        let bytes = self.disk.read(name, 0, usize::MAX).map_err(SpoolError::Read)?;
        let scan = scan(&bytes);
        let n_bytes = self.salvage(name, &bytes, &scan)?;
        let mut waiting = Waiting::default();
        for (_, record) in scan.records.iter().filter(|(_, it)| it.seq >= self.position.next) {
            waiting.add(Waiting::of(record));
        }
        self.offset = 0;
        if self.segments.len() == 1 {
            self.is_open = false;
        }
        if let Some(segment) = self.segments.front_mut() {
            let n_items_lost = segment.waiting.n_items.saturating_sub(waiting.n_items);
            self.n_items_dropped += n_items_lost;
            segment.waiting = waiting;
            segment.n_bytes = n_bytes;
        }
        Ok(())
    }
}

fn frame_bytes(record: &Record) -> u64 {
    u64::try_from(frame::HEADER_BYTES + record.n_bytes()).unwrap_or(u64::MAX)
}
