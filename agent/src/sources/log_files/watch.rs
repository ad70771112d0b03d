//! Word from the kernel that files changed, so that they need not be asked one by one.

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::{io::unix::AsyncFd, runtime::Handle, task::JoinHandle};

/// Changes gather for so long: a busy file is read ten times a second at most.
const GATHER: Duration = Duration::from_millis(100);
/// Bytes of events read at once.
const BUFFER_BYTES: usize = 16 << 10;

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Something was written to a file of this name in a watched folder.
    Written { folder: i32, name: String },
    /// A name came or went.
    Named,
    /// More happened than the kernel keeps.
    Unknown,
}

/// Watches folders. Ends its task when dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    fd: Arc<AsyncFd<OwnedFd>>,
    task: JoinHandle<()>,
    folders: BTreeMap<PathBuf, i32>,
}

impl Watcher {
    /// Changes come through `changes`, some time after they happened. Needs a runtime with I/O.
    pub(super) fn start(
        runtime: &Handle,
        changes: mpsc::SyncSender<Vec<Change>>,
    ) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let _entered = runtime.enter();
        #[expect(deprecated, reason = "an `OwnedFd` stays open as long as it is registered")]
        let fd = Arc::new(AsyncFd::new(fd)?);
        let task = runtime.spawn(pass_on(Arc::clone(&fd), changes));
        Ok(Self { fd, task, folders: BTreeMap::new() })
    }

    /// Watches a folder, if it does not already.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        if self.folders.contains_key(folder) {
            return Ok(());
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        let id = inotify::add_watch(self.fd.get_ref(), folder, flags)?;
        self.folders.insert(folder.to_owned(), id);
        Ok(())
    }

    /// Stops watching what is not among `folders`: they are gone, or not asked for any more.
    pub(super) fn keep(&mut self, mut is_kept: impl FnMut(&Path) -> bool) {
        let fd = Arc::clone(&self.fd);
        self.folders.retain(|folder, id| {
            let keeps = is_kept(folder) && folder.is_dir();
            if !keeps {
                // The kernel has taken a deleted folder off itself.
                inotify::remove_watch(fd.get_ref(), *id).unwrap_or_default();
            }
            keeps
        });
    }

    pub(super) fn path_of(&self, folder_id: i32, name: &str) -> Option<PathBuf> {
        let (folder, _) = self.folders.iter().find(|(_, id)| **id == folder_id)?;
        Some(folder.join(name))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(fd: Arc<AsyncFd<OwnedFd>>, changes: mpsc::SyncSender<Vec<Change>>) {
    loop {
        let Ok(mut ready) = fd.readable().await else { return };
        tokio::time::sleep(GATHER).await;
        let read = read_all(fd.get_ref());
        ready.clear_ready();
        match changes.try_send(read) {
            Ok(()) => {}
            // The thread is behind; it looks at all files from time to time anyway.
            Err(mpsc::TrySendError::Full(_)) => {}
            Err(mpsc::TrySendError::Disconnected(_)) => return,
        }
    }
}

fn read_all(fd: &OwnedFd) -> Vec<Change> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut reader = Reader::new(fd, &mut buffer);
    let mut changes = Vec::new();
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(_) => break,
        };
        let change = if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            Change::Unknown
        } else if event.events().contains(ReadFlags::MODIFY) {
            let name = event.file_name().map(|it| it.to_string_lossy().into_owned());
            Change::Written { folder: event.wd(), name: name.unwrap_or_default() }
        } else {
            Change::Named
        };
        // A busy file is one change, however often it was written.
        if changes.last() != Some(&change) && !changes.contains(&change) {
            changes.push(change);
        }
    }
    changes
}
