//! From a configuration to object storage that answers and belongs to this data folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, CredentialProvider, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
    path::Path as ObjectPath,
};
use serde::{Deserialize, Serialize};
use skep_wal::Fs;

use super::{object::ObjectParts, requests::Requests};

/// In the bucket: whose parts these are. In the data folder: where its parts are.
const OWNER: &str = "skep-owner.json";
const VERSION: u32 = 1;
/// A request is tried again this often and this long: a hiccup is got over, and a query that waits
/// for a storage that is away is told so while somebody still looks. Flushes come again anyway.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
const RETRIES_MAX: usize = 5;
/// Of somebody who waits to hear whether the settings are right.
const CHECK_RETRY_TIMEOUT: Duration = Duration::from_secs(2);
const CHECK_RETRIES_MAX: usize = 1;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one request: a piece of 8 MiB over a line of 1.5 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// Where parts live if not in the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStoreConfig {
    pub bucket: String,
    /// Without slashes around it; may be empty.
    pub prefix: String,
    /// `None`: Amazon's.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials: Credentials,
    /// A certificate authority to trust besides the usual ones, in PEM.
    pub ca_file: Option<PathBuf>,
    /// `https://bucket.endpoint/` instead of `https://endpoint/bucket/`.
    pub virtual_hosted: bool,
    /// How much of the data folder may hold copies of parts.
    pub cache_bytes: u64,
}

/// Never the secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Read again when they change.
    Files { access_key: PathBuf, secret_key: PathBuf },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Environment,
    /// Of the machine or container, as Amazon's metadata service or a web identity tells them.
    Instance,
}

/// Why object storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("object_store: {} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("object_store: {} is no certificate in PEM", path.display())]
    Certificate { path: PathBuf, source: object_store::Error },
    #[error(
        "object_store: no credentials; write access_key_file and secret_key_file, or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials,
    #[error("object_store: these settings do not go together")]
    Settings(#[source] object_store::Error),
    #[error("object_store: {url} cannot be used")]
    Unusable { url: String, source: io::Error },
    #[error(
        "object_store: {url} ignores If-None-Match, so that two servers could overwrite each \
         other's commits; use a storage that knows conditional puts"
    )]
    Unconditional { url: String },
    #[error(
        "object_store: {url} belongs to another data folder ({}, first used on {}); use another \
         prefix, or, if that folder is gone for good, delete {url}/{OWNER}", owner.id, owner.host
    )]
    Owned { url: String, owner: Owner },
    #[error(
        "object_store: {} holds parts of its own; use an empty data_dir, or leave out \
         [object_store]", path.display()
    )]
    LocalParts { path: PathBuf },
    #[error(
        "{} says that the parts are in {url}, not here; write [object_store] url = {url:?}",
        path.display()
    )]
    Elsewhere { path: PathBuf, url: String },
}

/// Who writes below a prefix: what its owner object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    version: u32,
    pub id: String,
    pub host: String,
}

/// What the data folder knows of its parts.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    owner: Owner,
    url: String,
    /// The prefix was ours at least once.
    is_claimed: bool,
}

