//! Object storage that loses answers, lags and goes away on command.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use skep_wal::sim::Seeded;

/// How often a request fails: one in so many, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ObjectFaults {
    /// Half of them after it was stored.
    pub(crate) put_one_in: usize,
    pub(crate) get_one_in: usize,
    pub(crate) list_one_in: usize,
    /// Half of them after it was deleted.
    pub(crate) delete_one_in: usize,
    /// Listings leave out this many of the newest objects.
    pub(crate) list_lag: usize,
    pub(crate) is_away: bool,
    /// Conditional puts of commits are stored, and their answers lost.
    pub(crate) are_commits_lost: bool,
    /// Conditional puts are not.
    pub(crate) overwrites: bool,
    /// How many requests still work before none does; `None` for all.
    pub(crate) n_left: Option<usize>,
}

/// Clones are the same storage.
#[derive(Debug, Clone)]
pub(crate) struct SimObjects {
    inner: Arc<InMemory>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Seeded,
    faults: ObjectFaults,
    /// When each object was put, by number of puts.
    ages: BTreeMap<String, usize>,
    n_puts: usize,
}

impl SimObjects {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            random: Seeded::new(seed),
            faults: ObjectFaults::default(),
            ages: BTreeMap::new(),
            n_puts: 0,
        };
        Self { inner: Arc::new(InMemory::new()), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn faults(&self) -> ObjectFaults {
        self.lock().faults
    }

    pub(crate) fn set_faults(&self, faults: ObjectFaults) {
        self.lock().faults = faults;
    }

    /// Every object that is there, in order of name.
    pub(crate) fn names(&self) -> Vec<String> {
        let listed = self.inner.list(None).map_ok(|it| it.location.to_string());
        let mut names: Vec<_> = listed.try_collect().now_or_never().unwrap().unwrap();
        names.sort_unstable();
        names
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fails(&self, one_in: impl Fn(&ObjectFaults) -> usize) -> Option<Failure> {
        let mut state = self.lock();
        let one_in = one_in(&state.faults);
        if state.faults.is_away {
            return Some(Failure::Before);
        }
        match &mut state.faults.n_left {
            Some(0) => {
                state.faults.is_away = true;
                return Some(if state.random.is_one_in(2) {
                    Failure::Before
                } else {
                    Failure::After
                });
            }
            Some(n_left) => *n_left -= 1,
            None => {}
        }
        if !state.random.is_one_in(one_in) {
            return None;
        }
        Some(if state.random.is_one_in(2) { Failure::Before } else { Failure::After })
    }

    fn note_put(&self, location: &Path) {
        let mut state = self.lock();
        state.n_puts += 1;
        let n_puts = state.n_puts;
        state.ages.insert(location.to_string(), n_puts);
    }
}

#[derive(PartialEq, Eq)]
enum Failure {
    Before,
    After,
}

fn lost<T>() -> Result<T> {
    Err(object_store::Error::Generic { store: "sim", source: "simulated lost answer".into() })
}

impl fmt::Display for SimObjects {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SimObjects")
    }
}

#[async_trait]
impl ObjectStore for SimObjects {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let failure = self.fails(|it| it.put_one_in);
        if failure == Some(Failure::Before) {
            return lost();
        }
        let faults = self.faults();
        let is_commit = options.mode == PutMode::Create;
        let options = if faults.overwrites { PutOptions::default() } else { options };
        let put = self.inner.put_opts(location, payload, options).await?;
        self.note_put(location);
        let is_lost = failure.is_some() || faults.are_commits_lost && is_commit;
        if is_lost { lost() } else { Ok(put) }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.fails(|it| it.get_one_in).is_some() {
            return lost();
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let deleted = locations.and_then(move |location| {
            let this = this.clone();
            async move {
                let failure = this.fails(|it| it.delete_one_in);
                if failure == Some(Failure::Before) {
                    return lost();
                }
                let one = futures::stream::iter([Ok(location.clone())]).boxed();
                let deleted: Vec<_> = this.inner.delete_stream(one).collect().await;
                for it in deleted {
                    it?;
                }
                if failure.is_some() { lost() } else { Ok(location) }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.fails(|it| it.list_one_in).is_some() {
            return futures::stream::iter([lost()]).boxed();
        }
        let (oldest_hidden, ages) = {
            let state = self.lock();
            (state.n_puts.saturating_sub(state.faults.list_lag), state.ages.clone())
        };
        let is_shown = move |it: &ObjectMeta| {
            ages.get(it.location.as_ref()).is_none_or(|age| *age <= oldest_hidden)
        };
        self.inner.list(prefix).try_filter(move |it| futures::future::ready(is_shown(it))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
