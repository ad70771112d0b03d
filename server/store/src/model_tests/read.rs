//! What the store says it holds, held against the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType},
};
use datafusion::{
    catalog::TableProvider,
    execution::{SessionState, TaskContext},
    prelude::SessionContext,
};
use futures::TryStreamExt as _;
use skep_proto::{LineNeed, LogBlocks, LogColumns, LogWanted, Matcher, TimeRange, TimestampNs};
use skep_wal::sim::Faults;

use super::{
    HOSTS, World,
    model::{HISTOGRAM, LogRowKey, SampleKey},
    writes::histogram,
};
use crate::{
    Snapshot, Store,
    part_store::sim::{ObjectFaults, SimObjects},
};

impl World {
    pub(super) async fn check(&mut self, store: &Arc<Store>, context: &str) {
        let faults = self.objects.as_ref().map(SimObjects::faults);
        if let Some(objects) = &self.objects {
            // What a query answers that cannot fetch its parts is another test.
            objects.set_faults(ObjectFaults::default());
            self.disk.set_faults(Faults::default());
        }
        self.note_evictions(store, context).await;
        let samples = read_samples(store, self.may_lack_sets).await;
        let logs = read_logs(store, self.may_lack_sets).await;
        self.model.check(&samples, &logs, self.oldest_ms(), context);
        let host = HOSTS[self.random.below(3)];
        let selected =
            store.snapshot().series().select(&[Matcher::equal("host", host)], TimeRange::ALL);
        let selected: BTreeSet<_> = selected.iter().map(|(_, it)| it.to_string()).collect();
        let may_list_more = self.may_list_more || self.lists_more_for_good();
        let has_host = |series: &str| series.contains(&format!("host=\"{host}\""));
        let found: BTreeSet<_> =
            samples.into_iter().map(|it| series_of(it.0)).filter(|it| has_host(it)).collect();
        check_listed(&selected, &found, may_list_more, context);
        let selected =
            store.snapshot().streams().select(&[Matcher::equal("host", host)], TimeRange::ALL);
        let selected: BTreeSet<_> = selected.iter().map(|(_, it)| it.to_string()).collect();
        let found: BTreeSet<_> =
            logs.into_iter().map(|it| it.0).filter(|it| has_host(it)).collect();
        check_listed(&selected, &found, may_list_more, context);
        if let (Some(objects), Some(faults)) = (&self.objects, faults) {
            objects.set_faults(faults);
        }
    }

    /// Object storage holds the live parts, and nothing that was left behind.
    pub(super) async fn check_objects(&self, store: &Arc<Store>, context: &str) {
        let Some(objects) = &self.objects else { return };
        let is_part = |it: &String| it.contains("/day=");
        let found: Vec<_> = objects.names().into_iter().filter(is_part).collect();
        let tables = store.tables.lock().await;
        let mut live: Vec<_> = [
            ("histograms", &tables.histograms),
            ("logs", &tables.logs),
            ("samples", &tables.samples),
            ("series", &tables.series),
            ("streams", &tables.streams),
        ]
        .iter()
        .flat_map(|(table, log)| log.live().map(move |it| format!("prefix/{table}/{}", it.name)))
        .collect();
        live.sort_unstable();
        assert_eq!(found, live, "{context}");
    }
}

/// Label APIs tell every label set that has rows, and no other.
#[track_caller]
fn check_listed(
    selected: &BTreeSet<String>,
    found: &BTreeSet<String>,
    may_list_more: bool,
    context: &str,
) {
    let missing: Vec<_> = found.difference(selected).collect();
    assert!(missing.is_empty(), "{context}: {missing:?} have rows and are not listed");
    let empty: Vec<_> = selected.difference(found).collect();
    assert!(may_list_more || empty.is_empty(), "{context}: {empty:?} are listed without rows");
}

/// Without what tells that its samples are histograms.
fn series_of((series, _): SampleKey) -> String {
    series.strip_suffix(HISTOGRAM).map_or(series.clone(), str::to_owned)
}

async fn collect(table: Arc<dyn TableProvider>) -> Vec<RecordBatch> {
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    static STATE: LazyLock<SessionState> = LazyLock::new(|| CONTEXT.state());
    static TASK: LazyLock<Arc<TaskContext>> = LazyLock::new(|| CONTEXT.task_ctx());
    let plan = table.scan(&*STATE, None, &[], None).await.unwrap();
    plan.execute(0, Arc::clone(&TASK)).unwrap().try_collect().await.unwrap()
}

/// Samples by their bits, native histograms by those of their sum.
pub(super) async fn read_samples(store: &Arc<Store>, may_lack_sets: bool) -> Vec<(SampleKey, u64)> {
    let snapshot = store.snapshot();
    let mut rows = read_floats(&snapshot, may_lack_sets).await;
    rows.extend(read_histograms(&snapshot, may_lack_sets).await);
    rows
}

