//! What is kept on disk: accounts, certificates with their keys, and how the last order went.
//!
//! ```text
//! <data_dir>/acme/<CA>/account.json             the account's key and address
//!                     /<name>.pem               the private key, then the chain, leaf first
//!                     /<name>.json              names, last failure, when to try again
//! <data_dir>/acme/challenges/<name>.pem         open TLS-ALPN-01 challenges of trials
//! ```
//! `<CA>` is the address of its directory with `-` for `/` and `:`; a wildcard's `*` is written
//! `wildcard_`. Every file is 0600 and replaced in one step. Key and chain are one file, so that no
//! crash leaves one of each.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::certs::chain::{Certificate, ChainError};
use crate::config::Directory;
use crate::error::Error;
use crate::files::{self, Mode};

/// The folder of one CA.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

/// An account as it was made.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredAccount {
    pub directory: String,
    pub email: Option<String>,
    pub credentials: instant_acme::AccountCredentials,
}

/// How orders for one certificate went; times in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub names: Vec<String>,
    /// In a row; 0 after a success.
    pub n_failures: u32,
    pub last_error: Option<String>,
    pub last_attempt: Option<i64>,
    pub next_attempt: Option<i64>,
    /// When the CA suggests to renew, and when to ask it again.
    pub suggested_renewal: Option<i64>,
    pub next_suggestion: Option<i64>,
}

/// The name that files of a certificate go by: a name and its wildcard are one.
pub(crate) fn id(names: &[String]) -> String {
    names.first().map_or_else(String::new, |it| it.replace("*.", "wildcard_."))
}

pub(crate) fn acme_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("acme")
}

pub(crate) fn challenges_dir(data_dir: &Path) -> PathBuf {
    acme_dir(data_dir).join("challenges")
}

impl Store {
    pub(crate) fn new(data_dir: &Path, directory: &Directory) -> Self {
        let address = directory.as_str();
        let name = address.split_once("://").map_or(address, |(_scheme, rest)| rest);
        let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '.' || it == '_';
        let name: String = name.chars().map(|it| if is_plain(it) { it } else { '-' }).collect();
        Self { dir: acme_dir(data_dir).join(name.trim_start_matches('.')) }
    }

    pub(crate) fn account(&self) -> Result<Option<StoredAccount>, Error> {
        let path = self.dir.join("account.json");
        let Some(text) = files::read(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Json { path, source })
    }

    pub(crate) fn keep_account(&self, account: &StoredAccount) -> Result<(), Error> {
        self.keep_json("account.json", account)
    }

    /// Out of the way, but not lost: its key could still revoke certificates.
    pub(crate) fn retire_account(&self) -> Result<(), Error> {
        files::rename(&self.dir.join("account.json"), &self.dir.join("account.retired.json"))
    }

    pub(crate) fn certificate(&self, names: &[String]) -> Result<Option<Certificate>, Error> {
        let path = self.certificate_path(names);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let unusable = |source: ChainError| Error::StoredCertificate { path, source };
        Certificate::parse(&text, &text).map(Some).map_err(unusable)
    }

    pub(crate) fn keep_certificate(
        &self,
        names: &[String],
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<(), Error> {
        files::create_private_dir(&self.dir)?;
        let text = format!("{}\n{chain_pem}", key_pem.trim_end());
        files::replace(&self.certificate_path(names), &text, Mode::Secret)
    }

    /// What cannot be read is as good as nothing: it only says when to try again.
    pub(crate) fn progress(&self, names: &[String]) -> Progress {
        let text = files::read(&self.dir.join(format!("{}.json", id(names)))).ok().flatten();
        let progress = text.and_then(|it| serde_json::from_str::<Progress>(&it).ok());
        progress.filter(|it| it.names == names).unwrap_or_default()
    }

    pub(crate) fn keep_progress(&self, progress: &Progress) -> Result<(), Error> {
        self.keep_json(&format!("{}.json", id(&progress.names)), progress)
    }

    fn certificate_path(&self, names: &[String]) -> PathBuf {
        self.dir.join(format!("{}.pem", id(names)))
    }

    fn keep_json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        files::create_private_dir(&self.dir)?;
        let path = self.dir.join(name);
        let text = serde_json::to_string_pretty(value)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        files::replace(&path, &text, Mode::Secret)
    }
}

/// A stored time, if it is one.
pub(crate) fn time(seconds: Option<i64>) -> Option<OffsetDateTime> {
    seconds.and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certs::chain::tests::chain;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_found_again_and_its_key_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::parse("https://ca.lan:14000/acme/dir").unwrap();
        let store = Store::new(dir.path(), &directory);
        let wildcard = names(&["*.nas.lan"]);
        assert!(store.certificate(&wildcard).unwrap().is_none());
        let end = time::macros::datetime!(2027-02-01 00:00 UTC);
        let (chain, key) = chain(&["*.nas.lan"], end);
        store.keep_certificate(&wildcard, &chain, &key).unwrap();
        assert_eq!(store.certificate(&wildcard).unwrap().unwrap().not_after, end);
        let path = dir.path().join("acme/ca.lan-14000-acme-dir/wildcard_.nas.lan.pem");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn progress_survives_but_not_for_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path(), &Directory::parse("letsencrypt").unwrap());
        let failed = Progress {
            names: names(&["a.lan"]),
            n_failures: 3,
            last_error: Some("no".to_owned()),
            ..Progress::default()
        };
        store.keep_progress(&failed).unwrap();
        assert_eq!(store.progress(&names(&["a.lan"])), failed);
        assert_eq!(store.progress(&names(&["a.lan", "*.a.lan"])), Progress::default());
    }
}
