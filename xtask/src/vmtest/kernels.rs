//! Debian's kernel packages: which is the newest, and what of it a guest needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::shell;

/// Loaded in this order where the kernel has them as modules: the disk that block programs see,
/// and its bus.
pub(crate) const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
];

/// What a machine with a whole system needs besides: network, this machine's files, a disk.
pub(crate) const SYSTEM_MODULES: &[&str] = &[
    "failover",
    "net_failover",
    "virtio_net",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
    "crc16",
    "mbcache",
    "crc32c_generic",
    "jbd2",
    "ext4",
    "overlay",
];

/// Names the modules in a cached folder: one with others is downloaded again.
const STAMP: &str = "modules";

/// Versions that this machine's own release of Debian may not have, and the one that does.
const OTHER_RELEASES: &[(&str, &str)] = &[("5.10", "bullseye"), ("6.12", "trixie")];

/// An unpacked kernel package.
pub(crate) struct Kernel {
    pub(crate) package: String,
    pub(crate) image: PathBuf,
    files: Vec<PathBuf>,
}

impl Kernel {
    /// Files of those that there are, in their order.
    pub(crate) fn modules(&self, names: &[&str]) -> Vec<PathBuf> {
        let find = |name: &&str| {
            let is_it = |it: &&PathBuf| {
                let file = it.file_name().unwrap_or_default().to_string_lossy();
                file.strip_prefix(*name).is_some_and(is_module)
            };
            self.files.iter().find(is_it).cloned()
        };
        names.iter().filter_map(find).collect()
    }
}

/// The newest package of a version, downloaded unless `cache` has it.
pub(crate) fn newest(version: &str, cache: &Path) -> anyhow::Result<Kernel> {
    let other = OTHER_RELEASES.iter().find(|(it, _)| *it == version);
    let mut options = Vec::new();
    let mut package = find(version, &options)?;
    if let (None, Some((_, release))) = (&package, other) {
        options = other_release(release, cache)?;
        package = find(version, &options)?;
    }
    let package = match package.or_else(|| cached(version, cache)) {
        Some(package) => package,
        None => bail!(
            "no package linux-image-{version}…; run `apt-get update`, or name another version"
        ),
    };
    let dir = cache.join(&package);
    let is_whole = fs::read_to_string(dir.join(STAMP)).is_ok_and(|it| it == stamp());
    if !is_whole {
        download(&package, &options, cache, &dir)?;
    }
    unpacked(package, &dir)
}

fn stamp() -> String {
    SYSTEM_MODULES.join("\n")
}

fn find(version: &str, options: &[String]) -> anyhow::Result<Option<String>> {
    if shell::which("apt-cache").is_none() {
        return Ok(None);
    }
    let pattern = format!("^linux-image-{}\\..*-amd64$", version.replace('.', "\\."));
    let found = shell::quiet(Command::new("apt-cache").args(options).args([
        "search",
        "--names-only",
        &pattern,
    ]))?;
    let names = found.lines().filter_map(|it| it.split(' ').next());
    Ok(newest_of(version, names).map(str::to_owned))
}

fn cached(version: &str, cache: &Path) -> Option<String> {
    let names: Vec<String> = fs::read_dir(cache)
        .ok()?
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    newest_of(version, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Of the flavour that Debian installs by default.
fn newest_of<'a>(version: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let prefix = format!("linux-image-{version}.");
    names
        .filter(|it| it.starts_with(&prefix) && it.ends_with("-amd64"))
        .filter(|it| !["-cloud-", "-rt-"].iter().any(|flavour| it.contains(flavour)))
        .max_by_key(|it| numbers(it))
}

/// The numbers in a name: 6.12.9 comes before 6.12.10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|it: char| !it.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect()
}

