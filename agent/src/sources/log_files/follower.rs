//! All followed files: which there are, what became of their names, and their lines to the feed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skep_proto::{Clock, LabelsBuilder, TimestampNs, relabel};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    docker,
    lines::{Line, Lines},
    paths::{Found, Glob},
    settings::{FilesJob, Format, LongLines, Start},
    tail::{FileId, Opening, Place, Read, Tail},
};
use crate::{
    own_metrics::OwnMetrics,
    pipeline::{Context, Entry, Flush},
    sources::feed::{Feed, WAIT_MAX},
    spool::Positions,
};

/// Files of all jobs together; each takes a file descriptor.
const FILES_MAX: usize = 10_000;
/// Bytes read of one file before the next one has its turn.
const READ_BYTES: usize = 256 << 10;
/// How long a file is read on after its last line once its name leads elsewhere: who writes it
/// may not know yet.
const ROTATED_IDLE_MAX: Duration = Duration::from_secs(60);
/// The same for a file no name leads to.
const DELETED_IDLE_MAX: Duration = Duration::from_secs(10);
/// Neighbours of a file that are asked whether they are its copy.
const NEIGHBOURS_MAX: usize = 1_000;
/// Ends of names of files that are packed, and so never followed.
const PACKED: [&str; 8] = ["gz", "bz2", "xz", "zst", "zip", "lz4", "lzma", "Z"];

/// The followed files and what is needed to read them.
pub(super) struct Follower {
    jobs: Vec<FilesJob>,
    tails: BTreeMap<FileId, Tail>,
    /// Of files whose names lead to them, links resolved.
    ids: BTreeMap<PathBuf, FileId>,
    /// Files that may have more.
    marked: BTreeSet<FileId>,
    /// Where an earlier run was in files not opened yet.
    resume: BTreeMap<FileId, Place>,
    feed: Feed,
    context: Context,
    own: Arc<OwnMetrics>,
    is_first_look: bool,
    /// Paths that could not be followed, so that it is said once.
    refused: BTreeSet<PathBuf>,
    /// Of the last line: each line has its own, so that equal lines stay several.
    last_ts: TimestampNs,
    buffer: Vec<u8>,
    /// Kept to be used again: what a pipeline has let out.
    out: Vec<Entry>,
}

