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
pub(crate) const OTHER: &str = "other";

/// The id of the tree's root, and its name.
const ROOT_UNIT: &str = "/";

/// Bounds one walk; a host with more groups has the rest counted under [`OTHER`].
const GROUPS_MAX: usize = 65_536;
/// Deeper groups are not looked for.
const DEPTH_MAX: usize = 32;

const SLICE: &str = ".slice";
const UNIT_KINDS: &[&str] = &[".service", ".scope", ".socket", ".mount", ".swap", ".timer", SLICE];

/// A unit as metrics name it: units of a container may be named like the host's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unit {
    pub(crate) name: Arc<str>,
    pub(crate) container: Option<Arc<str>>,
}

/// The control group that holds all of a unit's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitDir {
    pub(crate) unit: Unit,
    /// Its directory's inode in the cgroup2 tree.
    pub(crate) group: u64,
    /// Below the root of the tree; empty for the root.
    pub(crate) path: String,
    /// Whether a group below it belongs to another unit.
    pub(crate) has_units_below: bool,
}

/// The cgroup2 tree as it was when last walked.
#[derive(Debug)]
pub(crate) struct Groups {
    root: PathBuf,
    known: HashMap<u64, Group>,
    /// Each unit of `known` and the collection that last saw it.
    units: HashMap<Unit, u64>,
    dirs: Vec<UnitDir>,
    collection: u64,
    /// Whether the tree could be read at the last collection.
    is_readable: bool,
}

#[derive(Debug)]
struct Group {
    unit: Unit,
    /// The collection that last saw it.
    seen: u64,
}

/// A directory still to be looked into.
struct Pending {
    path: String,
    depth: usize,
    /// Of the nearest unit's directory above, this one included, in the list under way.
    dir_idx: usize,
}

impl Unit {
    pub(crate) fn other() -> Self {
        Self { name: OTHER.into(), container: None }
    }

    /// What a group's path says: the innermost unit in it, and the container around it. The path
    /// itself where there is no unit, `/` for the root.
    pub(crate) fn of_path(path: &str) -> Self {
        let mut container = None;
        let mut unit = None;
        let mut end = 0;
        for part in path.split('/') {
            end += part.len();
            if let Some(found) = container_of_part(part) {
                container = Some(found);
                unit = Some(path.get(..end).unwrap_or(path));
            }
            if UNIT_KINDS.iter().any(|kind| part.ends_with(kind)) {
                unit = Some(part);
            }
            end += 1;
        }
        let name = unit.unwrap_or(if path.is_empty() { ROOT_UNIT } else { path });
        Self { name: name.into(), container: container.map(Into::into) }
    }

    /// Slices have no processes of their own but in odd set-ups: they hold other units.
    pub(crate) fn is_slice(&self) -> bool {
        self.name.ends_with(SLICE)
    }
}

