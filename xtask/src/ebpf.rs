//! The eBPF object: built by the first compiler at hand that has `core` for the BPF target.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::{paths, setup, shell};

/// Set to a ready object: nothing is built. Also how the agent's build script is told.
const OBJECT: &str = "SKEP_EBPF_OBJECT";
/// Set to 1: the agent carries no object and says so when it starts.
const SKIP: &str = "SKEP_EBPF_SKIP";

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "skep-agent-ebpf";
/// The newest that takes rustup's own LLVM, so that no LLVM has to be installed.
const LINKER_VERSION: &str = "0.10.4";
/// The LLVM it reads bitcode of; a compiler with a newer one needs another linker.
const LINKER_LLVM: u32 = 22;
/// A second compiler, with `core` for BPF prebuilt; it changes nothing for other builds.
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_RUSTLIB: &str = "/usr/lib/rustlib";

/// Which compiler builds the object, and where it gets `core` from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The one cargo uses, with `core` prebuilt.
    Prebuilt,
    /// The one cargo uses, which builds `core` from rust-src.
    BuildStd,
    /// Debian's, with `core` prebuilt.
    Debian,
}

/// Builds the object unless there is nothing new. `None`: the agent is to be built without one.
///
/// # Errors
/// No compiler that can, with what to install; or the build itself.
#[expect(clippy::disallowed_methods, reason = "times the build for a person")]
pub(crate) fn build(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    if env::var_os(SKIP).is_some_and(|it| it == "1") {
        eprintln!("eBPF object: skipped ({SKIP}=1); the agent will run without kernel programs");
        return Ok(None);
    }
    if let Some(object) = env::var_os(OBJECT).filter(|it| !it.is_empty()) {
        let object = root.join(object);
        if !object.is_file() {
            bail!("{OBJECT} names {}, which is no file", object.display());
        }
        eprintln!("eBPF object: {} (from {OBJECT})", object.display());
        return Ok(Some(object));
    }
    let started = Instant::now();
    let toolchain = pick_or_install()?;
    let linker = linker()?;
    compile(root, toolchain, &linker)?;
    let object = target_dir().join(TARGET).join("release").join(PACKAGE);
    let bytes =
        fs::metadata(&object).with_context(|| format!("looking for {}", object.display()))?;
    eprintln!(
        "eBPF object: {} ({} KiB) by {} in {}",
        object.display(),
        bytes.len() / 1024,
        toolchain.describe(),
        shell::human(started.elapsed())
    );
    Ok(Some(object))
}

impl Toolchain {
    fn describe(self) -> &'static str {
        match self {
            Self::Prebuilt => "rustup's rustc with prebuilt core",
            Self::BuildStd => "rustup's rustc with core built from rust-src",
            Self::Debian => "Debian's rustc-web with prebuilt core",
        }
    }

    fn rustc(self) -> PathBuf {
        match self {
            Self::Prebuilt | Self::BuildStd => default_rustc(),
            Self::Debian => DEBIAN_RUSTC.into(),
        }
    }
}

fn default_rustc() -> PathBuf {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into()
}

fn target_dir() -> PathBuf {
    paths::target().join("ebpf")
}

fn pick_or_install() -> anyhow::Result<Toolchain> {
    if let Some(toolchain) = pick()? {
        return Ok(toolchain);
    }
    if shell::is_root() && shell::which("apt-get").is_some() {
        setup::apt(DEBIAN_PACKAGES)?;
        if let Some(toolchain) = pick()? {
            return Ok(toolchain);
        }
    }
    bail!(
        "no compiler here can build for {TARGET}; do one of these, or set {SKIP}=1 to build \
         without kernel programs:\n  rustup component add rust-src\n  sudo apt-get install \
         --no-install-recommends {}",
        DEBIAN_PACKAGES.join(" ")
    )
}

fn pick() -> anyhow::Result<Option<Toolchain>> {
    let sysroot = shell::quiet(Command::new(default_rustc()).args(["--print", "sysroot"]))?;
    let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
    Ok(pick_from(&rustlib, Path::new(DEBIAN_RUSTLIB), Path::new(DEBIAN_RUSTC)))
}

