//! Which certificate a TLS client sees: the user's own files, then ACME's, then the local CA's.

pub(crate) mod acme;
pub(crate) mod ca;
pub(crate) mod chain;
pub(crate) mod dns;
pub(crate) mod http;
mod local;
pub(crate) mod names;
mod own;
pub(crate) mod status;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::acme::Managed;
use self::acme::authority::{AccountSlot, Authority, Mode};
use self::acme::challenge::{self, Challenges};
use self::acme::store::{self, Store};
use self::ca::LocalCa;
use self::chain::Certificate;
use self::local::Leaves;
use self::own::OwnFiles;
use self::status::CertificateStatus;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::vhost::Sites;

/// How often the user's own files are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(5);

/// Every certificate there is, and the tasks that keep them fresh.
#[derive(Debug)]
pub struct Certificates {
    ca: LocalCa,
    clock: Arc<dyn Clock>,
    challenges: Arc<Challenges>,
    live: ArcSwap<Live>,
    index: ArcSwap<Index>,
    is_changed: Notify,
}

/// What a configuration asks for, loaded and checked; nothing is in use of it yet.
#[derive(Debug)]
pub struct Live {
    local: Leaves,
    own: Vec<Arc<OwnFiles>>,
    acme: Vec<Arc<Managed>>,
}

/// Keys by the name a client asks for; made anew when a certificate changes.
#[derive(Debug, Default)]
struct Index {
    own: HashMap<String, Arc<CertifiedKey>>,
    acme: HashMap<String, Arc<CertifiedKey>>,
    /// For a client that connects to an address: it names nobody.
    own_address: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Loads what the configuration names and what earlier runs have left; asks nobody.
    pub(crate) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let ca = LocalCa::open(&ca::dir(&config.data_dir), &config.host, clock.now())?;
        let challenges = Challenges::new(store::challenges_dir(&config.data_dir));
        let challenges = Arc::new(challenges);
        let live = load(config, &ca, &clock, &challenges, None)?;
        let certificates = Self {
            index: ArcSwap::from_pointee(Index::of(&live)),
            live: ArcSwap::from_pointee(live),
            is_changed: Notify::new(),
            ca,
            clock,
            challenges,
        };
        Ok(certificates)
    }

    pub(crate) fn ca(&self) -> &LocalCa {
        &self.ca
    }

    /// Loads what another configuration names; nothing changes yet, and nothing at all on an error.
    pub fn prepare(&self, config: &Config) -> Result<Live, Error> {
        let before = self.live.load_full();
        load(config, &self.ca, &self.clock, &self.challenges, Some(&before))
    }

    /// Puts it to use. Certificates that both configurations ask for stay as they are.
    pub fn apply(&self, live: Live) {
        let before = self.live.swap(Arc::new(live));
        self.index_anew();
        let live = self.live.load();
        for managed in &before.acme {
            if !live.acme.iter().any(|it| Arc::ptr_eq(it, managed)) {
                managed.stop();
            }
        }
        self.is_changed.notify_one();
    }

    /// Whether only the local CA vouches for a name, or an address as a URL has it.
    pub(crate) fn is_local(&self, host: &str) -> bool {
        let index = self.index.load();
        let is_address =
            host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let known = if is_address { index.own_address.clone() } else { index.find(host) };
        known.is_none()
    }

    /// Where each certificate stands.
    pub fn status(&self) -> Vec<CertificateStatus> {
        let live = self.live.load();
        status::of(&live.own, &live.acme, &live.local.issued())
    }

    /// Keeps certificates fresh until shutdown; then takes down what orders have set up.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut interval = tokio::time::interval(FILES_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            for managed in self.live.load().acme.iter().filter(|it| it.start()) {
                let (managed, this) = (Arc::clone(managed), Arc::clone(&self));
                tasks.spawn(managed.run(shutdown.clone(), move || this.index_anew()));
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.is_changed.notified() => {}
                _tick = interval.tick() => self.look_at_files().await,
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// On a thread of its own: a network file system may take its time.
    async fn look_at_files(self: &Arc<Self>) {
        let live = self.live.load_full();
        if live.own.is_empty() {
            return;
        }
        let now = self.clock.now();
        // All of them: `any` would stop at the first that changed.
        let look = move || live.own.iter().filter(|it| it.look(now)).count() > 0;
        if tokio::task::spawn_blocking(look).await.unwrap_or(false) {
            self.index_anew();
        }
    }

    fn index_anew(&self) {
        self.index.rcu(|_before| Index::of(&self.live.load()));
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let index = self.index.load();
        let known = match name {
            Some(name) => index.find(name),
            None => index.own_address.clone(),
        };
        known.or_else(|| self.live.load().local.find(&self.ca, name, self.clock.now()))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(names::normal);
        let mut protocols = hello.alpn().into_iter().flatten();
        if (protocols.next(), protocols.next()) == (Some(challenge::ALPN), None) {
            return self.challenges.answer(&name?);
        }
        self.find(name.as_deref())
    }
}

