//! Which systemd unit a control group belongs to.
//!
//! Programs name a group by its id, which is the inode of its directory in the cgroup2 tree. The
//! tree is walked anew at each collection, and in between when an event names an unknown group.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The unit under which everything is counted that has no name of its own.
pub(super) const OTHER: &str = "other";

/// The id of the tree's root, and its name.
const ROOT_UNIT: &str = "/";

/// Bounds one walk; a host with more groups has the rest counted under [`OTHER`].
const GROUPS_MAX: usize = 65_536;
/// Deeper groups are not looked for.
const DEPTH_MAX: usize = 32;

const UNIT_KINDS: &[&str] =
    &[".service", ".scope", ".socket", ".mount", ".swap", ".timer", ".slice"];

/// The cgroup2 tree as it was when last walked.
#[derive(Debug)]
pub(super) struct Groups {
    root: PathBuf,
    known: HashMap<u64, Group>,
    collection: u64,
    /// Whether the tree could be read at the last collection.
    is_readable: bool,
}

#[derive(Debug)]
struct Group {
    unit: Arc<str>,
    /// The collection that last saw it.
    seen: u64,
}

impl Groups {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), collection: 0, is_readable: true }
    }

    /// Starts the next collection: walks the tree. A group that is gone keeps its name until the
    /// collection after this one, so that what it did last is still told apart.
    ///
    /// # Errors
    /// The root cannot be read; groups that vanish meanwhile are no error.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        self.collection += 1;
        let found = self.find_new();
        self.is_readable = found.is_ok();
        found?;
        let collection = self.collection;
        self.known.retain(|_, group| group.seen + 1 >= collection);
        Ok(())
    }

    /// Walks the tree between two collections, for groups that came since.
    ///
    /// # Errors
    /// As [`Groups::refresh`].
    pub(super) fn find_new(&mut self) -> io::Result<()> {
        self.note(fs::metadata(&self.root)?.ino(), "");
        let mut pending = vec![(self.root.clone(), String::new(), 0)];
        while let Some((dir, path, depth)) = pending.pop() {
            // A group without children has two links: from its parent and from itself.
            let Ok(metadata) = fs::metadata(&dir) else { continue };
            if metadata.nlink() == 2 || depth == DEPTH_MAX {
                continue;
            }
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|it| it.is_dir()) || self.known.len() >= GROUPS_MAX
                {
                    continue;
                }
                let path = format!("{path}/{}", entry.file_name().to_string_lossy());
                self.note(entry.ino(), &path);
                pending.push((entry.path(), path, depth + 1));
            }
        }
        Ok(())
    }

    /// Notes a group that a process says to be at `path`, if it is there: the process may have moved
    /// on since.
    pub(super) fn learn(&mut self, group: u64, path: &str) {
        let dir = self.root.join(path.trim_start_matches('/'));
        if fs::metadata(dir).is_ok_and(|it| it.ino() == group) {
            self.note(group, path);
        }
    }

    /// The unit of a group, if a walk has seen it.
    pub(super) fn unit(&self, group: u64) -> Option<&Arc<str>> {
        self.known.get(&group).map(|it| &it.unit)
    }

    /// Whether it was there at the last collection. All are where that cannot be told: nothing
    /// may be given up for dead then.
    pub(super) fn is_alive(&self, group: u64) -> bool {
        !self.is_readable || self.known.get(&group).is_some_and(|it| it.seen == self.collection)
    }

    fn note(&mut self, group: u64, path: &str) {
        let seen = self.collection;
        self.known
            .entry(group)
            .and_modify(|it| it.seen = seen)
            .or_insert_with(|| Group { unit: unit_of_path(path).into(), seen });
    }
}

/// The innermost unit in a group's path; the path itself where there is none, `/` for the root.
pub(super) fn unit_of_path(path: &str) -> &str {
    let is_unit = |part: &&str| UNIT_KINDS.iter().any(|kind| part.ends_with(kind));
    match path.rsplit('/').find(is_unit) {
        Some(unit) => unit,
        None if path.is_empty() => ROOT_UNIT,
        None => path,
    }
}

/// Where the cgroup2 tree is mounted, from `/proc/self/mounts`; on hybrid hosts it is not at
/// `/sys/fs/cgroup`.
pub(super) fn find_root(mounts: &str) -> Option<&Path> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| Path::new(at))
    })
}

/// A process' path in the cgroup2 tree, from `/proc/PID/cgroup`.
pub(super) fn path_of_process(cgroup: &str) -> Option<&str> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(if path == "/" { "" } else { path.trim_end_matches(" (deleted)") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_names_a_group() {
        let cases = [
            ("", "/"),
            ("/skep-test", "/skep-test"),
            ("/system.slice", "system.slice"),
            ("/system.slice/nginx.service", "nginx.service"),
            ("/system.slice/docker-1f.scope/init", "docker-1f.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/foot.service",
                "foot.service",
            ),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope"),
        ];
        for (path, unit) in cases {
            assert_eq!(unit_of_path(path), unit, "{path}");
        }
    }

    #[test]
    fn the_cgroup2_tree_is_found_on_hybrid_hosts() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(find_root(mounts), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(find_root("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn a_process_names_its_group_also_after_its_removal() {
        let text = "9:memory:/limited\n1:name=systemd:/\n0::/a/b.service (deleted)\n";
        assert_eq!(path_of_process(text), Some("/a/b.service"));
        assert_eq!(path_of_process("0::/\n"), Some(""));
        assert_eq!(path_of_process("9:memory:/limited\n"), None);
    }

    #[test]
    fn a_process_is_only_believed_about_its_group_if_the_tree_agrees() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("b.service");
        fs::create_dir(&dir).unwrap();
        let group = fs::metadata(&dir).unwrap().ino();
        let mut groups = Groups::new(root.path().to_owned());
        groups.learn(group, "/a.service");
        groups.learn(group + 1, "/b.service");
        assert_eq!((groups.unit(group), groups.unit(group + 1)), (None, None));
        groups.learn(group, "/b.service");
        assert_eq!(groups.unit(group).map(|it| &**it), Some("b.service"));
    }

    #[test]
    fn a_group_that_is_gone_keeps_its_name_for_one_more_collection() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("system.slice/a.service");
        fs::create_dir_all(&dir).unwrap();
        let group = fs::metadata(&dir).unwrap().ino();
        let mut groups = Groups::new(root.path().to_owned());
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group).map(|it| &**it), Some("a.service"));
        assert!(groups.is_alive(group));
        fs::remove_dir(&dir).unwrap();
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group).map(|it| &**it), Some("a.service"));
        assert!(!groups.is_alive(group));
        groups.find_new().unwrap();
        assert!(groups.unit(group).is_some(), "a walk in between does not age it");
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group), None);
    }
}
