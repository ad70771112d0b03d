//! Log files against a model: seeded writes, rotations by name and by copy, restarts with and
//! without a kill, a server that is slow. Each line must come once, whatever happens. A failing
//! run prints its seed; `SKEP_SEED` and `SKEP_SEEDS` choose others.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use prost::Message as _;
use serde_json::json;
use skep_proto::{SystemClock, loki_push::PushRequest, snappy};

use super::{FilesJob, RawFiles, follower::Follower};
use crate::{
    own_metrics::OwnMetrics,
    sources::feed::Feed,
    spool::{Record, Spool, SpoolLimits, disk::Directory},
};

const N_SEEDS: u64 = 60;
const N_ACTIONS: usize = 60;

#[test]
fn every_line_comes_once_whatever_rotates_and_is_killed() {
    let number = |name| std::env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let first = number("SKEP_SEED").unwrap_or(0);
    for seed in first..first + number("SKEP_SEEDS").unwrap_or(N_SEEDS) {
        let run = std::panic::catch_unwind(|| World::new(seed, seed % 3 == 2).all());
        if let Err(panic) = run {
            println!("failed with SKEP_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// One random history of three files.
struct World {
    dir: tempfile::TempDir,
    rng: Rng,
    spool: Arc<Spool>,
    follower: Follower,
    /// Lines are joined by a pipeline, which holds some back.
    joins: bool,
    n_written: usize,
    n_rotated: usize,
    /// The text of each file behind its last line break.
    unfinished: BTreeMap<usize, usize>,
    delivered: Vec<String>,
}

impl World {
    fn new(seed: u64, joins: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let spool = open_spool(&dir);
        let follower = start(&dir, &spool, joins);
        Self {
            dir,
            rng: Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            spool,
            follower,
            joins,
            n_written: 0,
            n_rotated: 0,
            unfinished: BTreeMap::new(),
            delivered: Vec::new(),
        }
    }

    fn all(mut self) {
        for _ in 0..N_ACTIONS {
            let action = self.rng.below(20);
            // Shown of a run that fails.
            println!("action {action}, {} lines", self.n_written);
            match action {
                0..8 => self.write(),
                8 => self.write_part(),
                9 => self.rotate_by_name(),
                10 => self.rotate_by_copy(),
                11..15 => self.turn(),
                15 => drop(self.follower.look()),
                16 => self.deliver(),
                17 if self.rng.below(2) == 0 => self.stop(),
                17 => self.follower.flush(),
                _ => self.kill(),
            }
        }
        for file in 0..3 {
            if self.unfinished.contains_key(&file) {
                self.write_to(file, "\n");
                self.unfinished.remove(&file);
            }
        }
        self.stop();
        self.settle();
        self.stop();
        self.deliver();
        let mut lines: Vec<String> =
            self.delivered.iter().flat_map(|it| it.lines().map(str::to_owned)).collect();
        lines.sort_unstable();
        let wanted: Vec<String> = (0..self.n_written).map(line).collect();
        assert_eq!(lines, wanted);
    }

    fn path(&self, file: usize) -> PathBuf {
        self.dir.path().join(format!("log/{file}.log"))
    }

    fn write_to(&self, file: usize, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(file)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn write(&mut self) {
        let file = self.rng.below(3);
        println!("  write to {file}");
        let mut text = String::new();
        if self.unfinished.remove(&file).is_some() {
            text.push('\n');
        }
        for _ in 0..self.rng.below(40) {
            text.push_str(&line(self.n_written));
            text.push('\n');
            self.n_written += 1;
        }
        self.write_to(file, &text);
    }

    /// A line without its end.
    fn write_part(&mut self) {
        let file = self.rng.below(3);
        if !self.unfinished.contains_key(&file) {
            self.unfinished.insert(file, self.n_written);
            self.write_to(file, &line(self.n_written));
            self.n_written += 1;
        }
    }

    fn rotated(&mut self, file: usize) -> PathBuf {
        self.n_rotated += 1;
        self.dir.path().join(format!("log/{file}.log.{}", self.n_rotated))
    }

    fn rotate_by_name(&mut self) {
        let file = self.rng.below(3);
        println!("  rename {file}");
        drop(self.follower.look());
        let rotated = self.rotated(file);
        if self.unfinished.contains_key(&file) || fs::rename(self.path(file), &rotated).is_err() {
            return;
        }
        // Who writes it may not know yet.
        if self.rng.below(2) == 0 {
            let mut old = OpenOptions::new().append(true).open(&rotated).unwrap();
            old.write_all(format!("{}\n", line(self.n_written)).as_bytes()).unwrap();
            self.n_written += 1;
        }
        // Rotations come one at a time: the rest of the last is read before the next.
        drop(self.follower.look());
        self.settle();
    }

    /// The file must have been opened: nothing tells a copy that was never seen from a log that
    /// is not followed.
    fn rotate_by_copy(&mut self) {
        let file = self.rng.below(3);
        println!("  copy {file}");
        if !self.path(file).exists() || self.unfinished.contains_key(&file) {
            return;
        }
        drop(self.follower.look());
        self.turn();
        // A position is stored twice a second; what is copied before that is not known.
        self.follower.flush();
        let rotated = self.rotated(file);
        fs::copy(self.path(file), rotated).unwrap();
        OpenOptions::new().write(true).truncate(true).open(self.path(file)).unwrap();
        if self.rng.below(2) == 0 {
            self.kill();
        }
        self.settle();
    }

    fn turn(&mut self) {
        self.follower.mark_all();
        self.follower.turn();
    }

    /// Until all that is there has been read.
    fn settle(&mut self) {
        drop(self.follower.look());
        for _ in 0..200 {
            self.turn();
        }
    }

    fn stop(&mut self) {
        self.follower.finish();
        self.kill();
    }

    /// What was read and not spooled is gone.
    fn kill(&mut self) {
        // Two spools must not have one directory.
        let nothing = tempfile::tempdir().unwrap();
        let other = open_spool(&nothing);
        self.follower = start(&nothing, &other, false);
        self.spool = other;
        self.spool = open_spool(&self.dir);
        self.follower = start(&self.dir, &self.spool, self.joins);
    }

    fn deliver(&mut self) {
        while let Some(record) = self.spool.front().unwrap() {
            self.delivered.extend(lines(&record));
            self.spool.ack(&record).unwrap();
        }
    }
}

/// Each begins as no other does, and they sort as they are numbered.
fn line(n: usize) -> String {
    format!("{n:06} is the line's number")
}

fn lines(record: &Record) -> Vec<String> {
    let plain = snappy::decompress(&record.batch.body, 64 << 20).unwrap();
    let request = PushRequest::decode(plain.as_slice()).unwrap();
    request.streams.into_iter().flat_map(|it| it.entries).map(|it| it.line).collect()
}

fn open_spool(dir: &tempfile::TempDir) -> Arc<Spool> {
    let directory = Directory::open(&dir.path().join("spool")).unwrap();
    let limits = SpoolLimits { bytes_max: 1 << 30, age_max: Duration::from_secs(1 << 40) };
    Arc::new(Spool::open(Box::new(directory), limits, Arc::new(SystemClock)).unwrap())
}

fn start(dir: &tempfile::TempDir, spool: &Arc<Spool>, joins: bool) -> Follower {
    let own = Arc::new(OwnMetrics::default());
    let mut raw = RawFiles {
        paths: vec![format!("{}/log/*.log", dir.path().display())],
        ..RawFiles::default()
    };
    if joins {
        // Lines whose number ends in 0 begin a block.
        let stage = json!({"firstline": "^\\d{5}0", "max_wait_time": "1h", "max_lines": 7});
        raw.pipeline_stages = vec![BTreeMap::from([("multiline".to_owned(), stage)])];
    }
    let jobs = FilesJob::all(vec![raw], &[], &own.pipeline).unwrap();
    let feed = Feed::new("files", Arc::clone(spool), Arc::new(AtomicBool::new(false)));
    let mut follower = Follower::new(jobs, &spool.resume(), feed, own, Arc::new(SystemClock));
    follower.read_by(100);
    follower
}

/// xorshift64*: small, seeded, the same everywhere.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % n
    }
}
