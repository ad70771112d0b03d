//! A small file system of its own, for tests of a disk that is nearly or wholly full.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Mounted until dropped.
#[derive(Debug)]
pub struct Tmpfs {
    dir: PathBuf,
}

impl Tmpfs {
    /// Mounts `size_bytes` at `dir`, which is made; `None` where this process may not mount.
    ///
    /// # Errors
    /// The folder cannot be made, or mount itself is missing.
    pub async fn mount(dir: &Path, size_bytes: u64) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_bytes}"), "tmpfs"])
            .arg(dir)
            .output()
            .await
            .context("running mount")?;
        Ok(mounted.status.success().then(|| Self { dir: dir.to_owned() }))
    }

    /// Fills what is left with one file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn fill(&self) -> anyhow::Result<Ballast> {
        use std::io::Write as _;
        let path = self.dir.join("ballast");
        let mut file = std::fs::File::create(&path).context("making the ballast")?;
        let block = vec![0; 64 << 10];
        while file.write_all(&block).is_ok() {}
        Ok(Ballast { path })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may hold it a moment longer.
        drop(std::process::Command::new("umount").arg("-l").arg(&self.dir).status());
    }
}

/// A file that takes all the space there is.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Gives the space back.
    ///
    /// # Errors
    /// It is gone already.
    pub fn release(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).context("removing the ballast")
    }
}

/// Bytes of all files below a folder, in whole blocks, as `du` counts; files that vanish meanwhile
/// do not count.
///
/// # Errors
/// The folder itself cannot be read.
pub fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    ensure!(dir.is_dir(), "{} is no folder", dir.display());
    let mut total = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => total += metadata.len().next_multiple_of(4096),
                Err(_vanished) => {}
            }
        }
    }
    Ok(total)
}
