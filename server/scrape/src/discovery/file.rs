//! Targets in files. Files are looked at once a second: whatever changes them, on whatever file
//! system, is noticed, and nothing has to be told that they are watched.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Slot, warn_of};
use crate::{
    config::{FileSd, Group, RawGroup, files_of, read_yaml},
    timer::Timer,
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of one file; a line of JSON a target, for a hundred thousand targets.
const FILE_BYTES_MAX: u64 = 64 << 20;
const PATH_LABEL: &str = "__meta_filepath";

/// What shows that a file is another one than before.
type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// What was read, by file.
#[derive(Debug, Default, Clone)]
struct Files {
    stamps: Stamps,
    groups: BTreeMap<PathBuf, Vec<Group>>,
}

pub(super) async fn run(config: &FileSd, slot: &Slot, timer: &dyn Timer) {
    let mut files = Files::default();
    let mut reread_at = Duration::ZERO;
    loop {
        let elapsed = timer.elapsed();
        if elapsed >= reread_at {
            // A change that a time stamp does not show is noticed in the end.
            files.stamps.clear();
            reread_at = elapsed + config.refresh;
        }
        let patterns = config.patterns.clone();
        let before = files.clone();
        match tokio::task::spawn_blocking(move || look(&patterns, &before)).await {
            Ok((now, warnings)) => {
                for (path, error) in warnings {
                    warn_of(&path.display().to_string(), &error);
                }
                slot.put(now.groups.values().flatten().cloned().collect());
                files = now;
            }
            Err(error) => warn_of("files", &error.to_string()),
        }
        timer.sleep_until(elapsed + LOOK_EVERY).await;
    }
}

/// Reads the files that have changed.
fn look(patterns: &[PathBuf], before: &Files) -> (Files, Vec<(PathBuf, String)>) {
    let mut now = Files::default();
    let mut warnings = Vec::new();
    for pattern in patterns {
        let paths = files_of(pattern).unwrap_or_else(|error| {
            warnings.push((pattern.clone(), error.to_string()));
            Vec::new()
        });
        for path in paths {
            // One that is not there (any more) has no targets.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let stamp = (metadata.modified().ok(), metadata.len());
            let known = before.groups.get(&path);
            let is_changed = before.stamps.get(&path) != Some(&stamp);
            let groups = if is_changed { read(&path, metadata.len()) } else { Ok(None) };
            let groups = groups.unwrap_or_else(|error| {
                warnings.push((path.clone(), error));
                None
            });
            now.stamps.insert(path.clone(), stamp);
            now.groups.insert(path, groups.or_else(|| known.cloned()).unwrap_or_default());
        }
    }
    (now, warnings)
}

fn read(path: &Path, size_bytes: u64) -> Result<Option<Vec<Group>>, String> {
    if size_bytes > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let is_json = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"));
    let raw: Vec<RawGroup> = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())?
    } else {
        read_yaml::<Option<Vec<RawGroup>>>(&text)?.unwrap_or_default()
    };
    let groups = raw.into_iter().map(|it| {
        let mut group = it.group()?;
        group.labels.insert(PATH_LABEL.to_owned(), path.display().to_string());
        Ok(group)
    });
    groups.collect::<Result<_, String>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(files: &Files) -> String {
        let groups = files.groups.values().flatten();
        let text = groups.map(|it| format!("{} {:?}", it.targets.join(","), it.labels.get("env")));
        text.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn files_are_read_when_they_change_and_bad_ones_keep_what_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let patterns = [path("*.json"), path("one.yml"), path("nosuch/*.yml")];
        std::fs::write(path("a.json"), r#"[{"targets":["a:1","b:1"],"labels":{"env":"x"}}]"#)
            .unwrap();
        std::fs::write(path("one.yml"), "- targets: [c:1]\n  labels: {env: 2}\n").unwrap();
        let (files, warnings) = look(&patterns, &Files::default());
        assert_eq!(targets(&files), "a:1,b:1 Some(\"x\"); c:1 Some(\"2\")");
        assert!(warnings.is_empty(), "{warnings:?}");

        std::fs::write(path("a.json"), r#"[{"target":"a"}]"#).unwrap();
        std::fs::remove_file(path("one.yml")).unwrap();
        std::fs::write(path("b.json"), "[]").unwrap();
        let (files, warnings) = look(&patterns, &files);
        assert_eq!(targets(&files), "a:1,b:1 Some(\"x\")");
        assert!(warnings[0].1.contains("unknown field `target`"), "{warnings:?}");
        // Not said again while it stays as it is.
        let (files, warnings) = look(&patterns, &files);
        assert!(warnings.is_empty(), "{warnings:?}");

        std::fs::write(path("a.json"), r#"[{"targets":["d:1"]}]"#).unwrap();
        let (files, _) = look(&patterns, &files);
        assert_eq!(targets(&files), "d:1 None");
        let path = path("a.json").display().to_string();
        assert_eq!(files.groups.values().flatten().next().unwrap().labels[PATH_LABEL], path);
    }
}
