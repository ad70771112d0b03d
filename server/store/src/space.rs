//! Room on the disk: a cap on everything the store holds, kept by letting go of the oldest days,
//! and a reserve of the file system, kept by refusing writes before the disk is full.
//!
//! Under a cap, room is made *before* it is needed: before a flush for its parts, and otherwise
//! down to [`Space::target_bytes`], which leaves a merge the room it writes its output into. What
//! the log takes is counted as it grows, and writes wait (429) rather than lift the whole over the
//! cap while a flush is under way.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_wal::{DiskSpace, Fs};
use tokio_util::sync::CancellationToken;

use crate::{
    commit::TableLog,
    day::NS_PER_MS,
    flush::{FlushError, Tables},
    index::Index,
    merge::Table,
    part::PartInfo,
    run::TableBytes,
    snapshot::SNAPSHOTS_DIR,
    store::Store,
    view::View,
};

/// How often the disk is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Of the cap: what one part may take, so that letting go of one part loses little, and what is
/// kept free for a merge.
const CAP_SHARE: u64 = 8;
/// Of the cap: the most that the log may take.
const WAL_SHARE: u64 = 4;
/// Of the cap: what samples summed up may take before their oldest days go first.
const ROLLUP_SHARE: u64 = 4;
/// Of the file system, unless the setting says otherwise: 5 %, and at most …
const RESERVE_SHARE: u64 = 20;
const RESERVE_BYTES_MAX: u64 = 128 << 20;
/// Files take whole blocks.
const BLOCK_BYTES: u64 = 4096;
/// The folder of the write-ahead log, which counts itself.
const WAL_DIR: &str = "wal";
/// A listing meets files that vanish; it is begun again this often.
const WALK_TRIES: usize = 3;
/// Of what rows take in memory, how much their parts took: a guess until the first flush, in
/// thousandths.
const PART_PERMILLE_GUESS: u64 = 250;

/// Figures of the disk, and whether there is room for writes.
#[derive(Debug, Default)]
pub(crate) struct Space {
    cap: Option<u64>,
    reserve: Option<u64>,
    /// All files but the log's, in whole blocks, what a running flush or merge may add included.
    files_bytes: AtomicU64,
    /// Parts of a merge under way.
    merging_bytes: AtomicU64,
    part_permille: AtomicU64,
    free_bytes: AtomicU64,
    is_full: AtomicBool,
    n_evicted_parts: AtomicU64,
    evicted_bytes: AtomicU64,
    n_merges_postponed: AtomicU64,
}

/// The disk as metrics tell of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpaceStats {
    /// The cap; `None` where there is none.
    pub max_bytes: Option<u64>,
    /// Everything in the store's folder, as of the last flush, merge or look.
    pub used_bytes: u64,
    /// Of the file system, as of the last look.
    pub free_bytes: u64,
    /// Writes are refused because the file system has less than the reserve.
    pub is_full: bool,
    /// Let go of to stay under the cap, since the start.
    pub n_evicted_parts: u64,
    pub evicted_bytes: u64,
    /// Merges put off for want of room, since the start.
    pub n_merges_postponed: u64,
}

/// Why a write has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Until a flush under way has made some.
    Soon,
    /// Until somebody makes some.
    DiskFull,
}

/// Room that a merge writes into, until dropped.
#[derive(Debug)]
pub(crate) struct MergeRoom<'a> {
    space: &'a Space,
    n_bytes: u64,
}

impl Drop for MergeRoom<'_> {
    fn drop(&mut self) {
        self.space.merging_bytes.fetch_sub(self.n_bytes, Ordering::Relaxed);
    }
}

impl Space {
    pub(crate) fn new(cap: Option<u64>, reserve: Option<u64>) -> Self {
        Self {
            cap,
            reserve,
            part_permille: AtomicU64::new(PART_PERMILLE_GUESS),
            free_bytes: AtomicU64::new(u64::MAX),
            ..Self::default()
        }
    }

    /// Down to this much is made room: the cap without the room of one merge.
    fn target_bytes(&self) -> Option<u64> {
        self.cap.map(|it| it - it / CAP_SHARE)
    }

