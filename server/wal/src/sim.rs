//! A disk that forgets and fails on command, for tests of whoever stores something.
//!
//! It works in a real folder, so that what reads files past [`Fs`] can be tested over it, and
//! remembers what a real disk would still have after a power cut: the bytes synced and a random
//! part of those after, and of each folder the changes up to its last sync and a random number of
//! those after, in order.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{DirEntry, DiskSpace, Fs, FsFile};

/// A random number generator whose runs can be repeated (SplitMix64).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    pub fn is_one_in(&mut self, n: usize) -> bool {
        n > 0 && self.below(n) == 0
    }
}

/// Runs a model test over its seeds: `SKEP_SEED` is the first of them and `SKEP_SEEDS` how many,
/// where they are set (`cargo xtask sim` does). A seed that fails is named.
pub fn each_seed(n_seeds: u64, run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let first = number("SKEP_SEED").unwrap_or(0);
    for seed in first..first.saturating_add(number("SKEP_SEEDS").unwrap_or(n_seeds)) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            print_failed(seed);
            std::panic::resume_unwind(panic);
        }
    }
}

#[expect(clippy::print_stdout, reason = "only tests call it, and `cargo xtask sim` reads it")]
fn print_failed(seed: u64) {
    println!("failed with SKEP_SEED={seed}");
}

/// Where a simulated disk best lies: in memory, since nothing of it is to last.
pub fn scratch_dir() -> PathBuf {
    let in_memory = PathBuf::from("/dev/shm");
    if in_memory.is_dir() { in_memory } else { std::env::temp_dir() }
}

/// How often an operation fails: one in so many, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub write_one_in: usize,
    pub sync_one_in: usize,
    pub name_one_in: usize,
    /// Renames alone, besides those of `name_one_in`.
    pub rename_one_in: usize,
    /// Single writes for want of space: somebody else takes it and gives it back.
    pub full_one_in: usize,
    /// Every write fails for want of space.
    pub is_full: bool,
    /// How many operations still work before none does; `None` for all.
    pub n_left: Option<usize>,
}

/// How much fits on it.
const TOTAL_BYTES: u64 = 1 << 40;

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Seeded,
    faults: Faults,
    files: Vec<FileState>,
    /// What the running process sees.
    names: BTreeMap<PathBuf, usize>,
    /// What a crash leaves at least.
    names_durable: BTreeMap<PathBuf, usize>,
    /// Changes of names since each folder's last sync, in order.
    pending: BTreeMap<PathBuf, Vec<NameChange>>,
    /// What folders were renamed to.
    renamed_dirs: Vec<PathBuf>,
    n_faults: usize,
}

#[derive(Debug, Default, Clone)]
struct FileState {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// A sync failed: the pages since are gone, and later syncs lie about them.
    is_lost: bool,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug)]
struct SimFile {
    disk: SimFs,
    file: usize,
    real: fs::File,
}

impl SimFs {
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                random: Seeded::new(seed),
                faults: Faults::default(),
                files: Vec::new(),
                names: BTreeMap::new(),
                names_durable: BTreeMap::new(),
                pending: BTreeMap::new(),
                renamed_dirs: Vec::new(),
                n_faults: 0,
            })),
        }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// As set, less what was used of them.
    pub fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// How many operations failed on purpose.
    pub fn n_faults(&self) -> usize {
        self.lock().n_faults
    }

    /// Cuts the power: the real folder then holds what a disk could hold afterwards. Whoever used
    /// the disk must be gone.
    ///
    /// # Errors
    /// The real folder cannot be written.
    pub fn crash(&self) -> io::Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut names = std::mem::take(&mut state.names_durable);
        for changes in std::mem::take(&mut state.pending).into_values() {
            let n_kept = state.random.below(changes.len() + 1);
            for change in changes.iter().take(n_kept) {
                change.apply(&mut names);
            }
        }
        for path in state.names.keys() {
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        for dir in std::mem::take(&mut state.renamed_dirs) {
            if dir.is_dir() && !names.keys().any(|it| it.starts_with(&dir)) {
                fs::remove_dir_all(dir)?;
            }
        }
        for (path, &file) in &names {
            if let Some(file) = state.files.get_mut(file) {
                file.crash(&mut state.random);
                // Its folder may have had another name.
                fs::create_dir_all(parent(path))?;
                fs::write(path, &file.durable)?;
            }
        }
        state.names_durable.clone_from(&names);
        state.names = names;
        Ok(())
    }

    /// Flips a bit somewhere in a file, as a disk does that ages.
    ///
    /// # Errors
    /// The real file cannot be written.
    pub fn flip_bit(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut bytes = fs::read(path)?;
        let bit = state.random.below(bytes.len().saturating_mul(8));
        let flip = |bytes: &mut Vec<u8>| {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        };
        flip(&mut bytes);
        fs::write(path, &bytes)?;
        let file = state.names.get(path).copied();
        if let Some(file) = file.and_then(|it| state.files.get_mut(it)) {
            flip(&mut file.bytes);
            flip(&mut file.durable);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the simulated disk")
    }
}

