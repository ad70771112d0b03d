//! What goes wrong on TCP connections and how far away their peers are, by the peer's network.

use aya_ebpf::{
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap},
};
use skep_abi::{ABSENT, Durations, NETWORK_OTHER, NETWORKS_MAX, Network, NetworkTcp};

use crate::{
    histogram,
    packet::V4_IN_V6,
    task::{Memory, Probe, offsets},
    traced::traced,
};

offsets! {
    PEER_FAMILY,
    PEER_ADDRESS,
    PEER_ADDRESS6,
    PEER_PROTOCOL,
    PEER_SRTT,
}

const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
/// States of `include/net/tcp_states.h`.
const TCP_SYN_SENT: u32 = 2;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;

/// The agent puts [`NETWORK_OTHER`] in before it loads a program.
#[map]
static NETWORK_TCP: PerCpuHashMap<Network, NetworkTcp> =
    PerCpuHashMap::with_max_entries(NETWORKS_MAX, 0);

/// Smoothed round-trip times of all ended, at their end.
#[map]
static NETWORK_RTTS: PerCpuArray<Durations> = PerCpuArray::with_max_entries(1, 0);

traced! {
    "tcp_retransmit_skb" network_retransmit network_retransmit_raw |ctx| {
        unsafe { count(ctx.arg(0), |it| it.retransmits += 1) };
    };
    "tcp_send_reset" network_reset_out network_reset_out_raw |ctx| {
        unsafe { count(ctx.arg(0), |it| it.resets_sent += 1) };
    };
    "tcp_receive_reset" network_reset_in network_reset_in_raw |ctx| {
        unsafe { count(ctx.arg(0), |it| it.resets_received += 1) };
    };
    "inet_sock_set_state" network_rtt network_rtt_raw |ctx| {
        let (before, now): (u64, u64) = (ctx.arg(1), ctx.arg(2));
        unsafe { state(ctx.arg(0), before as u32, now as u32) };
    };
}

#[inline(always)]
unsafe fn count(sock: *const u8, count: impl FnOnce(&mut NetworkTcp)) {
    if let Some(counters) = unsafe { counters(sock) } {
        count(unsafe { &mut *counters });
    }
}

#[inline(always)]
unsafe fn state(sock: *const u8, before: u32, now: u32) {
    if now != TCP_CLOSE || before == TCP_SYN_SENT || before == TCP_LISTEN {
        return;
    }
    if PEER_PROTOCOL.load() != ABSENT {
        let protocol: u16 = unsafe { Probe::load(sock, PEER_PROTOCOL.load()) };
        if protocol != IPPROTO_TCP {
            return;
        }
    }
    // In eighths of a microsecond.
    let srtt: u32 = unsafe { Probe::load(sock, PEER_SRTT.load()) };
    if srtt == 0 {
        return;
    }
    let rtt_ns = u64::from(srtt) * 125;
    if let Some(all) = NETWORK_RTTS.get_ptr_mut(0) {
        unsafe { histogram::add(all, rtt_ns) };
    }
    if let Some(counters) = unsafe { counters(sock) } {
        unsafe {
            (*counters).ended += 1;
            (*counters).rtt_ns += rtt_ns;
        }
    }
}

#[inline(always)]
unsafe fn counters(sock: *const u8) -> Option<*mut NetworkTcp> {
    // A reset may answer a packet for no socket at all.
    if sock.is_null() {
        return NETWORK_TCP.get_ptr_mut(&NETWORK_OTHER);
    }
    let network = unsafe { network(sock) };
    if let Some(counters) = NETWORK_TCP.get_ptr_mut(&network) {
        return Some(counters);
    }
    let none =
        NetworkTcp { retransmits: 0, resets_sent: 0, resets_received: 0, ended: 0, rtt_ns: 0 };
    if NETWORK_TCP.insert(&network, &none, 0).is_ok() {
        return NETWORK_TCP.get_ptr_mut(&network);
    }
    NETWORK_TCP.get_ptr_mut(&NETWORK_OTHER)
}

/// The first 24 bits of an IPv4 address, the first 48 of an IPv6 one.
#[inline(always)]
unsafe fn network(sock: *const u8) -> Network {
    let family: u16 = unsafe { Probe::load(sock, PEER_FAMILY.load()) };
    if family == AF_INET6 && PEER_ADDRESS6.load() != ABSENT {
        let at = PEER_ADDRESS6.load();
        let words: [u32; 3] = unsafe {
            [Probe::load(sock, at), Probe::load(sock, at + 4), Probe::load(sock, at + 8)]
        };
        if words[0] != 0 || words[1] != 0 || words[2] != V4_IN_V6 {
            let first =
                u64::from(u32::from_be(words[0])) << 16 | u64::from(u32::from_be(words[1]) >> 16);
            return Network { family: u64::from(AF_INET6), prefix: first };
        }
        let address: u32 = unsafe { Probe::load(sock, at + 12) };
        return v4(address);
    }
    v4(unsafe { Probe::load(sock, PEER_ADDRESS.load()) })
}

#[inline(always)]
fn v4(address: u32) -> Network {
    Network { family: u64::from(AF_INET), prefix: u64::from(u32::from_be(address) >> 8) }
}
