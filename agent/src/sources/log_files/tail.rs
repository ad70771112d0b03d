//! One file that is followed: who it is, how far it has been read, and what became of its name.
//!
//! A file is known by device and inode, and by a hash of its first bytes: an inode is used again
//! once its file is deleted, and a file that is copied and truncated keeps its inode.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use skep_proto::LabelsBuilder;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::lines::{Line, Lines};
use crate::pipeline::Pipeline;

/// How much of a file's beginning tells it from others.
const FINGERPRINT_BYTES: usize = 1024;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Under which the position is kept.
    pub(super) fn key(self) -> String {
        format!("{KEY_PREFIX}{}:{}", self.device, self.inode)
    }

    pub(super) fn from_key(key: &str) -> Option<Self> {
        let (device, inode) = key.strip_prefix(KEY_PREFIX)?.split_once(':')?;
        Some(Self { device: device.parse().ok()?, inode: inode.parse().ok()? })
    }
}

const KEY_PREFIX: &str = "file ";

/// A hash of the first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fingerprint {
    n_bytes: usize,
    hash: u64,
}

impl Fingerprint {
    /// Of as many bytes as there are, up to [`FINGERPRINT_BYTES`].
    fn read(file: &File) -> io::Result<Self> {
        let bytes = first_bytes(file, FINGERPRINT_BYTES)?;
        Ok(Self { n_bytes: bytes.len(), hash: xxh3_64(&bytes) })
    }

    /// Whether the file still begins as it did.
    fn fits(self, file: &File) -> io::Result<bool> {
        let bytes = first_bytes(file, self.n_bytes)?;
        Ok(bytes.len() == self.n_bytes && xxh3_64(&bytes) == self.hash)
    }

    fn is_complete(self) -> bool {
        self.n_bytes == FINGERPRINT_BYTES
    }
}

fn first_bytes(file: &File, n_bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; n_bytes_max];
    let mut n_read = 0;
    while let Some(rest) = bytes.get_mut(n_read..).filter(|it| !it.is_empty()) {
        match file.read_at(rest, u64::try_from(n_read).unwrap_or(u64::MAX))? {
            0 => break,
            n => n_read += n,
        }
    }
    bytes.truncate(n_read);
    Ok(bytes)
}

/// Where to go on in a file, as it is kept: `OFFSET N_BYTES HASH PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) path: PathBuf,
}

impl Place {
    /// Whether there is anything to know the file by.
    pub(super) fn is_known(&self) -> bool {
        self.fingerprint.n_bytes > 0
    }

    pub(super) fn to_text(&self) -> String {
        let Self { offset, fingerprint: Fingerprint { n_bytes, hash }, path } = self;
        format!("{offset} {n_bytes} {hash:016x} {}", path.display())
    }

    /// Whether the file is the one that was read, and holds what was read.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.len() >= self.offset && self.fingerprint.fits(file)?)
    }
}

impl Place {
    /// `None` where the text is none of [`Place::to_text`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let offset = parts.next()?.parse().ok()?;
        let n_bytes = parts.next()?.parse().ok()?;
        let hash = u64::from_str_radix(parts.next()?, 16).ok()?;
        let path = PathBuf::from(parts.next()?);
        Some(Self { offset, fingerprint: Fingerprint { n_bytes, hash }, path })
    }
}

/// What a read has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes, and there may be more.
    Some,
    /// Nothing new.
    None,
    /// The file was emptied, and begins anew.
    Truncated,
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    /// Which of the configured jobs it belongs to.
    pub(super) job_idx: usize,
    pub(super) labels: LabelsBuilder,
    pub(super) pipeline: Pipeline,
    /// Not to be read before then.
    pub(super) paused_until: Option<Instant>,
    /// When something was last read after its name led elsewhere.
    pub(super) rotated_at: Option<Instant>,
    file: File,
    fingerprint: Fingerprint,
    lines: Lines,
    /// The next byte to read.
    read_at: u64,
    /// Behind the last line that went through the pipeline.
    done_to: u64,
    /// As it was last given to a batch.
    told: String,
}

/// What a tail is told when it is opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) job_idx: usize,
    pub(super) labels: LabelsBuilder,
    pub(super) pipeline: Pipeline,
    pub(super) lines: Lines,
}