fn pick_from(rustlib: &Path, debian_rustlib: &Path, debian_rustc: &Path) -> Option<Toolchain> {
    if has_core(rustlib) {
        Some(Toolchain::Prebuilt)
    } else if rustlib.join("src/rust/library/Cargo.lock").is_file() {
        Some(Toolchain::BuildStd)
    } else if has_core(debian_rustlib) && debian_rustc.is_file() {
        Some(Toolchain::Debian)
    } else {
        None
    }
}

fn has_core(rustlib: &Path) -> bool {
    let Ok(files) = fs::read_dir(rustlib.join(TARGET).join("lib")) else { return false };
    files.flatten().any(|it| {
        let name = it.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

/// Installs bpf-linker once; the debug build links no slower and takes half the time to make.
fn linker() -> anyhow::Result<PathBuf> {
    let tools = paths::target().join("tools");
    let linker = tools.join("bin/bpf-linker");
    let version = shell::quiet(Command::new(&linker).arg("--version")).unwrap_or_default();
    if version.split_ascii_whitespace().any(|it| it == LINKER_VERSION) {
        return Ok(linker);
    }
    eprintln!("installing bpf-linker {LINKER_VERSION} (once, about a minute)");
    let build_dir = tools.join("build");
    shell::run(
        shell::cargo()
            .args(["install", "bpf-linker", "--version", LINKER_VERSION])
            .args(["--debug", "--locked", "--force", "--quiet", "--root"])
            .arg(&tools)
            .arg("--target-dir")
            .arg(&build_dir),
    )?;
    fs::remove_dir_all(&build_dir).with_context(|| format!("removing {}", build_dir.display()))?;
    Ok(linker)
}

fn compile(root: &Path, toolchain: Toolchain, linker: &Path) -> anyhow::Result<()> {
    let rustc = toolchain.rustc();
    let version = shell::quiet(Command::new(&rustc).arg("-vV"))?;
    if let Some(major) = llvm_major(&version)
        && major > LINKER_LLVM
    {
        bail!(
            "{} is built on LLVM {major}, but bpf-linker {LINKER_VERSION} reads at most LLVM \
             {LINKER_LLVM}; use an older rustc, or set {SKIP}=1",
            rustc.display()
        );
    }
    let mut cargo = shell::cargo();
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--locked", "--package", PACKAGE])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir())
        .env("RUSTC", &rustc)
        // aya-ebpf uses a feature that is not stable yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", path_with(linker)?)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root).join("\u{1f}"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    if toolchain == Toolchain::BuildStd {
        cargo.arg("-Zbuild-std=core");
    }
    shell::run(&mut cargo)
}

pub(crate) fn rust_flags(root: &Path) -> Vec<String> {
    vec![
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // The object's BTF names source files: the same bytes wherever the checkout is.
        format!("--remap-path-prefix={}=.", root.display()),
    ]
}

fn path_with(linker: &Path) -> anyhow::Result<std::ffi::OsString> {
    let dir = linker.parent().context("the linker lies in no folder")?;
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(dir.to_owned()).chain(env::split_paths(&path)))
        .with_context(|| format!("{} cannot be put into PATH", dir.display()))
}

/// The major version in `LLVM version: 22.1.8`.
fn llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|it| it.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(file: PathBuf) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }

    #[test]
    fn the_first_compiler_that_can_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (rustup, debian) = (dir.path().join("rustup"), dir.path().join("debian"));
        let rustc = dir.path().join("rustc");
        let pick = || pick_from(&rustup, &debian, &rustc);
        assert_eq!(pick(), None);
        touch(debian.join(TARGET).join("lib/libcore-1.rlib"));
        assert_eq!(pick(), None, "core without its compiler is of no use");
        touch(rustc.clone());
        assert_eq!(pick(), Some(Toolchain::Debian));
        touch(rustup.join("src/rust/library/Cargo.lock"));
        assert_eq!(pick(), Some(Toolchain::BuildStd));
        touch(rustup.join(TARGET).join("lib/libcore-2.rlib"));
        assert_eq!(pick(), Some(Toolchain::Prebuilt));
    }

    #[test]
    fn the_llvm_version_is_read_from_the_compilers_words() {
        let text = "rustc 1.96.0\nbinary: rustc\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_major(text), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
