//! What each control group sends and receives, seen where packets pass its sockets.

use aya_ebpf::{
    helpers::bpf_skb_cgroup_id,
    macros::{cgroup_skb, map},
    maps::PerCpuHashMap,
    programs::SkBuffContext,
};
use skep_abi::{GROUP_SLOTS, GroupNet};

use crate::groups;

#[map]
static GROUP_NET: PerCpuHashMap<u64, GroupNet> = PerCpuHashMap::with_max_entries(GROUP_SLOTS, 0);
static NONE: GroupNet =
    GroupNet { received_bytes: 0, received_packets: 0, sent_bytes: 0, sent_packets: 0 };

/// Lets the packet pass.
const PASS: i32 = 1;

#[cgroup_skb(ingress)]
pub fn net_received(ctx: SkBuffContext) -> i32 {
    if let Some(net) = counters(&ctx) {
        unsafe {
            groups::add(&raw mut (*net).received_bytes, u64::from(ctx.len()));
            groups::add(&raw mut (*net).received_packets, packets(&ctx));
        }
    }
    PASS
}

#[cgroup_skb(egress)]
pub fn net_sent(ctx: SkBuffContext) -> i32 {
    if let Some(net) = counters(&ctx) {
        unsafe {
            groups::add(&raw mut (*net).sent_bytes, u64::from(ctx.len()));
            groups::add(&raw mut (*net).sent_packets, packets(&ctx));
        }
    }
    PASS
}

/// Of the socket's group, not of the task that happens to run.
#[inline(always)]
fn counters(ctx: &SkBuffContext) -> Option<*mut GroupNet> {
    let group = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    groups::counters(&GROUP_NET, group, &NONE)
}

/// One on the stack's way may be many on the wire.
#[inline(always)]
fn packets(ctx: &SkBuffContext) -> u64 {
    let n_segments = unsafe { (*ctx.skb.skb).gso_segs };
    if n_segments == 0 { 1 } else { u64::from(n_segments) }
}
