//! Parts against a map: what is merged or scanned is what was written last.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arrow::{
    array::AsArray as _,
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use datafusion::{
    execution::TaskContext,
    physical_plan::ExecutionPlan as _,
    prelude::{col, lit},
};
use futures::TryStreamExt as _;
use proptest::{collection::vec, prelude::*};
use skep_wal::RealFs;

use super::{Cache, merge, scan::SampleScanExec};
use crate::{
    encode::{Effort, SampleWriter, Written},
    filter::RowFilter,
    heads::SampleRun,
    index::{IdOrder, Index},
    part::{Part, PartInfo},
    part_store::LocalParts,
    retention::Expiry,
    schema::SAMPLES_KEY,
};

type Samples = BTreeMap<(i64, i64), u64>;

fn write(path: &Path, samples: &Samples, effort: Effort) -> Written {
    let mut writer = SampleWriter::create(path, effort, &RealFs);
    let rows: Vec<_> = samples.iter().collect();
    for rows in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
        let ts = rows.iter().map(|it| it.0.1).collect();
        let bits = rows.iter().map(|it| *it.1).collect();
        writer.push(&SampleRun { id: rows[0].0.0, ts, bits }).unwrap();
    }
    writer.finish().unwrap()
}

fn part(path: &Path, written: Written) -> Arc<Part> {
    let Written { size_bytes, n_rows, crc32c, ids, ts } = written;
    let info = PartInfo { size_bytes, n_rows, crc32c, ids, ts, ..PartInfo::for_test("a") };
    let store = Arc::new(LocalParts::new(Arc::new(RealFs)));
    Arc::new(Part::new(info, path.to_owned(), store))
}

async fn scan(
    parts: &[Arc<Part>],
    filter: &RowFilter,
    cache: &Arc<Cache>,
) -> Vec<((i64, i64), u64)> {
    let plan =
        SampleScanExec::new(filter.clone(), parts, Vec::new(), Arc::clone(cache), None).unwrap();
    let batches: Vec<_> =
        plan.execute(0, Arc::new(TaskContext::default())).unwrap().try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let ts = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
        let values = batch.column(2).as_primitive::<Float64Type>().values();
        for ((id, ts), value) in ids.iter().zip(ts).zip(values) {
            rows.push(((*id, *ts), value.to_bits()));
        }
    }
    rows
}

/// As of neighbours, which a query does not list.
fn ids_between(first: i64, last: i64) -> RowFilter {
    let mut filter = RowFilter::ALL;
    assert!(filter.narrow(&col("series_id").between(lit(first), lit(last)), &SAMPLES_KEY));
    filter
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..2000_i32).prop_map(|it| f64::from(it).to_bits()),
        (0..2000_i32).prop_map(|it| (f64::from(it) / 100.0).to_bits()),
        (0..9_i32).prop_map(|it| f64::from(it * 4096).to_bits()),
        any::<u64>(),
        Just(skep_proto::stale_marker().to_bits()),
        Just((-0.0_f64).to_bits()),
    ]
}

/// Runs of samples of one series each: from long enough to fill pages to single ones.
fn samples() -> impl Strategy<Value = Samples> {
    let run = (0..6_i64, 0..400_i64, 1..4_i64, vec(value(), 1..60));
    vec(run, 1..12).prop_map(|runs| {
        let mut samples = Samples::new();
        for (id, start, step, values) in runs {
            for (at, bits) in (0..).zip(values) {
                samples.insert((id, start + step * at), bits);
            }
        }
        samples
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_hold_what_was_written_last_before_and_after_a_merge(
        written in vec(samples(), 1..5),
        ids in vec(0..6_i64, 1..4),
        (ts_min, ts_max) in (0..400_i64, 0..600_i64),
        cache_bytes in prop_oneof![Just(0_usize), Just(2_000), Just(9_000), Just(1 << 20)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let cache = Arc::new(Cache::new(cache_bytes));
        let mut model = Samples::new();
        let mut parts = Vec::new();
        for (at, samples) in written.iter().enumerate() {
            let path = dir.path().join(at.to_string());
            parts.push(part(&path, write(&path, samples, Effort::Flush)));
            model.extend(samples);
        }
        let path = dir.path().join("merged");
        let mut writer = SampleWriter::create(&path, Effort::Merge, &RealFs);
        let nothing_expires = Expiry::new(0, &Index::new(IdOrder::BySource));
        merge(&parts, &nothing_expires, &mut writer).unwrap();
        let merged = [part(&path, writer.finish().unwrap())];
        let mut ids = ids;
        ids.sort_unstable();
        ids.dedup();
        let filters = [
            RowFilter::ALL,
            RowFilter::between(ts_min, ts_max),
            RowFilter::between(ts_max, i64::MAX),
            ids_between(ids[0], ids[ids.len() - 1]),
            RowFilter::of_ids(ids.clone(), (ts_max, i64::MAX)),
            RowFilter::of_ids(ids.clone(), (ts_min, ts_max)),
            RowFilter::of_ids(ids, (i64::MIN, i64::MAX)),
        ];
        // Twice, so that the second time finds what the first one left in memory.
        for filter in filters.iter().chain(&filters) {
            let wanted: Vec<_> = model
                .iter()
                .filter(|((id, ts), _)| filter.wants_id(*id) && filter.wants_ts(*ts))
                .map(|(key, bits)| (*key, *bits))
                .collect();
            prop_assert_eq!(&runtime.block_on(scan(&parts, filter, &cache)), &wanted);
            prop_assert_eq!(&runtime.block_on(scan(&merged, filter, &cache)), &wanted);
        }
    }
}
