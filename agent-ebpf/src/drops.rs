//! Packets that the kernel threw away, by its reason.

use aya_ebpf::{Global, macros::map, maps::PerCpuArray};
use skep_abi::DROP_REASONS_MAX;

use crate::traced::traced;

/// 1 where `kfree_skb` says why: from 5.17 on.
#[unsafe(no_mangle)]
static DROP_REASON_ARG: Global<u32> = Global::new(0);

/// By reason; the last one counts those beyond.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_REASONS_MAX, 0);

traced! {
    "kfree_skb" packet_drop packet_drop_raw |ctx| {
        let reason: u64 = if DROP_REASON_ARG.load() == 1 { ctx.arg(2) } else { 0 };
        count(reason as u32);
    };
}

#[inline(always)]
fn count(reason: u32) {
    let slot = if reason < DROP_REASONS_MAX { reason } else { DROP_REASONS_MAX - 1 };
    if let Some(drops) = DROPS.get_ptr_mut(slot) {
        unsafe { *drops += 1 };
    }
}
