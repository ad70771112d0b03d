//! Requests to block devices by control group.
//!
//! Who a request is for: the block controller's group of its data where that controller is on,
//! else the group that the data's first page is charged to, else the task that hands it to the
//! device. Only groups of the cgroup2 tree count: the ids of others mean nothing there.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_task, bpf_ktime_get_ns},
    macros::map,
    maps::{HashMap, LruHashMap},
};
use skep_abi::{
    ABSENT, BlockRequest, GROUP_SLOTS, GroupBlock, GroupPart, Latency, block_operation,
};

use crate::{
    groups, histogram,
    task::{self, CSS_SET_DFL_CGRP, Memory, Probe, TASK_CGROUPS, offsets},
    traced::traced,
};

offsets! {
    RQ_BIO,
    RQ_CMD_FLAGS,
    RQ_DATA_LEN,
    // One of both is there.
    RQ_DISK,
    RQ_QUEUE,
    QUEUE_DISK,
    DISK_MAJOR,
    DISK_FIRST_MINOR,
    BIO_BLKG,
    BLKG_BLKCG,
    CSS_CGROUP,
    BIO_IO_VEC,
    BVEC_PAGE,
    PAGE_MEMCG,
    PAGE_COMPOUND_HEAD,
    CGROUP_ROOT,
    CGROUP_LEVEL,
}

/// 1 where `block_rq_issue(queue, request)` has the queue first.
#[unsafe(no_mangle)]
static BLOCK_ISSUE_QUEUE_ARG: Global<u32> = Global::new(0);

#[map]
static GROUP_BLOCKS: HashMap<GroupPart, GroupBlock> = HashMap::with_max_entries(2 * GROUP_SLOTS, 0);
static NONE: GroupBlock = GroupBlock { bytes: 0, latency: Latency::NONE };

/// Requests on their way, by address. The least recent goes where there are more at once.
#[map]
static BLOCK_REQUESTS: LruHashMap<u64, BlockRequest> = LruHashMap::with_max_entries(8_192, 0);

/// `REQ_OP_MASK`, and operations below it.
const REQ_OP_MASK: u32 = 0xff;
const REQ_OP_READ: u32 = 0;
const REQ_OP_WRITE: u32 = 1;
const REQ_OP_FLUSH: u32 = 2;
const REQ_OP_DISCARD: u32 = 3;
const MINOR_BITS: u32 = 20;
/// Flags in the low bits of a page's pointer to its memory group.
const MEMCG_FLAGS: usize = 7;

traced! {
    "block_rq_issue" block_issue block_issue_raw |ctx| {
        let request = if BLOCK_ISSUE_QUEUE_ARG.load() == 1 { ctx.arg(1) } else { ctx.arg(0) };
        unsafe { issue(request) };
    };
    "block_rq_complete" block_complete block_complete_raw |ctx| unsafe { complete(ctx.arg(0)) };
}

#[inline(always)]
unsafe fn issue(request: *const u8) {
    let part = unsafe { device(request) << 8 | operation(request) };
    let bytes: u32 = unsafe { Probe::load(request, RQ_DATA_LEN.load()) };
    let record = BlockRequest {
        issued_ns: unsafe { bpf_ktime_get_ns() },
        bytes: u64::from(bytes),
        key: GroupPart { group: unsafe { owner(request) }, part },
    };
    let _ = BLOCK_REQUESTS.insert(&(request as u64), &record, 0);
}

/// A part of a request may complete before the rest; the first part ends it.
#[inline(always)]
unsafe fn complete(request: *const u8) {
    let key = request as u64;
    let Some(record) = BLOCK_REQUESTS.get_ptr(&key).map(|it| unsafe { *it }) else { return };
    let _ = BLOCK_REQUESTS.remove(&key);
    if let Some(block) = groups::counters(&GROUP_BLOCKS, record.key, &NONE) {
        unsafe {
            groups::add(&raw mut (*block).bytes, record.bytes);
            histogram::add_since(&raw mut (*block).latency, record.issued_ns);
        }
    }
}

#[inline(always)]
unsafe fn operation(request: *const u8) -> u64 {
    let flags: u32 = unsafe { Probe::load(request, RQ_CMD_FLAGS.load()) };
    match flags & REQ_OP_MASK {
        REQ_OP_READ => block_operation::READ,
        REQ_OP_WRITE => block_operation::WRITE,
        REQ_OP_FLUSH => block_operation::FLUSH,
        REQ_OP_DISCARD => block_operation::DISCARD,
        _ => block_operation::OTHER,
    }
}

