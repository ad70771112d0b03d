//! CPU, memory, pressure, tasks and I/O of each unit, from the files of its control group.
//!
//! A unit's own group holds what all groups below it do. Groups that hold other units are passed
//! over, so that nothing is told twice; slices hold nothing else.

mod listeners;
mod restarts;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use skep_proto::MetricKind;

use self::restarts::Restarts;
use super::{
    Context, SourceError,
    units::{
        devices::DeviceNames,
        figures::{DEFINITIONS, FILES, Figures, GroupFile, OPERATIONS},
        groups::{Unit, UnitDir, find_controller},
    },
};
use crate::exposition::Exposition;

/// Files kept open, which halves the cost of reading one; more are opened each time. Half of what
/// a process may open where nobody said otherwise.
const KEPT_MAX: usize = 512;
/// Collections after which a group's files are looked for anew: a controller may have been
/// switched on.
const LOOK_INTERVAL: u64 = 40;
/// Longer files are cut; the longest is `memory.stat` with 2 KiB.
const BUFFER_BYTES: usize = 16 << 10;

/// The files of all units as they were found.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    /// By the inode of the group's directory.
    dirs: HashMap<u64, Dir>,
    n_kept: usize,
    collection: u64,
    /// The trees of version 1, once they were looked for.
    controllers: Option<HashMap<&'static str, PathBuf>>,
    devices: Option<DeviceNames>,
    buffer: Vec<u8>,
    restarts: Restarts,
}

/// A unit's directory.
#[derive(Debug)]
struct Dir {
    files: Vec<Found>,
    looked: u64,
    seen: u64,
}

#[derive(Debug)]
struct Found {
    file: &'static GroupFile,
    path: PathBuf,
    kept: Option<File>,
}

/// Files that this kernel does not have, or whose controller is off, are left out.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut files = context.state.unit.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut units = context.units.lock().unwrap_or_else(PoisonError::into_inner);
    let root = units.groups_root().to_owned();
    units.refresh_once().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SourceError::NoData { what: "control groups" },
        _ => SourceError::Read { path: root.clone(), source },
    })?;
    let dirs: Vec<UnitDir> = units
        .dirs()
        .iter()
        .filter(|it| !it.has_units_below && !it.unit.is_slice() && !it.path.is_empty())
        .cloned()
        .collect();
    let mut by_unit = BTreeMap::<Unit, Figures>::new();
    files.start(context);
    for dir in &dirs {
        let figures = files.read(&root, dir);
        by_unit.entry(units.admit(dir.unit.clone())).or_default().plus(&figures);
    }
    files.end();
    let collection = files.collection;
    files.restarts.collect(collection, &context.roots.root, &dirs, &mut units, out);
    expose(&by_unit, files.devices.as_mut(), out);
    match listeners::collect(&mut units, out) {
        // No such file: a kernel without socket diagnosis.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SourceError::Kernel { what: "listening sockets", source: error })
        }
        _ => Ok(()),
    }
}

impl Files {
    fn start(&mut self, context: &Context) {
        self.collection += 1;
        self.buffer.resize(BUFFER_BYTES, 0);
        let sys = &context.roots.sys;
        self.devices.get_or_insert_with(|| DeviceNames::new(sys.clone()));
        self.controllers.get_or_insert_with(|| {
            let mounts = fs::read_to_string(context.roots.proc.join("self/mounts"));
            let mounts = mounts.unwrap_or_default();
            let names = FILES.iter().filter_map(|it| it.controller);
            names.filter_map(|it| Some((it, find_controller(&mounts, sys, it)?))).collect()
        });
    }

    /// Forgets groups that are gone.
    fn end(&mut self) {
        let Self { dirs, collection, n_kept, .. } = self;
        dirs.retain(|_, dir| dir.seen == *collection);
        *n_kept = dirs.values().map(Dir::n_kept).sum();
    }

    fn read(&mut self, root: &Path, at: &UnitDir) -> Figures {
        let collection = self.collection;
        let is_known =
            self.dirs.get(&at.group).is_some_and(|it| collection - it.looked < LOOK_INTERVAL);
        if !is_known {
            let dir = self.look(root, &at.path);
            let before = self.dirs.insert(at.group, dir);
            self.n_kept -= before.map_or(0, |it| it.n_kept());
        }
        let mut figures = Figures::default();
        let Some(dir) = self.dirs.get_mut(&at.group) else { return figures };
        dir.seen = collection;
        for found in &dir.files {
            let opened;
            let file = match &found.kept {
                Some(file) => file,
                None => match File::open(&found.path) {
                    Ok(file) => {
                        opened = file;
                        &opened
                    }
                    Err(_) => continue,
                },
            };
            // The group may be gone by now: then so are its figures.
            let Ok(n) = file.read_at(&mut self.buffer, 0) else { continue };
            let bytes = self.buffer.get(..n).unwrap_or_default();
            figures.read(found.file, std::str::from_utf8(bytes).unwrap_or_default());
        }
        figures
    }

    fn look(&mut self, root: &Path, path: &str) -> Dir {
        let below = path.trim_start_matches('/');
        let mut files = Vec::new();
        for file in FILES {
            let tree = match file.controller {
                None => Some(root),
                Some(it) => self.controllers.as_ref().and_then(|all| all.get(it)).map(|it| &**it),
            };
            let Some(tree) = tree else { continue };
            let path = tree.join(below).join(file.name);
            let Ok(opened) = File::open(&path) else { continue };
            let is_room = self.n_kept < KEPT_MAX;
            self.n_kept += usize::from(is_room);
            files.push(Found { file, path, kept: is_room.then_some(opened) });
        }
        Dir { files, looked: self.collection, seen: self.collection }
    }
}

impl Dir {
    fn n_kept(&self) -> usize {
        self.files.iter().filter(|it| it.kept.is_some()).count()
    }
}

fn expose(
    by_unit: &BTreeMap<Unit, Figures>,
    devices: Option<&mut DeviceNames>,
    out: &mut Exposition,
) {
    let mut columns: Vec<_> = by_unit.iter().map(|(unit, it)| (unit, it.values())).collect();
    for definition in DEFINITIONS {
        let family = out.family(definition.name, definition.help, definition.kind);
        for (unit, values) in &mut columns {
            let Some(value) = values.next().flatten() else { continue };
            let labels = match definition.label {
                Some(label) => unit.labels([label]),
                None => unit.labels([]),
            };
            family.labelled(labels, value);
        }
    }
    let Some(devices) = devices else { return };
    for device in by_unit.values().flat_map(|it| it.io.keys()) {
        devices.learn(*device);
    }
    let families = [
        ("unit_io_bytes_total", "Bytes of a unit's I/O, as its control group counts them."),
        ("unit_io_operations_total", "Requests of a unit's I/O, as its control group counts them."),
    ];
    for (family_idx, (name, help)) in families.into_iter().enumerate() {
        let family = out.family(name, help, MetricKind::Counter);
        for (unit, figures) in by_unit {
            for (device, io) in &figures.io {
                let device = devices.known(*device).unwrap_or("");
                let values = if family_idx == 0 { io.bytes } else { io.operations };
                for (operation, value) in OPERATIONS.into_iter().zip(values) {
                    let labels = [("device", device), ("operation", operation)];
                    family.labelled(unit.labels(labels), value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
