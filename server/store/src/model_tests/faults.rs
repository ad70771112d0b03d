//! What goes wrong around the store, and the settings it has to cope with.

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use skep_wal::{
    Durability, Fs as _,
    sim::{Faults, Seeded},
};

use super::{
    HOUR_MS, World,
    model::{log_day, sample_day},
};
use crate::{
    Credentials, ObjectStoreConfig, Store, StoreConfig, day::format_day,
    part_store::sim::ObjectFaults,
};

const RETENTION: Duration = Duration::from_secs(24 * 3_600);
/// A few flushes, with their commits.
const CAP_BYTES: u64 = 700 << 10;
/// Without commits and blocks, which object storage does not count.
const CAP_BYTES_OF_OBJECTS: u64 = 300 << 10;

pub(super) fn config(dir: &Path, random: &mut Seeded, has_objects: bool) -> StoreConfig {
    let cap_bytes = if has_objects { CAP_BYTES_OF_OBJECTS } else { CAP_BYTES };
    // Only rotations of the log sync then, so that a seed is a seed.
    let interval = Durability::Interval(Duration::from_secs(3_600));
    StoreConfig {
        group_interval: Duration::ZERO,
        // A replay writes parts wherever it can.
        replay_bytes_max: Some(1),
        parts_per_day_max: 2,
        commits_per_checkpoint: [1, 2, 3, 5][random.below(4)],
        durability: if random.is_one_in(4) { interval } else { Durability::Fsync },
        retention: random.is_one_in(3).then_some(RETENTION),
        max_bytes: random.is_one_in(4).then_some(cap_bytes),
        object_store: has_objects.then(|| object_store_config(1)),
        ..StoreConfig::new(dir.join("data"))
    }
}

pub(crate) fn object_store_config(cache_bytes: u64) -> ObjectStoreConfig {
    ObjectStoreConfig {
        bucket: "bucket".to_owned(),
        prefix: "prefix".to_owned(),
        endpoint: None,
        region: None,
        credentials: Credentials::Environment,
        ca_file: None,
        virtual_hosted: false,
        cache_bytes,
    }
}

impl World {
    pub(super) fn draw_faults(&mut self) {
        self.is_clean = false;
        let random = &mut self.random;
        let one_in =
            |random: &mut Seeded, often: usize, seldom: usize| [0, often, seldom][random.below(3)];
        if let Some(objects) = &self.objects
            && random.is_one_in(2)
        {
            let faults = ObjectFaults {
                put_one_in: one_in(random, 3, 10),
                get_one_in: one_in(random, 3, 10),
                list_one_in: one_in(random, 3, 10),
                delete_one_in: one_in(random, 3, 10),
                list_lag: random.below(8),
                is_away: random.is_one_in(6),
                ..ObjectFaults::default()
            };
            objects.set_faults(faults);
            return;
        }
        self.disk.set_faults(Faults {
            write_one_in: one_in(random, 5, 20),
            sync_one_in: one_in(random, 5, 20),
            name_one_in: one_in(random, 5, 20),
            rename_one_in: one_in(random, 2, 5),
            full_one_in: one_in(random, 5, 20),
            is_full: random.is_one_in(6),
            ..Faults::default()
        });
    }

    pub(super) fn heal(&mut self) {
        self.disk.set_faults(Faults::default());
        if let Some(objects) = &self.objects {
            objects.set_faults(ObjectFaults::default());
        }
    }

    /// The process is gone at once, and the power with it.
    pub(super) fn cut_power(&mut self) {
        // Whatever its last breath would have written.
        let nothing =
            Faults { write_one_in: 1, sync_one_in: 1, name_one_in: 1, ..Faults::default() };
        self.disk.set_faults(nothing);
        self.store = None;
        self.disk.crash().unwrap();
        self.model.lose_unsynced();
    }

    /// An orderly end of the process; what it could not sync at its end is gone.
    pub(super) async fn stop(&mut self, is_closed: bool, context: &str) {
        let Some(store) = self.store.take() else { return };
        if is_closed {
            store.close().await;
        } else {
            store.wal.close();
        }
        self.note_syncs(&store);
        self.note_evictions(&store, context).await;
        self.model.lose_unsynced();
    }

    /// Everything acknowledged before the log's last sync is on the disk.
    pub(super) fn note_syncs(&mut self, store: &Store) {
        let n_syncs = store.stats().n_wal_syncs;
        let is_always = self.config.durability == Durability::Fsync;
        if is_always || n_syncs > self.n_syncs {
            self.model.synced();
        }
        self.n_syncs = n_syncs;
    }

    /// Rows that go without a delete leave their label sets behind, until their day goes.
    pub(super) fn lists_more_for_good(&self) -> bool {
        let config = &self.config;
        let loses_rows = config.retention.is_some() || config.max_bytes.is_some();
        loses_rows || self.is_damaged || config.durability != Durability::Fsync
    }

    pub(super) fn pass_time(&mut self) {
        let hours = if self.is_of_one_day { 1 } else { [1, 5, 20][self.random.below(3)] };
        self.clock.0.fetch_add(hours * HOUR_MS, Ordering::Relaxed);
    }

    /// A bit flips in a part or checkpoint while nobody has it open.
    pub(super) fn damage(&mut self) {
        let tables = ["samples", "histograms", "logs", "series", "streams"];
        let table = tables[self.random.below(tables.len())];
        if self.objects.is_some() {
            return;
        }
        if self.random.is_one_in(3)
            && let Some(checkpoint) = self.newest_checkpoint(table)
        {
            println!("damage {}", checkpoint.display());
            self.disk.flip_bit(&checkpoint).unwrap();
            self.is_checkpoint_damaged = true;
            return;
        }
        let parts = self.files_of(table);
        if parts.is_empty() {
            return;
        }
        // Its day as the folder has it.
        let (day, path) = &parts[self.random.below(parts.len())];
        println!("damage {}", path.display());
        self.disk.flip_bit(path).unwrap();
        self.is_damaged = true;
        // They share their files with the store.
        self.snapshots.clear();
        match table {
            "samples" | "histograms" | "series" => {
                self.model.doubt_samples(|it| format_day(sample_day(it)) == *day);
            }
            _ => self.model.doubt_logs(|it| format_day(log_day(it)) == *day),
        }
        self.may_lack_sets |= ["series", "streams"].contains(&table);
    }

    fn newest_checkpoint(&self, table: &str) -> Option<PathBuf> {
        let dir = self.config.dir.join(table).join("_delta_log");
        let files = self.disk.list(&dir).unwrap_or_default().into_iter();
        let names = files.map(|it| it.name).filter(|it| it.ends_with(".checkpoint.parquet"));
        names.max().map(|it| dir.join(it))
    }

    fn files_of(&self, table: &str) -> Vec<(String, PathBuf)> {
        let dir = self.config.dir.join(table);
        let mut files = Vec::new();
        for folder in self.disk.list(&dir).unwrap_or_default() {
            let Some(day) = folder.name.strip_prefix("day=") else { continue };
            for file in self.disk.list(&dir.join(&folder.name)).unwrap() {
                if file.name.ends_with(".parquet") {
                    files.push((day.to_owned(), dir.join(&folder.name).join(file.name)));
                }
            }
        }
        files
    }
}
