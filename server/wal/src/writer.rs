//! Appending: one thread writes what has gathered, syncs once, and answers all of it.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};

use skep_proto::frame;
use tokio::sync::oneshot;

use crate::{
    Fs, FsFile, Replay,
    replay::{self, Found, Scan, ScanError},
    segment::{self, DURABLE_BYTES, HEADER_BYTES, Header, SegmentSeq},
};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk.
    Fsync,
    /// Once the kernel has it; synced this often. A power cut loses up to that much.
    Interval(Duration),
}

#[derive(Debug, Clone)]
pub struct WalOptions {
    pub durability: Durability,
    /// How long the first append of a group waits for others; zero groups only what arrives
    /// while a sync runs.
    pub group_interval: Duration,
    /// A group this big is written at once.
    pub group_bytes_max: usize,
    /// Appends waiting beyond this are refused with [`AppendError::Busy`].
    pub queue_bytes_max: usize,
    /// A segment this big is followed by another, so that a replay reads no more at once.
    pub segment_bytes_max: u64,
    /// Segments up to this one are of no more use and are removed at the start.
    pub committed: SegmentSeq,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            group_interval: Duration::from_millis(10),
            group_bytes_max: 1 << 20,
            queue_bytes_max: 64 << 20,
            segment_bytes_max: 16 << 20,
            committed: SegmentSeq(0),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} is damaged at byte {offset}; restore it from a backup, or move it away and lose what \
         it alone holds", path.display()
    )]
    Damaged { path: PathBuf, offset: usize },
    #[error("{} is of format {version}, this program reads {}", path.display(), segment::VERSION)]
    Version { path: PathBuf, version: u32 },
    #[error("{} is missing or its header is damaged, and the segment after it needs it", path.display())]
    Missing { path: PathBuf },
}

/// Why a record is not in the log. It may still turn up in a replay if the process dies next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("too many bytes wait for the log")]
    Busy,
    #[error("record of {n_bytes} bytes is too large for the log")]
    TooLarge { n_bytes: usize },
    #[error("the disk is full")]
    Full { source: Arc<io::Error> },
    #[error("cannot write the log")]
    Io { source: Arc<io::Error> },
    #[error("the log is closed")]
    Closed,
}

#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("cannot write the log")]
    Io(#[source] io::Error),
    #[error("the log is closed")]
    Closed,
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Bytes of all segments that still count.
    pub n_bytes: u64,
    pub n_segments: usize,
    pub n_records: u64,
    pub n_syncs: u64,
    pub n_failures: u64,
}

/// An open log. Dropping it stops the writer after the group it is at.
#[derive(Debug)]
pub struct Wal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    queue_bytes_max: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    stats: Mutex<WalStats>,
}

#[derive(Debug, Default)]
struct Queue {
    requests: Vec<Request>,
    n_bytes: usize,
    /// Somebody waits for more than an append: do not wait for the group to fill.
    is_urgent: bool,
    is_closed: bool,
}

type AppendAck = oneshot::Sender<Result<SegmentSeq, AppendError>>;

#[derive(Debug)]
enum Request {
    Append { record: Vec<u8>, ack: AppendAck },
    Rotate { ack: oneshot::Sender<Result<SegmentSeq, WalError>> },
    RemoveThrough { seq: SegmentSeq, ack: oneshot::Sender<Result<(), WalError>> },
}

