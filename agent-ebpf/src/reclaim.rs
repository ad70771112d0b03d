//! Time that tasks spend freeing memory before they get any.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use skep_abi::{Durations, reclaim_scope};

use crate::{histogram, traced::traced};

/// When the tasks that reclaim right now began, by thread.
#[map]
static RECLAIM_STARTS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);

/// By [`reclaim_scope`].
#[map]
static RECLAIM_TIMES: PerCpuArray<Durations> = PerCpuArray::with_max_entries(reclaim_scope::ALL, 0);

traced! {
    "mm_vmscan_direct_reclaim_begin" reclaim_begin reclaim_begin_raw |_| begin();
    "mm_vmscan_direct_reclaim_end" reclaim_end reclaim_end_raw |_| end(reclaim_scope::HOST);
    "mm_vmscan_memcg_reclaim_begin" reclaim_group_begin reclaim_group_begin_raw |_| begin();
    "mm_vmscan_memcg_reclaim_end" reclaim_group_end reclaim_group_end_raw |_| {
        end(reclaim_scope::GROUP);
    };
}

#[inline(always)]
fn begin() {
    let now = unsafe { bpf_ktime_get_ns() };
    let _ = RECLAIM_STARTS.insert(&thread(), &now, 0);
}

#[inline(always)]
fn end(scope: u32) {
    let thread = thread();
    let Some(started) = RECLAIM_STARTS.get_ptr(&thread) else { return };
    let ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(unsafe { *started });
    let _ = RECLAIM_STARTS.remove(&thread);
    if let Some(times) = RECLAIM_TIMES.get_ptr_mut(scope) {
        unsafe { histogram::add(times, ns) };
    }
}

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}
