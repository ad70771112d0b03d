//! From heads to parts: freeze, write, commit, and let go of the log's segments.
//!
//! The order is what makes a crash at any point harmless. Label sets are committed and synced
//! before the rows that need them; rows with the segment they cover, so that a replay skips what
//! is in a part; segments go when every table's commit is on the disk.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    sync::Arc,
};

use skep_wal::{Fs, SegmentSeq, WalError};
use tokio::sync::OwnedMutexGuard;

use crate::{
    commit::{Commit, CommitError, Covered, TableLog},
    day::{MS_PER_DAY, NS_PER_MS, format_day, start_ms},
    downsample::TierLogs,
    encode::{
        Effort, EncodeError, HistogramWriter, LogWriter, SampleWriter, SetRow, Written, write_sets,
    },
    filter::RowFilter,
    heads::{HistogramHeads, LogHeads, SampleHeads},
    histograms,
    index::{Entry, IdOrder, Index},
    merge::Table,
    metadata,
    part::{Part, PartInfo},
    run::TableBytes,
    store::Store,
    table::read_log_stream,
    view::{Metadata, TableView, View},
    words::Lifetime,
};

/// The tables and what waits to be written to them.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) series: TableLog,
    pub(crate) streams: TableLog,
    pub(crate) samples: TableLog,
    pub(crate) histograms: TableLog,
    pub(crate) logs: TableLog,
    pub(crate) tiers: TierLogs,
    /// Oldest first.
    frozen: VecDeque<Frozen>,
    /// Up to which segment everything is in parts, and up to which segments are gone.
    covered: u64,
    removed: u64,
    /// What the metadata file holds.
    metadata: Option<Arc<BTreeMap<String, Metadata>>>,
}

/// Heads that take no more rows, and the newest segment whose rows they hold.
#[derive(Debug)]
struct Frozen {
    covered: u64,
    /// `None` once they are committed.
    samples: Option<Arc<SampleHeads>>,
    histograms: Option<Arc<HistogramHeads>>,
    logs: Option<Arc<LogHeads>>,
    /// Their segments are needed for another replay, whatever is committed.
    is_replayed: bool,
}

impl Frozen {
    /// What the view's heads hold, which are empty then.
    fn of(view: &mut View, covered: u64, is_replayed: bool) -> Self {
        let samples = freeze(&mut view.samples, |it| it.n_samples() > 0);
        let histograms = freeze(&mut view.histograms, |it| it.n_histograms() > 0);
        let logs = freeze(&mut view.logs, |it| it.n_entries() > 0);
        Self { covered, samples, histograms, logs, is_replayed }
    }

    /// What the commit of a table covers; `all` goes with the last one.
    fn covers(&self, is_last: bool) -> Covered {
        let all = if is_last && !self.is_replayed { self.covered } else { 0 };
        Covered { table: self.covered, all }
    }
}