impl Wal {
    /// Opens the log in `dir` (created if absent). What the replay holds stays on the disk until
    /// [`Wal::remove_through`]; new records go to a new segment.
    ///
    /// # Errors
    /// Files that cannot be read or written, damage anywhere but at the very end, a gap.
    pub fn open(
        dir: impl Into<PathBuf>,
        options: &WalOptions,
        fs: Arc<dyn Fs>,
    ) -> Result<(Self, Replay), OpenError> {
        let dir = dir.into();
        let io = |source| OpenError::Io { path: dir.clone(), source };
        fs.create_dir_all(&dir).map_err(io)?;
        let Scan { mut segments, carried } = replay::scan(&dir, fs.as_ref(), options.committed)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            stats: Mutex::default(),
        });
        let mut writer = Writer {
            dir: dir.clone(),
            fs: Arc::clone(&fs),
            options: options.clone(),
            shared: Arc::clone(&shared),
            next_seq: segments.last().map_or(options.committed, |it| it.seq),
            previous: segments.last().copied(),
            older: segments.clone(),
            current: None,
            carried,
        };
        let seq = writer.start_segment().map_err(io)?;
        segments.push(Found { seq, n_bytes: writer.current.as_ref().map_or(0, |it| it.n_bytes) });
        writer.publish_size();
        let thread = std::thread::Builder::new()
            .name("skep-wal".to_owned())
            .spawn(move || writer.run())
            .map_err(io)?;
        let queue_bytes_max = options.queue_bytes_max;
        let wal = Self { shared, writer: Mutex::new(Some(thread)), queue_bytes_max };
        Ok((wal, Replay::new(dir, fs, segments)))
    }

    /// Appends one record. The order of calls is the order in the log; the future resolves, with
    /// the segment that holds the record, when it is as durable as the options say. Dropping the
    /// future does not take the record back.
    pub fn append(
        &self,
        record: Vec<u8>,
    ) -> impl Future<Output = Result<SegmentSeq, AppendError>> + Send + use<> {
        let (ack, done) = oneshot::channel();
        let submitted = self.submit(record, ack);
        async move {
            submitted?;
            done.await.unwrap_or(Err(AppendError::Closed))
        }
    }

    fn submit(&self, record: Vec<u8>, ack: AppendAck) -> Result<(), AppendError> {
        let n_bytes = record.len();
        if n_bytes > frame::PAYLOAD_BYTES_MAX - DURABLE_BYTES {
            return Err(AppendError::TooLarge { n_bytes });
        }
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return Err(AppendError::Closed);
        }
        if queue.n_bytes > 0 && queue.n_bytes + n_bytes > self.queue_bytes_max {
            return Err(AppendError::Busy);
        }
        queue.n_bytes += n_bytes;
        queue.requests.push(Request::Append { record, ack });
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Begins a new segment: every append called before this is in an older one, every later one
    /// is not. The answer is the new segment.
    ///
    /// # Errors
    /// The disk; the next append or rotation tries again.
    pub async fn rotate(&self) -> Result<SegmentSeq, WalError> {
        let (ack, done) = oneshot::channel();
        self.submit_urgent(Request::Rotate { ack })?;
        done.await.unwrap_or(Err(WalError::Closed))
    }

    /// Removes the segments up to and including `seq`, oldest first; the current one always stays.
    /// From then on `seq` is what [`WalOptions::committed`] must be at least.
    ///
    /// # Errors
    /// The disk; what was not removed is tried again by the next call.
    pub async fn remove_through(&self, seq: SegmentSeq) -> Result<(), WalError> {
        let (ack, done) = oneshot::channel();
        self.submit_urgent(Request::RemoveThrough { seq, ack })?;
        done.await.unwrap_or(Err(WalError::Closed))
    }

    fn submit_urgent(&self, request: Request) -> Result<(), WalError> {
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return Err(WalError::Closed);
        }
        queue.requests.push(request);
        queue.is_urgent = true;
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }

    pub fn stats(&self) -> WalStats {
        *self.shared.stats.lock().expect("the log's writer does not panic")
    }

    /// Writes and syncs what waits, then stops the writer. Later calls answer `Closed`.
    pub fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_one();
        let thread = self.writer.lock().expect("nothing panics while it holds this").take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("The log's writer panicked.");
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }
}