    /// The most that one part may take; a merge stops there.
    pub(crate) fn part_bytes_max(&self) -> u64 {
        self.cap.map_or(u64::MAX, |it| it / CAP_SHARE)
    }

    /// Rows in memory are written out at the latest when they are this many bytes: the log holds
    /// them too, and that counts.
    pub(crate) fn flush_bytes_max(&self) -> usize {
        usize::try_from(self.part_bytes_max()).unwrap_or(usize::MAX)
    }

    /// Whether there is room for a write, `wal_bytes` being what the log takes.
    pub(crate) fn admit(&self, wal_bytes: impl FnOnce() -> u64) -> Result<(), NoRoom> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(NoRoom::DiskFull);
        }
        let Some(cap) = self.cap else { return Ok(()) };
        let wal_bytes = wal_bytes();
        // What the log holds becomes parts, which must not fill the cap alone.
        let is_over =
            wal_bytes > cap / WAL_SHARE || self.files_and_merge().saturating_add(wal_bytes) > cap;
        if is_over { Err(NoRoom::Soon) } else { Ok(()) }
    }

    fn files_and_merge(&self) -> u64 {
        self.files_bytes
            .load(Ordering::Relaxed)
            .saturating_add(self.merging_bytes.load(Ordering::Relaxed))
    }

    fn reserve_bytes(&self, total_bytes: u64) -> u64 {
        self.reserve.unwrap_or_else(|| (total_bytes / RESERVE_SHARE).min(RESERVE_BYTES_MAX))
    }

    /// Whether that changed.
    fn note_disk(&self, disk: DiskSpace) -> bool {
        self.free_bytes.store(disk.free_bytes, Ordering::Relaxed);
        let is_full = disk.free_bytes < self.reserve_bytes(disk.total_bytes);
        self.is_full.swap(is_full, Ordering::Relaxed) != is_full
    }

    /// How much `head_bytes` of rows will take as parts.
    fn parts_of(&self, head_bytes: u64) -> u64 {
        let permille = self.part_permille.load(Ordering::Relaxed);
        head_bytes.saturating_mul(permille) / 1000
    }

    fn note_parts(&self, head_bytes: u64, part_bytes: u64) {
        if let Some(permille) = part_bytes.saturating_mul(1000).checked_div(head_bytes) {
            // A little more than last time: rows differ.
            self.part_permille.store(permille + permille / 4, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self, wal_bytes: u64) -> SpaceStats {
        SpaceStats {
            max_bytes: self.cap,
            used_bytes: self.files_and_merge().saturating_add(wal_bytes),
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            is_full: self.is_full.load(Ordering::Relaxed),
            n_evicted_parts: self.n_evicted_parts.load(Ordering::Relaxed),
            evicted_bytes: self.evicted_bytes.load(Ordering::Relaxed),
            n_merges_postponed: self.n_merges_postponed.load(Ordering::Relaxed),
        }
    }
}

impl Store {
    /// Looks at the disk every second, until told to stop.
    pub(crate) async fn watch_space(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            self.look_at_disk().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
            }
        }
    }

    /// Notes how full the disk is, and lets go of old days if the store is over its cap.
    pub(crate) async fn look_at_disk(&self) {
        match self.fs.space(&self.config.dir) {
            Ok(disk) => {
                if self.space.note_disk(disk) {
                    self.report_disk(disk);
                }
                if self.space.is_full.load(Ordering::Relaxed) {
                    // Parts are smaller than the log that they take the place of.
                    self.flush_wanted.notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "Could not ask how full the disk is."),
        }
        let wal_bytes = self.wal.stats().n_bytes;
        let Some(target) = self.space.target_bytes() else { return };
        if wal_bytes > self.space.part_bytes_max() {
            self.flush_wanted.notify_one();
        }
        if self.space.files_and_merge().saturating_add(wal_bytes) > target {
            let mut tables = self.tables.lock().await;
            self.make_room(&mut tables, 0);
        }
    }

    pub(crate) fn has_cap(&self) -> bool {
        self.space.cap.is_some()
    }

    /// The day of samples summed up that goes before any rows do: they take too much of the cap.
    pub(crate) fn rollups_go_first(&self, view: &View) -> Option<i32> {
        let cap = self.space.cap?;
        let n_bytes: u64 = view.tiers.iter().map(|(_, part)| part.info.size_bytes).sum();
        if n_bytes <= cap / ROLLUP_SHARE {
            return None;
        }
        let oldest = view.tiers.iter().map(|(_, part)| part.info.day).min()?;
        // What still has its samples would be summed up again.
        let has_samples = view.samples.parts.iter().any(|it| it.info.day == oldest);
        (!has_samples).then_some(oldest)
    }

    /// Whether writes are refused because the file system has less left than the reserve.
    pub fn is_disk_full(&self) -> bool {
        self.space.is_full.load(Ordering::Relaxed)
    }

    fn report_disk(&self, disk: DiskSpace) {
        let (free_bytes, reserve_bytes) =
            (disk.free_bytes, self.space.reserve_bytes(disk.total_bytes));
        if free_bytes < reserve_bytes {
            tracing::error!(
                free_bytes,
                reserve_bytes,
                "The disk is full; writes are refused, and senders keep them. Make room."
            );
        } else {
            tracing::info!(free_bytes, reserve_bytes, "There is room on the disk again.");
        }
    }

    /// Room for a flush of `head_bytes` of rows.
    pub(crate) fn make_room_for_flush(&self, tables: &mut Tables, head_bytes: usize) {
        let head_bytes = u64::try_from(head_bytes).unwrap_or(u64::MAX);
        self.make_room(tables, self.space.parts_of(head_bytes));
    }

    /// Notes what a flush took, and makes room again.
    pub(crate) fn note_flush_space(&self, tables: &mut Tables, head_bytes: usize, parts: u64) {
        self.space.note_parts(u64::try_from(head_bytes).unwrap_or(u64::MAX), parts);
        self.make_room(tables, 0);
    }

    /// Lets go of the oldest days (of a single day, the oldest parts) until `needed` bytes fit
    /// under the cap. A failure is logged: what was wanted may still go well.
    fn make_room(&self, tables: &mut Tables, needed: u64) {
        let (Some(cap), Some(target)) = (self.space.cap, self.space.target_bytes()) else { return };
        let Some(files) = self.files_of(tables.size_bytes()) else { return };
        let mut used = files.saturating_add(self.wal.stats().n_bytes);
        let (mut n_parts, mut n_bytes) = (0_u64, 0_u64);
        let mut oldest_day = None;
        // What is summed up is there to outlive the samples, but not to push them out.
        while used.saturating_add(needed) > target
            && tables.size_bytes().rollups > cap / ROLLUP_SHARE
        {
            match self.evict_rollups(tables) {
                Ok(0) => break,
                Ok(freed) => {
                    n_parts += 1;
                    n_bytes += freed;
                    used = used.saturating_sub(freed);
                }
                Err(error) => {
                    let error = crate::run::report(&error);
                    tracing::warn!(error, "Could not let go of old rollups; trying again.");
                    break;
                }
            }
        }
        while used.saturating_add(needed) > target
            && let Some(victims) = Victims::choose(tables, used.saturating_add(needed) > cap)
        {
            let freed = victims.size_bytes();
            oldest_day = oldest_day.or(victims.day());
            n_parts += victims.n_parts();
            if let Err(error) = self.evict(tables, victims) {
                tracing::warn!(
                    error = crate::run::report(&error),
                    "Could not let go of old parts to stay under storage.max_bytes; trying again."
                );
                break;
            }
            n_bytes += freed;
            used = used.saturating_sub(freed);
        }
        self.space.n_evicted_parts.fetch_add(n_parts, Ordering::Relaxed);
        self.space.evicted_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let files = files.saturating_sub(n_bytes).saturating_add(needed);
        self.space.files_bytes.store(files, Ordering::Relaxed);
        if n_parts > 0 {
            let first_day = oldest_day.map(crate::day::format_day);
            tracing::info!(
                n_parts,
                n_bytes,
                first_day,
                max_bytes = cap,
                "Let go of the oldest parts to stay under storage.max_bytes."
            );
            self.note_disk_bytes(tables.size_bytes());
        }
    }

    fn evict(&self, tables: &mut Tables, victims: Victims) -> Result<(), FlushError> {
        for (table, parts) in victims.0 {
            if !parts.is_empty() {
                self.replace(tables.log(table), table, parts, Vec::new())?;
            }
        }
        self.drop_unused_sets(tables)
    }

    /// Label sets of days that have no rows any more. Rows still in memory bring theirs again.
    pub(crate) fn drop_unused_sets(&self, tables: &mut Tables) -> Result<(), FlushError> {
        let summed_up = tables.tiers.days();
        let Tables { series, streams, samples, histograms, logs, .. } = tables;
        let first_day = |rows: &TableLog| rows.live().map(|it| it.day).min().unwrap_or(i32::MAX);
        let first_samples = first_day(samples).min(first_day(histograms));
        let sets: [(&mut TableLog, &Index, i32, BTreeSet<i32>); 2] = [
            (series, &self.series, first_samples, summed_up),
            (streams, &self.streams, first_day(logs), BTreeSet::new()),
        ];
        for (sets, index, first_day, kept) in sets {
            let is_old = |it: &&PartInfo| it.day < first_day && !kept.contains(&it.day);
            let old: Vec<PartInfo> = sets.live().filter(is_old).cloned().collect();
            if old.is_empty() {
                continue;
            }
            let days: BTreeSet<i32> = old.iter().map(|it| it.day).collect();
            self.swap_sets(sets, old, Vec::new(), "DELETE")?;
            index.forget_days(&days);
            self.has_unused_sets.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Room for a part to be written anew, smaller; `None` if that has to wait.
    pub(crate) fn room_for_rewrite(&self, part: &PartInfo) -> Option<MergeRoom<'_>> {
        let free = self.space.free_bytes.load(Ordering::Relaxed);
        let used = self.space.files_and_merge().saturating_add(self.wal.stats().n_bytes);
        let under_cap = self.space.cap.map_or(u64::MAX, |it| it.saturating_sub(used));
        if part.size_bytes > free.min(under_cap) {
            self.space.n_merges_postponed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let n_bytes = on_disk(std::slice::from_ref(part));
        self.space.merging_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        Some(MergeRoom { space: &self.space, n_bytes })
    }

    /// Of parts to merge, in order of rank, those whose merger has room on the disk; `None` if a
    /// merger is not worth it or has to wait.
    pub(crate) fn room_for_merge<'a>(
        &self,
        parts: &'a [PartInfo],
    ) -> Option<(&'a [PartInfo], MergeRoom<'_>)> {
        let part_max = self.space.part_bytes_max();
        let free = self.space.free_bytes.load(Ordering::Relaxed);
        let used = self.space.files_and_merge().saturating_add(self.wal.stats().n_bytes);
        let under_cap = self.space.cap.map_or(u64::MAX, |it| it.saturating_sub(used));
        let room = part_max.min(under_cap).min(free);
        let mut n_bytes = 0_u64;
        let n_fit = parts
            .iter()
            .take_while(|it| {
                n_bytes = n_bytes.saturating_add(it.size_bytes);
                n_bytes <= room
            })
            .count();
        let fitting = parts.get(..n_fit).unwrap_or_default();
        if n_fit < parts.len() && (n_fit < 2 || room < part_max) {
            self.space.n_merges_postponed.fetch_add(1, Ordering::Relaxed);
        }
        if n_fit < 2 {
            return None;
        }
        let n_bytes = on_disk(fitting);
        self.space.merging_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        Some((fitting, MergeRoom { space: &self.space, n_bytes }))
    }

    /// What counts against the cap besides the log: with parts in object storage they are what it
    /// is about, and their copies in the data folder are bounded otherwise.
    fn files_of(&self, parts: TableBytes) -> Option<u64> {
        if self.config.object_store.is_some() {
            Some(parts.total())
        } else {
            walked(self.fs.as_ref(), &self.config.dir)
        }
    }

    /// After a merge: its inputs are gone, its output is there.
    pub(crate) fn note_merged(&self) {
        if self.space.cap.is_some()
            && let Some(files) = self.files_of(self.disk_bytes())
        {
            self.space.files_bytes.store(files, Ordering::Relaxed);
        }
    }
}

/// What goes first of the rows of these tables to stay under a cap.
pub(crate) fn next_victims(view: &View) -> Vec<(Table, PartInfo)> {
    let live = |table: Table| view.parts(table).iter().map(|it| it.info.clone()).collect();
    let all = Table::ALL.map(|it| (it, live(it)));
    let Some(Victims(victims)) = Victims::next(&all, true) else { return Vec::new() };
    let of = |(table, parts): (Table, Vec<PartInfo>)| parts.into_iter().map(move |it| (table, it));
    victims.into_iter().flat_map(of).collect()
}

/// Parts to let go of at once, by table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Victims(Vec<(Table, Vec<PartInfo>)>);

impl Victims {
    fn choose(tables: &mut Tables, is_over_cap: bool) -> Option<Self> {
        Self::next(&Table::ALL.map(|it| (it, live(tables.log(it)))), is_over_cap)
    }

    fn next(all: &[(Table, Vec<PartInfo>)], is_over_cap: bool) -> Option<Self> {
        // The last part of each table is what was written last. It goes only where a cap was set
        // that even it is too large for.
        Self::oldest(all, 1).or_else(|| is_over_cap.then(|| Self::oldest(all, 0)).flatten())
    }

    /// The oldest day of all tables, unless it is also the newest: then the one part whose newest
    /// row is the oldest, of a table that has more than `n_kept`.
    fn oldest(all: &[(Table, Vec<PartInfo>)], n_kept: usize) -> Option<Self> {
        let days = || all.iter().flat_map(|(_, parts)| parts).map(|it| it.day);
        let (first, last) = (days().min()?, days().max()?);
        if first < last {
            let of_day =
                |parts: &[PartInfo]| parts.iter().filter(|it| it.day == first).cloned().collect();
            return Some(Self(all.iter().map(|(table, it)| (*table, of_day(it))).collect()));
        }
        let age = |table: Table, part: &PartInfo| {
            let unit = if table == Table::Logs { NS_PER_MS } else { 1 };
            (part.ts.1.div_euclid(unit), part.rank)
        };
        let may_lose = all.iter().filter(|(_, parts)| parts.len() > n_kept);
        let parts = may_lose.flat_map(|(table, parts)| parts.iter().map(move |it| (*table, it)));
        let (table, part) = parts.min_by_key(|(table, part)| age(*table, part))?;
        Some(Self(vec![(table, vec![part.clone()])]))
    }

    fn parts(&self) -> impl Iterator<Item = &PartInfo> {
        self.0.iter().flat_map(|(_, parts)| parts)
    }

    fn size_bytes(&self) -> u64 {
        self.parts().map(|it| blocks(it.size_bytes)).sum()
    }

    fn n_parts(&self) -> u64 {
        self.parts().count() as u64
    }

    fn day(&self) -> Option<i32> {
        self.parts().map(|it| it.day).min()
    }
}

fn live(log: &TableLog) -> Vec<PartInfo> {
    log.live().cloned().collect()
}

fn on_disk(parts: &[PartInfo]) -> u64 {
    parts.iter().map(|it| blocks(it.size_bytes)).sum()
}

fn blocks(n_bytes: u64) -> u64 {
    n_bytes.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

/// All files of the store but the log's; `None` if the folder does not hold still.
fn walked(fs: &dyn Fs, dir: &Path) -> Option<u64> {
    for _ in 0..WALK_TRIES {
        match files_bytes(fs, dir, &[WAL_DIR, SNAPSHOTS_DIR]) {
            Ok(n_bytes) => return Some(n_bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "Could not add up the store's files.");
                return None;
            }
        }
    }
    None
}

fn files_bytes(fs: &dyn Fs, dir: &Path, without: &[&str]) -> io::Result<u64> {
    let mut n_bytes = 0;
    for entry in fs.list(dir)? {
        if !entry.is_dir {
            n_bytes += blocks(entry.size_bytes);
        } else if !without.contains(&entry.name.as_str()) {
            n_bytes += files_bytes(fs, &dir.join(&entry.name), &[])?;
        }
    }
    Ok(n_bytes)
}
