//! Requests to object storage: counted by what they were and how they ended, run on a thread of
//! their own so that both tasks and plain threads can wait for them.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart,
    path::Path as ObjectPath,
};
use tokio::{
    io::AsyncReadExt as _,
    runtime::{Handle, Runtime, RuntimeFlavor},
    task::JoinHandle,
};

use super::explain::explain;

/// Large objects go up and come down in pieces of this size …
pub(super) const PIECE_BYTES: usize = 8 << 20;
/// … so many at once: enough to fill a line with a long delay, little enough to hold in memory.
pub(super) const PIECES_AT_ONCE: usize = 4;

/// What is asked of object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectRequest {
    Get,
    Put,
    /// A commit, or the claim of the prefix.
    PutIfAbsent,
    Head,
    List,
    Delete,
}

impl ObjectRequest {
    pub const ALL: [Self; 6] =
        [Self::Get, Self::Put, Self::PutIfAbsent, Self::Head, Self::List, Self::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::PutIfAbsent => "put_if_absent",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    /// As an error says it.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::Put | Self::PutIfAbsent => "write",
            Self::Head => "look up",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// How a request ended, its retries included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectOutcome {
    Ok,
    NotFound,
    /// Something was there already.
    Exists,
    /// Wrong or missing credentials, or rights.
    Denied,
    Failed,
}

impl ObjectOutcome {
    pub const ALL: [Self; 5] = [Self::Ok, Self::NotFound, Self::Exists, Self::Denied, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    fn of<T>(result: &object_store::Result<T>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(object_store::Error::NotFound { .. }) => Self::NotFound,
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Self::Exists,
            Err(
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => Self::Denied,
            Err(_) => Self::Failed,
        }
    }
}

const N_OUTCOMES: usize = ObjectOutcome::ALL.len();

/// Requests by kind and outcome, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts([[u64; N_OUTCOMES]; ObjectRequest::ALL.len()]);

impl RequestCounts {
    pub fn iter(&self) -> impl Iterator<Item = (ObjectRequest, ObjectOutcome, u64)> + '_ {
        ObjectRequest::ALL.into_iter().zip(&self.0).flat_map(|(request, counts)| {
            ObjectOutcome::ALL.into_iter().zip(counts).map(move |(it, n)| (request, it, *n))
        })
    }
}

#[derive(Debug, Default)]
struct Figures {
    requests: [[AtomicU64; N_OUTCOMES]; ObjectRequest::ALL.len()],
    n_bytes_up: AtomicU64,
    n_bytes_down: AtomicU64,
}

/// The objects below one prefix. Names are paths below the data folder.
#[derive(Debug)]
pub(super) struct Requests {
    objects: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    /// For messages.
    url: String,
    data_dir: PathBuf,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    figures: Figures,
}

/// What a listing tells of an object.
#[derive(Debug)]
pub(super) struct Listed {
    /// Below the folder that was listed.
    pub(super) name: String,
    pub(super) size_bytes: u64,
}

impl Requests {
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: ObjectPath,
        url: String,
        data_dir: PathBuf,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("object-store")
            .enable_all()
            .build()?;
        let figures = Figures::default();
        Ok(Self { objects, prefix, url, data_dir, runtime: Some(runtime), figures })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn counts(&self) -> RequestCounts {
        RequestCounts(
            self.figures
                .requests
                .each_ref()
                .map(|it| it.each_ref().map(|n| n.load(Ordering::Relaxed))),
        )
    }

    /// Up, then down.
    pub(super) fn n_bytes(&self) -> (u64, u64) {
        let load = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (load(&self.figures.n_bytes_up), load(&self.figures.n_bytes_down))
    }

    /// Runs it on the requests' own thread.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.as_ref().expect("there until it is dropped").spawn(work)
    }