impl Index {
    fn of(live: &Live) -> Self {
        let own: Vec<_> = live.own.iter().map(|it| it.certificate()).collect();
        let acme: Vec<_> = live.acme.iter().filter_map(|it| it.certificate()).collect();
        let has_address =
            |it: &&Arc<Certificate>| it.names.iter().any(|it| it.parse::<IpAddr>().is_ok());
        Self {
            own_address: own.iter().find(has_address).map(|it| Arc::clone(&it.key)),
            own: by_name(&own),
            acme: by_name(&acme),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let wildcard = names::wildcard_of(name);
        let mut keys = [&self.own, &self.acme].into_iter().filter_map(|source| {
            let exact = source.get(name);
            exact.or_else(|| source.get(wildcard.as_deref()?))
        });
        keys.next().map(Arc::clone)
    }
}

/// Of two certificates for a name the one that lasts longer.
fn by_name(certificates: &[Arc<Certificate>]) -> HashMap<String, Arc<CertifiedKey>> {
    let mut sorted: Vec<_> = certificates.iter().collect();
    sorted.sort_by_key(|it| it.not_after);
    let names = sorted.into_iter().flat_map(|it| it.names.iter().map(move |name| (name, it)));
    names.map(|(name, it)| (name.clone(), Arc::clone(&it.key))).collect()
}

fn load(
    config: &Config,
    ca: &LocalCa,
    clock: &Arc<dyn Clock>,
    challenges: &Arc<Challenges>,
    before: Option<&Live>,
) -> Result<Live, Error> {
    let served = Sites::dns_names(config);
    let own = load_own(config, before)?;
    let acme = load_acme(config, &served, clock, challenges, before)?;
    let local = Leaves::new(ca, Sites::certificate_names(config), &served, clock.now())?;
    Ok(Live { local, own, acme })
}

fn load_own(config: &Config, before: Option<&Live>) -> Result<Vec<Arc<OwnFiles>>, Error> {
    let own = config.certificates.files.iter().map(|files| {
        let kept = before.and_then(|it| it.own.iter().find(|it| it.config == *files));
        match (OwnFiles::load(files.clone()), kept) {
            (Ok(loaded), _) => Ok(Arc::new(loaded)),
            // Files that went bad are known by a warning; what else changed can be used.
            (Err(_known), Some(kept)) => Ok(Arc::clone(kept)),
            (Err(error), None) => Err(error),
        }
    });
    own.collect()
}

fn load_acme(
    config: &Config,
    served: &[String],
    clock: &Arc<dyn Clock>,
    challenges: &Arc<Challenges>,
    before: Option<&Live>,
) -> Result<Vec<Arc<Managed>>, Error> {
    names::check_unique(&config.certificates.acme).map_err(Error::Certificates)?;
    let known = before.map_or(&[][..], |it| &it.acme);
    for acme in &config.certificates.acme {
        acme.check().map_err(Error::Certificates)?;
    }
    let mut all: Vec<Arc<Managed>> = Vec::new();
    for (acme, names) in names::orders(&config.certificates.acme, served) {
        let known = all.iter().chain(known).map(|it| &it.authority);
        let authority = match known.clone().find(|it| it.config.is_same_authority(acme)) {
            Some(authority) => Arc::clone(authority),
            None => {
                let sibling = known.clone().find(|it| it.config.directory == acme.directory);
                let account = sibling.map(|it| Arc::clone(&it.account)).unwrap_or_default();
                authority(&config.data_dir, acme, clock, challenges, account)?
            }
        };
        let kept = before.and_then(|it| it.acme.iter().find(|it| it.is_for(&authority, &names)));
        all.push(match kept {
            Some(kept) => Arc::clone(kept),
            None => Arc::new(Managed::load(authority, names)?),
        });
    }
    Ok(all)
}

fn authority(
    data_dir: &Path,
    acme: &crate::config::AcmeConfig,
    clock: &Arc<dyn Clock>,
    challenges: &Arc<Challenges>,
    account: AccountSlot,
) -> Result<Arc<Authority>, Error> {
    let store = Store::new(data_dir, &acme.directory);
    let (clock, challenges) = (Arc::clone(clock), Arc::clone(challenges));
    let made = Authority::new(acme.clone(), clock, store, challenges, account, Mode::Kept);
    made.map(Arc::new)
        .map_err(|source| Error::Acme { directory: acme.directory.to_string(), source })
}
