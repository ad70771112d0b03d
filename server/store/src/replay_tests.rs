//! What a start brings back from the log; faults and crashes are in `model_tests`.

use std::{sync::Arc, time::Duration};

use skep_proto::{Sample, SampleRows, SystemClock, TimestampMs};

use crate::{Store, StoreConfig, filter::RowFilter, heads::SampleRun, test_fixture::NOW_MS};

/// Several pages of the heads.
const N_SERIES: usize = 3_000;
const N_REQUESTS: i64 = 30;

fn open(dir: &std::path::Path, replay_bytes_max: Option<usize>) -> Arc<Store> {
    let group_interval = Duration::ZERO;
    let config = StoreConfig { group_interval, replay_bytes_max, ..StoreConfig::new(dir) };
    Store::open(config, Arc::new(SystemClock)).unwrap()
}

/// Samples of the heads, by series.
fn in_memory(store: &Store) -> Vec<SampleRun> {
    let heads = Arc::clone(&store.view().samples.active);
    heads.ids().into_iter().filter_map(|id| heads.read(id, &RowFilter::ALL)).collect()
}

#[tokio::test]
async fn of_many_requests_side_by_side_the_last_one_s_value_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None);
    let names: Vec<String> = (0..N_SERIES).map(|it| format!("n{it}")).collect();
    for request in 0..N_REQUESTS {
        let mut rows = SampleRows::default();
        // Other series in another order each time, and every time stamp comes again.
        for at in (0..N_SERIES).filter(|it| (it + 1) % 7 != usize::try_from(request).unwrap() % 7) {
            let name = &names[(at * 7 + usize::try_from(request).unwrap()) % N_SERIES];
            let ts = TimestampMs(NOW_MS + request % 5 * 15_000);
            rows.push([("__name__", name.as_str())], [Sample { ts, value: request as f64 }]);
        }
        store.append_samples(&rows).await.unwrap();
    }
    let before = in_memory(&store);
    assert_eq!(before.len(), N_SERIES);
    drop(store);
    let store = open(dir.path(), None);
    assert_eq!(in_memory(&store), before);
    assert_eq!(store.stats().n_parts, 0);
}

#[tokio::test]
async fn rows_beyond_what_memory_takes_are_in_parts_when_the_start_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None);
    let mut rows = SampleRows::default();
    let sample = Sample { ts: TimestampMs(NOW_MS), value: 1.0 };
    rows.push([("__name__", "up")], [sample]);
    store.append_samples(&rows).await.unwrap();
    drop(store);
    // Another segment, and with it the first record of another process.
    let store = open(dir.path(), None);
    store.append_samples(&rows).await.unwrap();
    drop(store);
    let store = open(dir.path(), Some(1));
    assert_eq!((store.stats().n_parts, store.stats().n_head_samples), (1, 1));
    drop(store);
    // The parts are there, so the log's rows are not taken once more.
    let store = open(dir.path(), None);
    assert_eq!((store.stats().n_parts, store.stats().n_head_samples), (1, 1));
}
