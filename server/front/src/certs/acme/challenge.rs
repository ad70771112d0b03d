//! TLS-ALPN-01 (RFC 8737): a certificate that only a CA's own handshake ever sees.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;

use crate::certs::chain::certified_key;
use crate::error::Error;
use crate::files::{self, Mode};

/// The protocol of such a handshake, and of no other.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// The challenges that are open at the moment, by name.
///
/// Those of a trial are files: another process makes it while this one has the port.
#[derive(Debug)]
pub(crate) struct Challenges {
    open: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    dir: PathBuf,
}

impl Challenges {
    /// `dir`: where trials put theirs.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { open: Mutex::default(), dir }
    }

    pub(crate) fn open(&self, name: &str, digest: &[u8]) -> Result<(), Error> {
        let (chain, key) = certificate(name, digest)?;
        // What is in it is meant for the CA alone: nothing here would take it for a certificate.
        let pair = certified_key(&chain, &key).map_err(Error::Challenge)?;
        self.lock().insert(name.to_owned(), Arc::new(pair));
        Ok(())
    }

    pub(crate) fn close(&self, name: &str) {
        self.lock().remove(name);
    }

    /// What the CA's handshake for this name is answered with.
    pub(crate) fn answer(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(key) = self.lock().get(name) {
            return Some(Arc::clone(key));
        }
        let is_host = name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it));
        let text = is_host.then(|| files::read(&trial_path(&self.dir, name)).ok().flatten())??;
        certified_key(&text, &text).ok().map(Arc::new)
    }

    /// As [`Self::open`], for the server that runs.
    pub(crate) fn open_trial(&self, name: &str, digest: &[u8]) -> Result<(), Error> {
        files::create_private_dir(&self.dir)?;
        let (chain, key) = certificate(name, digest)?;
        files::replace(&trial_path(&self.dir, name), &format!("{key}{chain}"), Mode::Secret)
    }

    pub(crate) fn close_trial(&self, name: &str) -> Result<(), Error> {
        files::remove(&trial_path(&self.dir, name))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trial_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pem"))
}

/// Chain and key in PEM.
fn certificate(name: &str, digest: &[u8]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_while_it_is_open_and_for_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let challenges = Challenges::new(dir.path().join("challenges"));
        challenges.open("nas.lan", &[7; 32]).unwrap();
        assert!(challenges.answer("nas.lan").is_some());
        assert!(challenges.answer("www.lan").is_none());
        challenges.close("nas.lan");
        assert!(challenges.answer("nas.lan").is_none());
    }

    #[test]
    fn a_trial_of_another_process_is_answered_and_no_other_file_read() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) =
            (Challenges::new(dir.path().into()), Challenges::new(dir.path().into()));
        theirs.open_trial("nas.lan", &[7; 32]).unwrap();
        assert!(ours.answer("nas.lan").is_some());
        assert!(ours.answer("../nas.lan").is_none() && ours.answer("x/../nas.lan").is_none());
        theirs.close_trial("nas.lan").unwrap();
        assert!(ours.answer("nas.lan").is_none());
    }
}
