//! Finds a file below a root. The kernel resolves the path, so that no link leads out between a
//! look and an open.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Wanted;
use super::browse::Entry;
use crate::config::{FilesConfig, Hidden, Links, Precompressed};
use crate::encoding::Encoding;

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    File(OpenFile),
    /// Links within a page of a folder are right only below its slash.
    FolderWithoutSlash,
    Folder(Vec<Entry>),
    Nothing,
    Forbidden,
}

/// A regular file, open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub content: Content,
    pub len: u64,
    pub modified: Option<SystemTime>,
    /// Its extension tells the media type.
    pub name: String,
    pub encoding: Option<Encoding>,
    /// Other clients may get it packed otherwise.
    pub varies: bool,
}

/// Small files are read at once.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(File),
}

/// Read in one go, without another trip to a blocking thread.
const SMALL_BYTES: u64 = 64 * 1024;
/// Entries of a listing; what is beyond is not shown.
const ENTRIES_MAX: usize = 10_000;
/// A rename elsewhere in the tree makes the kernel ask to try again.
const TRIES_MAX: usize = 8;

/// Blocks.
pub(super) fn look_up(config: &FilesConfig, wanted: &Wanted) -> std::io::Result<Found> {
    match direct(config, wanted)? {
        Found::Nothing => match config.fallback() {
            Some(path) => file_at(config, path, wanted),
            None => Ok(Found::Nothing),
        },
        found => Ok(found),
    }
}

fn direct(config: &FilesConfig, wanted: &Wanted) -> std::io::Result<Found> {
    let opened = match open(config, &wanted.path)? {
        Opened::Is(file, metadata) if metadata.is_dir() => {
            return folder(config, wanted, &file);
        }
        // A page's relative links would go wrong below a file.
        Opened::Is(..) if wanted.has_slash => return Ok(Found::Nothing),
        opened => opened,
    };
    match opened {
        Opened::Is(file, metadata) => ready(config, &wanted.path, file, &metadata, wanted),
        Opened::Nothing => Ok(Found::Nothing),
        Opened::Forbidden => Ok(Found::Forbidden),
    }
}

fn folder(config: &FilesConfig, wanted: &Wanted, folder: &File) -> std::io::Result<Found> {
    let is_listed = config.browse.is_on();
    for index in config.index() {
        let path =
            if wanted.path.is_empty() { index.clone() } else { format!("{}/{index}", wanted.path) };
        match file_at(config, &path, wanted)? {
            Found::Nothing => {}
            _there if !wanted.has_slash => return Ok(Found::FolderWithoutSlash),
            found => return Ok(found),
        }
    }
    match (is_listed, wanted.has_slash) {
        (false, _) => Ok(Found::Nothing),
        (true, false) => Ok(Found::FolderWithoutSlash),
        (true, true) => Ok(Found::Folder(entries(config, folder)?)),
    }
}

fn file_at(config: &FilesConfig, path: &str, wanted: &Wanted) -> std::io::Result<Found> {
    match open(config, path)? {
        Opened::Is(_, metadata) if metadata.is_dir() => Ok(Found::Nothing),
        Opened::Is(file, metadata) => ready(config, path, file, &metadata, wanted),
        Opened::Nothing => Ok(Found::Nothing),
        Opened::Forbidden => Ok(Found::Forbidden),
    }
}

/// The file, or the one beside it that is packed as the client likes it.
fn ready(
    config: &FilesConfig,
    path: &str,
    file: File,
    metadata: &Metadata,
    wanted: &Wanted,
) -> std::io::Result<Found> {
    if !metadata.is_file() {
        return Ok(Found::Nothing);
    }
    let varies = config.precompressed == Precompressed::Used;
    let encodings = if varies { wanted.encodings.as_slice() } else { &[] };
    for encoding in encodings {
        let beside = format!("{path}{}", encoding.suffix());
        if let Opened::Is(file, metadata) = open(config, &beside)?
            && metadata.is_file()
        {
            return read(path, file, &metadata, Some(*encoding), varies);
        }
    }
    read(path, file, metadata, None, varies)
}

fn read(
    path: &str,
    mut file: File,
    metadata: &Metadata,
    encoding: Option<Encoding>,
    varies: bool,
) -> std::io::Result<Found> {
    let mut len = metadata.len();
    let content = if len <= SMALL_BYTES {
        let mut bytes = Vec::new();
        file.by_ref().take(SMALL_BYTES).read_to_end(&mut bytes)?;
        len = bytes.len().try_into().unwrap_or(len);
        Content::Bytes(bytes)
    } else {
        Content::File(file)
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let modified = metadata.modified().ok();
    Ok(Found::File(OpenFile { content, len, modified, name, encoding, varies }))
}

enum Opened {
    Is(File, Metadata),
    Nothing,
    Forbidden,
}

fn open(config: &FilesConfig, path: &str) -> std::io::Result<Opened> {
    let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(config.root(), root, Mode::empty())
        .and_then(|root| below(&root, if path.is_empty() { "." } else { path }, config.links));
    match opened {
        Ok(fd) => {
            let file = File::from(fd);
            let metadata = file.metadata()?;
            Ok(Opened::Is(file, metadata))
        }
        Err(Errno::ACCESS | Errno::PERM) => Ok(Opened::Forbidden),
        // XDEV and LOOP: a link that is not followed. NXIO: a socket.
        Err(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::INVAL,
        ) => Ok(Opened::Nothing),
        Err(error) => Err(error.into()),
    }
}

fn below(root: impl AsFd, path: &str, links: Links) -> Result<OwnedFd, Errno> {
    // A pipe without a writer must not hold the thread.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::NO_MAGICLINKS
        | match links {
            Links::Inside => ResolveFlags::BENEATH,
            Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Links::Anywhere => ResolveFlags::empty(),
        };
    let mut tried = Err(Errno::AGAIN);
    for _ in 0..TRIES_MAX {
        tried = rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve);
        if !matches!(tried, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    tried
}

fn entries(config: &FilesConfig, folder: &File) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for item in rustix::fs::Dir::read_from(folder)? {
        let item = item?;
        let Ok(name) = item.file_name().to_str() else { continue };
        let is_hidden = config.hidden == Hidden::Refused && name.starts_with('.');
        if is_hidden || matches!(name, "." | "..") {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            break;
        }
        // What cannot be opened is not listed: a link that leads out, for one.
        let Ok(fd) = below(folder, name, config.links) else { continue };
        let metadata = match File::from(fd).metadata() {
            Err(error) if error.kind() != ErrorKind::Interrupted => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() || metadata.is_file() {
            entries.push(Entry {
                name: name.to_owned(),
                is_folder: metadata.is_dir(),
                size: metadata.len(),
                modified: metadata.modified().ok(),
            });
        }
    }
    entries.sort_by(|a, b| (!a.is_folder, &a.name).cmp(&(!b.is_folder, &b.name)));
    Ok(entries)
}
