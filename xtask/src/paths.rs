//! Where things lie: the checkout and what is built from it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout this xtask was built from.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Cargo's target folder, which may lie outside the checkout.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where the binaries of a profile are.
pub(crate) fn bin_dir(release: bool) -> PathBuf {
    target().join(if release { "release" } else { "debug" })
}

/// Python packages that only tests need.
pub(crate) fn venv() -> PathBuf {
    target().join("test-venv")
}
