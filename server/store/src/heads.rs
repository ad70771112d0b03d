//! Rows in memory: acknowledged, queryable, and not yet in a part.

mod histograms;
mod logs;
mod packed;
mod samples;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use arrow::array::{AsArray as _, RecordBatch};
use datafusion::common::{Result, internal_datafusion_err};
use skep_proto::names::column;
use xxhash_rust::xxh3::Xxh3;

pub(crate) use histograms::HistogramHeads;
pub(crate) use logs::{LogHeads, Row as LogHeadRow, decode_metadata};
pub(crate) use samples::{PageRun, SampleColumns, SampleHeads, SampleRun, SlotOf};

use crate::lines::{SplitLines, no_template};

/// Enough that two appenders seldom meet; a power of two.
const N_SHARDS: usize = 16;

/// Series of one metric are neighbours, so the low bits spread them.
fn shard_of(id: i64) -> usize {
    usize::try_from(id.rem_euclid(N_SHARDS as i64)).unwrap_or(0)
}

/// The rows of each id, in columns of type `C`.
type Shards<C> = [Mutex<HashMap<i64, C>>; N_SHARDS];

/// The ids that have rows, in order.
fn sorted_ids<C>(shards: &Shards<C>) -> Vec<i64> {
    let mut ids = Vec::new();
    for shard in shards {
        ids.extend(shard.lock().expect("nothing panics while it holds a head").keys());
    }
    ids.sort_unstable();
    ids
}

/// The days that have rows, in order.
fn days_in<C>(shards: &Shards<C>, days_of: impl Fn(&C) -> BTreeSet<i32>) -> BTreeSet<i32> {
    let mut days = BTreeSet::new();
    for shard in shards {
        let shard = shard.lock().expect("nothing panics while it holds a head");
        for columns in shard.values() {
            days.append(&mut days_of(columns));
        }
    }
    days
}

/// Stands for a row's line and metadata; so long that two different rows never share one.
pub(crate) fn hash_row(batch: &RecordBatch, row: usize) -> Result<u128> {
    let mut hasher = Xxh3::new();
    let mut update = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    let missing = || internal_datafusion_err!("log rows lack a column");
    if let Some(lines) = batch.column_by_name(column::LINE) {
        update(lines.as_string::<i32>().value(row));
    } else {
        // Not the pieces: the same line may have been taken apart in two ways.
        let mut line = String::new();
        let lines = SplitLines::of(batch).ok_or_else(missing)?;
        lines.join(row, &mut line).ok_or_else(no_template)?;
        update(&line);
    }
    let metadata = batch.column_by_name(column::METADATA).ok_or_else(missing)?;
    let entries = metadata.as_map().value(row);
    for column in entries.columns() {
        column.as_string::<i32>().iter().for_each(|it| update(it.unwrap_or_default()));
    }
    Ok(hasher.digest128())
}
