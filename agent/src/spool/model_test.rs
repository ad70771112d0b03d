//! The spool against a model in memory: random actions, a disk that fails and crashes at any
//! point, and restarts. A failing run prints its seed; `SKEP_SEED` and `SKEP_SEEDS`
//! choose others (`cargo xtask sim` does).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use skep_proto::TimestampMs;

use crate::spool::{
    Kind, NewRecord, Positions, Record, SpoolLimits, Stored, WhenFull, disk::Disk, lane::Lane,
};

const N_SEEDS: u64 = 400;
const N_ACTIONS: usize = 120;

#[test]
fn what_was_spooled_is_delivered_in_order_whatever_the_disk_does() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let first = number("SKEP_SEED").unwrap_or(0);
    for seed in first..first + number("SKEP_SEEDS").unwrap_or(N_SEEDS) {
        let run = std::panic::catch_unwind(|| Run::new(seed).all());
        if let Err(panic) = run {
            println!("failed with SKEP_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// One random history.
struct Run {
    rng: Rng,
    disk: Arc<Mutex<SimDisk>>,
    lane: Lane,
    limits: SpoolLimits,
    now: TimestampMs,
    /// Contents the spool promised to deliver, oldest first.
    promised: VecDeque<u32>,
    /// Contents that may or may not turn up: refused, lost with the memory, dropped or
    /// acknowledged without its being noted, before a crash.
    in_doubt: BTreeSet<u32>,
    /// Contents only in memory.
    in_memory: BTreeSet<u32>,
    /// Contents that must never be seen again.
    done: BTreeSet<u32>,
    next_content: u32,
    /// Drops the spool has counted that no missing batch has been found for: what is dropped may
    /// have been in doubt already.
    n_dropped_unsettled: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let disk = Arc::new(Mutex::new(SimDisk::new(rng.next())));
        let limits = SpoolLimits {
            bytes_max: [2_000, 8_000, 1 << 20][rng.below(3)],
            age_max: Duration::from_secs(if rng.below(2) == 0 { 100 } else { 1_000_000 }),
        };
        let lane = Lane::open(Box::new(Handle(Arc::clone(&disk))), limits).unwrap();
        Self {
            rng,
            disk,
            lane,
            limits,
            now: TimestampMs(1_000_000),
            promised: VecDeque::new(),
            in_doubt: BTreeSet::new(),
            in_memory: BTreeSet::new(),
            done: BTreeSet::new(),
            next_content: 1,
            n_dropped_unsettled: 0,
        }
    }

    fn all(mut self) {
        for _ in 0..N_ACTIONS {
            match self.rng.below(20) {
                0..8 => self.append(),
                8..14 => self.deliver_one(),
                14 => self.now.0 += i64::try_from(self.rng.below(60_000)).unwrap(),
                15 | 16 => self.lock().fail_next = u32::try_from(self.rng.below(3)).unwrap(),
                17 => {
                    let n_operations = u32::try_from(1 + self.rng.below(6)).unwrap();
                    self.lock().crash_in = Some(n_operations);
                }
                18 => self.lock().is_full = self.rng.below(2) == 0,
                _ => self.restart(),
            }
            if self.lock().has_crashed {
                self.restart();
            }
        }
        self.lock().heal();
        self.restart();
        while self.deliver_front() {}
        assert!(self.promised.is_empty(), "never delivered: {:?}", self.promised);
        assert_eq!(self.lane.waiting().n_batches, 0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SimDisk> {
        self.disk.lock().unwrap()
    }

    fn append(&mut self) {
        let content = self.next_content;
        self.next_content += 1;
        let mut body = content.to_le_bytes().to_vec();
        body.resize(4 + self.rng.below(150), 0xab);
        let mut positions = Positions::default();
        if self.rng.below(2) == 0 {
            positions.set("journal", format!("cursor {content}"));
        }
        let batch = NewRecord { kind: Kind::LokiPush, n_items: 1, positions, body };
        let when_full =
            if self.rng.below(2) == 0 { WhenFull::Refuse } else { WhenFull::DropOldest };
        let n_dropped_before = self.lane.n_items_dropped();
        let stored = self.lane.append(self.now, batch, when_full);
        let n_dropped = self.lane.n_items_dropped() - n_dropped_before;
        if when_full == WhenFull::Refuse && self.limits.age_max > Duration::from_secs(100) {
            assert_eq!(n_dropped, 0, "a refused batch must not cost another one");
        }
        self.n_dropped_unsettled += n_dropped;
        match stored {
            Ok(stored) => {
                self.promised.push_back(content);
                // A later write that succeeds has taken the memory to the disk before it.
                match stored {
                    Stored::OnDisk => self.in_memory.clear(),
                    Stored::InMemory => drop(self.in_memory.insert(content)),
                }
            }
            Err(_) => drop(self.in_doubt.insert(content)),
        }
        let on_disk: u64 = self.lock().segment_bytes();
        assert!(
            on_disk <= self.limits.bytes_max + 4_000,
            "{on_disk} bytes in a spool of {}",
            self.limits.bytes_max
        );
    }

    /// Everything promised that is older than `content` must be among what was dropped. What was
    /// dropped may turn up after a crash.
    fn settle_dropped(&mut self, content: u32) {
        while let Some(lost) = self.promised.pop_front_if(|it| *it < content) {
            assert!(self.n_dropped_unsettled > 0, "batch {lost} is lost, and nobody counted it");
            self.n_dropped_unsettled -= 1;
            self.in_memory.remove(&lost);
            self.in_doubt.insert(lost);
        }
    }

    fn deliver_one(&mut self) {
        self.deliver_front();
    }

    /// Whether there was something to deliver.
    fn deliver_front(&mut self) -> bool {
        let n_dropped_before = self.lane.n_items_dropped();
        self.lane.expire(self.now);
        let front = self.lane.front();
        self.n_dropped_unsettled += self.lane.n_items_dropped() - n_dropped_before;
        let record = match front {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.settle_dropped(u32::MAX);
                return false;
            }
            Err(_) => return true,
        };
        let content = content(&record);
        assert!(!self.done.contains(&content), "batch {content} was acknowledged before");
        if let Ok(again) = self.lane.front() {
            assert_eq!(again, Some(record.clone()), "the same until it is acknowledged");
        }
        self.settle_dropped(content);
        let is_expected = self.promised.front() == Some(&content);
        assert!(
            is_expected || self.in_doubt.contains(&content),
            "batch {content} is not the oldest: {:?}",
            self.promised
        );
        if self.rng.below(4) == 0 {
            return true; // the server did not take it
        }
        let acked = self.lane.ack(&record);
        if is_expected {
            self.promised.pop_front();
        }
        self.in_memory.remove(&content);
        self.in_doubt.remove(&content);
        match acked {
            Ok(()) => drop(self.done.insert(content)),
            Err(_) => drop(self.in_doubt.insert(content)),
        }
        true
    }

    fn restart(&mut self) {
        // What was in memory is gone, unless a failed write left it on the disk after all.
        for content in std::mem::take(&mut self.in_memory) {
            self.promised.retain(|it| *it != content);
            self.in_doubt.insert(content);
        }
        self.lock().restart();
        let handle = Box::new(Handle(Arc::clone(&self.disk)));
        self.lane = Lane::open(handle, self.limits).expect("a disk that answers");
    }
}

fn content(record: &Record) -> u32 {
    u32::from_le_bytes(*record.batch.body.first_chunk().expect("every body has a number"))
}

/// xorshift64*: small, seeded, the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % n
    }
}

/// A file system that keeps apart what is written and what is durable.
#[derive(Debug)]
struct SimDisk {
    files: BTreeMap<String, SimFile>,
    rng: u64,
    fail_next: u32,
    crash_in: Option<u32>,
    has_crashed: bool,
    is_full: bool,
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    bytes: Vec<u8>,
    /// How many of them outlast a crash for certain.
    n_durable: usize,
    /// A sync failed: later ones say `Ok` and keep nothing, as Linux does.
    is_stuck: bool,
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Rng({:#x})", self.0)
    }
}

impl SimDisk {
    fn new(seed: u64) -> Self {
        Self {
            files: BTreeMap::new(),
            rng: seed | 1,
            fail_next: 0,
            crash_in: None,
            has_crashed: false,
            is_full: false,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        let mut rng = Rng(self.rng);
        let value = rng.below(n);
        self.rng = rng.0;
        value
    }

    fn heal(&mut self) {
        self.fail_next = 0;
        self.crash_in = None;
        self.is_full = false;
    }

    fn segment_bytes(&self) -> u64 {
        let names = self.files.iter().filter(|(name, _)| name.ends_with(".seg"));
        names
            .filter(|(name, _)| !name.starts_with("damaged"))
            .map(|(_, file)| u64::try_from(file.bytes.len()).unwrap())
            .sum()
    }

    /// What a power cut leaves, if there was one.
    fn restart(&mut self) {
        let has_crashed = std::mem::take(&mut self.has_crashed);
        self.crash_in = None;
        self.fail_next = 0;
        if !has_crashed {
            return; // the process ended, the kernel did not
        }
        let mut files = std::mem::take(&mut self.files);
        for file in files.values_mut() {
            let n_loose = file.bytes.len() - file.n_durable;
            let n_kept = file.n_durable + self.below(n_loose + 1);
            file.bytes.truncate(n_kept);
            file.n_durable = n_kept;
            file.is_stuck = false;
        }
        self.files = files;
    }

    /// Whether this operation works; if not, it may still happen in part.
    fn step(&mut self, writes: bool) -> io::Result<()> {
        if self.has_crashed {
            return Err(io::Error::other("the machine is off"));
        }
        if let Some(n_left) = &mut self.crash_in {
            *n_left -= 1;
            if *n_left == 0 {
                self.has_crashed = true;
                return Err(io::Error::other("the power went"));
            }
        }
        if writes && self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if writes && self.fail_next > 0 {
            self.fail_next -= 1;
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        let file = SimFile { bytes: bytes.to_vec(), n_durable: bytes.len(), is_stuck: false };
        self.files.insert(name.to_owned(), file);
    }
}

/// The disk as the lane holds it.
#[derive(Debug)]
struct Handle(Arc<Mutex<SimDisk>>);

impl Handle {
    fn lock(&self) -> std::sync::MutexGuard<'_, SimDisk> {
        self.0.lock().unwrap()
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Handle {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, n_bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut disk = self.lock();
        disk.step(false)?;
        let bytes = &disk.files.get(name).ok_or_else(not_found)?.bytes;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        Ok(bytes[start..].iter().take(n_bytes_max).copied().collect())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.lock();
        let result = disk.step(true);
        let n_written = match result {
            Ok(()) => bytes.len(),
            Err(_) => disk.below(bytes.len() + 1),
        };
        let file = disk.files.get_mut(name).ok_or_else(not_found)?;
        file.bytes.extend(&bytes[..n_written]);
        result
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.lock();
        let result = disk.step(true);
        let file = disk.files.get_mut(name).ok_or_else(not_found)?;
        match result {
            Ok(()) if !file.is_stuck => file.n_durable = file.bytes.len(),
            Ok(()) => {}
            Err(_) => file.is_stuck = true,
        }
        result
    }

    fn truncate(&mut self, name: &str, n_bytes: u64) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step(true)?;
        let file = disk.files.get_mut(name).ok_or_else(not_found)?;
        file.bytes.truncate(usize::try_from(n_bytes).unwrap());
        file.n_durable = file.n_durable.min(file.bytes.len());
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.lock();
        let result = disk.step(true);
        // A failure may come before the rename or after it.
        if result.is_ok() || disk.below(3) == 0 {
            disk.put(name, bytes);
        } else if disk.below(2) == 0 {
            disk.put(&format!("{name}.tmp"), bytes);
        }
        result
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.step(true)?;
        let file = disk.files.remove(from).ok_or_else(not_found)?;
        disk.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.lock();
        let result = disk.step(true);
        if result.is_ok() || disk.below(2) == 0 {
            disk.files.remove(name).ok_or_else(not_found)?;
        }
        result
    }
}

#[test]
fn a_bit_that_flips_on_the_disk_costs_one_batch() {
    let disk = Arc::new(Mutex::new(SimDisk::new(1)));
    let limits = SpoolLimits { bytes_max: 1 << 20, age_max: Duration::from_secs(1000) };
    let open = || Lane::open(Box::new(Handle(Arc::clone(&disk))), limits).unwrap();
    let mut lane = open();
    for content in 1_u8..=3 {
        let batch = NewRecord {
            kind: Kind::LokiPush,
            n_items: 5,
            positions: Positions::journal(format!("c{content}")),
            body: vec![content, 0, 0, 0, 9, 9, 9, 9],
        };
        lane.append(TimestampMs(0), batch, WhenFull::Refuse).unwrap();
    }
    let name = "00000000000000000001.seg";
    let flip = || {
        let mut disk = disk.lock().unwrap();
        let file = disk.files.get_mut(name).unwrap();
        let n_frame = file.bytes.len() / 3;
        file.bytes[n_frame + 20] ^= 4;
    };
    flip();
    let first = lane.front().unwrap().unwrap();
    lane.ack(&first).unwrap();
    let third = lane.front().unwrap().unwrap();
    assert_eq!((content(&first), content(&third)), (1, 3));
    assert_eq!(lane.n_items_dropped(), 5);
    assert!(disk.lock().unwrap().files.contains_key("damaged-00000000000000000001.seg"));

    let mut lane = open();
    assert_eq!(lane.front().unwrap(), Some(third.clone()));
    assert_eq!(lane.resume(), &Positions::journal("c3"));
    lane.ack(&third).unwrap();
    assert_eq!(open().resume(), &Positions::journal("c3"));
}
