//! Reading back what a former process wrote: which segments count, how far, and what is damage.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Fs,
    segment::{self, Header, HeaderError, SegmentSeq, WalkEnd},
};

/// The segments that were there at the start, oldest first. Nothing of it changes while it lives.
#[derive(Debug)]
pub struct Replay {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    segments: Vec<Found>,
}

/// One segment and how much of it was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) seq: SegmentSeq,
    pub(crate) n_bytes: u64,
}

/// What a replay went over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayStats {
    pub n_segments: usize,
    pub n_records: usize,
    pub n_bytes: u64,
}

/// Why a record of a segment could not be applied.
#[derive(Debug)]
pub struct AtRecord<E> {
    /// Its place among the segment's records.
    pub record_idx: usize,
    pub source: E,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E: fmt::Debug + fmt::Display + std::error::Error + 'static> {
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} is damaged at byte {offset}; restore it from a backup, or move it away and lose what \
         it alone holds", path.display()
    )]
    Damaged { path: PathBuf, offset: usize },
    #[error("{} holds a record at byte {offset} that cannot be applied", path.display())]
    Record { path: PathBuf, offset: usize, source: E },
}

impl Replay {
    pub(crate) fn new(dir: PathBuf, fs: Arc<dyn Fs>, segments: Vec<Found>) -> Self {
        Self { dir, fs, segments }
    }

    /// Hands over every acknowledged record in the order of its append, a segment at a time. An
    /// error of `apply` says which record is at fault.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged, or the first error of `apply`.
    pub fn run<E: std::error::Error + 'static>(
        &self,
        mut apply: impl FnMut(SegmentSeq, &[&[u8]]) -> Result<(), AtRecord<E>>,
    ) -> Result<ReplayStats, ReplayError<E>> {
        let mut stats = ReplayStats::default();
        for found in &self.segments {
            let path = segment::path(&self.dir, found.seq);
            let bytes = match self.fs.read(&path) {
                Ok(bytes) => bytes,
                Err(source) => return Err(ReplayError::Io { path, source }),
            };
            let n_bytes = usize::try_from(found.n_bytes).unwrap_or(usize::MAX);
            let Some(valid) = bytes.get(..n_bytes) else {
                return Err(ReplayError::Damaged { path, offset: bytes.len() });
            };
            let (mut offsets, mut records) = (Vec::new(), Vec::new());
            let end = segment::walk(valid, |it| {
                offsets.push(it.offset);
                records.push(it.record);
            });
            if let WalkEnd::Tail { offset } | WalkEnd::Damaged { offset } = end {
                return Err(ReplayError::Damaged { path, offset });
            }
            if let Err(AtRecord { record_idx, source }) = apply(found.seq, &records) {
                let offset = offsets.get(record_idx).copied().unwrap_or(segment::HEADER_BYTES);
                return Err(ReplayError::Record { path, offset, source });
            }
            stats.n_segments += 1;
            stats.n_records += records.len();
            stats.n_bytes += found.n_bytes;
        }
        Ok(stats)
    }
}

const HEADER_BYTES: u64 = segment::HEADER_BYTES as u64;

/// Why the files of a folder are no log.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io { path: PathBuf, source: io::Error },
    Damaged { path: PathBuf, offset: usize },
    Version { path: PathBuf, version: u32 },
    Missing { path: PathBuf },
}

/// What a former process left.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The segments that count and how far each is known to be on the disk, oldest first.
    pub(crate) segments: Vec<Found>,
    /// The records of the newest segment beyond that: they may be acknowledged, and they may be
    /// only in the page cache, where a sync that failed before leaves them looking written. So
    /// they go into the next segment once more.
    pub(crate) carried: Vec<Vec<u8>>,
}

