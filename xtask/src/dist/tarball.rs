//! A tarball for every other distribution: the same files, without their places.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use super::{Product, Release, fresh_dir, stage::Staged};
use crate::shell;

pub(super) fn pack(
    release: &Release,
    product: Product,
    staged: &Staged,
) -> anyhow::Result<PathBuf> {
    let name = product.name();
    let folder = format!("{name}-{}-{}-linux", release.version, env::consts::ARCH);
    let dir = release.out.join(&folder);
    fresh_dir(&dir)?;
    let parts = [
        (format!("usr/bin/{name}"), name),
        (format!("usr/lib/systemd/system/{name}.service"), ""),
        (format!("etc/skep/{}.toml", product.folder()), ""),
        ("usr/share/man".to_owned(), "man"),
        ("usr/share/bash-completion/completions".to_owned(), "bash"),
        ("usr/share/zsh/vendor-completions".to_owned(), "zsh"),
        ("usr/share/fish/vendor_completions.d".to_owned(), "fish"),
        // The binary has its usual name.
        (format!("usr/share/doc/{name}"), "doc"),
    ];
    for (from, to) in parts {
        // Links are enough: the tarball is made of what they lead to.
        let mut copy = Command::new("cp");
        copy.args(["--recursive", "--link"]).arg(staged.root.join(&from)).arg(dir.join(to));
        shell::quiet(&mut copy)?;
    }
    let file = release.out.join(format!("{folder}.tar.gz"));
    let level = if release.compressed { "gzip --best --no-name" } else { "gzip --fast --no-name" };
    shell::quiet(
        Command::new("tar")
            .args(["--create", "--sort=name", "--format=gnu", "--hard-dereference"])
            .args(["--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{}", release.epoch))
            .arg(format!("--use-compress-program={level}"))
            .arg("--file")
            .arg(&file)
            .arg("--directory")
            .arg(&release.out)
            .arg(&folder),
    )?;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    Ok(file)
}
