//! Records that the kernel programs and the agent share, byte for byte: `#[repr(C)]`, no padding,
//! integers in the machine's byte order.
#![no_std]

mod events;
mod histogram;
mod host;

pub use events::*;
pub use histogram::*;
pub use host::*;

/// Value of an offset global for a field that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Classic histogram of run-queue waits: bucket `i` counts waits of at most
/// `2^(WAIT_SHIFT + i)` ns (1.024 µs, 2.048 µs, … 1.07 s), the last one all longer ones.
pub const WAIT_BUCKETS: usize = 22;
/// See [`WAIT_BUCKETS`].
pub const WAIT_SHIFT: u32 = 10;

/// Slots per CPU for control groups; a power of two. Twice the default cap on units, so that
/// probing stays short. One more slot takes what finds no place.
pub const GROUP_SLOTS: u32 = 2048;
/// How many neighbours of its home slot a group may take.
pub const GROUP_PROBES: u32 = 8;
/// The group id under which counts without a place of their own are kept.
pub const GROUP_OTHER: u64 = u64::MAX;

/// Bytes kept of a program's path.
pub const FILENAME_BYTES: usize = 192;
/// Bytes kept of a program's first argument.
pub const ARGV0_BYTES: usize = 64;
/// Bytes of a thread's name, as in the kernel.
pub const COMM_BYTES: usize = 16;

/// What the scheduler did for one control group on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupRun {
    /// Time on the CPU.
    pub cpu_ns: u64,
    /// Sum of the waits in `waits`.
    pub wait_ns: u64,
    /// Not cumulative; each wraps around by itself, so readers add up differences.
    pub waits: [u32; WAIT_BUCKETS],
    /// Whose slot this is; 0 is a free one. Last, because user space empties a slot by copying
    /// zeroes over it from front to back while the kernel may look at it.
    pub group: u64,
}

/// The task that a CPU runs now and what its counters said when it got the CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTurn {
    pub task: u64,
    pub exec_ns: u64,
    pub run_delay_ns: u64,
}

/// Programs that one control group started, on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupProcesses {
    pub execs: u64,
}

/// What one control group's sockets sent and received, with the headers of IP.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupNet {
    pub received_bytes: u64,
    pub received_packets: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
}

/// Why a TCP connection was not made; an index into [`GroupTcp::failed`].
pub mod connect_failure {
    pub const REFUSED: usize = 0;
    pub const TIMED_OUT: usize = 1;
    /// The program closed the socket first.
    pub const ABORTED: usize = 2;
    pub const OTHER: usize = 3;
    pub const KINDS: usize = 4;
}

/// TCP of one control group's sockets.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupTcp {
    pub accepted: u64,
    pub retransmits: u64,
    pub failed: [u64; connect_failure::KINDS],
    /// From the first packet to the established connection.
    pub connect: Latency,
}

/// `fsync` and `fdatasync` of one control group.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupSync {
    pub latency: Latency,
}

/// What a request of block I/O does, in the lowest byte of [`GroupPart::part`]; the device is above.
pub mod block_operation {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const FLUSH: u64 = 2;
    pub const DISCARD: u64 = 3;
    pub const OTHER: u64 = 4;
}

/// Requests of one control group to one device.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupBlock {
    pub bytes: u64,
    /// From the issue to the device to the completion.
    pub latency: Latency,
}

/// A request on its way.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockRequest {
    pub issued_ns: u64,
    pub bytes: u64,
    pub key: GroupPart,
}

/// Ends of processes by [`GroupPart::part`]: the exit code, or `SIGNALED` and the signal.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupEnds {
    pub n: u64,
}
/// See [`GroupEnds`].
pub const SIGNALED: u64 = 256;

/// Processes of one control group that the kernel killed.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupKills {
    pub oom: u64,
}

/// Key of counters that a control group has several of.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GroupPart {
    pub group: u64,
    /// What the map tells apart: a device, an exit code.
    pub part: u64,
}

