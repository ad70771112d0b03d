//! What a mounted Btrfs tells of its devices.

use std::{fmt::Write as _, fs::File, io, os::fd::AsFd as _, path::Path};

use crate::sources::syscalls::{BTRFS_DEV_INFO, BTRFS_DEV_STATS, BTRFS_FS_INFO};

/// Numbers of devices begin at 1 and are not given twice; 0 is one that is being replaced.
const DEVICE_ID_MAX: u64 = 10_000;

/// Kinds of errors in the order of the kernel's answer.
pub(super) const ERRORS: [&str; 5] = ["write", "read", "flush", "corruption", "generation"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) path: String,
    /// With dashes.
    pub(super) uuid: String,
    pub(super) total_bytes: u64,
    pub(super) used_bytes: u64,
    /// As [`ERRORS`] names them.
    pub(super) errors: [u64; 5],
}

/// The file system's identifier, in hexadecimal without dashes, and its devices.
///
/// # Errors
/// It cannot be opened or does not answer.
pub(super) fn ask(mount_point: &Path) -> io::Result<(String, Vec<Device>)> {
    let dir = File::open(mount_point)?;
    let mut info = [0; 1024];
    BTRFS_FS_INFO.ask(dir.as_fd(), &mut info)?;
    let (id_max, n_devices) = (u64_at(&info, 0), u64_at(&info, 8));
    let fsid = hex(info.get(16..32).unwrap_or_default());
    let mut devices = Vec::new();
    for id in 0..=id_max.min(DEVICE_ID_MAX) {
        let mut info = [0; 4096];
        put(&mut info, 0, id);
        match BTRFS_DEV_INFO.ask(dir.as_fd(), &mut info) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
            result => result?,
        }
        let mut stats = [0; 1032];
        put(&mut stats, 0, id);
        put(&mut stats, 8, u64::try_from(ERRORS.len()).unwrap_or_default());
        BTRFS_DEV_STATS.ask(dir.as_fd(), &mut stats)?;
        devices.push(read_device(&info, &stats));
        if u64::try_from(devices.len()).is_ok_and(|it| it == n_devices) {
            break;
        }
    }
    Ok((fsid, devices))
}

/// `struct btrfs_ioctl_dev_info_args`: number, identifier at 8, used bytes at 24, all bytes at 32,
/// path at 3072. `struct btrfs_ioctl_get_dev_stats`: the counts from 24 on.
fn read_device(info: &[u8; 4096], stats: &[u8; 1032]) -> Device {
    let path = info.get(3072..).unwrap_or_default();
    let path = path.split(|it| *it == 0).next().unwrap_or_default();
    let uuid = hex(info.get(8..24).unwrap_or_default());
    let mut dashed = String::with_capacity(36);
    for (idx, digit) in uuid.chars().enumerate() {
        if matches!(idx, 8 | 12 | 16 | 20) {
            dashed.push('-');
        }
        dashed.push(digit);
    }
    Device {
        path: String::from_utf8_lossy(path).into_owned(),
        uuid: dashed,
        total_bytes: u64_at(info, 32),
        used_bytes: u64_at(info, 24),
        errors: [24, 32, 40, 48, 56].map(|it| u64_at(stats, it)),
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|it| it.first_chunk::<8>());
    bytes.map_or(0, |it| u64::from_ne_bytes(*it))
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(place) = bytes.get_mut(at..).and_then(|it| it.first_chunk_mut::<8>()) {
        *place = value.to_ne_bytes();
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String never fails");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_their_places() {
        let (mut info, mut stats) = ([0; 4096], [0; 1032]);
        for (idx, byte) in (8..24).zip(1..) {
            info[idx] = byte;
        }
        put(&mut info, 24, 100);
        put(&mut info, 32, 300);
        info[3072..3080].copy_from_slice(b"/dev/sdb");
        for (at, count) in [(24, 1), (32, 2), (40, 3), (48, 4), (56, 5)] {
            put(&mut stats, at, count);
        }
        let device = Device {
            path: "/dev/sdb".to_owned(),
            uuid: "01020304-0506-0708-090a-0b0c0d0e0f10".to_owned(),
            total_bytes: 300,
            used_bytes: 100,
            errors: [1, 2, 3, 4, 5],
        };
        assert_eq!(read_device(&info, &stats), device);
    }

    #[test]
    fn another_file_system_does_not_answer() {
        assert!(ask(Path::new("/proc")).is_err());
        assert!(ask(Path::new("/no such folder")).is_err());
    }
}