impl State {
    fn fail(&mut self, one_in: usize, what: &str) -> io::Result<()> {
        let is_over = self.faults.n_left == Some(0);
        self.faults.n_left = self.faults.n_left.map(|it| it.saturating_sub(1));
        if is_over || self.random.is_one_in(one_in) {
            self.n_faults += 1;
            return Err(io::Error::other(format!("simulated {what} failure")));
        }
        Ok(())
    }

    fn change(&mut self, dir: &Path, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.entry(dir.to_owned()).or_default().push(change);
    }
}

impl FileState {
    fn sync(&mut self, is_ok: bool) {
        self.is_lost |= !is_ok;
        if !self.is_lost {
            self.durable.clone_from(&self.bytes);
        }
    }

    fn crash(&mut self, random: &mut Seeded) {
        if !self.is_lost && self.bytes.len() > self.durable.len() {
            let n_kept = random.below(self.bytes.len() - self.durable.len() + 1);
            let n_durable = self.durable.len();
            let kept = self.bytes.get(n_durable..n_durable + n_kept).unwrap_or_default();
            self.durable.extend(kept);
            // File systems may extend a file before its blocks are written.
            if random.is_one_in(2) {
                let n_zeroed = random.below(n_kept + 1);
                let n_bytes = self.durable.len();
                if let Some(zeroed) = self.durable.get_mut(n_bytes - n_zeroed..) {
                    zeroed.fill(0);
                }
            }
        }
        self.bytes.clone_from(&self.durable);
        self.is_lost = false;
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                // Of a folder: all that is in it.
                let below = names.range(from.clone()..).take_while(|it| it.0.starts_with(from));
                let moved: Vec<_> = below.map(|(path, file)| (path.clone(), *file)).collect();
                for (path, file) in moved {
                    names.remove(&path);
                    let below = path.strip_prefix(from).unwrap_or(&path);
                    let to = if path == *from { to.clone() } else { to.join(below) };
                    names.insert(to, file);
                }
            }
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl Fs for SimFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        crate::RealFs.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let mut state = self.lock();
        let one_in = state.faults.name_one_in;
        state.fail(one_in, "create")?;
        let real = fs::File::create(path)?;
        let file = state.files.len();
        state.files.push(FileState::default());
        state.change(&parent(path), NameChange::Link(path.to_owned(), file));
        Ok(Box::new(SimFile { disk: self.clone(), file, real }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        crate::RealFs.size(path)
    }

    fn truncate(&self, path: &Path, size_bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        let one_in = state.faults.sync_one_in;
        state.fail(one_in, "truncate")?;
        fs::OpenOptions::new().write(true).open(path)?.set_len(size_bytes)?;
        let file = state.names.get(path).copied();
        if let Some(file) = file.and_then(|it| state.files.get_mut(it)) {
            file.bytes.truncate(usize::try_from(size_bytes).unwrap_or(usize::MAX));
            file.durable.clone_from(&file.bytes);
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let one_in = state.faults.name_one_in;
        state.fail(one_in, "link")?;
        fs::hard_link(from, to)?;
        if let Some(&file) = state.names.get(from) {
            state.change(&parent(to), NameChange::Link(to.to_owned(), file));
        }
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let one_in = state.faults.sync_one_in;
        let failed = state.fail(one_in, "sync");
        let file = state.names.get(path).copied();
        if let Some(file) = file.and_then(|it| state.files.get_mut(it)) {
            file.sync(failed.is_ok());
        }
        failed
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (one_in, rename_one_in) = (state.faults.name_one_in, state.faults.rename_one_in);
        state.fail(one_in, "rename")?;
        state.fail(rename_one_in, "rename")?;
        fs::rename(from, to)?;
        if to.is_dir() {
            state.renamed_dirs.push(to.to_owned());
        }
        state.change(&parent(to), NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let one_in = state.faults.name_one_in;
        state.fail(one_in, "remove")?;
        fs::remove_file(path)?;
        state.change(&parent(path), NameChange::Unlink(path.to_owned()));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let one_in = state.faults.sync_one_in;
        state.fail(one_in, "folder sync")?;
        for change in state.pending.remove(dir).unwrap_or_default() {
            change.apply(&mut state.names_durable);
        }
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<DiskSpace> {
        let free_bytes = if self.lock().faults.is_full { 0 } else { TOTAL_BYTES };
        Ok(DiskSpace { free_bytes, total_bytes: TOTAL_BYTES })
    }
}

impl FsFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let full_one_in = state.faults.full_one_in;
        let is_full = state.faults.is_full || state.random.is_one_in(full_one_in);
        let one_in = state.faults.write_one_in;
        let failed = if is_full {
            state.n_faults += 1;
            Err(io::ErrorKind::StorageFull.into())
        } else {
            state.fail(one_in, "write")
        };
        let n_written =
            if failed.is_err() { state.random.below(bytes.len() + 1) } else { bytes.len() };
        let written = bytes.get(..n_written).unwrap_or_default();
        if let Some(file) = state.files.get_mut(self.file) {
            file.bytes.extend(written);
        }
        self.real.write_all(written)?;
        failed
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let one_in = state.faults.sync_one_in;
        let failed = state.fail(one_in, "sync");
        if let Some(file) = state.files.get_mut(self.file) {
            file.sync(failed.is_ok());
        }
        failed
    }
}
