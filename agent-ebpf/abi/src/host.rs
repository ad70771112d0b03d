//! Records of programs that look at the whole host.

use crate::Durations;

/// How often something happened, and how long it took in all.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub n: u64,
    pub ns: u64,
}

/// Disks and operations that are told apart: a hundred disks with a handful each.
pub const DISK_KEYS_MAX: u32 = 512;

/// A disk and what is done to it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskKey {
    /// The major number above 20 bits of the minor one.
    pub device: u32,
    /// `REQ_OP_*` of the kernel, or a status where errors are counted.
    pub part: u32,
}

/// Vectors of soft interrupts: the kernel has 10.
pub const SOFTIRQS_MAX: u32 = 16;
/// Hard interrupts that are told apart.
pub const HARDIRQS_MAX: u32 = 1024;

/// The interrupts that a CPU handles now.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IrqTurn {
    /// When the soft one began; 0 where there is none.
    pub soft_ns: u64,
    /// When the hard one began; 0 where there is none.
    pub hard_ns: u64,
    /// All time in hard ones, and what it was when the soft one began.
    pub hard_total_ns: u64,
    pub hard_before_ns: u64,
}

/// Why a task reclaims memory; an index.
pub mod reclaim_scope {
    /// The host has too little.
    pub const HOST: u32 = 0;
    /// Its control group is at its limit.
    pub const GROUP: u32 = 1;
    pub const ALL: u32 = 2;
}

/// What becomes of pages of the page cache; an index.
pub mod page_cache {
    pub const ADDED: u32 = 0;
    pub const REMOVED: u32 = 1;
    pub const ALL: u32 = 2;
}

/// Reasons of dropped packets that are told apart; Linux 6.18 has about 120.
pub const DROP_REASONS_MAX: u32 = 256;

/// Codes of DNS answers that are told apart: all that fit into a header.
pub const DNS_CODES: usize = 16;

/// DNS over UDP.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DnsCounts {
    pub questions: u64,
    pub answers: [u64; DNS_CODES],
    pub latency: Durations,
}

/// What an answer must match.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DnsQuestion {
    pub server: [u32; 4],
    pub client_port: u32,
    pub id: u32,
}

/// Other hosts whose bytes are counted apart; the rest is counted as [`PEER_OTHER`].
pub const PEERS_MAX: u32 = 4096;
/// See [`PEERS_MAX`].
pub const PEER_OTHER: Peer = Peer { address: [u32::MAX; 4] };

/// Another host.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// In network byte order; IPv4 as `::ffff:a.b.c.d`.
    pub address: [u32; 4],
}

/// What went to and came from another host, with the headers of IP.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerBytes {
    pub received: u64,
    pub sent: u64,
}

/// Networks of peers that are told apart; the rest is counted as [`NETWORK_OTHER`].
pub const NETWORKS_MAX: u32 = 2048;
/// See [`NETWORKS_MAX`].
pub const NETWORK_OTHER: Network = Network { family: u64::MAX, prefix: 0 };

/// The network of a peer: 24 bits of an IPv4 address or 48 of an IPv6 one.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// `AF_INET` or `AF_INET6`.
    pub family: u64,
    /// The first bits of the address as a number.
    pub prefix: u64,
}

/// What happened on TCP connections with a network.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkTcp {
    pub retransmits: u64,
    pub resets_sent: u64,
    pub resets_received: u64,
    /// Connections that ended, and the sum of their smoothed round-trip times.
    pub ended: u64,
    pub rtt_ns: u64,
}

#[cfg(feature = "user")]
mod user {
    #![expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]

    use super::{Counted, DiskKey, DnsCounts, Network, NetworkTcp, Peer, PeerBytes};

    // SAFETY: `repr(C)` structs of integers without padding: any bytes are a valid value.
    unsafe impl aya::Pod for Counted {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DiskKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DnsCounts {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Peer {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PeerBytes {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Network {}
    // SAFETY: as above.
    unsafe impl aya::Pod for NetworkTcp {}
}
