//! A Debian package, by Debian's own tools: they keep to SOURCE_DATE_EPOCH.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use super::{
    Product, Release, fresh_dir,
    stage::{Staged, permissions, set_mode},
    write,
};
use crate::shell;

/// What debhelper makes of a unit, for each of the moments that dpkg knows.
const SCRIPTS: &[(&str, &str)] = &[
    ("postinst", include_str!("deb/postinst")),
    ("prerm", include_str!("deb/prerm")),
    ("postrm", include_str!("deb/postrm")),
];

pub(super) fn pack(
    release: &Release,
    product: Product,
    staged: &Staged,
) -> anyhow::Result<PathBuf> {
    let name = product.name();
    let architecture = shell::quiet(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let depends = depends(release, staged, product)?;
    let dir = staged.root.join("DEBIAN");
    fresh_dir(&dir)?;
    let size = shell::quiet(
        Command::new("du").args(["--apparent-size", "-sk", "--exclude=DEBIAN"]).arg(&staged.root),
    )?;
    let size = size.split_whitespace().next().unwrap_or("0");
    write(&dir.join("control"), &control(release, product, architecture, &depends, size))?;
    write(&dir.join("conffiles"), &format!("/etc/skep/{}.toml\n", product.folder()))?;
    for (script, text) in SCRIPTS {
        let text = text.replace("@UNIT@", name).replace("@STATE@", product.state());
        write(&dir.join(script), &text)?;
    }
    permissions(&dir, &dir)?;
    for file in ["control", "conffiles"] {
        set_mode(&dir.join(file), 0o644)?;
    }
    let file = release.out.join(format!("{name}_{}_{architecture}.deb", release.version));
    let compression: &[&str] = if release.compressed { &["-Zxz"] } else { &["-Znone"] };
    shell::quiet(
        Command::new("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", &release.epoch)
            .arg("--root-owner-group")
            .args(compression)
            .arg("--build")
            .arg(&staged.root)
            .arg(&file),
    )?;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    Ok(file)
}

fn control(
    release: &Release,
    product: Product,
    architecture: &str,
    depends: &str,
    size: &str,
) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: The Skep maintainers <skep@localhost>\nInstalled-Size: {size}\n\
         Depends: {depends}\nSection: net\nPriority: optional\nDescription: {summary}\n{text}\n",
        name = product.name(),
        version = release.version,
        summary = product.summary(),
        text = product.description(),
    )
}

/// The packages of the C libraries that the binary is linked with.
fn depends(release: &Release, staged: &Staged, product: Product) -> anyhow::Result<String> {
    let dir = release.out.join(format!("{}.shlibs", product.name()));
    fresh_dir(&dir.join("debian"))?;
    // dpkg-shlibdeps asks for a source package to be there.
    let control = "Source: skep\n\nPackage: skep\nArchitecture: any\n";
    write(&dir.join("debian/control"), control)?;
    let mut ask = Command::new("dpkg-shlibdeps");
    ask.current_dir(&dir).args(["-O", "-e"]).arg(
        staged
            .root
            .canonicalize()
            .context("finding the binary")?
            .join("usr/bin")
            .join(product.name()),
    );
    let answer = shell::quiet(&mut ask)?;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    let line = answer.lines().find_map(|it| it.strip_prefix("shlibs:Depends="));
    line.map(str::to_owned)
        .with_context(|| format!("dpkg-shlibdeps named no packages but {answer:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_has_what_dpkg_asks_for() {
        let release = Release {
            version: "1.2.3".to_owned(),
            source: PathBuf::new(),
            bin_dir: PathBuf::new(),
            epoch: "0".to_owned(),
            compressed: true,
            out: PathBuf::new(),
        };
        let text = control(&release, Product::Agent, "amd64", "libc6 (>= 2.34)", "7");
        for line in ["Package: skep-agent", "Version: 1.2.3", "Depends: libc6 (>= 2.34)"] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        let (_, description) = text.split_once("Description: ").unwrap();
        assert!(description.trim_end().lines().skip(1).all(|it| it.starts_with(' ')), "{text}");
    }

    #[test]
    fn scripts_are_good_for_the_shell() {
        for (name, text) in SCRIPTS {
            let mut check = Command::new("sh");
            check.args(["-n", "-c", text]);
            assert!(shell::succeeds(&mut check), "{name}");
        }
    }
}