/// The thread's own state: nobody else touches the files.
#[derive(Debug)]
struct Writer {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    options: WalOptions,
    shared: Arc<Shared>,
    /// The newest number given out.
    next_seq: SegmentSeq,
    /// What the next header says came before it.
    previous: Option<Found>,
    /// Segments that still count, without the current one, oldest first.
    older: Vec<Found>,
    /// `None` after a failure, until a new segment could be made.
    current: Option<Current>,
    /// Records that were acknowledged and are in no segment that counts: the next one begins with
    /// them, since later records may build on them.
    carried: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Current {
    seq: SegmentSeq,
    file: Box<dyn FsFile>,
    n_bytes: u64,
    n_bytes_synced: u64,
    /// Acknowledged ahead of the next sync; a segment's worth of bytes at most.
    unsynced: Vec<Vec<u8>>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (requests, is_closed) = self.next_group();
            let mut group = Vec::new();
            for request in requests {
                match request {
                    Request::Append { record, ack } => group.push((record, ack)),
                    Request::Rotate { ack } => {
                        self.commit(&mut group);
                        answer(ack, self.rotate().map_err(WalError::Io));
                    }
                    Request::RemoveThrough { seq, ack } => {
                        self.commit(&mut group);
                        answer(ack, self.remove_through(seq).map_err(WalError::Io));
                    }
                }
            }
            self.commit(&mut group);
            if is_closed {
                // A second one takes what the first may have failed to into a new segment.
                if let Err(error) = self.sync().or_else(|_failed| self.sync()) {
                    tracing::error!(%error, "Could not sync the log at its end.");
                }
                return;
            }
        }
    }

    /// Waits for work, and a little longer for more of it to share one sync.
    fn next_group(&mut self) -> (Vec<Request>, bool) {
        let options = &self.options;
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        while queue.requests.is_empty() && !queue.is_closed {
            let dirty = !self.carried.is_empty()
                || self.current.as_ref().is_some_and(|it| it.n_bytes > it.n_bytes_synced);
            queue = match options.durability {
                Durability::Interval(interval) if dirty => {
                    let (queue, timeout) = shared
                        .wake
                        .wait_timeout(queue, interval)
                        .expect("nothing panics while it holds the queue");
                    if timeout.timed_out() {
                        return (Vec::new(), false);
                    }
                    queue
                }
                Durability::Interval(_) | Durability::Fsync => {
                    shared.wake.wait(queue).expect("nothing panics while it holds the queue")
                }
            };
        }
        if !options.group_interval.is_zero() {
            (queue, _) = shared
                .wake
                .wait_timeout_while(queue, options.group_interval, |it| {
                    it.n_bytes < options.group_bytes_max && !it.is_urgent && !it.is_closed
                })
                .expect("nothing panics while it holds the queue");
        }
        queue.n_bytes = 0;
        queue.is_urgent = false;
        (std::mem::take(&mut queue.requests), queue.is_closed)
    }

    fn commit(&mut self, group: &mut Vec<(Vec<u8>, AppendAck)>) {
        let group = std::mem::take(group);
        if group.is_empty() {
            if let (Durability::Interval(_), Err(error)) = (self.options.durability, self.sync()) {
                tracing::warn!(%error, "Could not sync the log; trying again in a new segment.");
            }
            return;
        }
        let (records, acks): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let n_records = records.len() as u64;
        let result = self.write(records).map_err(|error| {
            self.shared.count(|stats| stats.n_failures += 1);
            let is_full = is_full(&error);
            let source = Arc::new(error);
            if is_full { AppendError::Full { source } } else { AppendError::Io { source } }
        });
        if result.is_ok() {
            self.shared.count(|stats| stats.n_records += n_records);
        }
        for ack in acks {
            answer(ack, result.clone());
        }
    }

    fn write(&mut self, records: Vec<Vec<u8>>) -> io::Result<SegmentSeq> {
        if self.current.as_ref().is_some_and(|it| it.n_bytes >= self.options.segment_bytes_max) {
            self.rotate()?;
        }
        if self.current.is_none() {
            self.start_segment()?;
        }
        let Some(current) = &mut self.current else {
            return Err(io::Error::other("no segment to write to"));
        };
        let mut bytes = Vec::with_capacity(records.iter().map(|it| it.len() + 16).sum());
        for record in &records {
            segment::append_record(&mut bytes, current.n_bytes_synced, record);
        }
        let seq = current.seq;
        let mut result = current.file.append(&bytes);
        if result.is_ok() {
            current.n_bytes += bytes.len() as u64;
            if self.options.durability == Durability::Fsync {
                result = current.file.sync();
                if result.is_ok() {
                    current.n_bytes_synced = current.n_bytes;
                    self.shared.count(|stats| stats.n_syncs += 1);
                }
            } else {
                current.unsynced.extend(records);
            }
        }
        if let Err(error) = result {
            self.abandon();
            return Err(error);
        }
        self.publish_size();
        Ok(seq)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.current.is_none() && !self.carried.is_empty() {
            self.start_segment()?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.n_bytes == current.n_bytes_synced {
            return Ok(());
        }
        match current.file.sync() {
            Ok(()) => {
                current.n_bytes_synced = current.n_bytes;
                current.unsynced.clear();
                self.shared.count(|stats| stats.n_syncs += 1);
                Ok(())
            }
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Gives the current segment up: after a failed write or sync the kernel may have dropped
    /// pages that it will still show us, so only what was synced before counts.
    fn abandon(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let has_acked = !current.unsynced.is_empty();
        self.carried.append(&mut current.unsynced);
        if current.n_bytes_synced > HEADER_BYTES as u64 {
            let found = Found { seq: current.seq, n_bytes: current.n_bytes_synced };
            self.older.push(found);
            self.previous = Some(found);
        } else if !has_acked
            && let Err(error) = self.fs.remove(&segment::path(&self.dir, current.seq))
        {
            // Harmless: no later header names it, so the next start removes it.
            tracing::debug!(%error, "Could not remove an empty segment of the log.");
        }
    }

    fn rotate(&mut self) -> io::Result<SegmentSeq> {
        self.sync()?;
        // The old segment is not taken up again if the new one fails: a header that names how
        // much of it counts may have reached the disk.
        if let Some(finished) = self.current.take() {
            let found = Found { seq: finished.seq, n_bytes: finished.n_bytes };
            self.older.push(found);
            self.previous = Some(found);
        }
        let seq = self.start_segment()?;
        self.publish_size();
        Ok(seq)
    }

    /// The segment gets its name when it is whole on the disk: before that, the one before it
    /// counts in full.
    fn start_segment(&mut self) -> io::Result<SegmentSeq> {
        self.next_seq.0 += 1;
        let seq = self.next_seq;
        let path = segment::path(&self.dir, seq);
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(segment::UNFINISHED_SUFFIX);
        let unfinished = PathBuf::from(unfinished);
        let header = Header {
            seq,
            previous: self.previous.map_or(SegmentSeq(0), |it| it.seq),
            previous_bytes: self.previous.map_or(0, |it| it.n_bytes),
        };
        let mut bytes = header.encode();
        for record in &self.carried {
            segment::append_record(&mut bytes, HEADER_BYTES as u64, record);
        }
        let made = self.fs.create(&unfinished).and_then(|mut file| {
            file.append(&bytes)?;
            file.sync()?;
            self.fs.rename(&unfinished, &path)?;
            self.fs.sync_dir(&self.dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                let n_bytes = bytes.len() as u64;
                let unsynced = Vec::new();
                self.current =
                    Some(Current { seq, file, n_bytes, n_bytes_synced: n_bytes, unsynced });
                self.carried.clear();
                Ok(seq)
            }
            Err(error) => {
                // Whatever of it a crash brings back holds nothing that the next one does not.
                for path in [unfinished, path] {
                    if let Err(error) = self.fs.remove(&path) {
                        tracing::debug!(%error, "Could not remove an unfinished segment.");
                    }
                }
                Err(error)
            }
        }
    }

    fn remove_through(&mut self, seq: SegmentSeq) -> io::Result<()> {
        while let Some(oldest) = self.older.first().filter(|it| it.seq <= seq) {
            match self.fs.remove(&segment::path(&self.dir, oldest.seq)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(self.older.remove(0)),
            }
        }
        self.publish_size();
        self.fs.sync_dir(&self.dir)
    }

    fn publish_size(&self) {
        let older: u64 = self.older.iter().map(|it| it.n_bytes).sum();
        let n_bytes = older + self.current.as_ref().map_or(0, |it| it.n_bytes);
        let n_segments = self.older.len() + usize::from(self.current.is_some());
        self.shared.count(|stats| {
            stats.n_bytes = n_bytes;
            stats.n_segments = n_segments;
        });
    }
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut WalStats)) {
        change(&mut self.stats.lock().expect("nothing panics while it holds the figures"));
    }
}

/// Whoever asked may be gone: then nobody needs the answer.
fn answer<T>(ack: oneshot::Sender<T>, result: T) {
    drop(ack.send(result));
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Io { path, source } => Self::Io { path, source },
            ScanError::Damaged { path, offset } => Self::Damaged { path, offset },
            ScanError::Version { path, version } => Self::Version { path, version },
            ScanError::Missing { path } => Self::Missing { path },
        }
    }
}
