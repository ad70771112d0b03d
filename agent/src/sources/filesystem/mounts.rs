//! Lines of `/proc/<pid>/mountinfo`.

use std::{borrow::Cow, path::Path};

#[derive(Debug)]
pub(in crate::sources) struct Mount<'a> {
    pub(in crate::sources) device: Cow<'a, str>,
    pub(in crate::sources) mount_point: Cow<'a, str>,
    pub(in crate::sources) fs_type: &'a str,
    pub(super) major: &'a str,
    pub(super) minor: &'a str,
    /// By the mount's own options or by those of the file system.
    pub(super) is_read_only: bool,
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: optional
/// fields stand before the lone `-`.
pub(in crate::sources) fn parse(line: &str) -> Option<Mount<'_>> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let (major, minor) = fields.next()?.split_once(':')?;
    let mount_point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    fields.find(|it| *it == "-")?;
    let fs_type = fields.next()?;
    let device = unescape(fields.next()?);
    let super_options = fields.next()?;
    let is_read_only = [options, super_options].iter().any(|it| {
        // ext4 since 6.15 says so when an error made it read-only.
        it.split(',').any(|it| it == "ro" || it == "emergency_ro")
    });
    Some(Mount { device, mount_point, fs_type, major, minor, is_read_only })
}

impl Mount<'_> {
    /// Where the host's root is itself a mount (in a container), mount points are told as the
    /// host sees them.
    pub(in crate::sources) fn strip_root(&mut self, root: &Path) {
        if let Ok(stripped) = Path::new(&*self.mount_point).strip_prefix(root) {
            self.mount_point = Cow::Owned(format!("/{}", stripped.display()));
        }
    }
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescape(field: &str) -> Cow<'_, str> {
    if !field.contains('\\') {
        return Cow::Borrowed(field);
    }
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let c = after.get(..3).and_then(|it| u8::from_str_radix(it, 8).ok()).map(char::from);
        match c.filter(char::is_ascii) {
            Some(c) => {
                text.push(c);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_written_in_octal() {
        assert_eq!(unescape(r"/a\040b\011c\134d\x"), "/a b\tc\\d\\x");
    }

    #[test]
    fn a_file_system_that_an_error_stopped_is_read_only() {
        let is_read_only = |options: &str| {
            parse(&format!("1 0 8:1 / / rw - ext4 /dev/sda1 {options}")).unwrap().is_read_only
        };
        assert!(is_read_only("ro") && is_read_only("rw,errors=continue,emergency_ro"));
        assert!(!is_read_only("rw,errors=remount-ro"));
    }

    #[test]
    fn a_host_root_mounted_elsewhere_is_stripped() {
        let mut mount = parse("1 0 8:1 / /host/data rw - ext4 /dev/sda1 rw").unwrap();
        mount.strip_root(Path::new("/host"));
        assert_eq!(mount.mount_point, "/data");
        mount.strip_root(Path::new("/"));
        assert_eq!(mount.mount_point, "/data");
    }
}
