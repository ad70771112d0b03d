//! Parts in object storage, one promise a test; faults at random are in `model_tests`.

use std::{path::Path, sync::Arc, time::Duration};

use arrow::{array::AsArray as _, datatypes::Float64Type};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use skep_proto::{Clock as _, Sample, SampleRows, SystemClock, TimestampMs};
use skep_wal::RealFs;

use crate::{
    ConnectError, Credentials, FlushError, ObjectStoreConfig, OpenError, Store, StoreConfig,
    part_store::sim::{ObjectFaults, SimObjects},
};

struct Fixture {
    dir: tempfile::TempDir,
    objects: SimObjects,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            objects: SimObjects::new(7),
            runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap(),
        }
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, folder: &str) -> Result<Arc<Store>, OpenError> {
        self.open_at(folder, "prefix", 1 << 20)
    }

    fn open_at(
        &self,
        folder: &str,
        prefix: &str,
        cache_bytes: u64,
    ) -> Result<Arc<Store>, OpenError> {
        let settings = ObjectStoreConfig {
            bucket: "bucket".to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            credentials: Credentials::Environment,
            ca_file: None,
            virtual_hosted: false,
            cache_bytes,
        };
        let objects = Arc::new(self.objects.clone());
        let open = move |dir: &Path, fs| -> Result<Arc<dyn crate::part_store::PartStore>, _> {
            Ok(Arc::new(settings.open_on(objects, dir, fs)?))
        };
        Store::open_with(self.config(folder), Arc::new(SystemClock), Arc::new(RealFs), open)
    }

    fn config(&self, folder: &str) -> StoreConfig {
        StoreConfig {
            group_interval: Duration::ZERO,
            parts_per_day_max: 1,
            commits_per_checkpoint: 2,
            ..StoreConfig::new(self.folder(folder))
        }
    }

    fn append(&self, store: &Store, values: std::ops::Range<i32>) {
        let now = SystemClock.now().to_ms().0;
        let day = now - now.rem_euclid(86_400_000);
        let mut rows = SampleRows::default();
        let samples =
            values.map(|it| Sample { ts: TimestampMs(day + i64::from(it)), value: f64::from(it) });
        rows.push([("__name__", "up")], samples);
        self.runtime.block_on(store.append_samples(&rows)).unwrap();
    }

    fn flush(&self, store: &Arc<Store>) -> Result<(), FlushError> {
        self.runtime.block_on(store.flush())
    }

    fn compact(&self, store: &Arc<Store>) -> Result<(), FlushError> {
        self.runtime.block_on(store.compact())
    }

    fn read(&self, store: &Store) -> datafusion::common::Result<Vec<f64>> {
        self.runtime.block_on(async {
            let context = SessionContext::new();
            let table = store.snapshot().samples();
            let plan = table.scan(&context.state(), None, &[], None).await?;
            let batches: Vec<_> = plan.execute(0, context.task_ctx())?.try_collect().await?;
            let values = |it: &arrow::array::RecordBatch| {
                it.column(2).as_primitive::<Float64Type>().values().to_vec()
            };
            Ok(batches.iter().flat_map(values).collect())
        })
    }

    fn n_sample_parts(&self) -> usize {
        self.objects.names().iter().filter(|it| it.contains("/samples/day=")).count()
    }
}

fn numbers(range: std::ops::Range<i32>) -> Vec<f64> {
    range.map(f64::from).collect()
}

#[test]
fn a_commit_whose_answer_is_lost_is_followed_and_its_rows_are_there_once() {
    let fixture = Fixture::new();
    let store = fixture.open("a").unwrap();
    let lost = ObjectFaults { are_commits_lost: true, ..ObjectFaults::default() };
    for round in 0..2 {
        fixture.append(&store, 10 * round..10 * (round + 1));
        // Of series, then of samples: one commit is lost each time.
        for _ in 0..2 - round {
            fixture.objects.set_faults(lost);
            let error = fixture.flush(&store).unwrap_err();
            assert!(error.to_string().contains("commit"), "{error}");
            fixture.objects.set_faults(ObjectFaults::default());
            assert_eq!(fixture.read(&store).unwrap(), numbers(0..10 * (round + 1)));
        }
        fixture.flush(&store).unwrap();
        assert_eq!(fixture.read(&store).unwrap(), numbers(0..10 * (round + 1)));
        assert_eq!(store.stats().n_head_samples, 0);
    }
    fixture.objects.set_faults(lost);
    fixture.compact(&store).unwrap_err();
    fixture.objects.set_faults(ObjectFaults::default());
    assert_eq!(fixture.read(&store).unwrap(), numbers(0..20));
    fixture.compact(&store).unwrap();
    assert_eq!((store.stats().n_parts, fixture.read(&store).unwrap()), (1, numbers(0..20)));
    drop(store);
    let store = fixture.open("a").unwrap();
    assert_eq!(fixture.read(&store).unwrap(), numbers(0..20));
    assert_eq!(fixture.n_sample_parts(), 1, "what was merged away is gone");
}

