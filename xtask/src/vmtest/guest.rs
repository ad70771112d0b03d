//! The guest's file system: one archive with the agent, its tests and the little they call.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::{
    Payload,
    kernels::{Kernel, MODULES},
    libraries,
};
use crate::shell;

/// What the tests run, by the name they call it.
const PROGRAMS: &[&str] =
    &["/bin/sh", "/bin/true", "bash", "dd", "head", "sleep", "tail", "taskset", "tr"];

/// The tests that are run in the guest.
const TESTS: &str = "sources::ebpf::kernel_tests::";

/// Starts each line that tells how far the guest is.
pub(crate) const MARK: &str = "skep-vm:";

/// What runs as process 1. Tests of time are left to real machines: one that is emulated takes
/// fifty times as long.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
$b mount -t tmpfs tmpfs /tmp
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
while read -r module; do $b insmod "$module"; done < /modules
$b ip link set lo up
$b hostname guest
export PATH=/bin HOME=/tmp SKEP_VMTEST=1
echo "@MARK@ up $($b uname -r)"
/bin/skep-agent doctor --config /agent.toml
echo "@MARK@ doctor $?"
/bin/skep-agent-tests @FILTER@ --test-threads=1 --skip _costs_
echo "@MARK@ tests $?"
$b poweroff -f
"#;

/// No server is there, and nothing to read but the kernel.
const CONFIG: &str = r#"data_dir = "/tmp/agent"
server.url = "http://127.0.0.1:9"
journal.enabled = false
"#;

/// Makes the archive in `dir`, which is emptied first.
pub(super) fn pack(
    kernel: &Kernel,
    payload: &Payload,
    filter: &str,
    dir: &Path,
) -> anyhow::Result<PathBuf> {
    let root = dir.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("emptying {}", root.display()))?;
    }
    let layout = ["bin", "dev", "lib64", "modules.d", "proc", "run", "sys", "tmp", "etc"];
    for dir in layout {
        fs::create_dir_all(root.join(dir)).with_context(|| format!("making {dir}"))?;
    }
    // Programs are linked against /lib/…, wherever Debian has put it.
    symlink(".", root.join("usr")).context("linking /usr")?;
    add_program(&payload.agent, &root.join("bin/skep-agent"))?;
    add_program(&payload.tests, &root.join("bin/skep-agent-tests"))?;
    let busybox = shell::which("busybox").context("busybox is not installed")?;
    copy(&busybox, &root.join("bin/busybox"))?;
    for program in PROGRAMS {
        let name = program.rsplit('/').next().unwrap_or(program);
        let found = shell::which(name).with_context(|| format!("{name} is not installed"))?;
        add_program(&found, &root.join("bin").join(name))?;
    }
    add_modules(&kernel.modules(MODULES), &root)?;
    let init = INIT.replace("@MARK@", MARK).replace("@FILTER@", &test_names(filter));
    write(&root.join("init"), &init)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))
        .context("making /init executable")?;
    write(&root.join("agent.toml"), CONFIG)?;
    archive(&root, &dir.join("initrd"))
}

/// Words of libtest: a test runs that one of them names.
fn test_names(filter: &str) -> String {
    let names = if filter.is_empty() { vec![""] } else { filter.split_whitespace().collect() };
    let names: Vec<String> = names.iter().map(|it| format!("{TESTS}{it}")).collect();
    names.join(" ")
}

/// With its libraries, without its symbols: the whole of it is held in memory.
fn add_program(program: &Path, to: &Path) -> anyhow::Result<()> {
    copy(program, to)?;
    // A script or a busybox that has none is left as it is.
    shell::succeeds(Command::new("strip").arg("--strip-all").arg(to));
    let root = to.parent().and_then(Path::parent).context("programs go into /bin")?;
    for library in libraries(program)? {
        let to = root.join(library.strip_prefix("/").unwrap_or(&library));
        if !to.exists() {
            copy(&library, &to)?;
        }
    }
    Ok(())
}

/// Unpacked, and named in `/modules` in the order in which they are to be loaded.
pub(crate) fn add_modules(modules: &[PathBuf], root: &Path) -> anyhow::Result<()> {
    let mut list = String::new();
    for module in modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.strip_suffix(".xz") {
            Some(plain) => {
                let to = fs::File::create(root.join("modules.d").join(plain))
                    .with_context(|| format!("making {plain}"))?;
                let status = Command::new("xz").arg("-dc").arg(module).stdout(to).status();
                let status = status.context("cannot run xz")?;
                ensure!(status.success(), "unpacking {} failed", module.display());
                list.push_str(&format!("/modules.d/{plain}\n"));
            }
            None => {
                copy(module, &root.join("modules.d").join(&name))?;
                list.push_str(&format!("/modules.d/{name}\n"));
            }
        }
    }
    write(&root.join("modules"), &list)
}

/// Not compressed: the host copies faster than an emulated processor unpacks.
pub(crate) fn archive(root: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    let mut find = Command::new("find")
        .arg(".")
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run find")?;
    let names = find.stdout.take().context("find has no output")?;
    let file = fs::File::create(to).with_context(|| format!("making {}", to.display()))?;
    let status = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(root)
        .stdin(names)
        .stdout(file)
        .status()
        .context("cannot run cpio")?;
    find.wait().context("waiting for find")?;
    ensure!(status.success(), "packing {} failed with {status}", root.display());
    Ok(to.to_owned())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let made = to.parent().map_or(Ok(()), fs::create_dir_all);
    let copied = made.and_then(|()| fs::copy(from, to).map(drop));
    copied.with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let written: io::Result<()> = fs::write(file, text);
    written.with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_are_named_below_the_kernel_tests() {
        let (all, two) = (super::test_names(""), super::test_names("host events"));
        assert_eq!(all, "sources::ebpf::kernel_tests::");
        assert_eq!(two, "sources::ebpf::kernel_tests::host sources::ebpf::kernel_tests::events");
    }
}
