//! The log against an in-memory model, over a disk that fails and loses power.

use std::{sync::Arc, time::Duration};

use crate::{
    AppendError, Durability, Fs, OpenError, RealFs, SegmentSeq, Wal, WalOptions,
    sim::{Faults, Seeded, SimFs, each_seed, scratch_dir},
};

const N_SEEDS: u64 = 300;
const N_STEPS: usize = 60;

fn options(durability: Durability, committed: SegmentSeq) -> WalOptions {
    // So small that segments are rotated in between as well.
    let segment_bytes_max = 1_000;
    let group_interval = Duration::ZERO;
    WalOptions { durability, group_interval, committed, segment_bytes_max, ..WalOptions::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn read_all(replay: &crate::Replay) -> Vec<(SegmentSeq, Vec<u8>)> {
    let mut records = Vec::new();
    replay
        .run(|seq, of_segment| {
            records.extend(of_segment.iter().map(|it| (seq, it.to_vec())));
            Ok::<(), crate::AtRecord<std::fmt::Error>>(())
        })
        .unwrap();
    records
}

/// What must be, and what may be, in the log, in order.
#[derive(Default)]
struct Model {
    /// Record, segment if acknowledged.
    records: Vec<(Vec<u8>, Option<SegmentSeq>)>,
    /// So many of them are on the disk; of those after, a crash may take the last ones.
    n_durable: usize,
    committed: SegmentSeq,
}

impl Model {
    #[track_caller]
    fn check(&mut self, found: &[(SegmentSeq, Vec<u8>)], seed: u64) {
        let mut rest = self.records.iter();
        let mut seen = Vec::new();
        for (seq, record) in found {
            let (_, acked) = rest
                .by_ref()
                .inspect(|(it, acked)| {
                    let is_skipped = it != record;
                    let must_be = acked.is_some_and(|it| it > self.committed);
                    assert!(!(is_skipped && must_be), "seed {seed}: acknowledged {it:?} is gone");
                })
                .find(|(it, _)| it == record)
                .unwrap_or_else(|| {
                    panic!("seed {seed}: {record:?} was never appended or is twice")
                });
            // The newest records move to a new segment at a start, never to an older one.
            assert!(acked.is_none_or(|it| it <= *seq), "seed {seed}: {record:?} in {seq}");
            seen.push((record.clone(), Some(*seq)));
        }
        let n_passed = self.records.len() - rest.len();
        for (record, acked) in rest.take(self.n_durable.saturating_sub(n_passed)) {
            let must_be = acked.is_some_and(|it| it > self.committed);
            assert!(!must_be, "seed {seed}: acknowledged {record:?} is gone");
        }
        self.n_durable = seen.len();
        self.records = seen;
    }
}

fn run_seed(seed: u64) {
    let dir = tempfile::tempdir_in(scratch_dir()).unwrap();
    let log_dir = dir.path().join("wal");
    let disk = SimFs::new(seed);
    let mut random = Seeded::new(seed ^ 0x5eed);
    let mut model = Model::default();
    let runtime = runtime();
    // Only rotations sync then, so that a seed is a seed.
    let durability = [Durability::Fsync, Durability::Interval(Duration::from_secs(3_600))];
    let durability = durability[usize::from(random.is_one_in(3))];
    let mut wal: Option<Wal> = None;
    for step in 0..N_STEPS {
        let Some(log) = &wal else {
            disk.set_faults(Faults::default());
            let (log, replay) =
                Wal::open(&log_dir, &options(durability, model.committed), Arc::new(disk.clone()))
                    .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
            model.check(&read_all(&replay), seed);
            wal = Some(log);
            continue;
        };
        match random.below(20) {
            0..12 => {
                let n_records = 1 + random.below(4);
                let acks: Vec<_> = (0..n_records)
                    .map(|i| {
                        let mut record = format!("{step}.{i}:").into_bytes();
                        record.resize(record.len() + random.below(200), b'x');
                        (record.clone(), log.append(record))
                    })
                    .collect();
                for (record, ack) in acks {
                    let acked = runtime.block_on(ack).ok();
                    model.records.push((record, acked));
                }
                if durability == Durability::Fsync {
                    model.n_durable = model.records.len();
                }
            }
            12..14 => {
                let rotated = runtime.block_on(log.rotate());
                if rotated.is_ok() {
                    model.n_durable = model.records.len();
                }
                if let Ok(seq) = rotated
                    && random.is_one_in(2)
                {
                    model.committed = SegmentSeq(seq.0 - 1);
                    drop(runtime.block_on(log.remove_through(model.committed)));
                }
            }
            14..17 => disk.set_faults(Faults {
                write_one_in: [0, 3, 10][random.below(3)],
                sync_one_in: [0, 3, 10][random.below(3)],
                name_one_in: [0, 2, 5][random.below(3)],
                rename_one_in: [0, 2, 5][random.below(3)],
                full_one_in: [0, 3, 10][random.below(3)],
                is_full: random.is_one_in(5),
                ..Faults::default()
            }),
            17 => disk.set_faults(Faults::default()),
            18 => {
                wal = None;
                disk.crash().unwrap();
            }
            _ => wal = None,
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_faults_and_crashes() {
    each_seed(N_SEEDS, run_seed);
}

#[test]
fn a_full_disk_is_told_apart_and_heals_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimFs::new(1);
    let (wal, _) =
        Wal::open(dir.path(), &options(Durability::Fsync, SegmentSeq(0)), Arc::new(disk.clone()))
            .unwrap();
    let runtime = runtime();
    runtime.block_on(wal.append(b"before".to_vec())).unwrap();
    disk.set_faults(Faults { is_full: true, ..Faults::default() });
    for _ in 0..50 {
        let error = runtime.block_on(wal.append(b"lost".to_vec())).unwrap_err();
        assert!(matches!(error, AppendError::Full { .. }), "{error}");
    }
    disk.set_faults(Faults::default());
    runtime.block_on(wal.append(b"after".to_vec())).unwrap();
    drop(wal);
    let n_files = disk.list(dir.path()).unwrap().len();
    assert!(n_files <= 3, "{n_files} segments after 50 failed appends");
    let (_, replay) =
        Wal::open(dir.path(), &options(Durability::Fsync, SegmentSeq(0)), Arc::new(disk)).unwrap();
    let records: Vec<_> = read_all(&replay).into_iter().map(|(_, record)| record).collect();
    assert_eq!(records, [b"before".to_vec(), b"after".to_vec()]);
}

#[test]
fn damage_before_acknowledged_records_is_a_loud_error() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let (wal, _) =
        Wal::open(dir.path(), &options(Durability::Fsync, SegmentSeq(0)), Arc::new(RealFs))
            .unwrap();
    for record in [b"first", b"other", b"third"] {
        runtime.block_on(wal.append(record.to_vec())).unwrap();
    }
    drop(wal);
    let path = dir.path().join("wal-0000000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Wal::open(dir.path(), &options(Durability::Fsync, SegmentSeq(0)), Arc::new(RealFs))
        .unwrap_err();
    assert!(matches!(error, OpenError::Damaged { offset: 40, .. }), "{error}");
}

#[test]
fn appends_in_interval_mode_are_there_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let disk = SimFs::new(2);
    let options = options(Durability::Interval(Duration::from_millis(5)), SegmentSeq(0));
    let (wal, _) = Wal::open(dir.path(), &options, Arc::new(disk.clone())).unwrap();
    runtime.block_on(wal.append(b"one".to_vec())).unwrap();
    wal.close();
    assert!(matches!(runtime.block_on(wal.append(b"two".to_vec())), Err(AppendError::Closed)));
    disk.crash().unwrap();
    let (_, replay) = Wal::open(dir.path(), &options, Arc::new(disk)).unwrap();
    assert_eq!(read_all(&replay), [(SegmentSeq(2), b"one".to_vec())]);
}

/// A later record may build on an earlier one: it must not be there without it.
#[test]
fn after_a_failed_sync_in_interval_mode_the_next_segment_begins_with_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let disk = SimFs::new(3);
    let options = options(Durability::Interval(Duration::from_secs(3_600)), SegmentSeq(0));
    let (wal, _) = Wal::open(dir.path(), &options, Arc::new(disk.clone())).unwrap();
    runtime.block_on(wal.append(b"one".to_vec())).unwrap();
    disk.set_faults(Faults { sync_one_in: 1, ..Faults::default() });
    runtime.block_on(wal.rotate()).unwrap_err();
    disk.set_faults(Faults::default());
    runtime.block_on(wal.append(b"two".to_vec())).unwrap();
    let seq = runtime.block_on(wal.rotate()).unwrap();
    runtime.block_on(wal.append(b"three".to_vec())).unwrap();
    // All of a sudden.
    std::mem::forget(wal);
    disk.crash().unwrap();
    let (_, replay) = Wal::open(dir.path(), &options, Arc::new(disk)).unwrap();
    let records = read_all(&replay);
    assert!(records.iter().take(2).all(|it| it.0 < seq), "{records:?} before {seq}");
    let records: Vec<_> = records.into_iter().map(|it| it.1).take(2).collect();
    assert_eq!(records, [b"one".to_vec(), b"two".to_vec()]);
}
