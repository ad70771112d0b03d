//! `statfs` with a timeout: the server of a network file system that is gone holds the call, and
//! whoever made it, for as long as it likes.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::exposition::as_f64;

/// What node_exporter's label says of a mount that does not answer.
const TIMEOUT: &str = "mountpoint timeout";

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) size_bytes: f64,
    pub(super) free_bytes: f64,
    pub(super) avail_bytes: f64,
    pub(super) files: f64,
    pub(super) files_free: f64,
}

/// Asks from a thread of its own. One that is held is left to itself, its mount is not asked again
/// until the call has returned, and the next mount gets a new thread: so there are never more
/// threads than stuck mounts and one.
#[derive(Debug, Default)]
pub(in crate::sources) struct Mounts(Mutex<Asking>);

#[derive(Debug, Default)]
struct Asking {
    worker: Option<Worker>,
    /// Set once the call has returned after all.
    stuck: HashMap<PathBuf, Arc<AtomicBool>>,
}

type Answer = Result<Usage, String>;
type Ask = fn(&Path) -> Answer;

#[derive(Debug)]
struct Worker {
    requests: mpsc::Sender<(PathBuf, Arc<AtomicBool>)>,
    answers: mpsc::Receiver<Answer>,
}

impl Mounts {
    /// The mount's usage or, inside, the text of what is wrong with it.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) fn usage(&self, path: &Path, timeout: Duration) -> io::Result<Answer> {
        self.ask(path, timeout, statfs)
    }

    fn ask(&self, path: &Path, timeout: Duration, ask: Ask) -> io::Result<Answer> {
        let mut asking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Asking { worker, stuck } = &mut *asking;
        if stuck.get(path).is_some_and(|it| !it.load(Ordering::Acquire)) {
            return Ok(Err(TIMEOUT.to_owned()));
        }
        stuck.remove(path);
        let current = match worker.take() {
            Some(worker) => worker,
            None => Worker::start(ask)?,
        };
        let has_returned = Arc::new(AtomicBool::new(false));
        let request = (path.to_owned(), Arc::clone(&has_returned));
        current.requests.send(request).map_err(io::Error::other)?;
        match current.answers.recv_timeout(timeout) {
            Ok(answer) => {
                *worker = Some(current);
                Ok(answer)
            }
            Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => {
                stuck.insert(path.to_owned(), has_returned);
                Ok(Err(TIMEOUT.to_owned()))
            }
        }
    }
}

impl Worker {
    fn start(ask: Ask) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<(PathBuf, Arc<AtomicBool>)>();
        let (outbox, answers) = mpsc::channel();
        thread::Builder::new().name("statfs".to_owned()).spawn(move || {
            // Ends when nobody waits any more: after a timeout, or with the agent.
            for (path, has_returned) in inbox {
                let answer = ask(&path);
                has_returned.store(true, Ordering::Release);
                if outbox.send(answer).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, answers })
    }
}

fn statfs(path: &Path) -> Answer {
    let stat = rustix::fs::statfs(path).map_err(|errno| errno_text(&errno.into()))?;
    let block_bytes = as_f64(u64::try_from(stat.f_bsize).unwrap_or_default());
    Ok(Usage {
        size_bytes: as_f64(stat.f_blocks) * block_bytes,
        free_bytes: as_f64(stat.f_bfree) * block_bytes,
        avail_bytes: as_f64(stat.f_bavail) * block_bytes,
        files: as_f64(stat.f_files),
        files_free: as_f64(stat.f_ffree),
    })
}

/// As Go spells it: in lower case and without the number.
fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|it| it.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage =
        Usage { size_bytes: 1.0, free_bytes: 1.0, avail_bytes: 1.0, files: 1.0, files_free: 1.0 };
    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);

    /// A mount whose name is a fifo's: the call returns when the test opens the other end.
    fn held(path: &Path) -> Answer {
        if path.ends_with("held") {
            std::fs::read(path).unwrap();
        }
        Ok(USAGE)
    }

    #[test]
    fn a_stuck_mount_costs_its_timeout_once_and_comes_back_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("held");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let mounts = Mounts::default();
        let timed_out = Err(TIMEOUT.to_owned());

        assert_eq!(mounts.ask(Path::new("/fine"), LONG, held).unwrap(), Ok(USAGE));
        assert_eq!(mounts.ask(&fifo, Duration::from_millis(1), held).unwrap(), timed_out);
        // The others are asked on a new thread; the stuck one is not waited for again.
        assert_eq!(mounts.ask(Path::new("/fine"), LONG, held).unwrap(), Ok(USAGE));
        assert_eq!(mounts.ask(&fifo, LONG, held).unwrap(), timed_out);

        // Opening it for writing waits for the reader, so the call has begun; closing ends it.
        drop(std::fs::OpenOptions::new().write(true).open(&fifo).unwrap());
        let has_returned = Arc::clone(&mounts.0.lock().unwrap().stuck[&fifo]);
        while !has_returned.load(Ordering::Acquire) {
            thread::yield_now();
        }
        std::fs::remove_file(&fifo).unwrap();
        std::fs::write(&fifo, "").unwrap();
        assert_eq!(mounts.ask(&fifo, LONG, held).unwrap(), Ok(USAGE));
    }

    #[test]
    fn errors_are_spelled_as_go_does() {
        let missing = rustix::io::Errno::NOENT;
        assert_eq!(errno_text(&missing.into()), "no such file or directory");
        assert!(statfs(Path::new("/")).is_ok());
    }
}
