//! Parts and commits in object storage; the data folder holds a bounded cache of the parts.
//!
//! A part is written below the data folder, uploaded, and then named by a commit, which is a
//! conditional put. So whoever reads the bucket sees what a reader of a local table would.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use object_store::ObjectStore;
use skep_wal::{DirEntry, Fs};
use tokio::task::JoinHandle;

use super::{
    ObjectStats, PartStore, Pin, PutError, ReadAt,
    cache::{Cache, CachePin, Presence},
    read::{FarPart, PartObject},
    requests::{Requests, download},
};
use crate::part::PartInfo;

/// Commits that are fetched at once: a start is a matter of delay, not of bytes.
const FILES_AHEAD: usize = 16;
/// What a file is called until all of it came down.
const COMING: &str = ".coming";

#[derive(Debug)]
pub(crate) struct ObjectParts {
    requests: Arc<Requests>,
    cache: Arc<Cache>,
    fs: Arc<dyn Fs>,
    /// Sizes of the objects that were there when orphans were looked for.
    listed: Mutex<HashMap<PathBuf, u64>>,
    ahead: Mutex<ReadAhead>,
}

impl ObjectParts {
    pub(super) fn new(requests: Arc<Requests>, fs: Arc<dyn Fs>, cache_bytes: u64) -> Self {
        let cache = Arc::new(Cache::new(Arc::clone(&fs), cache_bytes));
        Self { requests, cache, fs, listed: Mutex::default(), ahead: Mutex::default() }
    }

    fn fetcher(&self) -> Fetcher {
        let (requests, cache) = (Arc::clone(&self.requests), Arc::clone(&self.cache));
        Fetcher { requests, cache, fs: Arc::clone(&self.fs) }
    }

    fn ahead(&self) -> MutexGuard<'_, ReadAhead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &Path) -> JoinHandle<io::Result<Bytes>> {
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        self.requests.spawn(async move { requests.get(&path).await })
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<PathBuf, u64>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what an earlier process left of a table in the cache.
    fn take_up(&self, dir: &Path) -> io::Result<()> {
        for path in files_below(self.fs.as_ref(), dir)? {
            if path.extension().is_some_and(|it| it == "coming") {
                self.fs.remove(&path)?;
            } else {
                self.cache.adopt(&path, self.fs.size(&path)?, Presence::Unchecked);
            }
        }
        Ok(())
    }
}

/// Small files of a folder that was listed, which a start reads one after the other.
#[derive(Debug, Default)]
struct ReadAhead {
    expected: BTreeSet<PathBuf>,
    reading: HashMap<PathBuf, JoinHandle<io::Result<Bytes>>>,
}

impl ReadAhead {
    /// A new folder takes the place of the last one.
    fn expect(&mut self, paths: impl Iterator<Item = PathBuf>) {
        let expected = paths.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
        *self = Self { expected, reading: HashMap::new() };
    }

    /// What was read of it is not what is there any more.
    fn forget(&mut self, path: &Path) {
        self.expected.remove(path);
        self.reading.remove(path);
    }

    /// The file on its way, and those that come next.
    fn take(
        &mut self,
        path: &Path,
        get: impl Fn(&Path) -> JoinHandle<io::Result<Bytes>>,
    ) -> JoinHandle<io::Result<Bytes>> {
        let taken = self.reading.remove(path).unwrap_or_else(|| get(path));
        if self.expected.remove(path) {
            for next in self.expected.range(path.to_owned()..).take(FILES_AHEAD) {
                self.reading.entry(next.clone()).or_insert_with(|| get(next));
            }
        }
        taken
    }
}

/// What it takes to pin parts.
#[derive(Clone)]
struct Fetcher {
    requests: Arc<Requests>,
    cache: Arc<Cache>,
    fs: Arc<dyn Fs>,
}

impl Fetcher {
    fn pin(
        &self,
        size_bytes: u64,
        crc32c: u32,
        path: &Path,
    ) -> BoxFuture<'static, io::Result<Pin>> {
        let (pin, lock) = self.cache.pin(path, size_bytes);
        if self.cache.presence(path) == Presence::Here {
            return futures::future::ready(Ok(pin.into_pin())).boxed();
        }
        let fetch = Fetch {
            requests: Arc::clone(&self.requests),
            cache: Arc::clone(&self.cache),
            fs: Arc::clone(&self.fs),
            path: path.to_owned(),
            size_bytes,
            crc32c,
        };
        // A task of its own: whoever gives up waiting leaves the next one a file that is there.
        let fetched = self.requests.spawn(fetch.run(pin, lock));
        async move { fetched.await.unwrap_or_else(|error| Err(io::Error::other(error))) }.boxed()
    }
}

