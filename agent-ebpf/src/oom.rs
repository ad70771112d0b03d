//! Processes that the kernel kills for their memory.

use aya_ebpf::{
    EbpfContext as _, Global,
    helpers::{bpf_probe_read_kernel, bpf_probe_read_kernel_str_bytes},
    macros::{btf_tracepoint, map, tracepoint},
    maps::HashMap,
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::warn;
use skep_abi::{ABSENT, COMM_BYTES, GROUP_SLOTS, GroupKills, OomEvent, event_kind};

use crate::{
    events, groups,
    task::{self, Memory, Probe, TASK_MM, TASK_REAL_PARENT, TASK_TGID, offsets},
};

offsets! {
    TASK_COMM,
    // Of the first counter, and from one to the next.
    MM_RSS,
    MM_RSS_STRIDE,
    // Fields of the tracepoint's record.
    VICTIM_PID,
    VICTIM_COMM_LOC,
    VICTIM_ANON_KB,
    VICTIM_FILE_KB,
    VICTIM_SHMEM_KB,
    VICTIM_UID,
}

#[unsafe(no_mangle)]
static PAGE_BYTES: Global<u32> = Global::new(4096);

#[map]
static GROUP_KILLS: HashMap<u64, GroupKills> = HashMap::with_max_entries(GROUP_SLOTS, 0);
const NONE: GroupKills = GroupKills { oom: 0 };

/// Indices into `mm_struct.rss_stat`, unchanged since Linux 4.5.
const MM_FILEPAGES: u32 = 0;
const MM_ANONPAGES: u32 = 1;
const MM_SHMEMPAGES: u32 = 3;

/// Where the tracepoint is given the victim itself (from 6.9 on), so its control group is known.
#[btf_tracepoint(function = "mark_victim")]
pub fn oom_victim(ctx: BtfTracePointContext) -> i32 {
    let (task, uid): (*const u8, u32) = (ctx.arg(0), ctx.arg(1));
    let group = unsafe { task::group::<Probe>(task) };
    if let Some(counts) = groups::counters(&GROUP_KILLS, group, &NONE) {
        unsafe { groups::add(&raw mut (*counts).oom, 1) };
    }
    let pid: u32 = unsafe { Probe::load(task, TASK_TGID.load()) };
    let Some(mut entry) = events::reserve::<OomEvent>(event_kind::OOM_KILL) else {
        warn!(&ctx, "the event ring is full: the OOM kill of pid {} is counted, not logged", pid);
        return 0;
    };
    let event = entry.as_mut_ptr();
    unsafe {
        events::start(&raw mut (*event).header, event_kind::OOM_KILL, group, [0; COMM_BYTES]);
        (*event).header.pid = pid;
        let parent: *const u8 = Probe::load(task, TASK_REAL_PARENT.load());
        (*event).header.parent_pid = Probe::load(parent, TASK_TGID.load());
        (*event).header.uid = uid;
        let comm = task.wrapping_add(TASK_COMM.load() as usize);
        let _ = bpf_probe_read_kernel_str_bytes(comm, &mut (*event).header.comm);
        (*event).rss_bytes = rss_bytes(task);
    }
    entry.submit(0);
    0
}

/// The classic tracepoint: only a pid is sure, the agent finds the control group in /proc.
#[tracepoint]
pub fn oom_victim_classic(ctx: TracePointContext) -> u32 {
    let pid: u32 = unsafe { field(&ctx, VICTIM_PID.load()) };
    let Some(mut entry) = events::reserve::<OomEvent>(event_kind::OOM_KILL) else {
        warn!(&ctx, "the event ring is full: the OOM kill of pid {} is lost", pid);
        return 0;
    };
    let event = entry.as_mut_ptr();
    unsafe {
        events::start(&raw mut (*event).header, event_kind::OOM_KILL, 0, [0; COMM_BYTES]);
        (*event).header.pid = pid;
        (*event).header.parent_pid = 0;
        (*event).header.uid = u32::MAX;
        if VICTIM_UID.load() != ABSENT {
            (*event).header.uid = field(&ctx, VICTIM_UID.load());
        }
        if VICTIM_COMM_LOC.load() != ABSENT {
            // Where the string starts in the record: the low half of this field.
            let location: u32 = field(&ctx, VICTIM_COMM_LOC.load());
            let comm = ctx.as_ptr().cast::<u8>().wrapping_add((location & 0xffff) as usize);
            let _ = bpf_probe_read_kernel_str_bytes(comm, &mut (*event).header.comm);
        }
        (*event).rss_bytes = u64::MAX;
        if VICTIM_ANON_KB.load() != ABSENT {
            let anon_kb: u64 = field(&ctx, VICTIM_ANON_KB.load());
            let file_kb: u64 = field(&ctx, VICTIM_FILE_KB.load());
            let shmem_kb: u64 = field(&ctx, VICTIM_SHMEM_KB.load());
            (*event).rss_bytes = (anon_kb + file_kb + shmem_kb) * 1024;
        }
    }
    entry.submit(0);
    0
}

#[inline(always)]
unsafe fn field<T: Copy>(ctx: &TracePointContext, offset: u32) -> T {
    let at = ctx.as_ptr().cast::<u8>().wrapping_add(offset as usize).cast::<T>();
    unsafe { bpf_probe_read_kernel(at).unwrap_or_else(|_| core::mem::zeroed()) }
}

#[inline(always)]
unsafe fn rss_bytes(task: *const u8) -> u64 {
    if MM_RSS.load() == ABSENT {
        return u64::MAX;
    }
    let mm: *const u8 = unsafe { Probe::load(task, TASK_MM.load()) };
    let n_pages =
        unsafe { pages(mm, MM_FILEPAGES) + pages(mm, MM_ANONPAGES) + pages(mm, MM_SHMEMPAGES) };
    n_pages * u64::from(PAGE_BYTES.load())
}

/// One counter; it may be below zero for a moment, since CPUs keep a part of it to themselves.
#[inline(always)]
unsafe fn pages(mm: *const u8, counter_idx: u32) -> u64 {
    let offset = MM_RSS.load() + counter_idx * MM_RSS_STRIDE.load();
    let n_pages: i64 = unsafe { Probe::load(mm, offset) };
    if n_pages > 0 { n_pages as u64 } else { 0 }
}
