//! Log files as a source: a thread that follows them and fills the spool of logs.
//!
//! The files are the spool: while ours takes nothing, the thread does not read on. A batch carries
//! the positions of the files its entries are of, so that a restarted agent goes on behind what is
//! in the spool, wherever it was killed.

mod docker;
mod follower;
mod lines;
mod paths;
mod settings;
mod tail;
mod watch;

#[cfg(test)]
mod live_test;
#[cfg(test)]
mod model_test;

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use skep_proto::Clock;
use tokio::{runtime::Handle, time::Instant};
use tracing::warn;

pub(crate) use self::settings::{
    FilesJob, Format, JobError, LongLines, RawFiles, checked_labels, rules,
};
use self::{
    follower::Follower,
    watch::{Change, Watcher},
};
use crate::{
    own_metrics::OwnMetrics,
    sources::feed::{FeedThread, WAIT_MAX},
    spool::Spool,
};

/// Between two looks at which files there are, whatever the kernel says.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Rounds of changes that wait for the thread; beyond that it looks at all files anyway.
const CHANGES_MAX: usize = 64;

/// Starts the thread.
///
/// # Errors
/// There is no room for one.
pub(crate) fn start(
    jobs: Vec<FilesJob>,
    spool: Arc<Spool>,
    own: Arc<OwnMetrics>,
    clock: Arc<dyn Clock>,
    runtime: &Handle,
) -> io::Result<FeedThread> {
    let resume = spool.resume();
    let (sender, changes) = mpsc::sync_channel(CHANGES_MAX);
    let watcher = Watcher::start(runtime, sender)
        .inspect_err(|error| warn!(%error, "Asking log files one by one for changes."))
        .ok();
    FeedThread::start("files", spool, move |feed| {
        let follower = Follower::new(jobs, &resume, feed, own, clock);
        Runner { follower, changes, watcher }.run();
    })
}

/// The thread: when to look and when to read.
struct Runner {
    follower: Follower,
    changes: Receiver<Vec<Change>>,
    /// `None` where files must be asked one by one.
    watcher: Option<Watcher>,
}

impl Runner {
    fn run(mut self) {
        let mut look_at = Instant::now();
        while !self.follower.is_stopping() {
            let now = Instant::now();
            if look_at <= now {
                look_at = now + LOOK_EVERY;
                self.look();
            }
            if self.watcher.is_none() {
                self.follower.mark_all();
            }
            self.follower.turn();
            if self.wait() {
                look_at = Instant::now();
            }
        }
        self.follower.finish();
    }

    fn look(&mut self) {
        let folders = self.follower.look();
        self.follower.mark_all();
        let Some(watcher) = &mut self.watcher else { return };
        watcher.keep(|it| folders.contains(it));
        if let Err(error) = watch_all(watcher, &folders) {
            warn!(%error, "Cannot watch all folders of log files; asking them one by one for changes.");
            self.watcher = None;
        }
    }

    /// Returns once there is something to do; `true`: look which files there are.
    fn wait(&mut self) -> bool {
        let wait = self.follower.wait_max().min(WAIT_MAX);
        let Ok(changes) = self.changes.recv_timeout(wait) else {
            // Without a watcher nobody is left to send, and nothing has waited.
            if self.watcher.is_none() && !wait.is_zero() {
                std::thread::sleep(wait);
            }
            return false;
        };
        let Some(watcher) = &self.watcher else { return false };
        let mut looks = false;
        for change in changes {
            match change {
                Change::Written { folder, name } => {
                    if let Some(path) = watcher.path_of(folder, &name) {
                        self.follower.mark(&path);
                    }
                }
                Change::Named | Change::Unknown => looks = true,
            }
        }
        looks
    }
}

fn watch_all(watcher: &mut Watcher, folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    for folder in folders {
        match watcher.watch(folder) {
            // Gone since, or not there yet: the folder above tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            watched => watched?,
        }
    }
    Ok(())
}