impl Follower {
    pub(super) fn new(
        jobs: Vec<FilesJob>,
        resume: &Positions,
        feed: Feed,
        own: Arc<OwnMetrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seed = clock.now().0.unsigned_abs();
        let places = resume
            .iter()
            .filter_map(|(key, place)| Some((FileId::from_key(key)?, Place::parse(place)?)));
        Self {
            jobs,
            tails: BTreeMap::new(),
            ids: BTreeMap::new(),
            marked: BTreeSet::new(),
            resume: places.collect(),
            feed,
            context: Context::new(clock, Arc::clone(&own.pipeline), seed),
            own,
            is_first_look: true,
            refused: BTreeSet::new(),
            last_ts: TimestampNs(0),
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.feed.is_stopping()
    }

    /// Something was written to a file.
    pub(super) fn mark(&mut self, path: &Path) {
        self.marked.extend(self.ids.get(path));
    }

    pub(super) fn mark_all(&mut self) {
        self.marked.extend(self.tails.keys());
    }

    /// How long there is nothing to do, if no file changes.
    pub(super) fn wait_max(&self) -> Duration {
        let now = Instant::now();
        let until = |it: Instant| it.saturating_duration_since(now);
        let tails = self.tails.values();
        let due = tails.filter_map(|it| it.pipeline.due_at()).map(until).min();
        let marked = self.marked.iter().filter_map(|it| self.tails.get(it));
        let resumed = marked.map(|it| match (it.paused_until, it.rotated_at) {
            (Some(at), _) => until(at),
            (None, Some(_)) => WAIT_MAX,
            (None, None) => Duration::ZERO,
        });
        let wait = self.feed.wait_max();
        wait.min(due.unwrap_or(wait)).min(resumed.min().unwrap_or(wait))
    }

    /// Looks which files there are, and says in which folders new ones would turn up.
    pub(super) fn look(&mut self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        self.ids.clear();
        for job_idx in 0..self.jobs.len() {
            let mut found = Found::default();
            for glob in self.jobs.get(job_idx).into_iter().flat_map(|it| &it.paths) {
                glob.find(&mut found);
            }
            folders.append(&mut found.folders);
            for path in found.files {
                self.follow(job_idx, &path, &mut folders);
            }
        }
        let now = Instant::now();
        for tail in self.tails.values_mut().filter(|it| it.rotated_at.is_none()) {
            if !tail.is_at_its_path() {
                tail.rotated_at = Some(now);
                self.marked.insert(tail.id);
            }
        }
        if self.is_first_look {
            self.is_first_look = false;
            self.find_moved();
        }
        self.feed.store_begun();
        self.own.set_files_followed(self.tails.len());
        folders
    }

    fn follow(&mut self, job_idx: usize, path: &Path, folders: &mut BTreeSet<PathBuf>) {
        if self.jobs.get(job_idx).is_none_or(|it| it.exclude.iter().any(|glob| glob.matches(path)))
        {
            return;
        }
        match self.open(job_idx, path) {
            Ok(Some(id)) => {
                self.refused.remove(path);
                if let Ok(real) = path.canonicalize() {
                    folders.extend(real.parent().map(Path::to_owned));
                    self.ids.insert(real, id);
                }
            }
            Ok(None) => {}
            Err(error) => {
                if self.refused.insert(path.to_owned()) {
                    self.own.count_files_error();
                    warn!(path = %path.display(), %error, "Cannot follow a log file.");
                }
            }
        }
    }

    /// The file of a path, opened if it is not yet; `None` if it is not to be followed.
    fn open(&mut self, job_idx: usize, path: &Path) -> io::Result<Option<FileId>> {
        let id = FileId::of(&fs::metadata(path)?);
        if let Some(tail) = self.tails.get_mut(&id) {
            if !tail.is_at_its_path() {
                tail.path = path.to_owned();
            }
            tail.rotated_at = None;
            return Ok(Some(id));
        }
        if is_packed(path) {
            if self.refused.insert(path.to_owned()) {
                info!(path = %path.display(), "Not following a file that is packed.");
            }
            return Ok(None);
        }
        if path.to_str().is_none_or(|it| it.contains(char::is_control)) {
            return Err(io::Error::other("its name is not UTF-8 or holds control characters"));
        }
        if self.tails.len() >= FILES_MAX {
            return Err(io::Error::other(format!("{FILES_MAX} files are followed already")));
        }
        let file = File::open(path)?;
        let place = self.resume.remove(&id);
        let fits = match &place {
            Some(place) => place.fits(&file)?,
            None => false,
        };
        let Some(opening) = self.opening(job_idx, path) else { return Ok(None) };
        let mut tail = Tail::open(path, file, place.as_ref(), opening)?;
        let is_new = place.is_none() && !self.resume.values().any(|it| it.path == path);
        let start = self.jobs.get(job_idx).map_or(Start::Beginning, |it| it.start);
        if self.is_first_look && is_new && start == Start::End {
            tail.skip_to_end(&mut self.buffer)?;
        }
        info!(path = %path.display(), n_bytes = tail.n_bytes_behind(), "Following a log file.");
        if !fits && let Some(position) = tail.new_position() {
            self.feed.begin_position(&id.key(), position);
        }
        self.tails.insert(id, tail);
        self.marked.insert(id);
        if let Some(place) = place.filter(|_| !fits) {
            self.recover(id, &place);
        }
        Ok(Some(id))
    }

    /// How to read a file of a job; `None` if relabelling drops it.
    fn opening(&self, job_idx: usize, path: &Path) -> Option<Opening> {
        let job = self.jobs.get(job_idx)?;
        let mut labels = LabelsBuilder::default();
        let name = path.to_str()?;
        labels.set("__path__", name);
        if job.has_default_labels && job.format == Format::Plain {
            labels.set("filename", name);
        }
        if job.format == Format::Docker {
            for (name, value) in docker::labels(path) {
                if name.starts_with("__") || job.has_default_labels {
                    labels.set(&name, &value);
                }
            }
        }
        for (name, value) in &job.labels {
            labels.set(name, value);
        }
        if !relabel::process(&job.relabel, &mut labels) {
            return None;
        }
        if !job.has_default_labels {
            labels.set("filename", name);
        }
        labels.retain(|name| !name.starts_with("__"));
        let lines = Lines::new(job.encoding, job.line_bytes_max, 0);
        Some(Opening { job_idx, labels, pipeline: job.pipeline.clone(), lines })
    }

    /// Files that were rotated while no agent ran: their rests are read first of all.
    fn find_moved(&mut self) {
        while let Some((id, place)) = self.resume.pop_first() {
            let is_found = self.recover(id, &place);
            if !self.reopen_emptied(id, &place) && !is_found {
                self.feed.forget_position(&id.key());
            }
        }
    }

    /// Looks beside a file for what was rotated away of it, by name or as a copy, and reads on
    /// there. Whether it was found.
    fn recover(&mut self, id: FileId, place: &Place) -> bool {
        let path = &place.path;
        let Some(job_idx) = self.job_of(path) else { return false };
        let Some((moved_id, moved)) = self.moved(id, place) else { return false };
        let Some(opening) = self.opening(job_idx, path) else { return false };
        // It may have been read on in before; both places are durable, so the later one counts.
        let own = self.resume.remove(&moved_id);
        let own = own.filter(|it| it.offset > place.offset && it.fits(&moved).unwrap_or(false));
        let place = own.map_or(place.clone(), |it| Place { path: path.clone(), ..it });
        let Ok(mut tail) = Tail::open(path, moved, Some(&place), opening) else { return false };
        info!(path = %path.display(), n_bytes = tail.n_bytes_behind(), "Reading on in a rotated file.");
        tail.rotated_at = Some(Instant::now());
        if let Some(position) = tail.new_position() {
            self.feed.begin_position(&tail.id.key(), position);
        }
        self.marked.insert(tail.id);
        self.tails.insert(tail.id, tail);
        true
    }

    /// A file that was emptied and then renamed: what is in it now is all new.
    fn reopen_emptied(&mut self, id: FileId, place: &Place) -> bool {
        let name = place.path.file_stem().map(|it| it.to_string_lossy().into_owned());
        let is_it = |path: &Path, found_id: FileId| {
            let found_name = path.file_name().map(|it| it.to_string_lossy().into_owned());
            // An inode is used again; only under a name like the old one is it a rotated log.
            found_id == id
                && found_name.zip(name.as_ref()).is_some_and(|(it, name)| it.starts_with(name))
        };
        let found = self.neighbours(place).into_iter().find(|(path, id)| is_it(path, *id));
        let Some((file, job_idx)) =
            found.and_then(|(path, _)| File::open(path).ok()).zip(self.job_of(&place.path))
        else {
            return false;
        };
        let Some(opening) = self.opening(job_idx, &place.path) else { return false };
        let Ok(mut tail) = Tail::open(&place.path, file, None, opening) else { return false };
        tail.rotated_at = Some(Instant::now());
        self.marked.insert(tail.id);
        self.tails.insert(tail.id, tail);
        true
    }

    fn job_of(&self, path: &Path) -> Option<usize> {
        let names = |globs: &[Glob]| globs.iter().any(|it| it.matches(path));
        self.jobs.iter().position(|job| names(&job.paths) && !names(&job.exclude))
    }

    /// The file itself under another name, or else its copy.
    fn moved(&self, id: FileId, place: &Place) -> Option<(FileId, File)> {
        let mut copy = None;
        for (path, found_id) in self.neighbours(place) {
            let Ok(file) = File::open(&path) else { continue };
            if !place.fits(&file).unwrap_or(false) {
                continue;
            }
            if found_id == id {
                return Some((found_id, file));
            }
            if place.is_known() {
                copy = Some((found_id, file));
            }
        }
        copy
    }

    /// Files in the folder of one that are not followed yet.
    fn neighbours(&self, place: &Place) -> Vec<(PathBuf, FileId)> {
        let folder = place.path.parent().and_then(|it| fs::read_dir(it).ok());
        let paths = folder.into_iter().flatten().flatten().take(NEIGHBOURS_MAX).map(|it| it.path());
        paths
            .filter(|path| !is_packed(path))
            .filter_map(|path| {
                let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
                let id = FileId::of(&metadata);
                (!self.tails.contains_key(&id)).then_some((path, id))
            })
            .collect()
    }

    /// Gives each file that may have more its turn.
    pub(super) fn turn(&mut self) {
        self.context.now = Instant::now();
        for id in std::mem::take(&mut self.marked) {
            let Some(mut tail) = self.tails.remove(&id) else { continue };
            let may_have_more = match self.read(&mut tail) {
                Ok(may_have_more) => may_have_more,
                Err(error) => {
                    if self.refused.insert(tail.path.clone()) {
                        self.own.count_files_error();
                        warn!(path = %tail.path.display(), %error, "Cannot read a log file.");
                    }
                    true
                }
            };
            if self.is_over(&tail, may_have_more) {
                self.close(tail);
                continue;
            }
            if may_have_more || tail.rotated_at.is_some() {
                self.marked.insert(id);
            }
            self.tell(&mut tail);
            self.tails.insert(id, tail);
        }
        self.let_go();
        self.feed.flush_due();
    }

    /// Lines that pipelines have held back for long enough.
    fn let_go(&mut self) {
        let now = self.context.now;
        let is_due = |it: &Tail| it.pipeline.due_at().is_some_and(|it| it <= now);
        let due: Vec<FileId> =
            self.tails.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(mut tail) = self.tails.remove(&id) else { continue };
            self.flush_pipeline(&mut tail, Flush::Due);
            self.tell(&mut tail);
            self.tails.insert(id, tail);
        }
    }