    /// Waits for it, holding up the calling thread, but not the tasks that wait for that thread.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = mpsc::sync_channel(1);
        drop(self.spawn(async move { done.send(work.await) }));
        let wait =
            || result.recv().unwrap_or_else(|_| Err(io::Error::other("the request panicked")));
        match Handle::try_current() {
            Ok(caller) if caller.runtime_flavor() == RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(wait)
            }
            _ => wait(),
        }
    }

    pub(super) async fn get(&self, path: &Path) -> io::Result<Bytes> {
        let location = self.location(path)?;
        let got = async { self.objects.get(&location).await?.bytes().await }.await;
        let bytes = self.count(ObjectRequest::Get, path, got)?;
        self.figures.n_bytes_down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    pub(super) async fn get_range(
        &self,
        path: &Path,
        range: std::ops::Range<u64>,
    ) -> io::Result<Bytes> {
        let location = self.location(path)?;
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let got = async { self.objects.get_opts(&location, options).await?.bytes().await }.await;
        let bytes = self.count(ObjectRequest::Get, path, got)?;
        self.figures.n_bytes_down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    pub(super) async fn size(&self, path: &Path) -> io::Result<u64> {
        let location = self.location(path)?;
        let head = self.objects.head(&location).await;
        Ok(self.count(ObjectRequest::Head, path, head)?.size)
    }

    pub(super) async fn put(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        let (location, n_bytes) = (self.location(path)?, bytes.len());
        let put = self.objects.put(&location, PutPayload::from_bytes(bytes)).await;
        self.count(ObjectRequest::Put, path, put)?;
        self.figures.n_bytes_up.fetch_add(n_bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// `AlreadyExists` if something else is there. Any other error leaves it open whether the
    /// bytes are there now: they may have been stored and the answer lost.
    pub(super) async fn put_if_absent(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        match self.put_where_nothing_is(path, bytes.clone()).await {
            // Perhaps stored by an attempt of this very request whose answer was lost.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.get(path).await? == bytes { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// `AlreadyExists` if anything is there, the same bytes too.
    pub(super) async fn put_where_nothing_is(&self, path: &Path, bytes: Bytes) -> io::Result<()> {
        let (location, n_bytes) = (self.location(path)?, bytes.len());
        let payload = PutPayload::from_bytes(bytes);
        let put = self.objects.put_opts(&location, payload, PutMode::Create.into()).await;
        self.count(ObjectRequest::PutIfAbsent, path, put)?;
        self.figures.n_bytes_up.fetch_add(n_bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Uploads the file at `path`, whole or not at all; returns its size.
    pub(super) async fn upload(&self, path: &Path) -> io::Result<u64> {
        let mut file = tokio::fs::File::open(path).await?;
        let size_bytes = file.metadata().await?.len();
        let location = self.location(path)?;
        let mut piece = read_piece(&mut file).await?;
        if piece.len() as u64 == size_bytes {
            self.put(path, piece).await?;
            return Ok(size_bytes);
        }
        let begun = self.objects.put_multipart(&location).await;
        let upload = self.count(ObjectRequest::Put, path, begun)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        while !piece.is_empty() {
            let waited = upload.wait_for_capacity(PIECES_AT_ONCE).await;
            if let Err(error) = self.count(ObjectRequest::Put, path, waited) {
                drop(upload.abort().await);
                return Err(error);
            }
            upload.put(piece);
            piece = read_piece(&mut file).await?;
        }
        let finished = upload.finish().await;
        self.count(ObjectRequest::Put, path, finished)?;
        self.figures.n_bytes_up.fetch_add(size_bytes, Ordering::Relaxed);
        Ok(size_bytes)
    }

    /// Everything below a folder, however deep.
    pub(super) async fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let location = self.location(dir)?;
        let listed: object_store::Result<Vec<_>> = self
            .objects
            .list(Some(&location))
            .map_ok(|it| (it.location, it.size))
            .try_collect()
            .await;
        let listed = self.count(ObjectRequest::List, dir, listed)?;
        let mut entries: Vec<_> = listed
            .into_iter()
            .filter_map(|(path, size_bytes)| {
                let parts: Vec<_> = path.prefix_match(&location)?.collect();
                let name = parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
                Some(Listed { name, size_bytes })
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Inside the storage.
    pub(super) async fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target) = (self.location(from)?, self.location(to)?);
        let copied = self.objects.copy(&source, &target).await;
        self.count(ObjectRequest::Put, from, copied)
    }

    /// Nothing that is there is as good as deleted.
    pub(super) async fn delete(&self, path: &Path) -> io::Result<()> {
        let location = self.location(path)?;
        let deleted = self.objects.delete(&location).await;
        match self.count(ObjectRequest::Delete, path, deleted) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// What object storage calls a file of the data folder.
    fn location(&self, path: &Path) -> io::Result<ObjectPath> {
        let below = path.strip_prefix(&self.data_dir).map_err(io::Error::other)?;
        let parts = below.components().map(|it| it.as_os_str().to_string_lossy().into_owned());
        let parts: Vec<String> = parts.collect();
        let name = [self.prefix.as_ref(), &parts.join("/")].join("/");
        ObjectPath::parse(name.trim_matches('/')).map_err(io::Error::other)
    }

    fn count<T>(
        &self,
        request: ObjectRequest,
        path: &Path,
        result: object_store::Result<T>,
    ) -> io::Result<T> {
        let outcome = ObjectOutcome::of(&result);
        if let Some(n) =
            self.figures.requests.get(request as usize).and_then(|it| it.get(outcome as usize))
        {
            n.fetch_add(1, Ordering::Relaxed);
        }
        result.map_err(|error| {
            let below = path.strip_prefix(&self.data_dir).unwrap_or(path);
            explain(request, &format!("{}/{}", self.url, below.display()), &error)
        })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // The last owner may be a task, where waiting for a runtime's end would panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Downloads in pieces, in order.
pub(super) async fn download(
    requests: &Requests,
    path: &Path,
    size_bytes: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let piece_bytes = PIECE_BYTES as u64;
    let pieces = (0..size_bytes.div_ceil(piece_bytes)).map(|n| {
        let start = n * piece_bytes;
        requests.get_range(path, start..size_bytes.min(start + piece_bytes))
    });
    let mut pieces = futures::stream::iter(pieces).buffered(PIECES_AT_ONCE);
    while let Some(piece) = pieces.next().await {
        take(&piece?)?;
    }
    Ok(())
}

async fn read_piece(file: &mut tokio::fs::File) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece).await?;
    Ok(piece.into())
}
