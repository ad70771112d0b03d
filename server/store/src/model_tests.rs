//! The store against an in-memory model, over a disk that fails and loses power.

mod evictions;
pub(crate) mod faults;
mod model;
mod read;
mod snapshots;
mod writes;

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicI64, Ordering},
};

use skep_proto::Clock;
use skep_wal::sim::{Faults, Seeded, SimFs, each_seed, scratch_dir};
use tokio::runtime::Runtime;

use evictions::{Heads, Live};
use faults::object_store_config;
use model::Model;
use snapshots::Taken;

use crate::{
    Store, StoreConfig,
    part_store::sim::{ObjectFaults, SimObjects},
    test_fixture::{TestClock, runtime},
};

const N_SEEDS: u64 = 150;
const N_STEPS: usize = 40;
const HOUR_MS: i64 = 3_600_000;
/// 2026-11-22 23:59 UTC, so that rows are of two days.
const START_MS: i64 = 1_795_391_940_000;
const HOSTS: [&str; 3] = ["a", "b", "c"];

struct World {
    store: Option<Arc<Store>>,
    config: StoreConfig,
    clock: Arc<TestClock>,
    disk: SimFs,
    /// Where parts are, if not on the disk.
    objects: Option<SimObjects>,
    random: Seeded,
    model: Model,
    /// Label sets without rows may be listed, at least until the next merge.
    may_list_more: bool,
    /// A table of label sets was damaged, so rows may be there of which nobody knows whose.
    may_lack_sets: bool,
    is_damaged: bool,
    /// All rows are, so that a cap takes part after part.
    is_of_one_day: bool,
    /// The next start has to do without a checkpoint.
    is_checkpoint_damaged: bool,
    /// As the running store last told.
    n_syncs: u64,
    n_evicted_parts: u64,
    /// Parts of the running store after the last step.
    live: Live,
    heads: Heads,
    /// Nothing has failed since the store was opened, so what it did is known.
    is_clean: bool,
    snapshots: Vec<Taken>,
}

impl World {
    fn new(seed: u64, objects: Option<SimObjects>, dir: &std::path::Path) -> Self {
        let mut random = Seeded::new(seed ^ 0x5eed);
        let config = faults::config(dir, &mut random, objects.is_some());
        let is_of_one_day = config.max_bytes.is_some() && random.is_one_in(2);
        let start_ms = if is_of_one_day { START_MS + HOUR_MS } else { START_MS };
        Self {
            store: None,
            config,
            clock: Arc::new(TestClock(AtomicI64::new(start_ms))),
            disk: SimFs::new(seed),
            objects,
            random,
            model: Model::default(),
            may_list_more: false,
            may_lack_sets: false,
            is_damaged: false,
            is_of_one_day,
            is_checkpoint_damaged: false,
            n_syncs: 0,
            n_evicted_parts: 0,
            live: Live::default(),
            heads: Heads::default(),
            is_clean: false,
            snapshots: Vec::new(),
        }
    }

    async fn open(&mut self, context: &str) -> Arc<Store> {
        self.disk.set_faults(Faults::default());
        // Listings lag behind also while all else is well.
        let list_lag = self.random.below(8);
        let cache_bytes = [60_000, 1_000_000][self.random.below(2)];
        let store = self.open_with(list_lag, cache_bytes, context);
        let n_damaged = store.stats().n_damaged_checkpoints;
        assert_eq!(n_damaged > 0, std::mem::take(&mut self.is_checkpoint_damaged), "{context}");
        // A replay may have made room.
        (self.n_syncs, self.n_evicted_parts, self.is_clean) = (0, 0, false);
        self.note_evictions(&store, context).await;
        self.is_clean = true;
        self.store = Some(Arc::clone(&store));
        store
    }

    fn open_with(&self, list_lag: usize, cache_bytes: u64, context: &str) -> Arc<Store> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (config, disk) = (self.config.clone(), Arc::new(self.disk.clone()));
        let opened = match &self.objects {
            None => Store::open_on(config, clock, disk),
            Some(objects) => {
                objects.set_faults(ObjectFaults { list_lag, ..ObjectFaults::default() });
                let settings = object_store_config(cache_bytes);
                let objects = Arc::new(objects.clone());
                Store::open_with(config, clock, disk, move |dir, fs| {
                    Ok(Arc::new(settings.open_on(objects, dir, fs)?))
                })
            }
        };
        opened.unwrap_or_else(|error| panic!("{context}: {error:?}"))
    }

    fn now_ms(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    /// Where retention begins.
    fn oldest_ms(&self) -> i64 {
        snapshots::oldest_ms(&self.config, self.now_ms())
    }

    async fn step(&mut self, context: &str) {
        let Some(store) = self.store.clone() else {
            if self.random.is_one_in(8) {
                self.damage();
            }
            let store = self.open(context).await;
            self.check(&store, context).await;
            return;
        };
        let action = self.random.below(28);
        println!("{context}: action {action}");
        match action {
            0..6 => self.append_samples(&store).await,
            6..10 => self.append_logs(&store).await,
            10..13 => {
                let flushed = store.flush().await;
                println!("flush: {flushed:?}");
                if flushed.is_ok() {
                    self.note_flush(&store, context).await;
                }
            }
            13 => {
                let compacted = store.compact().await;
                println!("compact: {compacted:?}");
                self.may_list_more &= compacted.is_err();
            }
            14 => self.check(&store, context).await,
            15..17 => self.draw_faults(),
            17 => self.heal(),
            18 => {
                drop(store);
                self.cut_power();
                return;
            }
            19 => {
                drop(store);
                let is_closed = self.random.is_one_in(2);
                self.stop(is_closed, context).await;
                return;
            }
            20..22 => self.delete(&store).await,
            22 => self.take_snapshot(&store, context).await,
            23 => store.look_at_disk().await,
            24..27 => self.append_histograms(&store).await,
            _ => self.pass_time(),
        }
        self.note_syncs(&store);
        self.note_evictions(&store, context).await;
    }

    async fn run(&mut self, seed: u64) {
        for step in 0..N_STEPS {
            self.step(&format!("seed {seed} step {step}")).await;
        }
        self.cut_power();
        let context = format!("seed {seed} at the end");
        let store = self.open(&context).await;
        self.check(&store, &context).await;
        drop(store);
        self.stop(false, &context).await;
        self.check_snapshots(&context).await;
        // Once more, with nothing hidden from the search for orphans.
        if self.objects.is_some() {
            let store = self.open_with(0, 1_000_000, &context);
            self.check_objects(&store, &context).await;
        }
    }
}

fn run_seed(seed: u64, objects: Option<SimObjects>) {
    // Threads are dear; a seed after the other uses them.
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(runtime);
    let dir = tempfile::tempdir_in(scratch_dir()).unwrap();
    RUNTIME.block_on(World::new(seed, objects, dir.path()).run(seed));
}

#[test]
fn what_was_acknowledged_is_there_once_after_faults_and_crashes() {
    each_seed(N_SEEDS, |seed| run_seed(seed, None));
}

#[test]
fn what_was_acknowledged_is_there_once_with_parts_in_failing_object_storage() {
    each_seed(N_SEEDS, |seed| run_seed(seed, Some(SimObjects::new(seed ^ 0x0b1ec7))));
}
