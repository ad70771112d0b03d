//! Processes that start another program, and processes that end.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_comm, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns,
        bpf_probe_read_kernel_str_bytes, bpf_probe_read_user_str_bytes,
    },
    macros::map,
    maps::{HashMap, PerCpuHashMap},
};
use skep_abi::{
    ABSENT, ARGV0_BYTES, EventHeader, ExecEvent, ExitEvent, FILENAME_BYTES, GROUP_SLOTS, GroupEnds,
    GroupPart, GroupProcesses, SIGNALED, event_kind,
};

use crate::{
    events, groups,
    sched::TASK_SUM_EXEC,
    signals,
    task::{self, Memory, Probe, TASK_MM, TASK_PID, TASK_REAL_PARENT, TASK_TGID, offsets},
    traced::traced,
};

offsets! {
    TASK_FLAGS,
    TASK_EXIT_CODE,
    TASK_START_BOOTTIME,
    TASK_GROUP_LEADER,
    TASK_UTIME,
    TASK_STIME,
    TASK_SIGNAL,
    SIGNAL_UTIME,
    SIGNAL_STIME,
    SIGNAL_RUNTIME,
    SIGNAL_MAXRSS,
    MM_ARG_START,
    BINPRM_FILENAME,
}

/// 1 where `sched_process_exit(task, group_dead)` says whether the whole process ends.
#[unsafe(no_mangle)]
static EXIT_GROUP_DEAD_ARG: Global<u32> = Global::new(0);

#[map]
static GROUP_PROCESSES: PerCpuHashMap<u64, GroupProcesses> =
    PerCpuHashMap::with_max_entries(GROUP_SLOTS, 0);
const NONE: GroupProcesses = GroupProcesses { execs: 0 };

/// Several a group: one for each exit code and signal.
#[map]
static GROUP_ENDS: HashMap<GroupPart, GroupEnds> = HashMap::with_max_entries(2 * GROUP_SLOTS, 0);
const NO_ENDS: GroupEnds = GroupEnds { n: 0 };

/// `PF_KTHREAD` of the kernel: a thread of its own, no process.
const PF_KTHREAD: u32 = 0x0020_0000;

traced! {
    "sched_process_exec" process_exec process_exec_raw |ctx| {
        unsafe { exec(ctx.arg(0), ctx.arg(2)) };
    };
    "sched_process_exit" process_exit process_exit_raw |ctx| {
        let task = ctx.arg(0);
        let is_last = if EXIT_GROUP_DEAD_ARG.load() == 1 {
            ctx.arg::<u8>(1) != 0
        } else {
            unsafe { is_leader(task) }
        };
        if is_last {
            unsafe { exit(task) };
        }
    };
}

/// A leader that ends before its threads is taken for the end of the process: rare, and older
/// kernels tell no better.
#[inline(always)]
unsafe fn is_leader(task: *const u8) -> bool {
    let pid: u32 = unsafe { Probe::load(task, TASK_PID.load()) };
    let tgid: u32 = unsafe { Probe::load(task, TASK_TGID.load()) };
    pid == tgid
}

#[inline(always)]
unsafe fn exec(task: *const u8, binprm: *const u8) {
    let group = unsafe { task::group::<Probe>(task) };
    if let Some(counts) = groups::counters(&GROUP_PROCESSES, group, &NONE) {
        unsafe { groups::add(&raw mut (*counts).execs, 1) };
    }
    let Some(mut entry) = events::reserve::<ExecEvent>(event_kind::EXEC) else { return };
    let event = entry.as_mut_ptr();
    unsafe {
        identify(&raw mut (*event).header, task, event_kind::EXEC, group);
        (*event).filename = [0; FILENAME_BYTES];
        (*event).argv0 = [0; ARGV0_BYTES];
        let filename: *const u8 = Probe::load(binprm, BINPRM_FILENAME.load());
        let _ = bpf_probe_read_kernel_str_bytes(filename, &mut (*event).filename);
        let mm: *const u8 = Probe::load(task, TASK_MM.load());
        let argv: *const u8 = Probe::load(mm, MM_ARG_START.load());
        let _ = bpf_probe_read_user_str_bytes(argv, &mut (*event).argv0);
    }
    entry.submit(0);
}

