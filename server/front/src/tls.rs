//! What rustls is told: one provider, two protocol versions, and the certificate of the moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::ca::{Leaf, LocalCa};
use crate::clock::Clock;
use crate::error::Error;

/// How often the age of the certificate is looked at; it has a third of its life left by then.
const RENEWAL_CHECK_INTERVAL: Duration = Duration::from_secs(3600);

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The certificate in use, replaced before it expires without dropping a connection.
#[derive(Debug)]
pub(crate) struct Certificates {
    ca: LocalCa,
    names: Vec<String>,
    clock: Arc<dyn Clock>,
    current: Mutex<Leaf>,
}

impl Certificates {
    pub(crate) fn new(
        ca: LocalCa,
        names: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let current = Mutex::new(ca.issue(&names, clock.now())?);
        Ok(Self { ca, names, clock, current })
    }

    pub(crate) fn ca(&self) -> &LocalCa {
        &self.ca
    }

    /// Makes a new certificate if the current one is in the last third of its life.
    pub(crate) fn renew_if_due(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.renew_at {
            *current = self.ca.issue(&self.names, now)?;
            tracing::info!("Renewed the certificate of the local CA.");
        }
        Ok(())
    }

    /// Keeps the certificate fresh until shutdown.
    pub(crate) async fn keep_fresh(&self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(RENEWAL_CHECK_INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _tick = interval.tick() => {}
            }
            if let Err(error) = self.renew_if_due() {
                tracing::warn!(%error, "Could not renew the certificate; trying again in an hour.");
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.key))
    }
}

/// TLS 1.2 and 1.3 on ring, HTTP/2 preferred.
pub(crate) fn server_config(certificates: Arc<Certificates>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[derive(Debug)]
    struct ManualClock(Mutex<OffsetDateTime>);

    impl Clock for ManualClock {
        fn now(&self) -> OffsetDateTime {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_life_left() {
        let dir = tempfile::tempdir().unwrap();
        let start = time::macros::datetime!(2026-11-22 12:00 UTC);
        let clock = Arc::new(ManualClock(Mutex::new(start)));
        let ca = LocalCa::open(dir.path(), "lab1", start).unwrap();
        let certificates =
            Certificates::new(ca, vec!["localhost".to_owned()], Arc::clone(&clock) as _).unwrap();
        let serving = || certificates.current.lock().unwrap().key.cert[0].to_vec();
        let first = serving();

        *clock.0.lock().unwrap() = start + time::Duration::days(39);
        certificates.renew_if_due().unwrap();
        assert_eq!(serving(), first);

        *clock.0.lock().unwrap() = start + time::Duration::days(41);
        certificates.renew_if_due().unwrap();
        assert_ne!(serving(), first);
    }
}