/// Which segments of `dir` count. Removes those up to `committed` and those that never held an
/// acknowledged record.
pub(crate) fn scan(dir: &Path, fs: &dyn Fs, committed: SegmentSeq) -> Result<Scan, ScanError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ScanError::Io { path, source }
    };
    let mut headers = Vec::new();
    let mut unreadable = Vec::new();
    for entry in fs.list(dir).map_err(at(dir))? {
        if entry.name.ends_with(segment::UNFINISHED_SUFFIX) {
            let path = dir.join(&entry.name);
            fs.remove(&path).map_err(at(&path))?;
        }
        let Some(seq) = segment::parse_name(&entry.name) else { continue };
        let path = segment::path(dir, seq);
        if seq <= committed {
            fs.remove(&path).map_err(at(&path))?;
            continue;
        }
        match Header::decode(&fs.read_start(&path, HEADER_BYTES).map_err(at(&path))?) {
            Ok(header) if header.seq == seq => headers.push(header),
            Ok(_) => return Err(ScanError::Damaged { path, offset: 0 }),
            Err(HeaderError::Version(version)) => {
                return Err(ScanError::Version { path, version });
            }
            Err(HeaderError::Torn | HeaderError::Damaged) => {
                unreadable.push((seq, entry.size_bytes));
            }
        }
    }
    let newest = headers.last().map_or(committed, |it| it.seq);
    let scan = follow_chain(dir, fs, committed, &headers)?;
    for (seq, size_bytes) in unreadable {
        let path = segment::path(dir, seq);
        // A header is synced before the first record is written, so where only it is broken
        // nothing was acknowledged; and what a newer segment does not name never counted.
        if seq > newest && size_bytes > segment::HEADER_BYTES as u64 {
            return Err(ScanError::Damaged { path, offset: 0 });
        }
        fs.remove(&path).map_err(at(&path))?;
    }
    fs.sync_dir(dir).map_err(at(dir))?;
    Ok(scan)
}

/// From the newest segment back through what each says came before it.
fn follow_chain(
    dir: &Path,
    fs: &dyn Fs,
    committed: SegmentSeq,
    headers: &[Header],
) -> Result<Scan, ScanError> {
    let mut scan = Scan::default();
    let mut next = headers.last().map(|it| (it.seq, None));
    while let Some((seq, acknowledged_bytes)) = next {
        let path = segment::path(dir, seq);
        let Some(header) = headers.iter().find(|it| it.seq == seq) else {
            return Err(ScanError::Missing { path });
        };
        let n_bytes = match acknowledged_bytes {
            Some(n_bytes) => n_bytes,
            None => {
                let (n_bytes, carried) = split_tail(&path, fs)?;
                scan.carried = carried;
                n_bytes
            }
        };
        scan.segments.push(Found { seq, n_bytes });
        next =
            (header.previous > committed).then_some((header.previous, Some(header.previous_bytes)));
    }
    let counts = |seq| scan.segments.iter().any(|it| it.seq == seq);
    for header in headers.iter().filter(|it| !counts(it.seq)) {
        let path = segment::path(dir, header.seq);
        fs.remove(&path).map_err(|source| ScanError::Io { path, source })?;
    }
    scan.segments.reverse();
    Ok(scan)
}

/// How many bytes of the newest segment are known to be on the disk, and the records after them.
fn split_tail(path: &Path, fs: &dyn Fs) -> Result<(u64, Vec<Vec<u8>>), ScanError> {
    let bytes = fs.read(path).map_err(|source| ScanError::Io { path: path.to_owned(), source })?;
    let mut records = Vec::new();
    let mut n_durable = segment::HEADER_BYTES as u64;
    match segment::walk(&bytes, |it| {
        n_durable = n_durable.max(it.durable);
        records.push((it.offset, it.record));
    }) {
        WalkEnd::Clean => {}
        WalkEnd::Damaged { offset } => {
            return Err(ScanError::Damaged { path: path.to_owned(), offset });
        }
        WalkEnd::Tail { offset } => tracing::warn!(
            path = %path.display(), offset, n_bytes_ignored = bytes.len() - offset,
            "The log ends in an unfinished write, as after a crash; ignored it."
        ),
    }
    let carried = records
        .into_iter()
        .filter(|(offset, _)| *offset as u64 >= n_durable)
        .map(|(_, record)| record.to_vec())
        .collect();
    Ok((n_durable, carried))
}