#[inline(always)]
unsafe fn exit(task: *const u8) {
    let flags: u32 = unsafe { Probe::load(task, TASK_FLAGS.load()) };
    if flags & PF_KTHREAD != 0 {
        return;
    }
    let group = unsafe { task::group::<Probe>(task) };
    let status: u32 = unsafe { Probe::load(task, TASK_EXIT_CODE.load()) };
    let signal = u64::from(status & 0x7f);
    let part = if signal == 0 { u64::from(status >> 8 & 0xff) } else { SIGNALED + signal };
    if let Some(counts) = groups::counters(&GROUP_ENDS, GroupPart { group, part }, &NO_ENDS) {
        unsafe { groups::add(&raw mut (*counts).n, 1) };
    }
    if signal != 0 && events::is_on(event_kind::SIGNAL) {
        let mut header = EventHeader::NONE;
        unsafe {
            identify(&raw mut header, task, event_kind::SIGNAL, group);
            signals::killed(&raw const header, status);
        }
    }
    let Some(mut entry) = events::reserve::<ExitEvent>(event_kind::EXIT) else { return };
    let event = entry.as_mut_ptr();
    unsafe {
        identify(&raw mut (*event).header, task, event_kind::EXIT, group);
        (*event).status = status;
        (*event).reserved = 0;
        (*event).duration_ns = 0;
        usage(task, event);
        if TASK_START_BOOTTIME.load() != ABSENT {
            let started: u64 = Probe::load(task, TASK_START_BOOTTIME.load());
            (*event).duration_ns = bpf_ktime_get_boot_ns().wrapping_sub(started);
        }
    }
    entry.submit(0);
}

/// What `wait4` will say of it: of the threads that are gone already, this one, and the leader,
/// which stays until its parent has asked.
#[inline(always)]
unsafe fn usage(task: *const u8, event: *mut ExitEvent) {
    unsafe {
        let signal: *const u8 = Probe::load(task, TASK_SIGNAL.load());
        (*event).cpu_ns = Probe::load(signal, SIGNAL_RUNTIME.load());
        (*event).user_ns = Probe::load(signal, SIGNAL_UTIME.load());
        (*event).system_ns = Probe::load(signal, SIGNAL_STIME.load());
        (*event).rss_pages_max = Probe::load(signal, SIGNAL_MAXRSS.load());
        add_usage(task, event);
        let leader: *const u8 = Probe::load(task, TASK_GROUP_LEADER.load());
        if leader != task {
            add_usage(leader, event);
        }
    }
}

#[inline(always)]
unsafe fn add_usage(task: *const u8, event: *mut ExitEvent) {
    unsafe {
        (*event).cpu_ns += Probe::load::<u64>(task, TASK_SUM_EXEC.load());
        (*event).user_ns += Probe::load::<u64>(task, TASK_UTIME.load());
        (*event).system_ns += Probe::load::<u64>(task, TASK_STIME.load());
    }
}

/// `task` is the current one at both tracepoints.
#[inline(always)]
unsafe fn identify(header: *mut EventHeader, task: *const u8, kind: u32, group: u64) {
    unsafe {
        events::start(header, kind, group, bpf_get_current_comm().unwrap_or_default());
        (*header).pid = Probe::load(task, TASK_TGID.load());
        let parent: *const u8 = Probe::load(task, TASK_REAL_PARENT.load());
        (*header).parent_pid = Probe::load(parent, TASK_TGID.load());
        (*header).uid = bpf_get_current_uid_gid() as u32;
    }
}
