//! All access to libsystemd: opens the journal, finds a place in it and reads entries whole.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use systemd::{
    Journal,
    journal::{OpenDirectoryOptions, OpenOptions},
};

use super::{
    damage,
    entry::{JournalEntry, VALUE_BYTES_MAX},
    settings::Select,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("the journal's directory {path:?} is not UTF-8")]
    Directory { path: PathBuf },
    #[error("cannot open the journal")]
    Open(#[source] systemd::Error),
    #[error("the journal does not take the match {field:?}")]
    Match { field: String, source: systemd::Error },
    #[error("cannot find a place in the journal")]
    Seek(#[source] systemd::Error),
    #[error("cannot read the journal")]
    Read(#[source] systemd::Error),
    #[error("cannot wait for the journal")]
    Wait(#[source] systemd::Error),
}

/// Where to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind the entry of this cursor; where that is gone, at the next one that is left.
    Behind(String),
    /// At the first entry that is not older: microseconds since the epoch.
    Time(u64),
}

/// A journal, placed. Bound to the thread that opened it.
pub(crate) struct JournalReader {
    journal: Journal,
    /// The last entry that was read, or the one to start behind.
    cursor: Option<Last>,
}

enum Last {
    Read(String),
    Given(String),
}

impl JournalReader {
    /// The host's own journal, one of its namespaces, or all files below a folder.
    pub(crate) fn open(select: &Select, place: &Place) -> Result<Self, JournalError> {
        let mut journal = match &select.directory {
            None => open_host(select.namespace.as_deref()),
            Some(path) => {
                let text = path
                    .to_str()
                    .ok_or_else(|| JournalError::Directory { path: path.to_owned() })?;
                OpenDirectoryOptions::default().open_directory(text)
            }
        }
        .map_err(JournalError::Open)?;
        // One more than is kept, so that a value that was cut is longer than one that fits.
        journal.set_data_threshold(VALUE_BYTES_MAX + 128).map_err(JournalError::Open)?;
        add_matches(&mut journal, select)?;
        let cursor = match place {
            Place::Behind(cursor) => {
                journal.seek_cursor(cursor.as_str()).map_err(JournalError::Seek)?;
                Some(Last::Given(cursor.clone()))
            }
            Place::Time(at_us) => {
                journal.seek_realtime_usec(*at_us).map_err(JournalError::Seek)?;
                None
            }
        };
        Ok(Self { journal, cursor })
    }

    /// Without the group `systemd-journal` libsystemd opens nothing and says nothing.
    pub(crate) fn can_read_any_file(&self, directory: Option<&Path>) -> bool {
        let has = |answer: systemd::Result<bool>| answer.unwrap_or(false);
        match directory {
            None => {
                has(self.journal.has_persistent_files()) || has(self.journal.has_runtime_files())
            }
            // libsystemd answers the two above only for the host's own folders.
            Some(path) => has_readable_file(path),
        }
    }

    /// The next entry; `None` at the end, until more is written.
    pub(crate) fn next(&mut self) -> Result<Option<JournalEntry>, JournalError> {
        let cursor = loop {
            if self.journal.next().map_err(JournalError::Read)? == 0 {
                return Ok(None);
            }
            // A seek lands on the entry itself, or on the nearest if it is gone; and the entry
            // read last can come again after a rotation. Its cursor tells.
            let cursor = self.journal.cursor().map_err(JournalError::Read)?;
            if !self.is_known(&cursor)? {
                break cursor;
            }
        };
        let realtime_us = self.journal.timestamp_usec().map_err(JournalError::Read)?;
        let fields = self.fields();
        self.cursor = Some(Last::Read(cursor.clone()));
        Ok(Some(JournalEntry { realtime_us, cursor, fields }))
    }

    /// Whether this is the entry that was read last. One text is nearly always enough: only a
    /// cursor that came from elsewhere may name the same entry with fewer of its parts.
    fn is_known(&self, cursor: &str) -> Result<bool, JournalError> {
        match &self.cursor {
            Some(Last::Read(last)) => Ok(last == cursor),
            Some(Last::Given(last)) => {
                self.journal.test_cursor(last.as_str()).map_err(JournalError::Read)
            }
            None => Ok(false),
        }
    }

    /// Returns once something was written, a file came or went, or after `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<(), JournalError> {
        self.journal.wait(Some(timeout)).map(drop).map_err(JournalError::Wait)
    }

    /// What can be read of the entry: a damaged field must not hide the others.
    fn fields(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut fields = Vec::new();
        self.journal.restart_data();
        while let Ok(Some(field)) = self.journal.enumerate_data() {
            if let (Ok(name), Some(value)) = (str::from_utf8(field.name()), field.value()) {
                fields.push((name.to_owned(), value.to_vec()));
            }
        }
        fields
    }
}

fn open_host(namespace: Option<&str>) -> systemd::Result<Journal> {
    let mut options = OpenOptions::default();
    options.local_only(true);
    match namespace {
        None => options.open(),
        Some("*") => options.all_namespaces(true).open(),
        Some(name) => match name.strip_prefix('+') {
            Some(name) => options.include_default_namespace(true).open_namespace(name),
            None => options.open_namespace(name),
        },
    }
}

/// As journalctl does: conditions on one field are alternatives, others must all hold.
fn add_matches(journal: &mut Journal, select: &Select) -> Result<(), JournalError> {
    let add = |journal: &mut Journal, field: &str, value: &str| {
        let added = journal.match_add(field, value).map(drop);
        added.map_err(|source| JournalError::Match { field: field.to_owned(), source })
    };
    if let Some(boot_id) = &select.boot_id {
        add(journal, "_BOOT_ID", boot_id)?;
        journal.match_and().map_err(JournalError::Open)?;
    }
    for (idx, conditions) in select.matches.iter().enumerate() {
        if idx > 0 {
            journal.match_or().map_err(JournalError::Open)?;
        }
        for (field, value) in conditions {
            add(journal, field, value)?;
        }
    }
    Ok(())
}

/// A journal file in the folder or in one of its machines' folders that this process may open.
fn has_readable_file(directory: &Path) -> bool {
    damage::files(Some(directory)).iter().any(|it| fs::File::open(it).is_ok())
}
