//! Snapshots by themselves: each is the store as it was at one moment, whatever came after.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

use futures::future::join3;
use skep_proto::Clock;
use skep_wal::sim::{each_seed, scratch_dir};

use super::{
    World,
    model::{LogRowKey, Model, SampleKey},
    read::{read_logs, read_samples},
};
use crate::{
    Durability, Store, StoreConfig,
    snapshot::SNAPSHOTS_DIR,
    test_fixture::{TestClock, runtime},
};

/// Of the test with everything at the same time, whose order is not the seed's alone.
const N_SEEDS: u64 = 20;
const N_WRITES: usize = 12;
const N_SNAPSHOTS: usize = 4;

/// A snapshot, and what it has to hold.
pub(super) struct Taken {
    name: String,
    at_ms: i64,
    model: Model,
    may_lack_sets: bool,
    is_damaged: bool,
}

/// All rows.
type Rows = (BTreeMap<SampleKey, u64>, BTreeSet<LogRowKey>);

impl World {
    pub(super) async fn take_snapshot(&mut self, store: &Arc<Store>, context: &str) {
        let made = store.make_snapshot().await;
        println!("snapshot: {made:?}");
        let Ok(name) = made else { return };
        self.note_flush(store, context).await;
        let taken = Taken {
            name,
            at_ms: self.now_ms(),
            model: self.model.clone(),
            may_lack_sets: self.may_lack_sets,
            is_damaged: self.is_damaged,
        };
        self.check_snapshot(&taken, context).await;
        self.snapshots.push(taken);
    }

    /// Once more, after all that happened since.
    pub(super) async fn check_snapshots(&self, context: &str) {
        for taken in &self.snapshots {
            self.check_snapshot(taken, context).await;
        }
    }

    async fn check_snapshot(&self, taken: &Taken, context: &str) {
        let (_dir, store) = self.open_copy(&taken.name, taken.at_ms, context);
        let samples = read_samples(&store, taken.may_lack_sets).await;
        let logs = read_logs(&store, taken.may_lack_sets).await;
        let context = format!("{context}, snapshot {}", taken.name);
        let oldest_ms = oldest_ms(&self.config, taken.at_ms);
        taken.model.check(&samples, &logs, oldest_ms, &context);
        let n_damaged = store.stats().n_damaged_parts;
        assert!(n_damaged == 0 || taken.is_damaged, "{context}: {n_damaged} parts are missing");
    }

    /// A copy of the snapshot as a store of its own, which an open store would change.
    fn open_copy(&self, name: &str, at_ms: i64, context: &str) -> (tempfile::TempDir, Arc<Store>) {
        let copy = tempfile::tempdir_in(scratch_dir()).unwrap();
        let snapshot = self.config.dir.join(SNAPSHOTS_DIR).join(name);
        copy_tree(&snapshot, &copy.path().join("data")).unwrap();
        let config = StoreConfig {
            dir: copy.path().join("data"),
            object_store: None,
            max_bytes: None,
            ..self.config.clone()
        };
        let clock: Arc<dyn Clock> = Arc::new(TestClock(AtomicI64::new(at_ms)));
        let store = Store::open(config, clock)
            .unwrap_or_else(|error| panic!("{context}, snapshot {name}: {error:?}"));
        (copy, store)
    }

    async fn rows_of_copy(&self, name: &str, context: &str) -> Rows {
        let (_dir, store) = self.open_copy(name, self.now_ms(), context);
        let samples = read_samples(&store, false).await;
        (samples.into_iter().collect(), read_logs(&store, false).await.into_iter().collect())
    }

    /// Writes, merges and snapshots at the same time: each snapshot holds all writes up to one.
    async fn run_at_once(&mut self, seed: u64) {
        let context = format!("seed {seed}");
        let store = self.open(&context).await;
        let states = RefCell::new(vec![self.model.rows()]);
        let n_begun = Cell::new(0_usize);
        let taken = RefCell::new(Vec::new());
        let writes = async {
            for _ in 0..N_WRITES {
                n_begun.update(|it| it + 1);
                match self.random.below(6) {
                    0 => self.delete(&store).await,
                    5 => self.append_histograms(&store).await,
                    1 | 2 => self.append_logs(&store).await,
                    _ => self.append_samples(&store).await,
                }
                states.borrow_mut().push(self.model.rows());
            }
        };
        let snapshots = async {
            for _ in 0..N_SNAPSHOTS {
                let n_done = states.borrow().len() - 1;
                let name = store.make_snapshot().await.unwrap();
                taken.borrow_mut().push((name, n_done..=n_begun.get()));
            }
        };
        let merges = async {
            while states.borrow().len() <= N_WRITES {
                store.flush().await.unwrap();
                store.compact().await.unwrap();
            }
        };
        join3(writes, snapshots, merges).await;
        let states = states.into_inner();
        for (name, writes) in taken.into_inner() {
            let rows = self.rows_of_copy(&name, &context).await;
            let is_any = states[writes.clone()].contains(&rows);
            assert!(is_any, "{context}: snapshot {name} is not as after any of writes {writes:?}");
        }
    }
}

pub(super) fn oldest_ms(config: &StoreConfig, now_ms: i64) -> i64 {
    let retention = config.retention.map(|it| i64::try_from(it.as_millis()).unwrap());
    retention.map_or(i64::MIN, |it| now_ms - it)
}

fn copy_tree(from: &Path, to: &PathBuf) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[test]
fn a_snapshot_taken_while_rows_come_and_go_and_parts_are_merged_is_of_one_moment() {
    let runtime = runtime();
    each_seed(N_SEEDS, |seed| {
        let dir = tempfile::tempdir_in(scratch_dir()).unwrap();
        let mut world = World::new(seed, None, dir.path());
        world.config.retention = None;
        world.config.max_bytes = None;
        world.config.durability = Durability::Fsync;
        runtime.block_on(world.run_at_once(seed));
    });
}
