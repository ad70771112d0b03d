//! The configuration read again: on SIGHUP, when one of its files changes, and on `/-/reload`.
//!
//! Everything is built before anything counts: after an error the server goes on as it was.

mod changes;
mod files;

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use anyhow::Context as _;
use skep_front::{Bound, Reloads};
use skep_proto::{Clock as _, SystemClock};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::Mutex,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::{Config, Faults},
    home::HomePage,
    ready,
    scrape::Scrapes,
};

/// Takes other configurations while the server runs.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    ready_file: Option<PathBuf>,
    front: Reloads,
    scrapes: Arc<Scrapes>,
    home: Arc<skep_home::Home>,
    /// What the server was started with; held while a reload is under way.
    started: Mutex<toml::Table>,
    is_last_good: AtomicBool,
    last_good_ms: AtomicI64,
}

/// What the server runs with.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) path: PathBuf,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) front: Reloads,
    pub(crate) scrapes: Arc<Scrapes>,
    pub(crate) home: Arc<skep_home::Home>,
    pub(crate) settings: toml::Table,
}

impl Reloader {
    pub(crate) fn new(running: Running) -> Arc<Self> {
        let Running { path, ready_file, front, scrapes, home, settings } = running;
        Arc::new(Self {
            path,
            ready_file,
            front,
            scrapes,
            home,
            started: Mutex::new(settings),
            is_last_good: AtomicBool::new(true),
            last_good_ms: AtomicI64::new(SystemClock.now().to_ms().0),
        })
    }

    /// Reloads on SIGHUP and when a file changes, until `shutdown`.
    pub(crate) fn start(
        self: &Arc<Self>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
        let (this, shutdown) = (Arc::clone(self), shutdown.clone());
        let mut files = files::Watch::new(self.files());
        Ok(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = hangup.recv() => info!("Reading the configuration again, as asked by SIGHUP."),
                    () = files.changed() => info!("Reading the configuration again, as it has changed."),
                }
                // It has told the log what is wrong.
                drop(this.reload().await);
                files.look_at(this.files());
            }
        }))
    }

    /// All that a change of should be noticed.
    fn files(&self) -> Vec<PathBuf> {
        [self.path.clone()].into_iter().chain(self.scrapes.file()).collect()
    }

    /// Returns once the new configuration counts.
    ///
    /// # Errors
    /// All that is wrong with it; nothing has changed.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        let started = self.started.lock().await;
        let reloaded = self.apply(&started).await;
        self.is_last_good.store(reloaded.is_ok(), Ordering::Relaxed);
        match &reloaded {
            Ok(()) => {
                self.last_good_ms.store(SystemClock.now().to_ms().0, Ordering::Relaxed);
                info!("The configuration counts.");
            }
            Err(fault) => tell(fault),
        }
        reloaded
    }

    async fn apply(&self, started: &toml::Table) -> anyhow::Result<()> {
        let path = self.path.clone();
        let config = tokio::task::spawn_blocking(move || Config::load(&path))
            .await
            .context("reading the configuration panicked")??;
        let data_dir = config.front.data_dir.clone();
        let sites = HomePage::sites(&config.front);
        let bound = self.front.apply(config.front).await?;
        self.home.show_sites(sites.at(&bound));
        self.scrapes.apply(config.scrape);
        for key in changes::only_after_restart(started, &config.settings) {
            warn!(key, "A changed setting counts after a restart only.");
        }
        self.tell_where(&bound, &data_dir);
        Ok(())
    }

    fn tell_where(&self, bound: &Bound, data_dir: &std::path::Path) {
        let Some(path) = &self.ready_file else { return };
        if let Err(error) = ready::write(path, bound, data_dir) {
            warn!(%error, path = %path.display(), "Could not write the ready file.");
        }
    }
}

/// One line for each thing that is wrong.
fn tell(fault: &anyhow::Error) {
    let message = "The configuration is not taken; the old one counts.";
    match fault.downcast_ref::<Faults>() {
        Some(faults) => faults.lines().for_each(|fault| error!(fault, "{message}")),
        None => error!(fault = format!("{fault:#}"), "{message}"),
    }
}

impl skep_api::Targets for Reloader {
    fn status(&self) -> Vec<skep_scrape::PoolStatus> {
        self.scrapes.status()
    }

    fn reload(&self) -> Result<(), String> {
        Handle::current().block_on(Self::reload(self)).map_err(|fault| format!("{fault:#}"))
    }
}

impl skep_api::Figures for Reloader {
    fn push_text(&self, out: &mut String) {
        let is_good = u8::from(self.is_last_good.load(Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "a double has milliseconds for ages")]
        let at = self.last_good_ms.load(Ordering::Relaxed) as f64 / 1e3;
        let text = format_args!(
            "# HELP skep_config_last_reload_successful Whether the last configuration reload attempt was successful.\n\
             # TYPE skep_config_last_reload_successful gauge\n\
             skep_config_last_reload_successful {is_good}\n\
             # HELP skep_config_last_reload_success_timestamp_seconds Timestamp of the last successful configuration reload.\n\
             # TYPE skep_config_last_reload_success_timestamp_seconds gauge\n\
             skep_config_last_reload_success_timestamp_seconds {at}\n"
        );
        out.write_fmt(text).expect("a String never fails");
    }
}
