//! Names of block devices by their numbers.

use std::{collections::HashMap, fs, path::PathBuf};

const MINOR_BITS: u32 = 20;
/// Bounds what is remembered where devices come and go: all is forgotten then.
const NAMES_MAX: usize = 4_096;

/// What `/sys/dev/block` says, asked once a device.
#[derive(Debug)]
pub(crate) struct DeviceNames {
    sys: PathBuf,
    names: HashMap<u64, String>,
}

impl DeviceNames {
    pub(crate) fn new(sys: PathBuf) -> Self {
        Self { sys, names: HashMap::new() }
    }

    /// Asks for the name of a device, given as `major << 20 | minor`.
    pub(crate) fn learn(&mut self, number: u64) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        let Self { sys, names } = self;
        names.entry(number).or_insert_with(|| {
            let (major, minor) = (number >> MINOR_BITS, number & ((1 << MINOR_BITS) - 1));
            let numbers = format!("{major}:{minor}");
            let link = fs::read_link(sys.join("dev/block").join(&numbers)).ok();
            let name = link.as_deref().and_then(|it| it.file_name()).and_then(|it| it.to_str());
            // The kernel writes `!` for the `/` in names such as `cciss/c0d0`.
            name.map_or(numbers, |it| it.replace('!', "/"))
        });
    }

    /// The name of a device that was asked for; its numbers (`8:1`) where it has none any more.
    pub(crate) fn known(&self, number: u64) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }
}

/// The number of a device in a file: `8:1`.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    Some(u64::from(major) << MINOR_BITS | u64::from(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_sysfs_and_by_their_numbers_without_it() {
        let sys = tempfile::tempdir().unwrap();
        let dir = sys.path().join("dev/block");
        fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink("../../devices/x/block/cciss!c0d0", dir.join("104:0")).unwrap();
        let mut names = DeviceNames::new(sys.path().to_owned());
        for (text, name) in [("104:0", "cciss/c0d0"), ("8:1", "8:1")] {
            let number = number(text).unwrap();
            names.learn(number);
            assert_eq!(names.known(number), Some(name));
        }
        assert_eq!(number("loop0"), None);
    }
}