impl ObjectStoreConfig {
    /// As it would be written in a configuration.
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    /// Whether it answers, the bucket is there, and the credentials are good.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub fn check(&self) -> Result<(), ConnectError> {
        let client = self.client(CHECK_RETRIES_MAX, CHECK_RETRY_TIMEOUT)?;
        let requests = self.requests(client, Path::new("/"))?;
        let waiter = Arc::clone(&requests);
        // A key that may list but not get is found out at start.
        let owner = waiter.wait(async move {
            match requests.get(Path::new("/").join(OWNER).as_path()).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other.map(drop),
            }
        });
        owner.map_err(|source| ConnectError::Unusable { url: self.url(), source })
    }

    /// Connects, and makes sure that nobody else writes there.
    pub(crate) fn open(
        &self,
        data_dir: &Path,
        fs: Arc<dyn Fs>,
    ) -> Result<ObjectParts, ConnectError> {
        self.open_on(self.client(RETRIES_MAX, RETRY_TIMEOUT)?, data_dir, fs)
    }

    /// As [`Self::open`], on object storage that is there already.
    pub(crate) fn open_on(
        &self,
        objects: Arc<dyn ObjectStore>,
        data_dir: &Path,
        fs: Arc<dyn Fs>,
    ) -> Result<ObjectParts, ConnectError> {
        let requests = self.requests(objects, data_dir)?;
        claim(&requests, data_dir, fs.as_ref())?;
        Ok(ObjectParts::new(requests, fs, self.cache_bytes))
    }

    fn requests(
        &self,
        objects: Arc<dyn ObjectStore>,
        data_dir: &Path,
    ) -> Result<Arc<Requests>, ConnectError> {
        let unusable = |source| ConnectError::Unusable { url: self.url(), source };
        let prefix = ObjectPath::parse(&self.prefix)
            .map_err(|error| ConnectError::Settings(error.into()))?;
        let requests = Requests::new(objects, prefix, self.url(), data_dir.to_owned());
        Ok(Arc::new(requests.map_err(unusable)?))
    }

    fn client(
        &self,
        max_retries: usize,
        retry_timeout: Duration,
    ) -> Result<Arc<dyn ObjectStore>, ConnectError> {
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        if let Some(path) = &self.ca_file {
            let pem = fs::read(path).map_err(file_error(path))?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|source| ConnectError::Certificate { path: path.clone(), source })?;
            options = options.with_root_certificate(certificate);
        }
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries, retry_timeout };
        let mut builder = match &self.credentials {
            Credentials::Files { access_key, secret_key } => {
                let keys = KeyFiles::new(access_key.clone(), secret_key.clone());
                keys.read()?;
                AmazonS3Builder::new().with_credentials(Arc::new(keys))
            }
            Credentials::Environment => {
                let builder = AmazonS3Builder::from_env();
                let is_set = |key| builder.get_config_value(&key).is_some();
                if !is_set(AmazonS3ConfigKey::AccessKeyId)
                    || !is_set(AmazonS3ConfigKey::SecretAccessKey)
                {
                    return Err(ConnectError::NoCredentials);
                }
                builder
            }
            Credentials::Instance => AmazonS3Builder::from_env(),
        };
        // After the options, which it is part of.
        let is_plain = self.endpoint.as_ref().is_some_and(|it| it.starts_with("http://"));
        builder = builder
            .with_client_options(options)
            .with_retry(retry)
            .with_allow_http(is_plain)
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.virtual_hosted);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        Ok(Arc::new(builder.build().map_err(ConnectError::Settings)?))
    }
}

/// Refuses a data folder whose parts are elsewhere.
pub(crate) fn refuse_elsewhere(data_dir: &Path, fs: &dyn Fs) -> Result<(), ConnectError> {
    match read_place(data_dir, fs)? {
        Some(place) if place.is_claimed => {
            Err(ConnectError::Elsewhere { path: data_dir.join(OWNER), url: place.url })
        }
        _ => Ok(()),
    }
}

/// Makes the prefix this data folder's, or finds that it is.
pub(super) fn claim(
    requests: &Arc<Requests>,
    data_dir: &Path,
    fs: &dyn Fs,
) -> Result<(), ConnectError> {
    let url = requests.url().to_owned();
    let known = read_place(data_dir, fs)?;
    let was_claimed = known.as_ref().is_some_and(|it| it.is_claimed);
    let owner = match known {
        Some(place) if place.is_claimed && place.url != url => {
            return Err(ConnectError::Elsewhere { path: data_dir.join(OWNER), url: place.url });
        }
        Some(place) => place.owner,
        None => Owner::new(),
    };
    if !was_claimed {
        let local = data_dir.join("samples").join("_delta_log");
        if fs.list(&local).is_ok_and(|it| !it.is_empty()) {
            return Err(ConnectError::LocalParts { path: data_dir.to_owned() });
        }
        // Here first: a claim whose answer is lost is still ours.
        write_place(data_dir, fs, &owner, &url, false)?;
    }
    put_owner(requests, &data_dir.join(OWNER), &owner)?;
    if !was_claimed {
        write_place(data_dir, fs, &owner, &url, true)?;
    }
    Ok(())
}