impl Tail {
    /// Goes on at `place` if the file is still the one it was, else begins at its first byte.
    pub(super) fn open(
        path: &Path,
        file: File,
        place: Option<&Place>,
        opening: Opening,
    ) -> io::Result<Self> {
        let id = FileId::of(&file.metadata()?);
        let offset = match place {
            Some(place) if place.fits(&file)? => place.offset,
            _ => 0,
        };
        let Opening { job_idx, labels, pipeline, mut lines } = opening;
        lines.reset(offset);
        Ok(Self {
            id,
            path: path.to_owned(),
            job_idx,
            labels,
            pipeline,
            paused_until: None,
            rotated_at: None,
            fingerprint: Fingerprint::read(&file)?,
            file,
            lines,
            read_at: offset,
            done_to: offset,
            told: String::new(),
        })
    }

    /// Leaves out what is there now, but for a line that has not ended.
    pub(super) fn skip_to_end(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        let n_buffer = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let from = end.saturating_sub(n_buffer);
        let n_read = self.file.read_at(buffer, from)?;
        let last = buffer.get(..n_read).unwrap_or_default().iter().rposition(|it| *it == b'\n');
        let begins_at = match last {
            Some(idx) => from + u64::try_from(idx + 1).unwrap_or(0),
            None if from == 0 => 0,
            None => end,
        };
        self.begin_at(begins_at);
        Ok(())
    }

    fn begin_at(&mut self, offset: u64) {
        self.lines.reset(offset);
        self.read_at = offset;
        self.done_to = offset;
    }

    /// Reads on. Lines are then to be taken by [`Tail::next_line`], all of them.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let size = self.file.metadata()?.len();
        let is_other =
            size < self.read_at || (size != self.read_at && !self.fingerprint.fits(&self.file)?);
        if is_other {
            return Ok(Read::Truncated);
        }
        let n_read = self.file.read_at(buffer, self.read_at)?;
        if n_read == 0 {
            return Ok(Read::None);
        }
        if !self.fingerprint.is_complete() {
            self.fingerprint = Fingerprint::read(&self.file)?;
        }
        self.read_at += u64::try_from(n_read).unwrap_or(u64::MAX);
        self.lines.push(buffer.get(..n_read).unwrap_or_default());
        Ok(Read::Some)
    }

    /// After [`Read::Truncated`] and the rest of what was: begins with the first byte.
    pub(super) fn begin_anew(&mut self) -> io::Result<()> {
        self.fingerprint = Fingerprint::read(&self.file)?;
        self.begin_at(0);
        Ok(())
    }

    pub(super) fn next_line(&mut self) -> Option<Line> {
        let line = self.lines.next()?;
        self.done_to = line.ends_at;
        Some(line)
    }

    /// The line that has not ended, once it never will.
    pub(super) fn last_line(&mut self) -> Option<Line> {
        let line = self.lines.rest()?;
        self.done_to = line.ends_at;
        Some(line)
    }

    /// Whether its name still leads to it.
    pub(super) fn is_at_its_path(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|it| FileId::of(&it) == self.id)
    }

    /// Whether no name at all leads to it.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|it| it.nlink() == 0)
    }

    /// Where to go on, as far as lines have gone through the pipeline.
    pub(super) fn place(&self) -> Place {
        let offset = self.pipeline.held_from().unwrap_or(self.done_to).min(self.done_to);
        Place { offset, fingerprint: self.fingerprint, path: self.path.clone() }
    }

    /// The position, if it is another one than the last time. Lines that the pipeline holds back
    /// come behind it.
    pub(super) fn new_position(&mut self) -> Option<String> {
        let place = self.place();
        let text = place.to_text();
        if text == self.told {
            return None;
        }
        text.clone_into(&mut self.told);
        Some(text)
    }

    /// How many bytes there are that were not read yet.
    pub(super) fn n_bytes_behind(&self) -> u64 {
        self.file.metadata().map_or(0, |it| it.len().saturating_sub(self.done_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back_blanks_in_names_included() {
        let text = "17 1024 00000000000000ff /var/log/a b.log";
        let place = Place::parse(text).unwrap();
        assert_eq!(place.path, Path::new("/var/log/a b.log"));
        assert_eq!(place.to_text(), text);
        assert_eq!(Place::parse("17 1024"), None);
        let id = FileId { device: 3, inode: 4 };
        assert_eq!(FileId::from_key(&id.key()), Some(id));
        assert_eq!(FileId::from_key("journal"), None);
    }
}
