//! `[object_store]`: where parts are, if not in the data folder.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_store::{Credentials, ObjectStoreConfig};

use super::values::bytes;

/// Some weeks of a home's data, so that queries seldom wait for the network.
const CACHE_BYTES_DEFAULT: &str = "4GiB";
/// A query over a day has to find room for its parts.
const CACHE_BYTES_MIN: usize = 16 << 20;
const SCHEME: &str = "s3://";
/// What storages that have no regions want to be told.
const REGION_OF_ENDPOINTS: &str = "us-east-1";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawObjectStore {
    /// "s3://bucket/prefix"; without it, parts are in the data folder.
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    access_key_file: Option<PathBuf>,
    secret_key_file: Option<PathBuf>,
    instance_credentials: Option<bool>,
    ca_file: Option<PathBuf>,
    virtual_hosted: Option<bool>,
    cache_bytes: Option<String>,
}

impl RawObjectStore {
    pub(super) fn config(&self) -> anyhow::Result<Option<ObjectStoreConfig>> {
        let cache_bytes = self.cache_bytes()?;
        let Some(url) = &self.url else {
            if let Some(key) = self.first_key() {
                bail!(
                    "object_store.{key} does nothing without object_store.url; write that too, \
                     like \"s3://bucket/skep\", or leave it out"
                );
            }
            return Ok(None);
        };
        let (bucket, prefix) = bucket_and_prefix(url)?;
        let region = match (&self.region, &self.endpoint) {
            (Some(region), _) => region.clone(),
            (None, Some(_)) => REGION_OF_ENDPOINTS.to_owned(),
            (None, None) => bail!(
                "object_store.region is missing; write the bucket's, like \"eu-central-1\", or an \
                 object_store.endpoint if it is not Amazon's"
            ),
        };
        if let Some(endpoint) = &self.endpoint
            && !endpoint.starts_with("https://")
            && !endpoint.starts_with("http://")
        {
            bail!(
                "object_store.endpoint {endpoint:?} is not a URL; write one like \
                 \"https://s3.example.org\" or \"http://127.0.0.1:9000\""
            );
        }
        Ok(Some(ObjectStoreConfig {
            bucket,
            prefix,
            endpoint: self.endpoint.as_ref().map(|it| it.trim_end_matches('/').to_owned()),
            region: Some(region),
            credentials: self.credentials()?,
            ca_file: self.ca_file.clone(),
            virtual_hosted: self.virtual_hosted.unwrap_or(false),
            cache_bytes,
        }))
    }

    fn cache_bytes(&self) -> anyhow::Result<u64> {
        let text = self.cache_bytes.as_deref().unwrap_or(CACHE_BYTES_DEFAULT);
        let n_bytes = bytes("object_store.cache_bytes", text)?;
        if n_bytes < CACHE_BYTES_MIN {
            bail!(
                "object_store.cache_bytes {text:?} is less than a query over a day may need; write \
                 at least \"16MiB\""
            );
        }
        u64::try_from(n_bytes).context("object_store.cache_bytes")
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        match (&self.access_key_file, &self.secret_key_file, self.instance_credentials) {
            (Some(access_key), Some(secret_key), None | Some(false)) => Ok(Credentials::Files {
                access_key: access_key.clone(),
                secret_key: secret_key.clone(),
            }),
            (None, None, Some(true)) => Ok(Credentials::Instance),
            (None, None, None | Some(false)) => Ok(Credentials::Environment),
            (Some(_), Some(_), Some(true)) => bail!(
                "object_store.instance_credentials and object_store.access_key_file are both \
                 given; leave out one of them"
            ),
            _ => bail!(
                "object_store.access_key_file and object_store.secret_key_file go together; write \
                 both or neither"
            ),
        }
    }

    fn first_key(&self) -> Option<&'static str> {
        [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key_file", self.access_key_file.is_some()),
            ("secret_key_file", self.secret_key_file.is_some()),
            ("instance_credentials", self.instance_credentials.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("virtual_hosted", self.virtual_hosted.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_given)| is_given.then_some(key))
    }
}

fn bucket_and_prefix(url: &str) -> anyhow::Result<(String, String)> {
    let Some(rest) = url.strip_prefix(SCHEME) else {
        bail!("object_store.url {url:?} is not of S3; write one like \"s3://bucket/skep\"");
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains('@') || rest.contains('?') {
        bail!(
            "object_store.url holds more than bucket and prefix; credentials belong into \
             files, see object_store.access_key_file"
        );
    }
    if bucket.is_empty() {
        bail!("object_store.url {url:?} names no bucket; write one like \"s3://bucket/skep\"");
    }
    Ok((bucket.to_owned(), prefix.trim_matches('/').to_owned()))
}