fn put_owner(requests: &Arc<Requests>, path: &Path, owner: &Owner) -> Result<(), ConnectError> {
    let unusable = |source| ConnectError::Unusable { url: requests.url().to_owned(), source };
    let bytes = serde_json::to_vec(owner).map_err(io::Error::other).map_err(unusable)?;
    let bytes = Bytes::from(bytes);
    let (again, object) = (Arc::clone(requests), path.to_owned());
    let is_refused = requests.wait(async move {
        match again.put_if_absent(&object, bytes.clone()).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(true),
            Err(error) => return Err(error),
        }
        // It is there now, so that the same again must be refused.
        match again.put_where_nothing_is(&object, bytes).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            other => other.map(|()| false),
        }
    });
    if !is_refused.map_err(unusable)? {
        return Err(ConnectError::Unconditional { url: requests.url().to_owned() });
    }
    let (again, object) = (Arc::clone(requests), path.to_owned());
    let found = requests.wait(async move { again.get(&object).await }).map_err(unusable)?;
    let found: Owner =
        serde_json::from_slice(&found).map_err(io::Error::other).map_err(unusable)?;
    if found.id != owner.id {
        return Err(ConnectError::Owned { url: requests.url().to_owned(), owner: found });
    }
    Ok(())
}

impl Owner {
    fn new() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let id = format!("{:032x}", rand::random::<u128>());
        Self { version: VERSION, id, host: host.trim().to_owned() }
    }
}

fn read_place(data_dir: &Path, fs: &dyn Fs) -> Result<Option<Place>, ConnectError> {
    let path = data_dir.join(OWNER);
    let read = fs.read(&path).and_then(|it| serde_json::from_slice(&it).map_err(io::Error::other));
    match read {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConnectError::File { path, source }),
    }
}

fn write_place(
    data_dir: &Path,
    fs: &dyn Fs,
    owner: &Owner,
    url: &str,
    is_claimed: bool,
) -> Result<(), ConnectError> {
    let path = data_dir.join(OWNER);
    let unfinished = data_dir.join(format!("{OWNER}.unfinished"));
    let place = Place { owner: owner.clone(), url: url.to_owned(), is_claimed };
    let written = serde_json::to_vec(&place).map_err(io::Error::other).and_then(|bytes| {
        let mut file = fs.create(&unfinished)?;
        file.append(&bytes)?;
        file.sync()?;
        fs.rename(&unfinished, &path)?;
        fs.sync_dir(data_dir)
    });
    written.map_err(file_error(&path))
}

/// Keys in two files, which may be replaced while the server runs.
#[derive(Debug)]
struct KeyFiles {
    access_key: PathBuf,
    secret_key: PathBuf,
    last: Mutex<Option<([SystemTime; 2], Arc<AwsCredential>)>>,
}

impl KeyFiles {
    fn new(access_key: PathBuf, secret_key: PathBuf) -> Self {
        Self { access_key, secret_key, last: Mutex::new(None) }
    }

    fn read(&self) -> Result<Arc<AwsCredential>, ConnectError> {
        let modified =
            |path: &Path| fs::metadata(path).and_then(|it| it.modified()).map_err(file_error(path));
        let times = [modified(&self.access_key)?, modified(&self.secret_key)?];
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read_at, credential)) = &*last
            && *read_at == times
        {
            return Ok(Arc::clone(credential));
        }
        let text = |path: &Path| {
            let text = fs::read_to_string(path).map_err(file_error(path))?;
            Ok::<_, ConnectError>(text.trim().to_owned())
        };
        let credential = Arc::new(AwsCredential {
            key_id: text(&self.access_key)?,
            secret_key: text(&self.secret_key)?,
            token: None,
        });
        *last = Some((times, Arc::clone(&credential)));
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for KeyFiles {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.read()
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ConnectError + use<> {
    let path = path.to_owned();
    move |source| ConnectError::File { path, source }
}
