//! All that is installed, in a folder as it will be below `/`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{Product, Release, fresh_dir, licences, write};
use crate::shell;

/// A folder with everything of one product.
pub(super) struct Staged {
    pub(super) root: PathBuf,
}

impl Staged {
    pub(super) fn remove(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.root).with_context(|| format!("removing {}", self.root.display()))
    }

    /// Where a file goes; its folder is made.
    pub(super) fn path(&self, below: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(below);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(path)
    }

    fn put(&self, below: &str, text: &str) -> anyhow::Result<()> {
        write(&self.path(below)?, text)
    }
}

pub(super) fn stage(release: &Release, product: Product) -> anyhow::Result<Staged> {
    let staged = Staged { root: release.out.join(format!("{}.staged", product.name())) };
    fresh_dir(&staged.root)?;
    let (name, folder) = (product.name(), product.folder());
    let binary = staged.path(&format!("usr/bin/{name}"))?;
    stripped(release, name, &binary)?;
    if product == Product::Server {
        let agent = Product::Agent.name();
        let architecture = std::env::consts::ARCH;
        let handed_out = staged.path(&format!("{AGENTS}/{agent}-{architecture}"))?;
        stripped(release, agent, &handed_out)?;
    }

    let dist = release.source.join(folder).join("dist");
    copy(
        &dist.join(format!("{name}.service")),
        &staged.path(&format!("usr/lib/systemd/system/{name}.service"))?,
    )?;
    copy(&dist.join(format!("{folder}.toml")), &staged.path(&format!("etc/skep/{folder}.toml"))?)?;
    manual(&staged, &binary)?;
    for (shell, file) in [
        ("bash", format!("usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ("fish", format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        let script = shell::quiet(Command::new(&binary).args(["completions", shell]))?;
        staged.put(&file, &script)?;
    }
    let doc = format!("usr/share/doc/{name}");
    for file in ["CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&release.source.join(file), &staged.path(&format!("{doc}/{file}"))?)?;
    }
    staged.put(&format!("{doc}/copyright"), COPYRIGHT)?;
    staged.put(&format!("{doc}/licences.txt"), &licences::of(&release.source, product)?)?;
    permissions(&staged.root, &staged.root.join("usr/bin"))?;
    for folder in product.private_folders() {
        let dir = staged.root.join(folder);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        set_mode(&dir, 0o700)?;
    }
    Ok(staged)
}

/// Where `skep-server enrol` looks for what it hands out (`agents.programs`).
const AGENTS: &str = "usr/lib/skep/agents";

fn stripped(release: &Release, name: &str, to: &Path) -> anyhow::Result<()> {
    let built = release.bin_dir.join(name);
    let mut strip = Command::new("strip");
    // What is shipped keeps its symbols: a panic's backtrace in the journal names functions.
    let what = if release.compressed { "--strip-debug" } else { "--strip-all" };
    strip.args([what, "-o"]).arg(to).arg(&built);
    shell::quiet(&mut strip).with_context(|| format!("is {} built?", built.display())).map(drop)
}

const COPYRIGHT: &str = "Skep is under the MIT licence (LICENSE-MIT) or the Apache licence 2.0\n\
    (LICENSE-APACHE), as you like. What it is built from is listed in licences.txt, with the\n\
    licence of each.\n";

/// A page for each verb, made from the command line itself.
fn manual(staged: &Staged, binary: &Path) -> anyhow::Result<()> {
    let dir = staged.root.join("usr/share/man/man1");
    fresh_dir(&dir)?;
    shell::quiet(Command::new(binary).arg("man-pages").arg(&dir))?;
    for page in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        shell::quiet(Command::new("gzip").args(["--best", "--no-name"]).arg(page?.path()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))
}

/// The same whatever the umask: folders and what is in `bin` 0755, files 0644.
pub(super) fn permissions(dir: &Path, bin: &Path) -> anyhow::Result<()> {
    set_mode(dir, 0o755)?;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            permissions(&path, bin)?;
        } else {
            set_mode(&path, if dir == bin { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

pub(super) fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}