/// A package index of another release beside this machine's own, from the same mirrors; the
/// machine's own is not changed.
fn other_release(release: &str, cache: &Path) -> anyhow::Result<Vec<String>> {
    let dir = cache.join(release);
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(part)).with_context(|| format!("making {}", dir.display()))?;
    }
    let targets = shell::quiet(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(SUITE)",
        "Created-By: Packages",
    ]))?;
    let sources = sources(&targets, release);
    ensure!(!sources.is_empty(), "apt-get knows no mirror to ask for {release}");
    fs::write(dir.join("sources.list"), sources)
        .with_context(|| format!("writing {}/sources.list", dir.display()))?;
    let set = |name: &str, value: String| ["-o".to_owned(), format!("{name}={value}")];
    let options: Vec<String> = [
        set("Dir::Etc::sourcelist", dir.join("sources.list").display().to_string()),
        set("Dir::Etc::sourceparts", "/dev/null".to_owned()),
        set("Dir::State::lists", dir.join("lists").display().to_string()),
        set("Dir::Cache", dir.join("cache").display().to_string()),
        // Of a release whose support is over the signature's date is, too.
        set("Acquire::Check-Valid-Until", "false".to_owned()),
    ]
    .concat();
    shell::quiet(Command::new("apt-get").args(&options).arg("update"))?;
    Ok(options)
}

/// `targets` are lines of a mirror and its suite.
fn sources(targets: &str, release: &str) -> String {
    let mut lines: Vec<String> = targets
        .lines()
        .filter_map(|line| {
            let (uri, suite) = line.split_once(' ')?;
            let suffix = if suite.ends_with("-security") { "-security" } else { "" };
            Some(format!("deb {uri} {release}{suffix} main\n"))
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines.concat()
}

/// Unpacks the image and the modules only: a whole package is 400 MB.
fn download(package: &str, options: &[String], cache: &Path, dir: &Path) -> anyhow::Result<()> {
    let partial = cache.join(format!("{package}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("making {}", partial.display()))?;
    eprintln!("downloading {package} (once)");
    shell::quiet(
        Command::new("apt-get").args(options).args(["download", package]).current_dir(&partial),
    )?;
    let deb = fs::read_dir(&partial)?
        .flatten()
        .map(|it| it.path())
        .find(|it| it.extension().is_some_and(|it| it == "deb"))
        .with_context(|| format!("apt-get downloaded no {package}"))?;
    let mut files = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let tar = files.stdout.take().context("dpkg-deb has no output")?;
    let unpacked = Command::new("tar")
        .args(["-x", "--wildcards", "-C"])
        .arg(&partial)
        .arg("./boot/vmlinuz-*")
        .arg("*/virtio*.ko*")
        .args(SYSTEM_MODULES.iter().map(|it| format!("*/{it}.ko*")))
        .stdin(tar)
        .output()
        .context("cannot run tar")?;
    files.wait().context("waiting for dpkg-deb")?;
    // What a kernel has inside is no module of it.
    let told = String::from_utf8_lossy(&unpacked.stderr);
    let is_well = |it: &str| it.contains("Not found in archive") || it.contains("Exiting with");
    ensure!(told.lines().all(is_well), "unpacking {} failed: {told}", deb.display());
    fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
    let stamped = fs::write(partial.join(STAMP), stamp());
    stamped.with_context(|| format!("writing {STAMP} of {package}"))?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::rename(&partial, dir).with_context(|| format!("making {}", dir.display()))
}

fn unpacked(package: String, dir: &Path) -> anyhow::Result<Kernel> {
    let files = shell::quiet(Command::new("find").arg(dir).args(["-type", "f"]))?;
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).collect();
    let is_image = |it: &&PathBuf| {
        it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("vmlinuz-"))
    };
    let image = files.iter().find(is_image).cloned();
    let image = image
        .with_context(|| format!("{} has no kernel; remove it and try again", dir.display()))?;
    Ok(Kernel { package, image, files })
}

fn is_module(rest: &str) -> bool {
    rest == ".ko" || rest.starts_with(".ko.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_default_flavour_is_taken() {
        let names = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
            "linux-image-6.1.0-58-rt-amd64",
            "linux-image-6.1.0-59-amd64-dbg",
            "linux-image-6.12.117+deb12-amd64",
        ];
        let newest = |version| newest_of(version, names.into_iter());
        assert_eq!(newest("6.1"), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(newest("6.12"), Some("linux-image-6.12.117+deb12-amd64"));
        assert_eq!(newest("5.10"), None);
    }

    #[test]
    fn another_release_is_asked_for_at_the_same_mirrors() {
        let targets = "http://a/debian/ stable\nhttp://a/debian/ stable-updates\n\
                       http://a/debian-security/ stable-security\n";
        assert_eq!(
            sources(targets, "bullseye"),
            "deb http://a/debian-security/ bullseye-security main\n\
             deb http://a/debian/ bullseye main\n"
        );
    }
}
