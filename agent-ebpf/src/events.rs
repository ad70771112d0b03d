//! Rare events: one ring buffer for all of them, and exact counts beside it, because records are
//! lost when the agent does not keep up.

use core::arch::asm;

use aya_ebpf::{
    helpers::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{Array, PerCpuHashMap, RingBuf},
};
use skep_abi::{COMM_BYTES, EventHeader, GROUP_OTHER, GROUP_SLOTS, GroupEvents};

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(512 * 1024, 0);

/// Records that found the ring full, by [`skep_abi::event_kind`].
#[map]
static EVENTS_LOST: Array<u64> = Array::with_max_entries(4, 0);

#[map]
static GROUP_EVENTS: PerCpuHashMap<u64, GroupEvents> =
    PerCpuHashMap::with_max_entries(GROUP_SLOTS, 0);

/// Hands out room for a record of this kind, or counts that there is none.
#[inline(always)]
pub fn reserve<T: 'static>(kind: u32) -> Option<aya_ebpf::maps::ring_buf::RingBufEntry<T>> {
    let entry = EVENTS.reserve::<T>(0);
    if entry.is_none()
        && let Some(lost) = EVENTS_LOST.get_ptr_mut(kind)
    {
        add_one(lost);
    }
    entry
}

/// The counts of a group on this CPU; those of [`GROUP_OTHER`] if there is no room for it.
#[inline(always)]
pub fn counts(group: u64) -> Option<*mut GroupEvents> {
    if let Some(counts) = GROUP_EVENTS.get_ptr_mut(&group) {
        return Some(counts);
    }
    let none = GroupEvents { execs: 0, exits: 0, oom_kills: 0 };
    if GROUP_EVENTS.insert(&group, &none, 0).is_ok() {
        return GROUP_EVENTS.get_ptr_mut(&group);
    }
    // The agent puts this entry in before it loads a program.
    GROUP_EVENTS.get_ptr_mut(&GROUP_OTHER)
}

/// One more, also if another program comes in between.
#[inline(always)]
pub fn add_one(count: *mut u64) {
    // core has no atomic additions for a target without compare-and-swap (BPF v1).
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) count, in(reg) 1_u64) };
}

/// Field by field: a struct built first would need most of a program's stack of 512 bytes.
#[inline(always)]
pub unsafe fn start(header: *mut EventHeader, kind: u32, group: u64, comm: [u8; COMM_BYTES]) {
    unsafe {
        (*header).boot_ns = bpf_ktime_get_boot_ns();
        (*header).group = group;
        (*header).kind = kind;
        (*header).comm = comm;
    }
}
