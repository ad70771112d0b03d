//! The home page of this server: its files as they are now, what checks have found, and who sees
//! what of it.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use serde::Serialize;
use skep_proto::Clock;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    checks::{Checker, Reports},
    config::{Fault, HomeFile, Remark, Settings, Visitors},
    icon::{self, Icon, IconFile},
    samples::Sink,
    view::View,
    watch::Watcher,
};

/// Who looks; who comes later sees all that those before see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// Not logged in.
    Anonymous,
    /// May query.
    Viewer,
    /// May configure, and so is told what is wrong with files.
    Admin,
}

/// A name that this server's front answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedSite {
    pub name: String,
    pub href: String,
    /// Whom the site lets in.
    pub audience: Caller,
}

impl ProxiedSite {
    /// The first label, without a `www.` before it.
    pub(crate) fn label(&self) -> &str {
        let name = self.name.strip_prefix("www.").unwrap_or(&self.name);
        name.split('.').next().unwrap_or(name)
    }
}

/// What the files say, and what is wrong with their newest state.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) file: Arc<HomeFile>,
    pub(crate) is_configured: bool,
    pub(crate) icons: Icons,
    pub(crate) fault: Option<Remark>,
}

/// Pictures of the user's.
#[derive(Debug, Clone)]
pub(crate) struct Icons(Option<PathBuf>);

impl Icons {
    pub(crate) fn choose(&self, wanted: Option<&str>, name: &str, abbr: &str) -> Icon {
        Icon::choose(self.0.as_deref(), wanted, name, abbr)
    }
}

/// The home page; it follows its files.
#[derive(Debug)]
pub struct Home {
    settings: Settings,
    sites: ArcSwap<Vec<ProxiedSite>>,
    loaded: ArcSwap<Loaded>,
    reports: Arc<Reports>,
    files: watch::Sender<Arc<HomeFile>>,
}

/// What runs beside the home page.
#[derive(Debug)]
pub struct Tasks {
    checks: JoinHandle<()>,
    watcher: Option<JoinHandle<()>>,
}

impl Tasks {
    /// Returns once nothing of it is on its way into the store.
    pub async fn wait(self) {
        let all = [Some(self.checks), self.watcher];
        for task in all.into_iter().flatten() {
            if let Err(error) = task.await {
                error!(%error, "A task of the home page panicked.");
            }
        }
    }
}

impl Home {
    /// Checks and follows the files until the shutdown. `file` is what they say now.
    pub fn start(
        settings: Settings,
        file: HomeFile,
        sites: Vec<ProxiedSite>,
        sink: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
        shutdown: &CancellationToken,
    ) -> (Arc<Self>, Tasks) {
        let file = Arc::new(file);
        let (files, followed) = watch::channel(Arc::clone(&file));
        let loaded = Loaded {
            is_configured: settings.source.is_some(),
            icons: Icons(settings.icons_dir.clone()),
            file,
            fault: None,
        };
        tell(&loaded.file);
        let reports = Arc::new(Reports::default());
        let checker =
            Checker { reports: Arc::clone(&reports), limits: settings.limits.clone(), sink, clock };
        let checks = tokio::spawn(checker.run(followed, shutdown.clone()));
        let watched = settings.source.clone();
        let home = Arc::new(Self {
            settings,
            sites: ArcSwap::from_pointee(sites),
            loaded: ArcSwap::from_pointee(loaded),
            reports,
            files,
        });
        let watcher = watched.and_then(|source| match Watcher::new(&source) {
            Ok(watcher) => Some(tokio::spawn(watcher.run(Arc::clone(&home), shutdown.clone()))),
            Err(error) => {
                warn!(error, "The home page's files are not followed; SIGHUP reads them anew.");
                None
            }
        });
        (home, Tasks { checks, watcher })
    }

    /// Reads the files anew; the old ones count on if something is wrong with them.
    pub async fn reload(&self) {
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || {
            HomeFile::load(&settings, &|name| std::env::var(name).ok())
        });
        let Ok(read) = read.await else { return };
        let old = self.loaded.load();
        let (file, fault) = match read {
            Ok(file) if file == *old.file && old.fault.is_none() => return,
            Ok(file) => (Arc::new(file), None),
            Err(Fault(remark)) => {
                if old.fault.as_ref() == Some(&remark) {
                    return;
                }
                error!(fault = %remark, "Could not read the home page's files; the old ones count.");
                (Arc::clone(&old.file), Some(remark))
            }
        };
        let has_changed = file != old.file;
        if fault.is_none() {
            tell(&file);
        }
        let (is_configured, icons) = (old.is_configured, old.icons.clone());
        self.loaded.store(Arc::new(Loaded {
            file: Arc::clone(&file),
            is_configured,
            icons,
            fault,
        }));
        if has_changed {
            self.files.send_replace(file);
        }
    }

    /// What the front answers for from now on.
    pub fn show_sites(&self, sites: Vec<ProxiedSite>) {
        self.sites.store(Arc::new(sites));
    }

    /// What a caller may see.
    pub fn view(&self, caller: Caller) -> View {
        let loaded = self.loaded.load();
        let sites = self.sites.load();
        View::of(&loaded, &self.reports, &sites, self.settings.visitors, caller)
    }

    pub fn visitors(&self) -> Visitors {
        self.settings.visitors
    }

    /// A picture of the icon folder and how large it may be.
    pub fn icon(&self, name: &str) -> Option<(IconFile, u64)> {
        let dir = self.settings.icons_dir.as_deref()?;
        Some((icon::find(dir, name)?, self.settings.limits.file_bytes_max))
    }
}

fn tell(file: &HomeFile) {
    for warning in &file.warnings {
        warn!("The home page: {warning}.");
    }
    let n_services: usize = file.groups.iter().map(|it| it.services.len()).sum();
    info!(n_services, n_widgets = file.widgets.len(), "The home page is as its files say.");
}

#[cfg(test)]
mod tests;