    /// Whether there may be more.
    fn read(&mut self, tail: &mut Tail) -> io::Result<bool> {
        if tail.paused_until.is_some_and(|it| it > self.context.now) {
            return Ok(true);
        }
        tail.paused_until = None;
        if self.take_lines(tail) {
            return Ok(true);
        }
        match tail.read(&mut self.buffer)? {
            Read::None => Ok(false),
            Read::Some => {
                if tail.rotated_at.is_some() {
                    tail.rotated_at = Some(self.context.now);
                }
                self.take_lines(tail);
                Ok(true)
            }
            Read::Truncated => {
                info!(path = %tail.path.display(), "A log file was emptied.");
                self.begin_anew(tail)?;
                Ok(true)
            }
        }
    }

    fn begin_anew(&mut self, tail: &mut Tail) -> io::Result<()> {
        self.flush_pipeline(tail, Flush::All);
        // What was read must be durable before the copy's position says that it is.
        self.tell(tail);
        self.feed.flush();
        if self.feed.is_stopping() {
            return Ok(());
        }
        // The file itself does not fit any more, so that only a copy is found.
        if self.recover(tail.id, &tail.place()) {
            self.feed.store_begun();
        } else if let Some(line) = tail.last_line() {
            self.take(tail, line);
            self.flush_pipeline(tail, Flush::All);
        }
        tail.begin_anew()
    }