async fn read_histograms(snapshot: &Snapshot, may_lack_sets: bool) -> Vec<(SampleKey, u64)> {
    let Some(table) = snapshot.histograms() else { return Vec::new() };
    let names = names_of(snapshot);
    let mut rows = Vec::new();
    let mut last = None;
    for batch in collect(table).await {
        for (id, sample) in crate::read_histograms(&batch).unwrap() {
            let key = (id, sample.ts.0);
            assert!(last < Some(key), "out of order: {last:?} before {key:?}");
            last = Some(key);
            let read = &sample.histogram;
            let bits = read.sum.to_bits();
            assert!(read.is_stale() || **read == histogram(read.sum), "{read:?}");
            match names.get(&id) {
                Some(name) => rows.push(((format!("{name}{HISTOGRAM}"), sample.ts.0), bits)),
                None => assert!(may_lack_sets, "no series has id {id}"),
            }
        }
    }
    rows
}

fn names_of(snapshot: &Snapshot) -> BTreeMap<i64, String> {
    let series = snapshot.series().select(&[], TimeRange::ALL);
    series.into_iter().map(|(id, labels)| (id.0, labels.to_string())).collect()
}

async fn read_floats(snapshot: &Snapshot, may_lack_sets: bool) -> Vec<(SampleKey, u64)> {
    let names = names_of(snapshot);
    let mut rows = Vec::new();
    let mut last = None;
    for batch in collect(snapshot.samples()).await {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let ts = batch.column(1).as_primitive::<TimestampMillisecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        for i in 0..batch.num_rows() {
            let key = (ids.value(i), ts.value(i));
            assert!(last < Some(key), "out of order: {last:?} before {key:?}");
            last = Some(key);
            let Some(name) = names.get(&key.0) else {
                assert!(may_lack_sets, "no series has id {}", key.0);
                continue;
            };
            rows.push(((name.clone(), key.1), values.value(i).to_bits()));
        }
    }
    rows
}

pub(super) async fn read_logs(store: &Arc<Store>, may_lack_sets: bool) -> Vec<LogRowKey> {
    let snapshot = store.snapshot();
    let names: BTreeMap<i64, String> = snapshot
        .streams()
        .select(&[], TimeRange::ALL)
        .into_iter()
        .map(|(id, labels)| (id.0, labels.to_string()))
        .collect();
    let mut rows = Vec::new();
    let mut all = Vec::new();
    let mut last = None;
    for batch in collect(snapshot.logs()).await {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let ts = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let lines = batch.column(2).as_string::<i32>();
        let metadata = batch.column(3).as_map();
        for i in 0..batch.num_rows() {
            let key = (ids.value(i), ts.value(i));
            assert!(last <= Some(key), "out of order: {last:?} before {key:?}");
            last = Some(key);
            let entries = metadata.value(i);
            let (keys, values) =
                (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
            let pairs = keys
                .iter()
                .zip(values)
                .map(|(key, value)| (key.unwrap().to_owned(), value.unwrap().to_owned()))
                .collect();
            let line = lines.value(i).to_owned();
            all.push((key.0, key.1, line, Vec::clone(&pairs)));
            let Some(name) = names.get(&key.0) else {
                assert!(may_lack_sets, "no stream has id {}", key.0);
                continue;
            };
            rows.push((name.clone(), key.1, lines.value(i).to_owned(), pairs));
        }
    }
    check_blocks(&snapshot, all).await;
    rows
}

type Row = (i64, i64, String, Vec<(String, String)>);

/// Read block by block, the log holds the same rows; so does every half of the time.
async fn check_blocks(snapshot: &Snapshot, mut rows: Vec<Row>) {
    rows.sort();
    let middle = rows.get(rows.len() / 2).map_or(0, |it| it.1);
    let mut ids: Vec<i64> = rows.iter().map(|it| it.0).collect();
    ids.dedup();
    for (first, last) in [(i64::MIN, i64::MAX), (i64::MIN, middle), (middle + 1, i64::MAX)] {
        let expected: Vec<_> =
            rows.iter().filter(|it| first <= it.1 && it.1 <= last).cloned().collect();
        let wanted = LogWanted {
            ids: ids.clone(),
            first: TimestampNs(first),
            last: TimestampNs(last),
            need: LineNeed::NOTHING,
        };
        let blocks = snapshot.log_lines().open(wanted).await.unwrap();
        // It waits for files.
        let found = tokio::task::spawn_blocking(move || rows_of(blocks.as_ref())).await.unwrap();
        assert_eq!(found, expected, "from {first} to {last}");
    }
}

/// Rows that several sources share are taken once.
fn rows_of(blocks: &dyn LogBlocks) -> Vec<Row> {
    let (mut rows, mut shared) = (Vec::new(), BTreeSet::new());
    for (at, info) in blocks.infos().iter().enumerate() {
        let mut block = blocks.read(at).unwrap();
        let columns = LogColumns { line_bytes: true, metadata: true, ..LogColumns::LINES };
        block.load(columns).unwrap();
        let mut line = String::new();
        for row in block.wanted.iter().cloned().flatten() {
            let ts = block.ts[row];
            let data = block.data();
            let line = data.line(row, &mut line).to_owned();
            assert_eq!(data.n_bytes(row..row + 1), line.len() as u64);
            let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            let row = (block.ids[row], ts, line, data.metadata(row).map(pair).collect::<Vec<_>>());
            assert!(info.ids.0 <= row.0 && row.0 <= info.ids.1);
            assert!(info.ts.0 <= ts && ts <= info.ts.1);
            let may_come_again = info.shared.is_some_and(|it| it.0 <= ts && ts <= it.1);
            if !may_come_again || shared.insert(row.clone()) {
                rows.push(row);
            }
        }
    }
    rows.sort();
    rows
}
