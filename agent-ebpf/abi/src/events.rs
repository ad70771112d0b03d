//! Records of the event ring about signals and connections.

use crate::{COMM_BYTES, EventHeader};

/// A process was killed by a signal.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalEvent {
    pub header: EventHeader,
    pub signal: u32,
    /// Whether the kernel wrote a core: 0 or 1.
    pub is_core_dumped: u32,
    /// All zeroes where nobody was seen who sent it.
    pub sender: Sender,
}

/// Who sent a signal.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// 0 where nobody is known.
    pub signal: u32,
    /// 0 where it was the kernel.
    pub pid: u32,
    pub uid: u32,
    /// `si_code`.
    pub code: i32,
    /// Up to the first NUL.
    pub comm: [u8; COMM_BYTES],
}

/// A TCP connection was made, or could not be made.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectEvent {
    pub header: EventHeader,
    /// In network byte order; IPv4 as `::ffff:a.b.c.d`.
    pub address: [u32; 4],
    /// From the first packet on.
    pub duration_ns: u64,
    pub port: u32,
    /// Whether the connection was made: 0 or 1.
    pub is_made: u32,
    /// The socket's error number; 0 where there is none.
    pub errno: u32,
    pub reserved: u32,
}

/// A connection on its way, and who asked for it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    pub started_ns: u64,
    pub group: u64,
    pub pid: u32,
    pub uid: u32,
    pub comm: [u8; COMM_BYTES],
}

#[cfg(feature = "user")]
mod user {
    #![expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]

    use super::{ConnectEvent, SignalEvent};

    // SAFETY: `repr(C)` structs of integers without padding: any bytes are a valid value.
    unsafe impl aya::Pod for SignalEvent {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ConnectEvent {}
}