#[test]
fn a_query_that_cannot_get_a_part_names_it_and_the_next_one_can() {
    let fixture = Fixture::new();
    let store = fixture.open("a").unwrap();
    fixture.append(&store, 0..10);
    fixture.flush(&store).unwrap();
    drop(store);
    std::fs::remove_dir_all(fixture.folder("a/samples")).unwrap();
    let store = fixture.open("a").unwrap();
    fixture.objects.set_faults(ObjectFaults { is_away: true, ..ObjectFaults::default() });
    let error = fixture.read(&store).unwrap_err().to_string();
    assert!(error.contains("part samples/day=") && error.contains("cannot be read"), "{error}");
    fixture.objects.set_faults(ObjectFaults::default());
    assert_eq!(fixture.read(&store).unwrap(), numbers(0..10));
    let stats = store.stats().object_store.unwrap();
    assert!(stats.n_cache_misses >= 1 && stats.n_bytes_down > 0, "{stats:?}");
}

#[test]
fn a_copy_that_is_not_the_part_is_fetched_again() {
    let fixture = Fixture::new();
    let store = fixture.open("a").unwrap();
    fixture.append(&store, 0..10);
    fixture.flush(&store).unwrap();
    drop(store);
    for day in std::fs::read_dir(fixture.folder("a/samples")).unwrap() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let n_bytes = std::fs::metadata(&path).unwrap().len();
            // As a power cut leaves it: the right size, and nothing in it.
            std::fs::write(&path, vec![0; usize::try_from(n_bytes).unwrap()]).unwrap();
        }
    }
    let store = fixture.open("a").unwrap();
    assert_eq!(fixture.read(&store).unwrap(), numbers(0..10));
    assert_eq!(store.stats().n_damaged_parts, 0);
}

#[test]
fn parts_that_do_not_fit_into_the_cache_are_read_and_merged_over_the_network() {
    let fixture = Fixture::new();
    let store = fixture.open_at("a", "prefix", 1).unwrap();
    for round in 0..3 {
        fixture.append(&store, 10 * round..10 * (round + 1));
        fixture.flush(&store).unwrap();
    }
    assert_eq!(fixture.read(&store).unwrap(), numbers(0..30));
    fixture.compact(&store).unwrap();
    assert_eq!((store.stats().n_parts, fixture.read(&store).unwrap()), (1, numbers(0..30)));
    assert_eq!(store.stats().object_store.unwrap().cache_bytes, 0);
}

#[test]
fn a_prefix_belongs_to_one_data_folder_and_a_data_folder_to_one_prefix() {
    let fixture = Fixture::new();
    let connect_error = |opened: Result<Arc<Store>, OpenError>| match opened.map(drop) {
        Err(OpenError::ObjectStore(error)) => error,
        other => panic!("{other:?}"),
    };
    drop(fixture.open("a").unwrap());
    drop(fixture.open("a").unwrap());
    let error = connect_error(fixture.open("b"));
    assert!(matches!(error, ConnectError::Owned { .. }), "{error}");
    // Refused there, it may go elsewhere; who has parts somewhere may not.
    drop(fixture.open_at("b", "other", 1 << 20).unwrap());
    let error = connect_error(fixture.open_at("a", "third", 1 << 20));
    assert!(matches!(error, ConnectError::Elsewhere { .. }), "{error}");
    let error = connect_error(Store::open(fixture.config("a"), Arc::new(SystemClock)));
    assert!(matches!(error, ConnectError::Elsewhere { .. }), "{error}");
    drop(Store::open(fixture.config("local"), Arc::new(SystemClock)).unwrap());
    let error = connect_error(fixture.open_at("local", "fourth", 1 << 20));
    assert!(matches!(error, ConnectError::LocalParts { .. }), "{error}");
    drop(Store::open(fixture.config("local"), Arc::new(SystemClock)).unwrap());
}

#[test]
fn a_storage_that_overwrites_where_it_must_not_is_refused() {
    let fixture = Fixture::new();
    fixture.objects.set_faults(ObjectFaults { overwrites: true, ..ObjectFaults::default() });
    let error = fixture.open("a").map(drop).unwrap_err();
    let expected = matches!(error, OpenError::ObjectStore(ConnectError::Unconditional { .. }));
    assert!(expected, "{error}");
}

#[test]
fn a_snapshot_of_tables_whose_first_commits_are_gone_opens_by_itself() {
    let fixture = Fixture::new();
    let local = Store::open(fixture.config("local"), Arc::new(SystemClock)).unwrap();
    for (folder, store) in [("a", fixture.open("a").unwrap()), ("local", local)] {
        for round in 0..6 {
            fixture.append(&store, 10 * round..10 * (round + 1));
            fixture.flush(&store).unwrap();
        }
        let name = fixture.runtime.block_on(store.make_snapshot()).unwrap();
        let snapshot = format!("{folder}/snapshots/{name}");
        let log = fixture.folder(&snapshot).join("samples/_delta_log");
        let n_files = std::fs::read_dir(&log).unwrap().count();
        assert!((4..9).contains(&n_files), "{n_files}");
        assert!(!log.join("00000000000000000000.json").exists());
        fixture.append(&store, 60..70);
        fixture.flush(&store).unwrap();
        let copy = Store::open(fixture.config(&snapshot), Arc::new(SystemClock)).unwrap();
        assert_eq!(fixture.read(&copy).unwrap(), numbers(0..60), "{folder}");
        assert_eq!(copy.stats().n_damaged_checkpoints, 0);
    }
}
