//! The limit that a victim of the OOM killer ran into: what its control group may hold, read while
//! the process is still there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::sources::{
    Roots,
    units::groups::{find_controller, find_root, path_of_process},
};

/// Version 1 writes the largest multiple of a page where there is no limit.
const UNLIMITED: u64 = 1 << 62;

/// The smallest limit on the way from a process' group to the root, and the path of the group that
/// has it. `None` where there is none, or the process is gone already.
pub(super) fn find(roots: &Roots, pid: u32) -> Option<(String, u64)> {
    let groups = fs::read_to_string(roots.proc.join(pid.to_string()).join("cgroup")).ok()?;
    let mounts = fs::read_to_string(roots.proc.join("self/mounts")).ok()?;
    let (root, path, file) = place(&groups, &mounts, &roots.sys)?;
    let mut limits = Vec::new();
    let mut group = Some(Path::new(path));
    while let Some(path) = group {
        let dir = root.join(path.strip_prefix("/").unwrap_or(path));
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        if let Some(limit) = text.trim().parse().ok().filter(|it| *it < UNLIMITED) {
            limits.push((limit, path.display().to_string()));
        }
        group = path.parent();
    }
    // The innermost of equal ones.
    limits.sort_by_key(|(limit, _)| *limit);
    limits.into_iter().next().map(|(limit, path)| (path, limit))
}

/// Where the groups' directories are, the process' path there, and the file with the limit: in the
/// hierarchy that has the memory controller.
fn place<'a>(
    groups: &'a str,
    mounts: &str,
    sys: &Path,
) -> Option<(PathBuf, &'a str, &'static str)> {
    let v1 = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|it| it == "memory").then_some(path)
    });
    let v2 = path_of_process(groups).map(|it| if it.is_empty() { "/" } else { it });
    if let (Some(path), Some(root)) = (v1, find_controller(mounts, sys, "memory")) {
        // A process that is dead but not yet waited for is in the root of every hierarchy of
        // version 1, and still in its group of version 2, which systemd gives the same path.
        let path = if path == "/" { v2.unwrap_or(path) } else { path };
        return Some((root, path, "memory.limit_in_bytes"));
    }
    Some((find_root(mounts, sys)?, v2?, "memory.max"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(dir: &Path) -> Roots {
        Roots { proc: dir.join("proc"), sys: dir.join("sys"), ..Roots::default() }
    }

    fn write(file: PathBuf, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn the_limit_is_that_of_the_tightest_group_above() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, groups) = (roots(dir.path()), dir.path().join("cg"));
        let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", groups.display());
        write(roots.proc.join("self/mounts"), &mounts);
        write(roots.proc.join("42/cgroup"), "0::/a.slice/b.service\n");
        write(groups.join("a.slice/memory.max"), "1048576\n");
        write(groups.join("a.slice/b.service/memory.max"), "max\n");
        assert_eq!(find(&roots, 42), Some(("/a.slice".to_owned(), 1 << 20)));
        write(groups.join("a.slice/b.service/memory.max"), "4096\n");
        assert_eq!(find(&roots, 42), Some(("/a.slice/b.service".to_owned(), 4096)));
        assert_eq!(find(&roots, 43), None, "the process is gone");
    }

    #[test]
    fn version_1_is_asked_where_it_has_the_controller() {
        let dir = tempfile::tempdir().unwrap();
        let (roots, groups) = (roots(dir.path()), dir.path().join("memory"));
        let mounts = format!(
            "cgroup2 /unified cgroup2 rw 0 0\ncgroup {} cgroup rw,memory 0 0\n",
            groups.display()
        );
        write(roots.proc.join("self/mounts"), &mounts);
        write(roots.proc.join("42/cgroup"), "9:memory:/tight\n0::/\n");
        write(groups.join("memory.limit_in_bytes"), "9223372036854771712\n");
        write(groups.join("tight/memory.limit_in_bytes"), "31457280\n");
        assert_eq!(find(&roots, 42), Some(("/tight".to_owned(), 30 << 20)));
        write(roots.proc.join("42/cgroup"), "9:memory:/\n0::/tight\n");
        assert_eq!(find(&roots, 42), Some(("/tight".to_owned(), 30 << 20)), "it is dead already");
        write(groups.join("tight/memory.limit_in_bytes"), "9223372036854771712\n");
        assert_eq!(find(&roots, 42), None, "the host itself was out of memory");
    }
    #[test]
    fn the_hosts_tree_is_asked_by_an_agent_in_a_container() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        write(roots.proc.join("self/mounts"), "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        write(roots.proc.join("42/cgroup"), "0::/a.service\n");
        write(roots.sys.join("fs/cgroup/a.service/memory.max"), "4096\n");
        assert_eq!(find(&roots, 42), Some(("/a.service".to_owned(), 4096)));
    }
}
