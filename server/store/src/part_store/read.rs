//! A part as Parquet's reader sees it: its file in the cache, or, where the cache has no room for
//! it, pieces over the network.

use std::{
    collections::VecDeque,
    fmt, fs, io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, coalesce_ranges, path::Path as ObjectPath,
};
use tokio::sync::OnceCell;

use super::{PartUnavailable, Pin, ReadAt, requests::Requests};

/// Some pages of a column; a query may read many parts at once, each with …
const WINDOW_BYTES: u64 = 256 << 10;
/// … one for each of its columns.
const WINDOWS_MAX: usize = 6;

type PinFuture = BoxFuture<'static, io::Result<Pin>>;

/// One part, whatever it is asked for.
pub(super) struct PartObject {
    requests: Arc<Requests>,
    path: PathBuf,
    size_bytes: u64,
    pin: Box<dyn Fn() -> PinFuture + Send + Sync>,
    source: OnceCell<Source>,
}

enum Source {
    /// The pin goes with the reader.
    Cached(#[expect(dead_code, reason = "held, not read")] Pin, Arc<fs::File>),
    Remote,
}

impl PartObject {
    pub(super) fn new(
        requests: Arc<Requests>,
        path: &Path,
        size_bytes: u64,
        pin: impl Fn() -> PinFuture + Send + Sync + 'static,
    ) -> Self {
        let (path, pin) = (path.to_owned(), Box::new(pin));
        Self { requests, path, size_bytes, pin, source: OnceCell::new() }
    }

    async fn source(&self) -> Result<&Source> {
        let opened = self.source.get_or_try_init(|| async {
            match (self.pin)().await {
                Ok(pin) => Ok(Source::Cached(pin, Arc::new(fs::File::open(&self.path)?))),
                Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => Ok(Source::Remote),
                Err(error) => Err(error),
            }
        });
        opened.await.map_err(|error| self.error(error))
    }

    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.source().await? {
            Source::Cached(_, file) => {
                let (file, ranges) = (Arc::clone(file), ranges.to_vec());
                let read = tokio::task::spawn_blocking(move || {
                    ranges.iter().map(|it| read_at(&file, it)).collect::<io::Result<Vec<_>>>()
                });
                read.await?.map_err(|error| self.error(error))
            }
            Source::Remote => {
                let fetch = |range| self.fetch(range).boxed();
                coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
            }
        }
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let (requests, path) = (Arc::clone(&self.requests), self.path.clone());
        let got = self.requests.spawn(async move { requests.get_range(&path, range).await });
        got.await?.map_err(|error| self.error(error))
    }

    fn error(&self, source: io::Error) -> Error {
        let error = PartUnavailable::new(&self.path, source);
        Error::Generic { store: "part", source: Box::new(error) }
    }
}

/// A part that is read over the network by whoever may wait: in windows, the last of which are
/// kept, since neighbours are read one after the other.
pub(super) struct FarPart {
    requests: Arc<Requests>,
    path: PathBuf,
    size_bytes: u64,
    /// Newest last; start and bytes.
    windows: Mutex<VecDeque<(u64, Bytes)>>,
}

impl FarPart {
    pub(super) fn new(requests: Arc<Requests>, path: &Path, size_bytes: u64) -> Self {
        Self { requests, path: path.to_owned(), size_bytes, windows: Mutex::default() }
    }

    fn window(&self, start: u64) -> io::Result<Bytes> {
        let windows = || self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = windows().iter().find(|it| it.0 == start) {
            return Ok(bytes.clone());
        }
        let (requests, path) = (Arc::clone(&self.requests), self.path.clone());
        let range = start..self.size_bytes.min(start + WINDOW_BYTES);
        let bytes = self.requests.wait(async move { requests.get_range(&path, range).await })?;
        let mut windows = windows();
        windows.push_back((start, bytes.clone()));
        if windows.len() > WINDOWS_MAX {
            windows.pop_front();
        }
        Ok(bytes)
    }
}

impl ReadAt for FarPart {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.size_bytes || bytes.is_empty() {
            return Ok(0);
        }
        let start = at - at % WINDOW_BYTES;
        let window = self.window(start)?;
        let offset = usize::try_from(at - start).map_err(io::Error::other)?;
        let found = window.get(offset..).unwrap_or_default();
        let n_bytes = found.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..n_bytes), found.get(..n_bytes)) {
            to.copy_from_slice(from);
        }
        Ok(n_bytes)
    }
}

impl fmt::Debug for FarPart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("FarPart").field(&self.path).finish()
    }
}

fn read_at(file: &fs::File, range: &Range<u64>) -> io::Result<Bytes> {
    let n_bytes =
        usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; n_bytes];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "a part is only read".into() })
}

impl fmt::Debug for PartObject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("PartObject").field(&self.path).finish()
    }
}

impl fmt::Display for PartObject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path.display())
    }
}

#[async_trait]
impl ObjectStore for PartObject {
    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let size = self.size_bytes;
        let range = match options.range {
            None => 0..size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
            Some(GetRange::Offset(start)) => start.min(size)..size,
            Some(GetRange::Suffix(n_bytes)) => size.saturating_sub(n_bytes)..size,
        };
        let bytes =
            if options.head { Vec::new() } else { self.read(std::slice::from_ref(&range)).await? };
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size,
            e_tag: None,
            version: None,
        };
        let payload =
            GetResultPayload::Stream(futures::stream::iter(bytes.into_iter().map(Ok)).boxed());
        Ok(GetResult { payload, meta, range, attributes: object_store::Attributes::default() })
    }

    async fn get_ranges(&self, _: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read(ranges).await
    }

    async fn put_opts(&self, _: &ObjectPath, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &ObjectPath,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        futures::stream::iter([read_only()]).boxed()
    }

    fn list(&self, _: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::iter([read_only()]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&ObjectPath>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &ObjectPath, _: &ObjectPath, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