#[inline(always)]
unsafe fn device(request: *const u8) -> u64 {
    let disk: *const u8 = if RQ_DISK.load() == ABSENT {
        let queue: *const u8 = unsafe { Probe::load(request, RQ_QUEUE.load()) };
        unsafe { Probe::load(queue, QUEUE_DISK.load()) }
    } else {
        unsafe { Probe::load(request, RQ_DISK.load()) }
    };
    let major: u32 = unsafe { Probe::load(disk, DISK_MAJOR.load()) };
    let minor: u32 = unsafe { Probe::load(disk, DISK_FIRST_MINOR.load()) };
    u64::from(major) << MINOR_BITS | u64::from(minor)
}

#[inline(always)]
unsafe fn owner(request: *const u8) -> u64 {
    let bio: *const u8 = unsafe { Probe::load(request, RQ_BIO.load()) };
    if !bio.is_null() && CGROUP_ROOT.load() != ABSENT && CSS_CGROUP.load() != ABSENT {
        let root = unsafe { cgroup2_root() };
        let group = unsafe { below_root(block_cgroup(bio), root) };
        if group != 0 {
            return group;
        }
        let group = unsafe { below_root(memory_cgroup(bio), root) };
        if group != 0 {
            return group;
        }
    }
    unsafe { bpf_get_current_cgroup_id() }
}

/// The cgroup2 tree, as any task knows it.
#[inline(always)]
unsafe fn cgroup2_root() -> *const u8 {
    unsafe {
        let task = bpf_get_current_task() as *const u8;
        let css_set: *const u8 = Probe::load(task, TASK_CGROUPS.load());
        let cgroup: *const u8 = Probe::load(css_set, CSS_SET_DFL_CGRP.load());
        Probe::load(cgroup, CGROUP_ROOT.load())
    }
}

/// The id of a group of the cgroup2 tree other than its root, which is where everything ends up
/// that nobody accounts for; else 0.
#[inline(always)]
unsafe fn below_root(cgroup: *const u8, root: *const u8) -> u64 {
    if cgroup.is_null() {
        return 0;
    }
    let its_root: *const u8 = unsafe { Probe::load(cgroup, CGROUP_ROOT.load()) };
    let level: u32 = unsafe { Probe::load(cgroup, CGROUP_LEVEL.load()) };
    if its_root != root || level == 0 {
        return 0;
    }
    unsafe { task::id_of_cgroup::<Probe>(cgroup) }
}

#[inline(always)]
unsafe fn block_cgroup(bio: *const u8) -> *const u8 {
    if BIO_BLKG.load() == ABSENT || BLKG_BLKCG.load() == ABSENT {
        return core::ptr::null();
    }
    unsafe {
        let group: *const u8 = Probe::load(bio, BIO_BLKG.load());
        // The state that all controllers share comes first in each.
        let css: *const u8 = Probe::load(group, BLKG_BLKCG.load());
        if css.is_null() { css } else { Probe::load(css, CSS_CGROUP.load()) }
    }
}

#[inline(always)]
unsafe fn memory_cgroup(bio: *const u8) -> *const u8 {
    if PAGE_MEMCG.load() == ABSENT || BIO_IO_VEC.load() == ABSENT {
        return core::ptr::null();
    }
    unsafe {
        let vec: *const u8 = Probe::load(bio, BIO_IO_VEC.load());
        let page: *const u8 = Probe::load(vec, BVEC_PAGE.load());
        let memcg: usize = Probe::load(head(page), PAGE_MEMCG.load());
        let css = (memcg & !MEMCG_FLAGS) as *const u8;
        if css.is_null() { css } else { Probe::load(css, CSS_CGROUP.load()) }
    }
}

/// The first page of those that were allocated together: only that one knows its group.
#[inline(always)]
unsafe fn head(page: *const u8) -> *const u8 {
    if PAGE_COMPOUND_HEAD.load() == ABSENT {
        return page;
    }
    let head: usize = unsafe { Probe::load(page, PAGE_COMPOUND_HEAD.load()) };
    // The lowest bit says that this is not the first.
    if head & 1 == 1 { (head - 1) as *const u8 } else { page }
}
