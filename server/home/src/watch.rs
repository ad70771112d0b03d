//! Follows the home page's files, whichever way an editor writes them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{Home, config::Source};

/// An editor writes in several steps; what they leave is read once.
const SETTLE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Watcher {
    changes: mpsc::Receiver<()>,
    /// Tells no more once it is dropped.
    _inner: RecommendedWatcher,
}

impl Watcher {
    /// Of the folder: a file that is replaced is another file.
    pub(crate) fn new(source: &Source) -> Result<Self, String> {
        let (dir, file) = match source {
            Source::File(path) => {
                let dir = path.parent().filter(|it| !it.as_os_str().is_empty());
                let dir = dir.map_or_else(|| PathBuf::from("."), PathBuf::from);
                // A name that leads into a folder changes with that folder.
                (dir, path.file_name().filter(|_| !path.is_symlink()).map(ToOwned::to_owned))
            }
            Source::Gethomepage(dir) => (dir.clone(), None),
        };
        // One waiting hint stands for any number of changes.
        let (hint, changes) = mpsc::channel(1);
        let mut inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let concerns = event.is_ok_and(|it| {
                !it.kind.is_access()
                    && file.as_ref().is_none_or(|name| {
                        it.paths.iter().any(|path| path.file_name() == Some(name))
                    })
            });
            if concerns {
                // A hint that finds one waiting has nothing to add.
                let _is_new = hint.try_send(()).is_ok();
            }
        })
        .map_err(|error| error.to_string())?;
        inner.watch(&dir, RecursiveMode::NonRecursive).map_err(|error| error.to_string())?;
        Ok(Self { changes, _inner: inner })
    }

    pub(crate) async fn run(mut self, home: Arc<Home>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.changes.recv() => if changed.is_none() { return },
            }
            sleep(SETTLE).await;
            let _more = self.changes.try_recv().is_ok();
            home.reload().await;
        }
    }
}