impl Groups {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: HashMap::new(),
            units: HashMap::new(),
            dirs: Vec::new(),
            collection: 0,
            is_readable: true,
        }
    }

    /// Starts the next collection: walks the tree. A group that is gone keeps its name until the
    /// collection after this one, so that what it did last is still told apart.
    ///
    /// # Errors
    /// The root cannot be read; groups that vanish meanwhile are no error.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.collection += 1;
        let found = self.find_new();
        self.is_readable = found.is_ok();
        found?;
        let collection = self.collection;
        self.known.retain(|_, group| group.seen + 1 >= collection);
        self.units.retain(|_, seen| *seen + 1 >= collection);
        Ok(())
    }

    /// Walks the tree between two collections, for groups that came since.
    ///
    /// # Errors
    /// As [`Groups::refresh`].
    pub(crate) fn find_new(&mut self) -> io::Result<()> {
        let group = fs::metadata(&self.root)?.ino();
        let mut dirs = Vec::new();
        let mut pending = vec![self.note_dir(&mut dirs, None, group, String::new())];
        while let Some(Pending { path, depth, dir_idx }) = pending.pop() {
            let dir = self.dir(&path);
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
                let mut below = self.note_dir(&mut dirs, Some(dir_idx), entry.ino(), path);
                below.depth = depth + 1;
                pending.push(below);
            }
        }
        dirs.sort_unstable_by(|a, b| a.unit.cmp(&b.unit).then_with(|| a.path.cmp(&b.path)));
        self.dirs = dirs;
        Ok(())
    }

    /// Notes a group that a process says to be at `path`, if it is there: the process may have moved
    /// on since.
    pub(crate) fn learn(&mut self, group: u64, path: &str) {
        if fs::metadata(self.dir(path)).is_ok_and(|it| it.ino() == group) {
            self.note(group, path);
        }
    }

    /// The unit of a group, if a walk has seen it.
    pub(crate) fn unit(&self, group: u64) -> Option<&Unit> {
        self.known.get(&group).map(|it| &it.unit)
    }

    /// Whether a unit was there at the last collection or the one before.
    pub(crate) fn knows(&self, unit: &Unit) -> bool {
        self.units.contains_key(unit)
    }

    /// Whether it was there at the last collection. All are where that cannot be told: nothing
    /// may be given up for dead then.
    pub(crate) fn is_alive(&self, group: u64) -> bool {
        !self.is_readable || self.known.get(&group).is_some_and(|it| it.seen == self.collection)
    }

    /// In the order of the units' names.
    pub(crate) fn dirs(&self) -> &[UnitDir] {
        &self.dirs
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn dir(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn note_dir(
        &mut self,
        dirs: &mut Vec<UnitDir>,
        above_idx: Option<usize>,
        group: u64,
        path: String,
    ) -> Pending {
        let unit = self.note(group, &path);
        let above = above_idx.and_then(|it| Some((it, dirs.get_mut(it)?)));
        let dir_idx = match above {
            Some((above_idx, above)) if above.unit == unit => above_idx,
            above => {
                if let Some((_, above)) = above {
                    above.has_units_below = true;
                }
                let dir = UnitDir { unit, group, path: path.clone(), has_units_below: false };
                dirs.push(dir);
                dirs.len() - 1
            }
        };
        Pending { path, depth: 0, dir_idx }
    }

    fn note(&mut self, group: u64, path: &str) -> Unit {
        let seen = self.collection;
        let noted = self
            .known
            .entry(group)
            .and_modify(|it| it.seen = seen)
            .or_insert_with(|| Group { unit: Unit::of_path(path), seen });
        let unit = noted.unit.clone();
        if let Some(it) = self.units.get_mut(&unit) {
            *it = seen;
        } else {
            self.units.insert(unit.clone(), seen);
        }
        unit
    }
}

/// The container that a directory's name says it is, as its engine names it: the short form of an
/// id (`docker ps`), or a name.
fn container_of_part(part: &str) -> Option<String> {
    const ID_CHARS: usize = 64;
    const SHORT_ID_CHARS: usize = 12;
    const ENGINES: &[&str] = &["docker-", "libpod-", "cri-containerd-", "crio-", "podman-"];
    let bare = part.strip_suffix(".scope");
    if let Some(name) = bare.and_then(|it| it.strip_prefix("machine-")) {
        return Some(unescape(name));
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(name.to_owned());
    }
    // `docker/ID` and `kubepods/…/ID` where the engine makes its groups itself.
    let engine = bare.and_then(|it| ENGINES.iter().find_map(|engine| it.strip_prefix(engine)));
    let id = engine.unwrap_or(part);
    let is_id = id.bytes().all(|it| it.is_ascii_hexdigit());
    let is_known = is_id && (id.len() == ID_CHARS || engine.is_some() && !id.is_empty());
    is_known.then(|| id.get(..SHORT_ID_CHARS).unwrap_or(id).to_owned())
}

/// `\x2d` is how systemd writes a `-` in a unit's name.
fn unescape(name: &str) -> String {
    name.replace("\\x2d", "-")
}

/// Where the cgroup2 tree is mounted, from `/proc/self/mounts`; on hybrid hosts it is not at
/// `/sys/fs/cgroup`. `sys` is where this host's sysfs is: an agent in a container has two.
pub(crate) fn find_root(mounts: &str, sys: &Path) -> Option<PathBuf> {
    find_mount(mounts, sys, |kind, _options| kind == "cgroup2")
}

/// Where a controller of version 1 has its tree.
pub(crate) fn find_controller(mounts: &str, sys: &Path, controller: &str) -> Option<PathBuf> {
    find_mount(mounts, sys, |kind, options| {
        kind == "cgroup" && options.split(',').any(|it| it == controller)
    })
}

fn find_mount(mounts: &str, sys: &Path, is_it: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let mut found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        is_it(kind, options).then(|| Path::new(at))
    });
    let first = found.next()?;
    let best = std::iter::once(first).chain(found).find(|it| it.starts_with(sys)).unwrap_or(first);
    Some(match best.strip_prefix("/sys") {
        Ok(below) if !best.starts_with(sys) => sys.join(below),
        _ => best.to_owned(),
    })
}