/// Why rows are still in memory. They stay there and in the log; the next flush tries again.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error("cannot rotate the log")]
    Wal(#[from] WalError),
    #[error("cannot write a part")]
    Encode(#[from] EncodeError),
    #[error("cannot commit")]
    Commit(#[from] CommitError),
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the writer of parts panicked")]
    Panicked,
    #[error("cannot rewrite parts without deleted rows")]
    Delete(#[from] Box<crate::delete::DeleteError>),
}

/// What a new part is called.
pub(crate) struct PartName {
    pub(crate) day: i32,
    pub(crate) rank: u64,
    pub(crate) level: u32,
}

impl PartName {
    fn folder(&self) -> String {
        format!("day={}", format_day(self.day))
    }

    fn file(&self) -> String {
        format!("{}/{:010}-{}.parquet", self.folder(), self.rank, self.level)
    }

    /// At a level that no live file of the day and rank has.
    pub(crate) fn not_live(mut self, log: &TableLog) -> Self {
        while log.is_live(&self.file()) {
            self.level += 1;
        }
        self
    }

    /// The path of the new file, its folder made.
    pub(crate) fn prepare(&self, log: &TableLog, fs: &dyn Fs) -> Result<PathBuf, FlushError> {
        let folder = log.dir().join(self.folder());
        fs.create_dir_all(&folder)
            .map_err(|source| FlushError::Io { path: folder.clone(), source })?;
        Ok(log.dir().join(self.file()))
    }

    /// Makes the file durable where parts live, and says what to commit.
    pub(crate) fn finish(&self, log: &TableLog, written: Written) -> Result<PartInfo, FlushError> {
        let path = log.dir().join(self.file());
        let published = log.store().publish(log.dir(), &path);
        published.map_err(|source| FlushError::Io { path, source })?;
        Ok(PartInfo {
            name: self.file(),
            day: self.day,
            rank: self.rank,
            level: self.level,
            size_bytes: written.size_bytes,
            crc32c: written.crc32c,
            n_rows: written.n_rows,
            ids: written.ids,
            ts: written.ts,
        })
    }
}

impl Tables {
    pub(crate) fn new(
        series: TableLog,
        streams: TableLog,
        samples: TableLog,
        histograms: TableLog,
        logs: TableLog,
    ) -> Self {
        Self {
            series,
            streams,
            samples,
            histograms,
            logs,
            tiers: TierLogs::default(),
            frozen: VecDeque::new(),
            covered: 0,
            removed: 0,
            metadata: None,
        }
    }

    pub(crate) fn log(&mut self, table: Table) -> &mut TableLog {
        match table {
            Table::Samples => &mut self.samples,
            Table::Histograms => &mut self.histograms,
            Table::Logs => &mut self.logs,
        }
    }

    /// Of rows that wait to be written.
    fn frozen_bytes(&self) -> usize {
        let samples = self.frozen.iter().flat_map(|it| &it.samples).map(|it| it.n_bytes());
        let histograms = self.frozen.iter().flat_map(|it| &it.histograms).map(|it| it.n_bytes());
        let logs = self.frozen.iter().flat_map(|it| &it.logs).map(|it| it.n_bytes());
        samples.chain(histograms).chain(logs).sum()
    }

    /// The label sets of a table.
    pub(crate) fn sets(&mut self, table: Table) -> &mut TableLog {
        match table {
            Table::Samples | Table::Histograms => &mut self.series,
            Table::Logs => &mut self.streams,
        }
    }

    /// Returns once every commit is on the disk.
    pub(crate) fn sync(&mut self) -> Result<(), CommitError> {
        self.series.sync()?;
        self.streams.sync()?;
        self.samples.sync()?;
        self.histograms.sync()?;
        self.logs.sync()
    }

    pub(crate) fn n_damaged_checkpoints(&self) -> usize {
        let tiers = self.tiers.0.iter().map(|(_, log)| log);
        let Self { series, streams, samples, histograms, logs, .. } = self;
        let logs = [series, streams, samples, histograms, logs].into_iter();
        logs.chain(tiers).map(TableLog::n_damaged_checkpoints).sum()
    }

    pub(crate) fn size_bytes(&self) -> TableBytes {
        let bytes = |log: &TableLog| log.live().map(|it| it.size_bytes).sum();
        TableBytes {
            series: bytes(&self.series),
            streams: bytes(&self.streams),
            samples: bytes(&self.samples),
            histograms: bytes(&self.histograms),
            logs: bytes(&self.logs),
            rollups: self.tiers.0.iter().map(|(_, log)| bytes(log)).sum(),
        }
    }
}

impl Store {
    /// Writes everything in memory to parts; returns when it is readable there and durable.
    ///
    /// # Errors
    /// The disk. Nothing is lost: rows stay in memory and in the log.
    pub async fn flush(self: &Arc<Self>) -> Result<(), FlushError> {
        self.write_heads().await?;
        // Whoever asks for a flush adds a part out of turn.
        self.merge_wanted.notify_one();
        Ok(())
    }

    /// As [`Self::flush`], by whoever merges afterwards.
    pub(crate) async fn write_heads(self: &Arc<Self>) -> Result<(), FlushError> {
        let tables = Arc::clone(&self.tables).lock_owned().await;
        drop(self.flush_holding(tables).await?);
        Ok(())
    }

    /// As [`Self::flush`]; the tables stay locked.
    pub(crate) async fn flush_holding(
        self: &Arc<Self>,
        mut tables: OwnedMutexGuard<Tables>,
    ) -> Result<OwnedMutexGuard<Tables>, FlushError> {
        self.freeze(&mut tables).await?;
        let store = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            store.pace.begin_flush();
            let head_bytes = tables.frozen_bytes();
            store.make_room_for_flush(&mut tables, head_bytes);
            let before = tables.size_bytes().total();
            let written = store.write_out(&mut tables);
            let parts = tables.size_bytes().total().saturating_sub(before);
            store.pace.end_flush();
            (tables, written, head_bytes, parts)
        });
        let (mut tables, written, head_bytes, parts) =
            written.await.or(Err(FlushError::Panicked))?;
        written?;
        self.note_disk_bytes(tables.size_bytes());
        self.note_flush();
        if tables.covered > tables.removed {
            self.wal.remove_through(SegmentSeq(tables.covered)).await?;
            tables.removed = tables.covered;
        }
        self.note_flush_space(&mut tables, head_bytes, parts);
        Ok(tables)
    }

    /// Swaps the heads for empty ones, at a point where they hold exactly what the log's finished
    /// segments do.
    async fn freeze(&self, tables: &mut Tables) -> Result<(), FlushError> {
        let mut epoch = self.gate.write().await;
        {
            let view = self.view();
            let n_rows = view.samples.active.n_samples() + view.logs.active.n_entries();
            if n_rows + view.histograms.active.n_histograms() == 0 {
                return Ok(());
            }
        }
        let covered = self.wal.rotate().await?.0 - 1;
        *epoch += 1;
        let mut view = self.view();
        tables.frozen.push_back(Frozen::of(&mut view, covered, false));
        Ok(())
    }

    /// Writes the heads to parts during a replay: they hold all segments up to `covered`.
    pub(crate) fn write_replayed(
        &self,
        tables: &mut Tables,
        covered: u64,
    ) -> Result<(), FlushError> {
        {
            let mut view = self.view();
            tables.frozen.push_back(Frozen::of(&mut view, covered, true));
        }
        let head_bytes = tables.frozen_bytes();
        self.make_room_for_flush(tables, head_bytes);
        self.write_out(tables)
    }

    /// Writes what is frozen, oldest first.
    fn write_out(&self, tables: &mut Tables) -> Result<(), FlushError> {
        while let Some(mut frozen) = tables.frozen.pop_front() {
            if let Err(error) = self.write_frozen(tables, &mut frozen) {
                tables.frozen.push_front(frozen);
                return Err(error);
            }
            if !frozen.is_replayed {
                tables.covered = frozen.covered;
            }
        }
        let metadata = Arc::clone(&self.metadata());
        if tables.metadata.as_ref().is_none_or(|it| !Arc::ptr_eq(it, &metadata)) {
            metadata::save(&self.config.dir, &metadata, self.fs.as_ref())
                .map_err(|(path, source)| FlushError::Io { path, source })?;
            tables.metadata = Some(metadata);
        }
        tables.sync()?;
        Ok(())
    }

    fn write_frozen(&self, tables: &mut Tables, frozen: &mut Frozen) -> Result<(), FlushError> {
        // What earlier flushes held must be on the disk before a commit says that all of it is.
        tables.sync()?;
        self.follow_settled(tables)?;
        let rank = frozen.covered;
        let now_ms = self.clock.now().to_ms().0;
        // A commit in doubt may have turned out to be there; queries have its parts already.
        if tables.samples.covered().table >= rank
            && let Some(heads) = frozen.samples.take()
        {
            self.view().samples.replace_frozen(&heads, Vec::new());
        }
        if tables.histograms.covered().table >= rank
            && let Some(heads) = frozen.histograms.take()
        {
            self.view().histograms.replace_frozen(&heads, Vec::new());
        }
        if tables.logs.covered().table >= rank
            && let Some(heads) = frozen.logs.take()
        {
            self.view().logs.replace_frozen(&heads, Vec::new());
        }
        if let Some(heads) = &frozen.samples {
            let (parts, sets) = self.write_samples(&tables.samples, heads, rank)?;
            self.commit_sets(&mut tables.series, &self.series, IdOrder::BySource, sets, rank)?;
            let commit = Commit {
                operation: "WRITE",
                add: parts.clone(),
                covered: frozen.covers(frozen.histograms.is_none() && frozen.logs.is_none()),
                ..Commit::default()
            };
            tables.samples.commit(commit, now_ms)?;
            let parts = self.open_parts(Table::Samples, &tables.samples, parts);
            self.view().samples.replace_frozen(heads, parts);
            frozen.samples = None;
        }
        if let Some(heads) = &frozen.histograms {
            let (parts, sets) = self.write_histograms(&tables.histograms, heads, rank)?;
            self.commit_sets(&mut tables.series, &self.series, IdOrder::BySource, sets, rank)?;
            tables.samples.sync()?;
            let commit = Commit {
                operation: "WRITE",
                add: parts.clone(),
                covered: frozen.covers(frozen.logs.is_none()),
                ..Commit::default()
            };
            tables.histograms.commit(commit, now_ms)?;
            let parts = self.open_parts(Table::Histograms, &tables.histograms, parts);
            self.view().histograms.replace_frozen(heads, parts);
            frozen.histograms = None;
        }
        if let Some(heads) = &frozen.logs {
            let (parts, sets) = self.write_logs(&tables.logs, heads, rank)?;
            self.commit_sets(&mut tables.streams, &self.streams, IdOrder::Sequential, sets, rank)?;
            tables.samples.sync()?;
            tables.histograms.sync()?;
            let commit = Commit {
                operation: "WRITE",
                add: parts.clone(),
                covered: frozen.covers(true),
                ..Commit::default()
            };
            tables.logs.commit(commit, now_ms)?;
            let parts = self.open_parts(Table::Logs, &tables.logs, parts);
            self.view().logs.replace_frozen(heads, parts);
            frozen.logs = None;
        }
        Ok(())
    }

    /// One part a day, and which series are in it.
    fn write_samples(
        &self,
        log: &TableLog,
        heads: &SampleHeads,
        rank: u64,
    ) -> Result<(Vec<PartInfo>, Vec<DaySets>), FlushError> {
        let (mut parts, mut sets) = (Vec::new(), Vec::new());
        let series = heads.series();
        for day in heads.days() {
            let name = PartName { day, rank, level: 0 };
            let path = name.prepare(log, self.fs.as_ref())?;
            let mut writer = SampleWriter::create(&path, Effort::Flush, self.fs.as_ref());
            let filter = RowFilter::between(start_ms(day), start_ms(day) + MS_PER_DAY - 1);
            let mut seen = Vec::new();
            for one in &series {
                let Some(run) = heads.read_series(one, &filter) else { continue };
                writer.push(&run)?;
                if let (Some(first), Some(last)) = (run.ts.first(), run.ts.last()) {
                    seen.push((one.ordinal, (*first, *last)));
                }
            }
            parts.push(name.finish(log, writer.finish()?)?);
            sets.push(DaySets { day, seen });
        }
        Ok((parts, sets))
    }

    /// As [`Self::write_samples`].
    fn write_histograms(
        &self,
        log: &TableLog,
        heads: &HistogramHeads,
        rank: u64,
    ) -> Result<(Vec<PartInfo>, Vec<DaySets>), FlushError> {
        let (mut parts, mut sets) = (Vec::new(), Vec::new());
        let (ids, by_id) = (heads.ids(), self.series.by_id());
        for day in heads.days() {
            let name = PartName { day, rank, level: 0 };
            let path = name.prepare(log, self.fs.as_ref())?;
            let mut writer = HistogramWriter::create(&path, self.fs.as_ref())?;
            let filter = RowFilter::between(start_ms(day), start_ms(day) + MS_PER_DAY - 1);
            let mut seen = Vec::new();
            for &id in &ids {
                let of_id = heads.read(id, &filter);
                if let (Some(first), Some(last)) = (of_id.first(), of_id.last())
                    && let Some(entry) = by_id.get(&id)
                {
                    seen.push((entry.ordinal(), (first.ts.0, last.ts.0)));
                }
            }
            let batches = histograms::batches(heads, ids.iter().copied(), &filter);
            for batch in batches.map_err(EncodeError::Merge)? {
                writer.push(&batch)?;
            }
            parts.push(name.finish(log, writer.finish()?)?);
            sets.push(DaySets { day, seen });
        }
        Ok((parts, sets))
    }

    fn write_logs(
        &self,
        log: &TableLog,
        heads: &LogHeads,
        rank: u64,
    ) -> Result<(Vec<PartInfo>, Vec<DaySets>), FlushError> {
        let (mut parts, mut sets) = (Vec::new(), Vec::new());
        let (ids, by_id) = (heads.ids(), self.streams.by_id());
        for day in heads.days() {
            let name = PartName { day, rank, level: 0 };
            let path = name.prepare(log, self.fs.as_ref())?;
            let mut writer = LogWriter::create(&path, Lifetime::Short, self.fs.as_ref())?;
            let start_ns = start_ms(day).saturating_mul(NS_PER_MS);
            let end_ns = start_ns.saturating_add(MS_PER_DAY * NS_PER_MS - 1);
            let filter = RowFilter::between(start_ns, end_ns);
            let mut seen = Vec::new();
            for &id in &ids {
                let mut ts = (i64::MAX, i64::MIN);
                read_log_stream(heads, id, &filter, |batch, first, last| {
                    ts = (ts.0.min(first), ts.1.max(last));
                    writer.push(&batch)
                })?;
                if ts.0 <= ts.1
                    && let Some(entry) = by_id.get(&id)
                {
                    let ms = |ns: i64| ns.div_euclid(NS_PER_MS);
                    seen.push((entry.ordinal(), (ms(ts.0), ms(ts.1))));
                }
            }
            parts.push(name.finish(log, writer.finish()?)?);
            sets.push(DaySets { day, seen });
        }
        Ok((parts, sets))
    }

    /// Writes and syncs the rows of label sets that are new on their day.
    fn commit_sets(
        &self,
        log: &mut TableLog,
        index: &Index,
        order: IdOrder,
        sets: Vec<DaySets>,
        rank: u64,
    ) -> Result<(), FlushError> {
        let (mut add, mut written) = (Vec::new(), Vec::new());
        for DaySets { day, seen } in sets {
            let new = index.unwritten(day, seen);
            if new.is_empty() {
                continue;
            }
            let row = |(entry, seen): &(Arc<Entry>, (i64, i64))| SetRow {
                id: entry.id,
                labels: Arc::clone(&entry.labels),
                first_seen: seen.0,
                last_seen: seen.1,
            };
            let rows: Vec<_> = new.iter().map(row).collect();
            let entries: Vec<_> = new.into_iter().map(|(entry, _)| entry).collect();
            // Samples and histograms bring some each, and so may an attempt before this one.
            let name = PartName { day, rank, level: 0 }.not_live(log);
            let path = name.prepare(log, self.fs.as_ref())?;
            let part = write_sets(&path, order, &rows, self.fs.as_ref())?;
            add.push(name.finish(log, part)?);
            written.push((day, entries));
        }
        if !add.is_empty() {
            let commit = Commit { operation: "WRITE", add, ..Commit::default() };
            log.commit(commit, self.clock.now().to_ms().0)?;
        }
        for (day, entries) in written {
            index.mark_written(day, &entries);
        }
        log.sync()?;
        Ok(())
    }

    pub(crate) fn open_parts(
        &self,
        table: Table,
        log: &TableLog,
        parts: Vec<PartInfo>,
    ) -> Vec<Arc<Part>> {
        let deletes = self.deletes_held();
        let open = |info: PartInfo| {
            let path = log.path_of(&info);
            let part = Part::new(info, path, Arc::clone(log.store()));
            deletes.attach(table, &part);
            part.health.set_sound();
            Arc::new(part)
        };
        parts.into_iter().map(open).collect()
    }
}

/// The label sets of one day, in order of id: ordinals, with their oldest and newest row in
/// milliseconds.
struct DaySets {
    day: i32,
    seen: Vec<(u32, (i64, i64))>,
}

fn freeze<H: Default>(table: &mut TableView<H>, has_rows: fn(&H) -> bool) -> Option<Arc<H>> {
    if !has_rows(&table.active) {
        return None;
    }
    let frozen = std::mem::take(&mut table.active);
    table.frozen.push(Arc::clone(&frozen));
    Some(frozen)
}

impl<H> TableView<H> {
    /// Rows move from heads to parts in one step.
    fn replace_frozen(&mut self, heads: &Arc<H>, parts: Vec<Arc<Part>>) {
        self.frozen.retain(|it| !Arc::ptr_eq(it, heads));
        self.parts.extend(parts);
        self.parts.sort_by_key(|it| it.info.rank);
    }
}
