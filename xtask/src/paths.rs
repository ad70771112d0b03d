//! Where things lie: the checkout and what is built from it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout that cargo runs this from: where two share a target folder, the binary may have
/// been built from the other.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().unwrap_or(Path::new(".")).to_owned()
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