/// A process' path in the cgroup2 tree, from `/proc/PID/cgroup`.
pub(crate) fn path_of_process(cgroup: &str) -> Option<&str> {
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
            assert_eq!(&*Unit::of_path(path).name, unit, "{path}");
        }
    }

    #[test]
    fn containers_are_told_by_their_engines_names() {
        let id = "1f".repeat(32);
        let check = |path: &str, unit: &str, container: &str| {
            let found = Unit::of_path(path);
            assert_eq!((&*found.name, found.container.as_deref()), (unit, Some(container)));
        };
        let scope = format!("docker-{id}.scope");
        check(&format!("/system.slice/{scope}"), &scope, "1f1f1f1f1f1f");
        let scope = format!("libpod-{id}.scope");
        check(&format!("/machine.slice/{scope}/container"), &scope, "1f1f1f1f1f1f");
        let scope = format!("cri-containerd-{id}.scope");
        check(&format!("/kubepods.slice/kubepods-pod1.slice/{scope}"), &scope, "1f1f1f1f1f1f");
        let path = format!("/docker/{id}");
        check(&path, &path, "1f1f1f1f1f1f");
        check(&format!("{path}/init"), &path, "1f1f1f1f1f1f");
        check(r"/machine.slice/machine-web\x2d1.scope/payload", r"machine-web\x2d1.scope", "web-1");
        check("/lxc.payload.db/system.slice/ssh.service", "ssh.service", "db");
        check("/lxc.payload.db", "/lxc.payload.db", "db");
        assert_eq!(Unit::of_path("/system.slice/docker-proxy.scope").container, None);
    }

    #[test]
    fn the_groups_that_are_whole_units_are_listed_once() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a.slice/b.service/main", "a.slice/b.service/help", "c.service"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let mut groups = Groups::new(root.path().to_owned());
        groups.refresh().unwrap();
        let dirs: Vec<String> = groups
            .dirs()
            .iter()
            .map(|it| format!("{} {:?} {}", it.unit.name, it.path, it.has_units_below))
            .collect();
        assert_eq!(
            dirs,
            [
                r#"/ "" true"#,
                r#"a.slice "/a.slice" true"#,
                r#"b.service "/a.slice/b.service" false"#,
                r#"c.service "/c.service" false"#,
            ]
        );
    }

    #[test]
    fn the_cgroup2_tree_is_found_on_hybrid_hosts() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let sys = Path::new("/sys");
        assert_eq!(find_root(mounts, sys), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(find_root(mounts, Path::new("/h/sys")), Some("/h/sys/fs/cgroup/unified".into()));
        assert_eq!(find_controller(mounts, sys, "cpu"), Some("/sys/fs/cgroup/cpu".into()));
        assert_eq!(find_controller(mounts, sys, "memory"), None);
        assert_eq!(find_root("proc /proc proc rw 0 0\n", sys), None);
        let both = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n\
                    cgroup2 /host/sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(find_root(both, Path::new("/host/sys")), Some("/host/sys/fs/cgroup".into()));
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
        assert_eq!(groups.unit(group).map(|it| &*it.name), Some("b.service"));
    }

    #[test]
    fn a_group_that_is_gone_keeps_its_name_for_one_more_collection() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("system.slice/a.service");
        fs::create_dir_all(&dir).unwrap();
        let group = fs::metadata(&dir).unwrap().ino();
        let mut groups = Groups::new(root.path().to_owned());
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group).map(|it| &*it.name), Some("a.service"));
        assert!(groups.is_alive(group));
        fs::remove_dir(&dir).unwrap();
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group).map(|it| &*it.name), Some("a.service"));
        assert!(!groups.is_alive(group));
        groups.find_new().unwrap();
        assert!(groups.unit(group).is_some(), "a walk in between does not age it");
        groups.refresh().unwrap();
        assert_eq!(groups.unit(group), None);
    }
}
