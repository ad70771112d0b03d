//! System calls that no crate offers and that need `unsafe`.

#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// The kernel's clock and its state (`TIME_OK`, …, `TIME_ERROR`). Nothing is changed.
///
/// # Errors
/// The kernel's refusal, as in a sandbox without `adjtimex`.
pub(super) fn adjtimex() -> io::Result<(libc::timex, libc::c_int)> {
    // SAFETY: it has only integers, for which zeros are valid; no mode is set, so nothing is changed.
    let mut timex: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes one `timex`, to memory that lives longer than the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok((timex, state)) }
}

/// Questions to a Btrfs file system, with the bytes of their answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct BtrfsQuestion<const BYTES: usize>(libc::Ioctl);

/// `BTRFS_IOC_FS_INFO`.
pub(super) const BTRFS_FS_INFO: BtrfsQuestion<1024> = BtrfsQuestion(0x8400_941f);
/// `BTRFS_IOC_DEV_INFO`.
pub(super) const BTRFS_DEV_INFO: BtrfsQuestion<4096> = BtrfsQuestion(0xd000_941e);
/// `BTRFS_IOC_GET_DEV_STATS`.
pub(super) const BTRFS_DEV_STATS: BtrfsQuestion<1032> = BtrfsQuestion(0xc408_9434);

impl<const BYTES: usize> BtrfsQuestion<BYTES> {
    /// What the question is about goes in with `args`, the answer comes out.
    ///
    /// # Errors
    /// The kernel's refusal: no Btrfs, no such device, no permission.
    pub(super) fn ask(self, fd: BorrowedFd<'_>, args: &mut [u8; BYTES]) -> io::Result<()> {
        // SAFETY: the kernel reads and writes as many bytes as the request's number says in bits 16
        // to 29, which for each of the constants above is BYTES, and keeps no pointer.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), self.0, args.as_mut_ptr()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Questions to the driver of a network device, with room for their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct EthtoolQuestion<const BYTES: usize>(u32);

/// `ETHTOOL_GDRVINFO`: a `struct ethtool_drvinfo`.
pub(super) const ETHTOOL_DRIVER: EthtoolQuestion<196> = EthtoolQuestion(0x3);
/// `ETHTOOL_GSTRINGS`: 32,768 names of 32 bytes, several times what any driver has.
pub(super) const ETHTOOL_NAMES: EthtoolQuestion<{ 12 + 32_768 * 32 }> = EthtoolQuestion(0x1b);
/// `ETHTOOL_GSTATS`: as many values of 8 bytes.
pub(super) const ETHTOOL_VALUES: EthtoolQuestion<{ 8 + 32_768 * 8 }> = EthtoolQuestion(0x1d);

/// `struct ifreq` with a pointer in its union, which is 24 bytes.
#[repr(C)]
struct DeviceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u8,
    rest: [u8; 16],
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;

impl<const BYTES: usize> EthtoolQuestion<BYTES> {
    /// Zeros, of which only the pages that are written to take memory.
    #[expect(clippy::unused_self, reason = "the question says how much room its answer needs")]
    pub(super) fn room(self) -> Vec<u8> {
        vec![0; BYTES]
    }

    /// What the question is about goes in with `args`, the answer comes out.
    ///
    /// # Errors
    /// Less room than the answer may need, a name that is too long, or the kernel's refusal: no such
    /// device, or a driver that does not answer.
    pub(super) fn ask(
        self,
        socket: BorrowedFd<'_>,
        device: &str,
        args: &mut [u8],
    ) -> io::Result<()> {
        let mut name = [0; libc::IFNAMSIZ];
        // The last byte stays zero.
        let is_short = device.len() < name.len();
        let Some(room) = name.get_mut(..device.len()).filter(|_| is_short && args.len() >= BYTES)
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        room.copy_from_slice(device.as_bytes());
        if let Some(command) = args.first_chunk_mut() {
            *command = self.0.to_ne_bytes();
        }
        let mut request = DeviceRequest { name, data: args.as_mut_ptr(), rest: [0; 16] };
        // SAFETY: the kernel reads the request, and reads and writes at `data` what the command says:
        // no more than BYTES for each of the constants above. It keeps no pointer.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn requests_say_how_long_their_answers_are() {
        fn check<const BYTES: usize>(question: BtrfsQuestion<BYTES>) {
            assert_eq!(usize::try_from(question.0 >> 16 & 0x3fff).unwrap(), BYTES);
        }
        check(BTRFS_FS_INFO);
        check(BTRFS_DEV_INFO);
        check(BTRFS_DEV_STATS);
    }

    #[test]
    fn another_file_system_refuses() {
        let proc = File::open("/proc").unwrap();
        let error = BTRFS_FS_INFO.ask(proc.as_fd(), &mut [0; 1024]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY), "{error}");
    }

    #[test]
    fn the_running_kernel_has_a_clock() {
        let (timex, state) = adjtimex().unwrap();
        assert!(timex.tick > 0 && (0..=5).contains(&state), "{timex:?} {state}");
    }
}
