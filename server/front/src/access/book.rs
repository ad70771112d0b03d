//! A small list on disk that the running server and the command line both read and change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::files::{self, Mode, Stamp};

/// What a file that is no list of such entries means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenBroken {
    /// Nobody may come in by what cannot be read, and nothing may overwrite it.
    Fail,
    /// Nothing is lost that cannot be had again.
    StartEmpty,
}

/// The list, read again whenever the file is another one.
///
/// Each change is made under a lock of all processes, to what the file says by then, and is on the
/// disk when it returns.
#[derive(Debug)]
pub(crate) struct Book<T> {
    path: PathBuf,
    when_broken: WhenBroken,
    read: ArcSwap<Read<T>>,
}

#[derive(Debug)]
struct Read<T> {
    stamp: Option<Stamp>,
    entries: Arc<Vec<T>>,
}

impl<T: Clone + Serialize + DeserializeOwned> Book<T> {
    pub(crate) fn open(path: PathBuf, when_broken: WhenBroken) -> Result<Self, Error> {
        let read = ArcSwap::from_pointee(read(&path, when_broken)?);
        Ok(Self { path, when_broken, read })
    }

    /// What the file says now; if it cannot be read, what it said before.
    pub(crate) fn entries(&self) -> Arc<Vec<T>> {
        let known = self.read.load();
        let stamp = files::stamp(&self.path);
        if stamp == known.stamp {
            return Arc::clone(&known.entries);
        }
        let entries = match read(&self.path, self.when_broken) {
            Ok(read) => {
                let entries = Arc::clone(&read.entries);
                self.read.store(Arc::new(read));
                return entries;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "Could not read a changed file; what it said before goes on."
                );
                Arc::clone(&known.entries)
            }
        };
        // Said once for each state of the file.
        self.read.store(Arc::new(Read { stamp, entries: Arc::clone(&entries) }));
        entries
    }

    /// Changes the list, unless `change` returns an error. Blocks on the disk and the lock.
    pub(crate) fn change<R, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Vec<T>) -> Result<R, E>,
    ) -> Result<R, E> {
        let _lock = files::lock(&self.path.with_extension("lock"))?;
        let mut entries = Vec::clone(&read(&self.path, self.when_broken)?.entries);
        let result = change(&mut entries)?;
        let text = serde_json::to_string_pretty(&entries)
            .map_err(|source| Error::Unreadable { path: self.path.clone(), source })?;
        files::replace(&self.path, &(text + "\n"), Mode::Secret)?;
        let stamp = files::stamp(&self.path);
        self.read.store(Arc::new(Read { stamp, entries: Arc::new(entries) }));
        Ok(result)
    }
}

fn read<T: DeserializeOwned>(path: &Path, when_broken: WhenBroken) -> Result<Read<T>, Error> {
    // The stamp first: a file that is replaced meanwhile is read once more then.
    let stamp = files::stamp(path);
    let entries = match files::read(path)? {
        None => Vec::new(),
        Some(text) => match (serde_json::from_str(&text), when_broken) {
            (Ok(entries), _) => entries,
            (Err(error), WhenBroken::StartEmpty) => {
                tracing::warn!(%error, path = %path.display(), "A file is broken; starting with an empty one.");
                Vec::new()
            }
            (Err(source), WhenBroken::Fail) => {
                return Err(Error::Unreadable { path: path.to_owned(), source });
            }
        },
    };
    Ok(Read { stamp, entries: Arc::new(entries) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(book: &Book<u32>, n: u32) {
        let pushed: Result<(), Error> = book.change(|entries| {
            entries.push(n);
            Ok(())
        });
        pushed.unwrap();
    }

    #[test]
    fn two_processes_see_and_keep_each_others_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers.json");
        let server = Book::<u32>::open(path.clone(), WhenBroken::Fail).unwrap();
        let tool = Book::<u32>::open(path, WhenBroken::Fail).unwrap();
        push(&tool, 1);
        assert_eq!(*server.entries(), [1]);
        push(&server, 2);
        push(&tool, 3);
        assert_eq!(*server.entries(), [1, 2, 3]);
    }

    #[test]
    fn changes_at_the_same_time_all_count() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(dir.path().join("numbers.json"), WhenBroken::Fail).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let book = &book;
                scope.spawn(move || push(book, n));
            }
        });
        assert_eq!(book.entries().len(), 8);
    }

    #[test]
    fn a_file_broken_by_hand_changes_nothing_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("numbers.json");
        let book = Book::<u32>::open(path.clone(), WhenBroken::Fail).unwrap();
        push(&book, 1);
        std::fs::write(&path, "[1, tw").unwrap();
        assert_eq!(*book.entries(), [1]);
        let error = book.change(|_| Ok::<(), Error>(())).unwrap_err();
        assert!(matches!(error, Error::Unreadable { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[1, tw");
        std::fs::write(&path, "[1, 2]").unwrap();
        assert_eq!(*book.entries(), [1, 2]);
    }
}
