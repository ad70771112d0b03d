//! Taking back files that somebody put into `<data>/restore/`: from a backup, in place of damaged
//! ones.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int64Type, Schema},
};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};
use skep_proto::names::column;
use skep_wal::Fs;

use crate::{
    commit::{Commit, CommitError, TableLog},
    damage::checksum,
    day::{NS_PER_MS, day_of_ms, format_day},
    encode::read_sets,
    flush::Tables,
    part::PartInfo,
};

/// Below the data folder; a folder for each table in it.
const RESTORE_DIR: &str = "restore";
const CHUNK_BYTES: usize = 256 << 10;

/// Why a file stays where it is.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error("its name is not that of a part, such as day=2026-11-22/0000000041-2.parquet")]
    Name,
    #[error("the table has a file of that name")]
    Live,
    #[error("it holds rows of {found}, its folder is {folder}")]
    Day { found: String, folder: String },
    #[error("it has no rows, or not those of this table")]
    Rows,
    #[error("it cannot be read")]
    Parquet(#[from] ParquetError),
    #[error("it cannot be read")]
    Sets(#[from] crate::encode::EncodeError),
    #[error("it cannot be used")]
    Io(#[from] io::Error),
    #[error("it cannot be committed")]
    Commit(#[from] CommitError),
}

/// Takes every file below `<data>/restore/` into its table. Those that cannot be taken stay there,
/// and the log says why: no reason not to start.
pub(crate) fn take_back(tables: &mut Tables, dir: &Path, disk: &dyn Fs, now_ms: i64) {
    let Tables { series, streams, samples, histograms, logs, tiers, .. } = tables;
    let tiers = tiers.0.iter_mut().map(|it| &mut it.1);
    for log in [series, streams, samples, histograms, logs].into_iter().chain(tiers) {
        let table = log.dir().file_name().unwrap_or_default().to_owned();
        let folder = dir.join(RESTORE_DIR).join(&table);
        for name in names_below(&folder) {
            let from = folder.join(&name);
            match take(log, &from, &name, disk, now_ms) {
                Ok(n_rows) => {
                    tracing::info!(file = %from.display(), n_rows, "Restored a part.");
                }
                Err(error) => {
                    let error = crate::run::report(&error);
                    tracing::error!(file = %from.display(), error, "Could not restore a part.");
                }
            }
        }
    }
}

/// `day=…/….parquet`, in order.
fn names_below(folder: &Path) -> Vec<String> {
    let list = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let of_day =
        |day: String| list(&folder.join(&day)).into_iter().map(move |file| format!("{day}/{file}"));
    list(folder).into_iter().flat_map(of_day).collect()
}

/// Copies the file into the table and commits it; returns its rows. The copy is removed last, so
/// that a crash before costs nothing.
fn take(
    log: &mut TableLog,
    from: &Path,
    name: &str,
    disk: &dyn Fs,
    now_ms: i64,
) -> Result<u64, RestoreError> {
    if log.is_live(name) {
        return Err(RestoreError::Live);
    }
    let part = describe(log, from, name)?;
    let to = log.path_of(&part);
    copy(from, &to, disk)?;
    log.store().publish(log.dir(), &to)?;
    let n_rows = part.n_rows;
    log.commit(Commit { operation: "WRITE", add: vec![part], ..Commit::default() }, now_ms)?;
    log.sync()?;
    disk.remove(from)?;
    Ok(n_rows)
}

fn copy(from: &Path, to: &Path, disk: &dyn Fs) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        disk.create_dir_all(folder)?;
    }
    let (mut source, mut target) = (File::open(from)?, disk.create(to)?);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = source.read(&mut chunk)?;
        if n == 0 {
            return target.sync();
        }
        target.append(chunk.get(..n).unwrap_or_default())?;
    }
}

/// What the commit log has to say of a file: from its name, and from reading it through.
fn describe(log: &TableLog, path: &Path, name: &str) -> Result<PartInfo, RestoreError> {
    let (folder, file) = name.split_once('/').ok_or(RestoreError::Name)?;
    let stem = file.strip_suffix(".parquet").ok_or(RestoreError::Name)?;
    let (rank, level) = stem.split_once('-').ok_or(RestoreError::Name)?;
    let rank = rank.parse().or(Err(RestoreError::Name))?;
    let level = level.parse().or(Err(RestoreError::Name))?;
    let read = read_through(path, log.columns())?;
    let n_rows = read.n_rows;
    let (Some(ids), Some(ts)) = (read.ids, read.ts) else { return Err(RestoreError::Rows) };
    let day = day_of_ms(if read.is_ns { ts.0.div_euclid(NS_PER_MS) } else { ts.0 });
    let found = format!("day={}", format_day(day));
    if found != folder {
        return Err(RestoreError::Day { found, folder: folder.to_owned() });
    }
    let (size_bytes, crc32c) = checksum(path)?;
    let name = name.to_owned();
    Ok(PartInfo { name, day, rank, level, size_bytes, crc32c, n_rows, ids, ts })
}

#[derive(Default)]
struct Seen {
    n_rows: u64,
    ids: Option<(i64, i64)>,
    ts: Option<(i64, i64)>,
    is_ns: bool,
}

fn widen(bounds: Option<(i64, i64)>, values: impl Iterator<Item = i64>) -> Option<(i64, i64)> {
    values.fold(bounds, |bounds, it| {
        Some(bounds.map_or((it, it), |(least, most)| (least.min(it), most.max(it))))
    })
}

fn read_through(path: &Path, columns: &Schema) -> Result<Seen, RestoreError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    if columns.fields().iter().any(|it| reader.schema().column_with_name(it.name()).is_none()) {
        return Err(RestoreError::Rows);
    }
    let mut seen = Seen::default();
    if reader.schema().column_with_name(column::FIRST_SEEN).is_some() {
        for row in read_sets(path)? {
            seen.n_rows += 1;
            seen.ids = widen(seen.ids, [row.id].into_iter());
            seen.ts = widen(seen.ts, [row.first_seen, row.last_seen].into_iter());
        }
        return Ok(seen);
    }
    for batch in reader.build()? {
        add_batch(&mut seen, &batch.map_err(ParquetError::from)?)?;
    }
    Ok(seen)
}

fn add_batch(seen: &mut Seen, batch: &RecordBatch) -> Result<(), RestoreError> {
    let ids = [column::SERIES_ID, column::STREAM_ID]
        .into_iter()
        .find_map(|it| batch.column_by_name(it).and_then(|it| it.as_primitive_opt::<Int64Type>()));
    let ts = batch.column_by_name(column::TS).ok_or(RestoreError::Rows)?;
    seen.is_ns = batch.column_by_name(column::STREAM_ID).is_some();
    let ts =
        arrow::compute::cast(ts, &arrow::datatypes::DataType::Int64).map_err(ParquetError::from)?;
    let (Some(ids), Some(ts)) = (ids, ts.as_primitive_opt::<Int64Type>()) else {
        return Err(RestoreError::Rows);
    };
    seen.n_rows += batch.num_rows() as u64;
    seen.ids = widen(seen.ids, ids.values().iter().copied());
    seen.ts = widen(seen.ts, ts.values().iter().copied());
    Ok(())
}