impl PartStore for ObjectParts {
    fn create_table(&self, dir: &Path, _: &Path) -> io::Result<()> {
        self.fs.create_dir_all(dir)?;
        self.take_up(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let (requests, folder) = (Arc::clone(&self.requests), dir.to_owned());
        let listed = self.requests.wait(async move { requests.list(&folder).await })?;
        self.ahead().expect(listed.iter().map(|it| dir.join(&it.name)));
        let file =
            |it: &str, size_bytes| DirEntry { name: it.to_owned(), is_dir: false, size_bytes };
        let entries: BTreeSet<_> = listed
            .iter()
            .map(|it| match it.name.split_once('/') {
                Some((folder, _)) => {
                    DirEntry { name: folder.to_owned(), is_dir: true, size_bytes: 0 }
                }
                None => file(&it.name, it.size_bytes),
            })
            .collect();
        Ok(entries.into_iter().collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let reading = self.ahead().take(path, |it| self.get(it));
        let got = self.requests.wait(async move { reading.await.map_err(io::Error::other)? });
        Ok(got?.into())
    }

    fn size(&self, _: &PartInfo, path: &Path) -> io::Result<u64> {
        if let Some(size_bytes) = self.listed().get(path) {
            return Ok(*size_bytes);
        }
        // Listings may lag behind.
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        self.requests.wait(async move { requests.size(&path).await })
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.ahead().forget(path);
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        let bytes = Bytes::copy_from_slice(bytes);
        self.requests.wait(async move { requests.put(&path, bytes).await })
    }

    fn put_if_absent(&self, path: &Path, bytes: &[u8]) -> Result<(), PutError> {
        self.ahead().forget(path);
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        let bytes = Bytes::copy_from_slice(bytes);
        let put = self.requests.wait(async move { requests.put_if_absent(&path, bytes).await });
        put.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PutError::Exists,
            _ => PutError::InDoubt(error),
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        // What was put is durable.
        Ok(())
    }

    fn publish(&self, _: &Path, path: &Path) -> io::Result<()> {
        let (requests, file) = (Arc::clone(&self.requests), path.to_owned());
        let size_bytes = self.requests.wait(async move { requests.upload(&file).await })?;
        self.cache.adopt(path, size_bytes, Presence::Here);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ahead().forget(path);
        self.cache.forget(path);
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        self.requests.wait(async move { requests.delete(&path).await })
    }

    fn remove_later(&self, path: &Path) {
        self.ahead().forget(path);
        self.cache.forget(path);
        let (requests, path) = (Arc::clone(&self.requests), path.to_owned());
        drop(self.requests.spawn(async move {
            if let Err(error) = requests.delete(&path).await {
                let error = crate::run::report(&error);
                // The next start removes it: no commit names it any more.
                tracing::warn!(error, "Could not remove an old file.");
            }
        }));
    }

    fn remove_orphans(&self, dir: &Path, is_live: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let (requests, table) = (Arc::clone(&self.requests), dir.to_owned());
        let listed = self.requests.wait(async move { requests.list(&table).await })?;
        for object in listed.iter().filter(|it| it.name.starts_with("day=")) {
            let path = dir.join(&object.name);
            if is_live(&object.name) {
                self.listed().insert(path, object.size_bytes);
            } else {
                self.remove(&path)?;
            }
        }
        for path in files_below(self.fs.as_ref(), dir)? {
            let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy();
            if !is_live(&name) {
                self.cache.forget(&path);
            }
        }
        Ok(())
    }

    fn checks_what_it_pins(&self) -> bool {
        true
    }

    fn pin(&self, part: &PartInfo, path: &Path) -> BoxFuture<'static, io::Result<Pin>> {
        self.fetcher().pin(part.size_bytes, part.crc32c, path)
    }

    fn reader(&self, part: &PartInfo, path: &Path) -> Option<Arc<dyn ObjectStore>> {
        let (fetcher, file) = (self.fetcher(), path.to_owned());
        let (size_bytes, crc32c) = (part.size_bytes, part.crc32c);
        let pin = move || fetcher.pin(size_bytes, crc32c, &file);
        Some(Arc::new(PartObject::new(Arc::clone(&self.requests), path, size_bytes, pin)))
    }

    fn far(&self, part: &PartInfo, path: &Path) -> Option<Arc<dyn ReadAt>> {
        Some(Arc::new(FarPart::new(Arc::clone(&self.requests), path, part.size_bytes)))
    }

    fn set_aside(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.cache.forget(from);
        let (requests, from, to) = (Arc::clone(&self.requests), from.to_owned(), to.to_owned());
        self.requests.wait(async move {
            requests.copy(&from, &to).await?;
            requests.delete(&from).await
        })
    }

    fn pin_now(&self, part: &PartInfo, path: &Path) -> io::Result<Pin> {
        self.requests.wait(self.pin(part, path))
    }

    fn object_stats(&self) -> Option<ObjectStats> {
        let cache = self.cache.figures();
        let (n_bytes_up, n_bytes_down) = self.requests.n_bytes();
        Some(ObjectStats {
            requests: self.requests.counts(),
            n_bytes_up,
            n_bytes_down,
            cache_bytes: cache.n_bytes,
            cache_bytes_max: self.cache.bytes_max(),
            n_cache_hits: cache.n_hits,
            n_cache_misses: cache.n_misses,
            n_cache_evictions: cache.n_evictions,
        })
    }
}

/// One part on its way into the cache.
struct Fetch {
    requests: Arc<Requests>,
    cache: Arc<Cache>,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    size_bytes: u64,
    crc32c: u32,
}

impl Fetch {
    async fn run(self, pin: CachePin, lock: Arc<tokio::sync::Mutex<()>>) -> io::Result<Pin> {
        let _one_at_a_time = lock.lock().await;
        match self.cache.presence(&self.path) {
            Presence::Here => return Ok(pin.into_pin()),
            Presence::Unchecked if self.is_whole() => {
                self.cache.arrived(&self.path);
                return Ok(pin.into_pin());
            }
            Presence::Unchecked => {
                self.cache.is_not_here(&self.path);
                // Nobody is to open what is not the part.
                self.fs.remove(&self.path)?;
            }
            Presence::Absent | Presence::Coming => {}
        }
        self.reserve()?;
        let mut fetched = self.fetch().await;
        if fetched.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::InvalidData) {
            // Perhaps only the way here was bad: whoever hears of it twice takes it out of its table.
            fetched = self.fetch().await;
        }
        match fetched {
            Ok(()) => self.cache.arrived(&self.path),
            Err(_) => self.cache.is_not_here(&self.path),
        }
        match fetched {
            // A full disk is a small cache.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, error))
            }
            fetched => fetched.map(|()| pin.into_pin()),
        }
    }

    fn reserve(&self) -> io::Result<()> {
        self.cache.reserve(&self.path).map_err(|n_pinned| {
            io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!(
                    "its {} bytes do not fit into the cache of {} bytes, of which queries hold \
                     {n_pinned}; narrow the time range or raise object_store.cache_bytes",
                    self.size_bytes,
                    self.cache.bytes_max(),
                ),
            )
        })
    }

    /// Whether what an earlier process left is what the commit log says.
    fn is_whole(&self) -> bool {
        let mut sum = Checksum::default();
        let read = std::fs::File::open(&self.path).and_then(|it| io::copy(&mut { it }, &mut sum));
        read.is_ok() && sum.is(self.size_bytes, self.crc32c)
    }

    async fn fetch(&self) -> io::Result<()> {
        let mut coming = self.path.as_os_str().to_owned();
        coming.push(COMING);
        let coming = PathBuf::from(coming);
        let written = self.download(&coming).await;
        let moved = written.and_then(|()| self.fs.rename(&coming, &self.path));
        if moved.is_err() {
            drop(self.fs.remove(&coming));
        }
        moved
    }

    async fn download(&self, to: &Path) -> io::Result<()> {
        if let Some(folder) = to.parent() {
            self.fs.create_dir_all(folder)?;
        }
        // Never synced: after a power cut its checksum tells whether it got to the disk.
        let mut file = self.fs.create(to)?;
        let mut sum = Checksum::default();
        download(&self.requests, &self.path, self.size_bytes, |piece| {
            io::Write::write_all(&mut sum, piece)?;
            file.append(piece)
        })
        .await?;
        if !sum.is(self.size_bytes, self.crc32c) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "what {} holds is not what the commit log says: {} bytes with checksum \
                     {:08x}, not {} with {:08x}; restore it from a backup",
                    self.requests.url(),
                    sum.n_bytes,
                    sum.crc32c,
                    self.size_bytes,
                    self.crc32c
                ),
            ));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Checksum {
    n_bytes: u64,
    crc32c: u32,
}

impl Checksum {
    fn is(&self, n_bytes: u64, crc32c: u32) -> bool {
        (self.n_bytes, self.crc32c) == (n_bytes, crc32c)
    }
}

impl io::Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.n_bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files in a table's day folders.
fn files_below(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for day in fs.list(dir)? {
        if day.is_dir && day.name.starts_with("day=") {
            let folder = dir.join(&day.name);
            files.extend(fs.list(&folder)?.iter().map(|it| folder.join(&it.name)));
        }
    }
    Ok(files)
}
