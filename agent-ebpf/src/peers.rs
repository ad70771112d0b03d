//! Bytes to and from other hosts.

use aya_ebpf::{
    Global,
    macros::{cgroup_skb, map},
    maps::PerCpuHashMap,
    programs::SkBuffContext,
};
use skep_abi::{PEER_OTHER, PEERS_MAX, Peer, PeerBytes};

use crate::packet;

/// 1 where packets within this host are counted, too.
#[unsafe(no_mangle)]
static PEERS_ON_LOOPBACK: Global<u32> = Global::new(0);

/// The agent puts [`PEER_OTHER`] in before it loads a program.
#[map]
static PEERS: PerCpuHashMap<Peer, PeerBytes> = PerCpuHashMap::with_max_entries(PEERS_MAX, 0);

#[cgroup_skb]
pub fn peer_out(ctx: SkBuffContext) -> i32 {
    if is_counted(&ctx)
        && let Some(start) = packet::start(&ctx)
        && let Some(address) = packet::destination(&ctx, &start)
        && let Some(bytes) = bytes(&Peer { address })
    {
        unsafe { (*bytes).sent += packet::n_bytes(&ctx) };
    }
    1
}

#[cgroup_skb]
pub fn peer_in(ctx: SkBuffContext) -> i32 {
    if is_counted(&ctx)
        && let Some(start) = packet::start(&ctx)
        && let Some(address) = packet::source(&ctx, &start)
        && let Some(bytes) = bytes(&Peer { address })
    {
        unsafe { (*bytes).received += packet::n_bytes(&ctx) };
    }
    1
}

#[inline(always)]
fn is_counted(ctx: &SkBuffContext) -> bool {
    PEERS_ON_LOOPBACK.load() == 1 || !packet::is_loopback(ctx)
}

#[inline(always)]
fn bytes(peer: &Peer) -> Option<*mut PeerBytes> {
    if let Some(bytes) = PEERS.get_ptr_mut(peer) {
        return Some(bytes);
    }
    if PEERS.insert(peer, &PeerBytes { received: 0, sent: 0 }, 0).is_ok() {
        return PEERS.get_ptr_mut(peer);
    }
    PEERS.get_ptr_mut(&PEER_OTHER)
}
