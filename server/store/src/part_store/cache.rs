//! The data folder as a bounded cache of parts that live elsewhere.
//!
//! A file may leave when nobody holds a pin on it and room is wanted; the one unused for longest
//! goes first. What came down, and what an earlier process left, is checked against its checksum
//! before anybody gets it.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_wal::Fs;

use super::{Held, Pin};

#[derive(Debug)]
pub(super) struct Cache {
    fs: Arc<dyn Fs>,
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<PathBuf, CachedFile>,
    /// Of files that are here or on their way.
    n_bytes: u64,
    /// Counts uses.
    now: u64,
    figures: CacheFigures,
}

/// Since the start, but for `n_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheFigures {
    pub(super) n_bytes: u64,
    pub(super) n_hits: u64,
    pub(super) n_misses: u64,
    pub(super) n_evictions: u64,
}

#[derive(Debug)]
struct CachedFile {
    size_bytes: u64,
    n_pins: usize,
    last_used: u64,
    presence: Presence,
    /// Held by whoever checks or fetches it.
    fetch: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its bytes do not count.
    Absent,
    /// On its way; its bytes count.
    Coming,
    /// There, from an earlier process.
    Unchecked,
    Here,
}

/// Keeps one file from leaving.
#[derive(Debug)]
pub(super) struct CachePin {
    cache: Arc<Cache>,
    path: PathBuf,
}

impl Held for CachePin {}

impl Drop for CachePin {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let mut is_forgotten = false;
        if let Some(file) = state.files.get_mut(&self.path) {
            file.n_pins = file.n_pins.saturating_sub(1);
            is_forgotten = file.n_pins == 0 && file.presence == Presence::Absent;
        }
        if is_forgotten {
            state.files.remove(&self.path);
        }
        self.cache.evict(&mut state, 0);
    }
}

impl CachePin {
    pub(super) fn into_pin(self) -> Pin {
        Pin(Some(Box::new(self)))
    }
}

impl Cache {
    pub(super) fn new(fs: Arc<dyn Fs>, bytes_max: u64) -> Self {
        Self { fs, bytes_max, state: Mutex::default() }
    }

    pub(super) fn figures(&self) -> CacheFigures {
        let state = self.lock();
        CacheFigures { n_bytes: state.n_bytes, ..state.figures }
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Takes up a file that is at `path`.
    pub(super) fn adopt(&self, path: &Path, size_bytes: u64, presence: Presence) {
        let mut state = self.lock();
        state.now += 1;
        let last_used = state.now;
        let file =
            state.files.entry(path.to_owned()).or_insert_with(|| CachedFile::absent(size_bytes));
        let counted = if file.presence == Presence::Absent { 0 } else { file.size_bytes };
        file.size_bytes = size_bytes;
        file.presence = presence;
        file.last_used = last_used;
        state.n_bytes = state.n_bytes - counted + size_bytes;
        self.evict(&mut state, 0);
    }

    /// Pins a file, here or not; whoever finds it not to be [`Presence::Here`] takes the lock and
    /// looks again.
    pub(super) fn pin(
        self: &Arc<Self>,
        path: &Path,
        size_bytes: u64,
    ) -> (CachePin, Arc<tokio::sync::Mutex<()>>) {
        let mut state = self.lock();
        state.now += 1;
        let last_used = state.now;
        let file =
            state.files.entry(path.to_owned()).or_insert_with(|| CachedFile::absent(size_bytes));
        file.n_pins += 1;
        file.last_used = last_used;
        let fetch = Arc::clone(&file.fetch);
        match file.presence {
            Presence::Here | Presence::Unchecked => state.figures.n_hits += 1,
            Presence::Absent | Presence::Coming => state.figures.n_misses += 1,
        }
        drop(state);
        (CachePin { cache: Arc::clone(self), path: path.to_owned() }, fetch)
    }

    pub(super) fn presence(&self, path: &Path) -> Presence {
        self.lock().files.get(path).map_or(Presence::Absent, |it| it.presence)
    }

    /// Makes room for a file that is pinned and absent. The error is how much is pinned.
    pub(super) fn reserve(&self, path: &Path) -> Result<(), u64> {
        let mut state = self.lock();
        let Some(size_bytes) = state.files.get(path).map(|it| it.size_bytes) else { return Ok(()) };
        let is_kept = |it: &&CachedFile| match it.presence {
            Presence::Absent => false,
            Presence::Coming => true,
            Presence::Here | Presence::Unchecked => it.n_pins > 0,
        };
        let kept: u64 = state.files.values().filter(is_kept).map(|it| it.size_bytes).sum();
        if kept.saturating_add(size_bytes) > self.bytes_max {
            return Err(kept);
        }
        self.evict(&mut state, size_bytes);
        state.n_bytes += size_bytes;
        if let Some(file) = state.files.get_mut(path) {
            file.presence = Presence::Coming;
        }
        Ok(())
    }

    /// The file is there and its checksum right.
    pub(super) fn arrived(&self, path: &Path) {
        if let Some(file) = self.lock().files.get_mut(path) {
            file.presence = Presence::Here;
        }
    }

    /// It did not come, or what is there is not it.
    pub(super) fn is_not_here(&self, path: &Path) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(file) = state.files.get_mut(path)
            && file.presence != Presence::Absent
        {
            file.presence = Presence::Absent;
            state.n_bytes = state.n_bytes.saturating_sub(file.size_bytes);
        }
    }

