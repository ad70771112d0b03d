//! TCP connections of each control group: made, accepted, failed, and segments sent again.

use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use skep_abi::{GROUP_SLOTS, GroupTcp, Latency, connect_failure};

use crate::{
    groups, histogram,
    task::{self, Memory, Probe, offsets},
    traced::traced,
};

offsets! {
    SOCK_CGROUP,
    SOCK_PROTOCOL,
    SOCK_ERR,
}

/// 1 where `tcp_retransmit_skb(sk, skb, err)` is told of tries that failed, too.
#[unsafe(no_mangle)]
static RETRANSMIT_ERR_ARG: Global<u32> = Global::new(0);

#[map]
static GROUP_TCP: HashMap<u64, GroupTcp> = HashMap::with_max_entries(GROUP_SLOTS, 0);
static NONE: GroupTcp = GroupTcp {
    accepted: 0,
    retransmits: 0,
    failed: [0; connect_failure::KINDS],
    connect: Latency::NONE,
};

/// When a socket sent its SYN, by its address. The least recent goes where there are more at once.
#[map]
static TCP_CONNECTS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(8_192, 0);

const IPPROTO_TCP: u16 = 6;
/// States of `include/net/tcp_states.h`.
const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECV: u32 = 3;
const CLOSE: u32 = 7;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;

traced! {
    "inet_sock_set_state" tcp_state tcp_state_raw |ctx| {
        unsafe { change_state(ctx.arg(0), ctx.arg(1), ctx.arg(2)) };
    };
    "tcp_retransmit_skb" tcp_retransmit tcp_retransmit_raw |ctx| {
        if RETRANSMIT_ERR_ARG.load() == 0 || ctx.arg::<i32>(2) == 0 {
            unsafe { retransmit(ctx.arg(0)) };
        }
    };
}

#[inline(always)]
unsafe fn change_state(sock: *const u8, old: u32, new: u32) {
    if unsafe { Probe::load::<u16>(sock, SOCK_PROTOCOL.load()) } != IPPROTO_TCP {
        return;
    }
    let key = sock as u64;
    if new == SYN_SENT {
        let now = unsafe { bpf_ktime_get_ns() };
        let _ = TCP_CONNECTS.insert(&key, &now, 0);
        return;
    }
    let is_accepted = old == SYN_RECV && new == ESTABLISHED;
    if old != SYN_SENT && !is_accepted {
        return;
    }
    let started = TCP_CONNECTS.get_ptr(&key).map_or(0, |it| unsafe { *it });
    let _ = TCP_CONNECTS.remove(&key);
    let Some(tcp) = (unsafe { counters(sock) }) else { return };
    if is_accepted {
        unsafe { groups::add(&raw mut (*tcp).accepted, 1) };
    } else if new == CLOSE {
        unsafe { fail(tcp, Probe::load(sock, SOCK_ERR.load())) };
    } else if new == ESTABLISHED && started != 0 {
        unsafe { histogram::add_since(&raw mut (*tcp).connect, started) };
    }
}

#[inline(always)]
unsafe fn fail(tcp: *mut GroupTcp, error: u32) {
    let kind = match error {
        0 => connect_failure::ABORTED,
        ECONNREFUSED => connect_failure::REFUSED,
        ETIMEDOUT => connect_failure::TIMED_OUT,
        _ => connect_failure::OTHER,
    };
    unsafe { groups::add((&raw mut (*tcp).failed).cast::<u64>().add(kind), 1) };
}

#[inline(always)]
unsafe fn retransmit(sock: *const u8) {
    if let Some(tcp) = unsafe { counters(sock) } {
        unsafe { groups::add(&raw mut (*tcp).retransmits, 1) };
    }
}

/// Of the group that made the socket, or the one that it was accepted from.
#[inline(always)]
unsafe fn counters(sock: *const u8) -> Option<*mut GroupTcp> {
    let cgroup: *const u8 = unsafe { Probe::load(sock, SOCK_CGROUP.load()) };
    groups::counters(&GROUP_TCP, unsafe { task::id_of_cgroup::<Probe>(cgroup) }, &NONE)
}
