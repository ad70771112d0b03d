//! How long `fsync` and `fdatasync` keep a control group's programs waiting.

use aya_ebpf::{
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{fentry, fexit, map, tracepoint},
    maps::{HashMap, LruHashMap},
    programs::{FEntryContext, FExitContext, TracePointContext},
};
use skep_abi::{GROUP_SLOTS, GroupSync, Latency};

use crate::{groups, histogram};

#[map]
static GROUP_SYNCS: HashMap<u64, GroupSync> = HashMap::with_max_entries(GROUP_SLOTS, 0);
static NONE: GroupSync = GroupSync { latency: Latency::NONE };

/// When a thread began to wait. The least recent goes where there are more at once.
#[map]
static SYNCS_STARTED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(8_192, 0);

#[fentry]
pub fn fsync_enter(_: FEntryContext) -> i32 {
    start();
    0
}

#[fexit]
pub fn fsync_exit(_: FExitContext) -> i32 {
    end();
    0
}

#[tracepoint]
pub fn fsync_enter_classic(_: TracePointContext) -> u32 {
    start();
    0
}

#[tracepoint]
pub fn fsync_exit_classic(_: TracePointContext) -> u32 {
    end();
    0
}

#[fentry]
pub fn fdatasync_enter(_: FEntryContext) -> i32 {
    start();
    0
}

#[fexit]
pub fn fdatasync_exit(_: FExitContext) -> i32 {
    end();
    0
}

#[tracepoint]
pub fn fdatasync_enter_classic(_: TracePointContext) -> u32 {
    start();
    0
}

#[tracepoint]
pub fn fdatasync_exit_classic(_: TracePointContext) -> u32 {
    end();
    0
}

#[inline(always)]
fn start() {
    let now = unsafe { bpf_ktime_get_ns() };
    let _ = SYNCS_STARTED.insert(&bpf_get_current_pid_tgid(), &now, 0);
}

#[inline(always)]
fn end() {
    let thread = bpf_get_current_pid_tgid();
    let Some(started) = SYNCS_STARTED.get_ptr(&thread).map(|it| unsafe { *it }) else { return };
    let _ = SYNCS_STARTED.remove(&thread);
    let group = unsafe { bpf_get_current_cgroup_id() };
    if let Some(sync) = groups::counters(&GROUP_SYNCS, group, &NONE) {
        unsafe { histogram::add_since(&raw mut (*sync).latency, started) };
    }
}