    /// Lets go of a file that is of no use any more.
    pub(super) fn forget(&self, path: &Path) {
        self.is_not_here(path);
        let mut state = self.lock();
        if state.files.get(path).is_some_and(|it| it.n_pins == 0) {
            state.files.remove(path);
        }
        drop(state);
        self.unlink(path);
    }

    /// Removes files until `wanted` bytes more would fit, as far as pins allow.
    fn evict(&self, state: &mut State, wanted: u64) {
        while state.n_bytes.saturating_add(wanted) > self.bytes_max {
            let oldest = state
                .files
                .iter()
                .filter(|(_, it)| {
                    it.n_pins == 0 && matches!(it.presence, Presence::Here | Presence::Unchecked)
                })
                .min_by_key(|(_, it)| it.last_used)
                .map(|(path, _)| path.clone());
            let Some(path) = oldest else { return };
            if let Some(file) = state.files.remove(&path) {
                state.n_bytes = state.n_bytes.saturating_sub(file.size_bytes);
                state.figures.n_evictions += 1;
            }
            self.unlink(&path);
        }
    }

    fn unlink(&self, path: &Path) {
        match self.fs.remove(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The next start takes it up again.
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "Could not remove a cached part.");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedFile {
    fn absent(size_bytes: u64) -> Self {
        Self {
            size_bytes,
            n_pins: 0,
            last_used: 0,
            presence: Presence::Absent,
            fetch: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_wal::RealFs;

    use super::*;

    struct Folder {
        dir: tempfile::TempDir,
        cache: Arc<Cache>,
    }

    impl Folder {
        fn new(bytes_max: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { dir, cache: Arc::new(Cache::new(Arc::new(RealFs), bytes_max)) }
        }

        fn add(&self, name: &str, size: usize) -> PathBuf {
            let path = self.dir.path().join(name);
            std::fs::write(&path, vec![0; size]).unwrap();
            self.cache.adopt(&path, size as u64, Presence::Here);
            path
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.dir.path()).unwrap();
            let mut names: Vec<_> =
                entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort_unstable();
            names
        }
    }

    #[test]
    fn the_file_unused_for_longest_leaves_first() {
        let folder = Folder::new(30);
        let a = folder.add("a", 10);
        folder.add("b", 10);
        folder.add("c", 10);
        drop(folder.cache.pin(&a, 10));
        folder.add("d", 10);
        assert_eq!(folder.names(), ["a", "c", "d"]);
        let figures = folder.cache.figures();
        assert_eq!((figures.n_bytes, figures.n_evictions, figures.n_hits), (30, 1, 1));
    }

    #[test]
    fn a_pinned_file_stays_until_its_last_pin_goes() {
        let folder = Folder::new(15);
        let a = folder.add("a", 10);
        let (first, _) = folder.cache.pin(&a, 10);
        let (second, _) = folder.cache.pin(&a, 10);
        let absent = folder.dir.path().join("b");
        let (b, _) = folder.cache.pin(&absent, 10);
        assert_eq!(folder.cache.reserve(&absent), Err(10));
        drop(first);
        assert_eq!(folder.cache.reserve(&absent), Err(10));
        drop(second);
        assert_eq!(folder.cache.reserve(&absent), Ok(()));
        assert_eq!(folder.names(), Vec::<String>::new());
        assert_eq!(folder.cache.figures().n_bytes, 10);
        folder.cache.is_not_here(&absent);
        drop(b);
        assert_eq!(folder.cache.figures().n_bytes, 0);
    }

    #[test]
    fn a_file_larger_than_the_cache_has_no_room_and_costs_no_other_its_place() {
        let folder = Folder::new(15);
        folder.add("a", 10);
        let large = folder.dir.path().join("large");
        let (_pin, _) = folder.cache.pin(&large, 100);
        assert_eq!(folder.cache.reserve(&large), Err(0));
        assert_eq!(folder.names(), ["a"]);
    }
}
