//! Names of PCI devices, from the list `pci.ids` that distributions ship.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;

const PATHS: [&str; 2] = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Whether names are told besides numbers.
    names: bool,
    /// The list; that of the distribution if left out.
    idsfile: Option<PathBuf>,
}

/// The numbers of a device, as sysfs has them: `0x8086`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Ids {
    pub(super) class: String,
    pub(super) vendor: String,
    pub(super) device: String,
    pub(super) subsystem_vendor: String,
    pub(super) subsystem_device: String,
}

/// The same as names; a number where there is no name.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) class: String,
    pub(super) vendor: String,
    pub(super) device: String,
    pub(super) subsystem_vendor: String,
    pub(super) subsystem_device: String,
}

/// Names that were looked up: the list is megabytes and is not kept.
#[derive(Debug, Default)]
pub(crate) struct Names {
    found: Mutex<HashMap<Ids, Found>>,
}

impl Names {
    /// None where names are not wanted. `root` is the host's root directory.
    pub(super) fn of(&self, settings: &Settings, root: &Path, ids: Ids) -> Option<Found> {
        if !settings.names {
            return None;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let names = found.entry(ids).or_insert_with_key(|ids| find(&read(settings, root), ids));
        Some(names.clone())
    }
}

fn read(settings: &Settings, root: &Path) -> String {
    let paths = match &settings.idsfile {
        Some(path) => vec![path.clone()],
        None => PATHS.iter().map(|it| root.join(it)).collect(),
    };
    let bytes = paths.iter().find_map(|it| fs::read(it).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A vendor's line begins at the margin, those of its devices with a tab, those of their subsystems
/// with two; likewise classes (`C 01`), their subclasses and programming interfaces.
fn find(list: &str, ids: &Ids) -> Found {
    let bare = |id: &str| id.trim_start_matches("0x").to_ascii_lowercase();
    let (vendor, device) = (bare(&ids.vendor), bare(&ids.device));
    let (sub_vendor, sub_device) = (bare(&ids.subsystem_vendor), bare(&ids.subsystem_device));
    let subsystem = format!("{sub_vendor} {sub_device}");
    let class = bare(&ids.class);
    let part = |range| class.get(range).unwrap_or_default();
    let (base, sub, interface) = (part(0..2), part(2..4), part(4..6));
    let mut found = Found {
        class: format!("Unknown class ({class})"),
        vendor: vendor.clone(),
        device: device.clone(),
        subsystem_vendor: sub_vendor.clone(),
        subsystem_device: sub_device,
    };
    // Whether the lines are of classes, and whether those further in are of ours.
    let (mut is_class, mut is_outer_ours, mut is_inner_ours) = (false, false, false);
    for line in list.lines().filter(|it| !it.starts_with('#')) {
        let depth = line.bytes().take_while(|it| *it == b'\t').count();
        let Some((id, name)) = line.trim_start_matches('\t').split_once("  ") else { continue };
        let name = name.trim();
        match (depth, id.strip_prefix("C ")) {
            (0, Some(id)) => {
                (is_class, is_outer_ours, is_inner_ours) = (true, id == base, false);
                if is_outer_ours {
                    name.clone_into(&mut found.class);
                }
            }
            (0, None) => {
                (is_class, is_outer_ours, is_inner_ours) = (false, id == vendor, false);
                if is_outer_ours {
                    name.clone_into(&mut found.vendor);
                }
                if id == sub_vendor {
                    name.clone_into(&mut found.subsystem_vendor);
                }
            }
            (1, _) => {
                is_inner_ours = is_outer_ours && id == if is_class { sub } else { &device };
                if is_inner_ours {
                    name.clone_into(if is_class { &mut found.class } else { &mut found.device });
                }
            }
            _ if is_inner_ours && is_class && id == interface => name.clone_into(&mut found.class),
            _ if is_inner_ours && !is_class && id == subsystem => {
                name.clone_into(&mut found.subsystem_device);
            }
            _ => {}
        }
    }
    found
}