/// Which record follows an [`EventHeader`].
pub mod event_kind {
    pub const EXEC: u32 = 1;
    pub const EXIT: u32 = 2;
    pub const OOM_KILL: u32 = 3;
    pub const SIGNAL: u32 = 4;
    pub const TCP_CONNECT: u32 = 5;
}
/// All of [`event_kind`] are below.
pub const EVENT_KINDS: u32 = 32;

/// Starts every record of the ring buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// `CLOCK_BOOTTIME` in ns.
    pub boot_ns: u64,
    /// The control group's id in the cgroup2 tree; 0 where the kernel does not say.
    pub group: u64,
    /// One of [`event_kind`].
    pub kind: u32,
    /// Process, not thread.
    pub pid: u32,
    pub parent_pid: u32,
    pub uid: u32,
    /// Up to the first NUL.
    pub comm: [u8; COMM_BYTES],
}

impl EventHeader {
    pub const NONE: Self = Self {
        boot_ns: 0,
        group: 0,
        kind: 0,
        pid: 0,
        parent_pid: 0,
        uid: 0,
        comm: [0; COMM_BYTES],
    };
}

/// A process runs another program now.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecEvent {
    pub header: EventHeader,
    /// Up to the first NUL; cut at the end.
    pub filename: [u8; FILENAME_BYTES],
    /// Up to the first NUL; cut at the end.
    pub argv0: [u8; ARGV0_BYTES],
}

/// A process is gone.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitEvent {
    pub header: EventHeader,
    /// Since the fork that made it.
    pub duration_ns: u64,
    /// As `waitpid` returns it: signal in the low 7 bits, exit code in the next byte.
    pub status: u32,
    pub reserved: u32,
    /// On-CPU time as the scheduler counts it, of all threads; what ran since its last look, at
    /// most a tick, is not in it.
    pub cpu_ns: u64,
    /// By ticks: only their ratio says something.
    pub user_ns: u64,
    pub system_ns: u64,
    /// The most memory it ever held.
    pub rss_pages_max: u64,
}

/// The kernel chose a process to die for its memory.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomEvent {
    pub header: EventHeader,
    /// Anonymous, file and shared pages; `u64::MAX` where the kernel does not say.
    pub rss_bytes: u64,
}

#[cfg(feature = "user")]
mod user {
    #![expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]

    use super::{
        BlockRequest, EventHeader, ExecEvent, ExitEvent, GroupBlock, GroupEnds, GroupKills,
        GroupNet, GroupPart, GroupProcesses, GroupRun, GroupSync, GroupTcp, OomEvent,
    };

    // SAFETY: `repr(C)` structs of integers without padding: any bytes are a valid value.
    unsafe impl aya::Pod for GroupRun {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupProcesses {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupKills {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupPart {}
    // SAFETY: as above.
    unsafe impl aya::Pod for BlockRequest {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupTcp {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupSync {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupNet {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupEnds {}
    // SAFETY: as above.
    unsafe impl aya::Pod for GroupBlock {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EventHeader {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ExecEvent {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ExitEvent {}
    // SAFETY: as above.
    unsafe impl aya::Pod for OomEvent {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_no_padding() {
        assert_eq!(size_of::<GroupRun>(), 8 + 8 + 4 * WAIT_BUCKETS + 8);
        assert_eq!(size_of::<Durations>(), 8 + 8 * Durations::NONE.counts.len());
        assert_eq!(size_of::<EventHeader>(), 8 + 8 + 4 * 4 + COMM_BYTES);
        assert_eq!(size_of::<ExecEvent>(), size_of::<EventHeader>() + FILENAME_BYTES + ARGV0_BYTES);
        assert_eq!(size_of::<ExitEvent>(), size_of::<EventHeader>() + 48);
        assert_eq!(size_of::<OomEvent>(), size_of::<EventHeader>() + 8);
    }
}
