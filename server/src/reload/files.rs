//! Notices that files have other content, however they were written: in place, by a rename, or
//! behind a link that leads elsewhere now.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::warn;

/// An editor writes in several steps; they are over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(300);
/// A folder where something happens all the time is looked at so often all the same.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Some files and what was in them.
#[derive(Debug)]
pub(super) struct Watch {
    /// Without it, changes are only read when asked.
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    files: Vec<PathBuf>,
    seen: Vec<Option<u64>>,
}

impl Watch {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        // One event that waits is as good as many.
        let (happened, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Our own reading is an access, too.
            if event.is_ok_and(|it| !it.kind.is_access()) {
                let _one_waits = happened.try_send(());
            }
        });
        let watcher = watcher
            .map_err(|error| {
                warn!(%error, "Cannot watch the configuration; send SIGHUP when it has changed.");
            })
            .ok();
        let mut watch = Self { watcher, events, files: Vec::new(), seen: Vec::new() };
        watch.look_at(files);
        watch
    }

    /// What is in these files now is known.
    pub(super) fn look_at(&mut self, files: Vec<PathBuf>) {
        if self.files != files {
            self.files = files;
            for dir in self.files.iter().filter_map(|it| it.parent()) {
                let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
                let Some(watcher) = &mut self.watcher else { break };
                if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                    warn!(%error, dir = %dir.display(), "Cannot watch a folder of the configuration; send SIGHUP when it has changed.");
                }
            }
        }
        self.seen = contents(&self.files);
    }

    /// Returns once one of the files has other content.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.events.recv().await.is_none() {
                return std::future::pending().await;
            }
            let quiet = async {
                while timeout(QUIET, self.events.recv()).await.is_ok_and(|it| it.is_some()) {}
            };
            tokio::select! {
                () = quiet => {}
                () = sleep(BUSY_MAX) => {}
            }
            if contents(&self.files) != self.seen {
                return;
            }
        }
    }
}

/// A fingerprint of each file; `None` of one that cannot be read.
fn contents(files: &[PathBuf]) -> Vec<Option<u64>> {
    let fingerprint = |path: &PathBuf| {
        let bytes = fs::read(path).ok()?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Some(hasher.finish())
    };
    files.iter().map(fingerprint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_rewritten_replaced_or_behind_a_link_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "1").unwrap();
        std::os::unix::fs::symlink(path("b"), path("link")).unwrap();
        let files = vec![path("a"), path("link")];
        let mut watch = Watch::new(files.clone());
        let soon = Duration::from_secs(20);
        fs::write(path("a"), "2").unwrap();
        timeout(soon, watch.changed()).await.unwrap();
        watch.look_at(files.clone());
        fs::write(path("new"), "3").unwrap();
        fs::rename(path("new"), path("a")).unwrap();
        timeout(soon, watch.changed()).await.unwrap();
        watch.look_at(files.clone());
        fs::write(path("c"), "other").unwrap();
        std::os::unix::fs::symlink(path("c"), path("link.new")).unwrap();
        fs::rename(path("link.new"), path("link")).unwrap();
        timeout(soon, watch.changed()).await.unwrap();
    }
}
