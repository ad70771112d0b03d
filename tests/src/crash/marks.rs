//! What a killed server left lying about: tells in the middle of what it was killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use anyhow::Context as _;

/// The files below a data folder.
#[derive(Debug)]
pub(super) struct Tree(BTreeMap<String, File>);

#[derive(Debug)]
struct File {
    /// Parquet files end in their magic number.
    is_whole: bool,
}

impl Tree {
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        walk(dir, "", &mut files)?;
        Ok(Self(files))
    }

    /// What the kill met, by what the next start cleared away and said.
    pub(super) fn marks(&self, after: &Self, log: &str) -> BTreeSet<&'static str> {
        let mut marks = BTreeSet::new();
        for (name, file) in self.0.iter().filter(|(name, _)| !after.0.contains_key(*name)) {
            if name.ends_with(".json.unfinished") {
                marks.insert("a commit being written");
            } else if name.contains("/_delta_log/") {
                if name.ends_with(".unfinished") {
                    marks.insert("a checkpoint being written");
                }
            } else if name.starts_with("wal/") {
                marks.insert(if name.ends_with(".tmp") {
                    "a log segment being made"
                } else {
                    "log segments not removed yet"
                });
            } else if let Some(stem) = name.strip_suffix(".parquet") {
                let is_flushed = stem.rsplit('-').next() == Some("0");
                marks.insert(match (file.is_whole, is_flushed) {
                    (false, true) => "a flush writing a part",
                    (false, false) => "a merge writing a part",
                    (true, _) => "a part not committed, or replaced",
                });
            }
        }
        if log.contains("unfinished write") {
            marks.insert("a torn end of the log");
        }
        marks
    }
}

fn walk(dir: &Path, prefix: &str, files: &mut BTreeMap<String, File>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // The server of the second reading is at work: files come and go.
        let Ok(file_type) = entry.file_type() else { continue };
        if file_type.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
            continue;
        }
        match is_whole(&entry.path()) {
            Ok(is_whole) => drop(files.insert(name, File { is_whole })),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {name}")),
        }
    }
    Ok(())
}

fn is_whole(path: &Path) -> std::io::Result<bool> {
    if path.extension().is_none_or(|it| it != "parquet") {
        return Ok(true);
    }
    let mut file = fs::File::open(path)?;
    if file.metadata()?.len() < 12 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-4))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    Ok(&magic == b"PAR1")
}