    /// `true` if the pipeline wants the file to wait.
    fn take_lines(&mut self, tail: &mut Tail) -> bool {
        while let Some(line) = tail.next_line() {
            self.take(tail, line);
            if self.feed.is_full() {
                self.tell(tail);
                self.feed.flush();
                if self.feed.is_stopping() {
                    return true;
                }
            }
            let delay = self.context.take_delay();
            if !delay.is_zero() {
                tail.paused_until = self.context.now.checked_add(delay);
                return true;
            }
        }
        false
    }

    fn take(&mut self, tail: &mut Tail, line: Line) {
        self.own.count_files_line();
        if line.is_cut {
            self.own.count_files_long_line();
            let long_lines = self.jobs.get(tail.job_idx).map(|it| it.long_lines);
            if long_lines == Some(LongLines::Drop) {
                return;
            }
        }
        let now = self.context.clock.now();
        self.last_ts = TimestampNs(now.0.max(self.last_ts.0.saturating_add(1)));
        let entry = Entry {
            labels: tail.labels.clone(),
            ts: self.last_ts,
            line: line.text,
            begins_at: line.begins_at,
            ..Entry::default()
        };
        if tail.pipeline.is_empty() {
            self.feed.push(entry.into_record());
            return;
        }
        tail.pipeline.run(entry, &mut self.context, &mut self.out);
        self.push_out();
    }

    fn flush_pipeline(&mut self, tail: &mut Tail, which: Flush) {
        tail.pipeline.flush(&mut self.context, which, &mut self.out);
        self.push_out();
    }

    fn push_out(&mut self) {
        for entry in self.out.drain(..) {
            let record = entry.into_record();
            // As in Promtail: without a label there is no stream.
            if !record.stream.is_empty() {
                self.feed.push(record);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn read_by(&mut self, n_bytes: usize) {
        self.buffer = vec![0; n_bytes];
    }

    #[cfg(test)]
    pub(super) fn flush(&mut self) {
        self.feed.flush();
    }

    fn tell(&mut self, tail: &mut Tail) {
        if let Some(position) = tail.new_position() {
            self.feed.set_position(&tail.id.key(), position);
        }
    }

    fn is_over(&self, tail: &Tail, may_have_more: bool) -> bool {
        let idle_max = if tail.is_deleted() { DELETED_IDLE_MAX } else { ROTATED_IDLE_MAX };
        !may_have_more && tail.rotated_at.is_some_and(|it| it + idle_max <= self.context.now)
    }

    fn close(&mut self, mut tail: Tail) {
        info!(path = %tail.path.display(), "Done with a rotated log file.");
        if let Some(line) = tail.last_line() {
            self.take(&mut tail, line);
        }
        self.flush_pipeline(&mut tail, Flush::All);
        self.feed.forget_position(&tail.id.key());
    }

    /// Brings out what was read; the files stay as they are for the next start.
    pub(super) fn finish(&mut self) {
        for (_, mut tail) in std::mem::take(&mut self.tails) {
            self.flush_pipeline(&mut tail, Flush::All);
            self.tell(&mut tail);
        }
        self.feed.finish();
    }
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|it| PACKED.iter().any(|packed| it == *packed))
}
