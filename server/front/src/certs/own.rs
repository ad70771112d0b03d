//! Certificates of the user's own: files that something else writes, read again when they change.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use time::{Duration, OffsetDateTime};

use super::chain::Certificate;
use crate::config::CertificateFiles;
use crate::error::Error;
use crate::files::{self, Stamp};

/// Whoever renews the files has not done so when this is left of a certificate's life.
const WARN_BEFORE: Duration = Duration::days(14);
/// How often that is said.
const WARN_INTERVAL: Duration = Duration::DAY;

/// A pair of files and what was last good in them.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    pub config: CertificateFiles,
    certificate: ArcSwap<Certificate>,
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    /// Of both files when they were last read.
    stamps: [Option<Stamp>; 2],
    error: Option<String>,
    n_failures: u64,
    warned_at: Option<OffsetDateTime>,
}

impl OwnFiles {
    pub(crate) fn load(config: CertificateFiles) -> Result<Self, Error> {
        // Stamps first: a change between the two is then seen as one.
        let stamps = stamps(&config);
        let certificate = ArcSwap::from_pointee(read(&config)?);
        let watch = Watch { stamps, error: None, n_failures: 0, warned_at: None };
        Ok(Self { config, certificate, watch: Mutex::new(watch) })
    }

    pub(crate) fn certificate(&self) -> Arc<Certificate> {
        self.certificate.load_full()
    }

    /// Why the files as they are now are not in use, and how often that happened.
    pub(crate) fn error(&self) -> (Option<String>, u64) {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        (watch.error.clone(), watch.n_failures)
    }

    /// Reads changed files; what cannot be used leaves the old certificate where it is. Returns
    /// whether there is a new one.
    pub(crate) fn look(&self, now: OffsetDateTime) -> bool {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.config);
        let is_changed = stamps != watch.stamps;
        if is_changed {
            watch.stamps = stamps;
            match read(&self.config) {
                Ok(certificate) => {
                    let (path, not_after) =
                        (self.config.cert_file.display(), certificate.not_after);
                    tracing::info!(%path, %not_after, "Read a changed certificate.");
                    self.certificate.store(Arc::new(certificate));
                    watch.error = None;
                    watch.warned_at = None;
                }
                // Of two files one is always written first: the other is a moment away.
                Err(error) => {
                    let error = crate::error::chain(&error);
                    tracing::warn!(
                        error,
                        "Changed certificate files are of no use; the old stay in use."
                    );
                    watch.n_failures += 1;
                    watch.error = Some(error);
                }
            }
        }
        self.warn_of_expiry(&mut watch, now);
        is_changed && watch.error.is_none()
    }

    fn warn_of_expiry(&self, watch: &mut Watch, now: OffsetDateTime) {
        let not_after = self.certificate.load().not_after;
        let is_told = watch.warned_at.is_some_and(|it| now - it < WARN_INTERVAL);
        if not_after - now < WARN_BEFORE && !is_told {
            let path = self.config.cert_file.display();
            tracing::warn!(%path, %not_after, "A certificate expires soon; who renews its file?");
            watch.warned_at = Some(now);
        }
    }
}

impl CertificateFiles {
    /// # Errors
    /// A file cannot be read, or they are no certificate and its key.
    pub fn check(&self) -> Result<(), Error> {
        read(self).map(drop)
    }
}

fn stamps(config: &CertificateFiles) -> [Option<Stamp>; 2] {
    [files::stamp(&config.cert_file), files::stamp(&config.key_file)]
}

fn read(config: &CertificateFiles) -> Result<Certificate, Error> {
    let read = |path| {
        files::read_secret(path).map_err(|source| Error::File { path: path.to_owned(), source })
    };
    let (chain, key) = (read(&config.cert_file)?, read(&config.key_file)?);
    Certificate::parse(&chain, &key).map_err(|source| Error::OwnCertificate {
        certificate: config.cert_file.clone(),
        key: config.key_file.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::certs::chain::tests::chain;

    const END: OffsetDateTime = time::macros::datetime!(2027-02-01 00:00 UTC);

    fn write(dir: &Path, (chain, key): &(String, String)) {
        // Another inode, as most renewers do: the stamp differs however fast it is.
        for (name, text) in [("nas.pem", chain), ("nas.key", key)] {
            std::fs::write(dir.join("next"), text).unwrap();
            std::fs::rename(dir.join("next"), dir.join(name)).unwrap();
        }
    }

    fn config(dir: &Path) -> CertificateFiles {
        CertificateFiles { cert_file: dir.join("nas.pem"), key_file: dir.join("nas.key") }
    }

    #[test]
    fn a_changed_pair_is_taken_and_a_bad_one_leaves_the_old() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &chain(&["nas.lan"], END));
        let own = OwnFiles::load(config(dir.path())).unwrap();
        let now = END - Duration::days(30);
        assert!(!own.look(now), "nothing changed");

        let (later, key) = chain(&["nas.lan"], END + Duration::DAY);
        write(dir.path(), &(later.clone(), "no key".to_owned()));
        assert!(!own.look(now));
        assert_eq!(own.certificate().not_after, END);
        let (error, n_failures) = own.error();
        assert!(error.unwrap().contains("nas.key"));
        assert_eq!(n_failures, 1);

        write(dir.path(), &(later, key));
        assert!(own.look(now));
        assert_eq!(own.certificate().not_after, END + Duration::DAY);
        assert_eq!(own.error(), (None, 1));

        std::fs::remove_file(dir.path().join("nas.pem")).unwrap();
        assert!(!own.look(now));
        assert_eq!(own.certificate().not_after, END + Duration::DAY);
    }

    #[test]
    fn a_start_with_files_of_no_use_says_which_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let error = OwnFiles::load(config(dir.path())).unwrap_err();
        assert!(crate::error::chain(&error).contains("nas.pem"), "{error}");
        let (chain_of_one, _) = chain(&["nas.lan"], END);
        let (_, key_of_other) = chain(&["nas.lan"], END);
        write(dir.path(), &(chain_of_one, key_of_other));
        let error = crate::error::chain(&OwnFiles::load(config(dir.path())).unwrap_err());
        assert!(error.contains("nas.pem") && error.contains("private key is not that"), "{error}");
    }
}
