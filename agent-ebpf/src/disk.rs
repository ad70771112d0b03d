//! Requests of block devices: how long they wait and take, and what fails.
//!
//! Nothing is kept per request: the kernel itself notes in each when it was made.

use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::PerCpuHashMap,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use skep_abi::{ABSENT, Counted, DISK_KEYS_MAX, DiskKey, Durations};

use crate::{
    histogram,
    task::{Direct, Memory, Probe, offsets},
};

offsets! {
    DISK_RQ_START_NS,
    DISK_RQ_CMD_FLAGS,
    DISK_RQ_DATA_LEN,
    DISK_RQ_QUEUE,
    // Of the queue since 5.17, before that of the request.
    DISK_OF_QUEUE,
    DISK_OF_RQ,
    DISK_MAJOR_AT,
    DISK_MINOR_AT,
}

/// Which argument of `block_rq_issue` is the request: older kernels give the queue first.
#[unsafe(no_mangle)]
static DISK_ISSUE_ARG: Global<u32> = Global::new(0);

/// From a request's making to its end.
#[map]
static DISK_TIMES: PerCpuHashMap<DiskKey, Durations> =
    PerCpuHashMap::with_max_entries(DISK_KEYS_MAX, 0);

/// From a request's making until the driver got it.
#[map]
static DISK_QUEUES: PerCpuHashMap<DiskKey, Durations> =
    PerCpuHashMap::with_max_entries(DISK_KEYS_MAX, 0);

#[map]
static DISK_ERRORS: PerCpuHashMap<DiskKey, Counted> =
    PerCpuHashMap::with_max_entries(DISK_KEYS_MAX, 0);

static NONE: Durations = Durations::NONE;

#[btf_tracepoint(function = "block_rq_issue")]
pub fn disk_issue(ctx: BtfTracePointContext) -> i32 {
    let request = if DISK_ISSUE_ARG.load() == 1 { ctx.arg(1) } else { ctx.arg(0) };
    unsafe { issued::<Direct>(request) };
    0
}

#[raw_tracepoint(tracepoint = "block_rq_issue")]
pub fn disk_issue_raw(ctx: RawTracePointContext) -> i32 {
    let request = if DISK_ISSUE_ARG.load() == 1 { ctx.arg(1) } else { ctx.arg(0) };
    unsafe { issued::<Probe>(request) };
    0
}

#[btf_tracepoint(function = "block_rq_complete")]
pub fn disk_complete(ctx: BtfTracePointContext) -> i32 {
    let (status, n_bytes): (u64, u32) = (ctx.arg(1), ctx.arg(2));
    unsafe { completed::<Direct>(ctx.arg(0), status as u32, n_bytes) };
    0
}

#[raw_tracepoint(tracepoint = "block_rq_complete")]
pub fn disk_complete_raw(ctx: RawTracePointContext) -> i32 {
    let (status, n_bytes): (u64, u32) = (ctx.arg(1), ctx.arg(2));
    unsafe { completed::<Probe>(ctx.arg(0), status as u32, n_bytes) };
    0
}

#[inline(always)]
unsafe fn issued<M: Memory>(request: *const u8) {
    let started: u64 = unsafe { M::load(request, DISK_RQ_START_NS.load()) };
    if started == 0 {
        return;
    }
    let key = unsafe { key::<M>(request) };
    let waited_ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(started);
    if let Some(queue) = entry(&DISK_QUEUES, &key) {
        unsafe { histogram::add(queue, waited_ns) };
    }
}

#[inline(always)]
unsafe fn completed<M: Memory>(request: *const u8, status: u32, n_bytes: u32) {
    let key = unsafe { key::<M>(request) };
    if status != 0 {
        let key = DiskKey { device: key.device, part: status };
        if DISK_ERRORS.get_ptr(&key).is_none() {
            let _ = DISK_ERRORS.insert(&key, &Counted { n: 0, ns: 0 }, 0);
        }
        if let Some(errors) = DISK_ERRORS.get_ptr_mut(&key) {
            unsafe { (*errors).n += 1 };
        }
    }
    // Large requests end in parts; only the last one is the end.
    let rest: u32 = unsafe { M::load(request, DISK_RQ_DATA_LEN.load()) };
    let started: u64 = unsafe { M::load(request, DISK_RQ_START_NS.load()) };
    if n_bytes < rest || started == 0 {
        return;
    }
    let taken_ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(started);
    if let Some(time) = entry(&DISK_TIMES, &key) {
        unsafe { histogram::add(time, taken_ns) };
    }
}

#[inline(always)]
fn entry(map: &PerCpuHashMap<DiskKey, Durations>, key: &DiskKey) -> Option<*mut Durations> {
    if let Some(entry) = map.get_ptr_mut(key) {
        return Some(entry);
    }
    let _ = map.insert(key, &NONE, 0);
    map.get_ptr_mut(key)
}

#[inline(always)]
unsafe fn key<M: Memory>(request: *const u8) -> DiskKey {
    let disk: *const u8 = if DISK_OF_RQ.load() != ABSENT {
        unsafe { M::load(request, DISK_OF_RQ.load()) }
    } else {
        let queue: *const u8 = unsafe { M::load(request, DISK_RQ_QUEUE.load()) };
        unsafe { M::load(queue, DISK_OF_QUEUE.load()) }
    };
    let flags: u32 = unsafe { M::load(request, DISK_RQ_CMD_FLAGS.load()) };
    // Commands to a device itself have no disk; a null pointer cannot be read through.
    let (major, minor): (u32, u32) = if disk.is_null() {
        (0, 0)
    } else {
        unsafe { (M::load(disk, DISK_MAJOR_AT.load()), M::load(disk, DISK_MINOR_AT.load())) }
    };
    DiskKey { device: major << 20 | minor, part: flags & 0xff }
}
