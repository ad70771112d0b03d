//! Journal files that cannot be journal files: libsystemd leaves them out and says nothing.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

/// The first bytes of every journal file.
const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// The header of the first version; later ones are longer.
const HEADER_BYTES_MIN: u64 = 208;
/// Where the host's own journal lies.
const HOST_FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Journal files of a folder, or of the host, in any order.
pub(super) fn files(directory: Option<&Path>) -> Vec<PathBuf> {
    let host = HOST_FOLDERS.map(PathBuf::from);
    let roots = directory.map_or_else(|| host.to_vec(), |it| vec![it.to_owned()]);
    let list = |dir: &Path| {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|it| it.path()).collect::<Vec<_>>()
    };
    let top: Vec<PathBuf> = roots.iter().flat_map(|it| list(it)).collect();
    let below: Vec<PathBuf> = top.iter().filter(|it| it.is_dir()).flat_map(|it| list(it)).collect();
    let is_journal = |it: &PathBuf| it.extension().is_some_and(|it| it == "journal");
    top.into_iter().chain(below).filter(is_journal).collect()
}

/// Why a file cannot be read; `None` where it looks well, or where we may not look.
pub(super) fn fault(path: &Path) -> Option<&'static str> {
    let mut file = File::open(path).ok()?;
    if file.metadata().ok()?.len() < HEADER_BYTES_MIN {
        return Some("it is shorter than its header");
    }
    let mut signature = [0; 8];
    file.read_exact(&mut signature).ok()?;
    (&signature != SIGNATURE).then_some("it does not begin as journal files do")
}
