//! On-CPU time and run-queue wait per control group.
//!
//! No clock is read and nothing is kept per wakeup: the scheduler itself counts both for every
//! task (`se.sum_exec_runtime`, `sched_info.run_delay`), so the programs only note what these
//! said when a task got the CPU and add the difference to its group when it leaves.

use aya_ebpf::{
    helpers::bpf_get_current_task,
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::{Array, PerCpuArray},
    programs::{BtfTracePointContext, RawTracePointContext},
};
use skep_abi::{
    ABSENT, CpuTurn, GROUP_OTHER, GROUP_PROBES, GROUP_SLOTS, GroupRun, WAIT_BUCKETS, WAIT_SHIFT,
};

use crate::{
    histogram,
    task::{self, Direct, Memory, Probe, TASK_PID, offsets},
};

offsets! {
    TASK_SUM_EXEC,
    // ABSENT on a kernel without CONFIG_SCHED_INFO: no waits then.
    TASK_RUN_DELAY,
}

/// `GROUP_RUNS[GROUP_SLOTS]` takes what finds no slot.
#[map]
static GROUP_RUNS: PerCpuArray<GroupRun> = PerCpuArray::with_max_entries(GROUP_SLOTS + 1, 0);

#[map]
static CPU_TURNS: PerCpuArray<CpuTurn> = PerCpuArray::with_max_entries(1, 0);

/// What a task's counters said when it was last accounted, by its pid's low bits.
#[map]
static TASK_NOTES: Array<TaskNote> = Array::with_max_entries(TASK_SLOTS, 0);

/// In each word the pid in the high 22 bits (no pid is longer) and nanoseconds in the low 42 (they
/// wrap after 73 minutes of running or waiting): tasks whose pids collide may write them from two
/// CPUs at once.
#[repr(C)]
struct TaskNote {
    exec: u64,
    run_delay: u64,
}

const TASK_SLOTS: u32 = 1 << 15;
const NOTE_BITS: u32 = 42;
const NOTE_MASK: u64 = (1 << NOTE_BITS) - 1;
/// A longer wait between two turns (18 minutes) is another task's left-over under a reused pid.
const NOTE_MAX: u64 = 1 << 40;

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let (prev, next) = (ctx.arg(1), ctx.arg(2));
    unsafe { switch::<Direct>(prev, next) };
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_switch_raw(ctx: RawTracePointContext) -> i32 {
    let (prev, next) = (ctx.arg(1), ctx.arg(2));
    unsafe { switch::<Probe>(prev, next) };
    0
}

/// Never attached: the agent runs it once on each CPU before it reads the maps, so that the time
/// of a task that keeps its CPU for long is seen, and to free the slots of groups that are gone.
/// Cannot come between the lines of the program above, which runs with interrupts off.
#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_flush(ctx: RawTracePointContext) -> i32 {
    let gone: u64 = ctx.arg(0);
    if gone == 0 {
        unsafe { flush(bpf_get_current_task() as *const u8) };
    } else {
        free(gone);
    }
    0
}

/// What being called costs: measurements subtract it.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_empty(_: BtfTracePointContext) -> i32 {
    0
}

#[inline(always)]
unsafe fn switch<M: Memory>(prev: *const u8, next: *const u8) {
    let Some(turn) = CPU_TURNS.get_ptr_mut(0) else { return };
    let pid: u32 = unsafe { M::load(prev, TASK_PID.load()) };
    // The idle task belongs to nobody.
    if pid != 0 {
        unsafe { end_turn::<M>(prev, pid, turn) };
    }
    unsafe {
        (*turn).task = next as u64;
        (*turn).exec_ns = M::load(next, TASK_SUM_EXEC.load());
        if TASK_RUN_DELAY.load() != ABSENT {
            (*turn).run_delay_ns = M::load(next, TASK_RUN_DELAY.load());
        }
    }
}

#[inline(always)]
unsafe fn end_turn<M: Memory>(prev: *const u8, pid: u32, turn: *const CpuTurn) {
    let Some(note) = TASK_NOTES.get_ptr_mut(pid & (TASK_SLOTS - 1)) else { return };
    let is_known = unsafe { (*turn).task } == prev as u64;
    let exec_ns: u64 = unsafe { M::load(prev, TASK_SUM_EXEC.load()) };
    let cpu_ns = unsafe { ran(note, pid, exec_ns, is_known, (*turn).exec_ns) };
    let Some(run) = slot(unsafe { task::group::<M>(prev) }) else { return };
    unsafe { (*run).cpu_ns += cpu_ns };
    if TASK_RUN_DELAY.load() != ABSENT && is_known {
        let run_delay_ns: u64 = unsafe { M::load(prev, TASK_RUN_DELAY.load()) };
        let before_ns = unsafe { waited_before(note, pid, turn, run_delay_ns) };
        let wait_ns = run_delay_ns.wrapping_sub(before_ns);
        unsafe {
            (*run).wait_ns += wait_ns;
            let bucket = histogram::bucket::<WAIT_SHIFT, WAIT_BUCKETS>(wait_ns);
            let count = (&raw mut (*run).waits).cast::<u32>().add(bucket);
            *count += 1;
        }
    }
}

/// How long a task ran since it was last accounted, and notes that it is now. The turn tells, if it
/// is known: after the start it is not, and now and then the kernel leaves the program out when a
/// turn begins. Then the note tells; it is of another task where a pid is used again, which shows
/// where it is ahead, and counts less than the turn where it is not.
#[inline(always)]
unsafe fn ran(
    note: *mut TaskNote,
    pid: u32,
    exec_ns: u64,
    is_known: bool,
    exec_at_start_ns: u64,
) -> u64 {
    let noted = unsafe { (*note).exec };
    unsafe { (*note).exec = u64::from(pid) << NOTE_BITS | exec_ns & NOTE_MASK };
    let in_turn_ns = if is_known { exec_ns.wrapping_sub(exec_at_start_ns) } else { 0 };
    let since_note_ns = exec_ns.wrapping_sub(noted) & NOTE_MASK;
    if noted >> NOTE_BITS == u64::from(pid)
        && since_note_ns < NOTE_MAX
        && since_note_ns > in_turn_ns
    {
        since_note_ns
    } else {
        in_turn_ns
    }
}

/// What the task's `run_delay` said before the wait that led to this turn, and notes what it says
/// now. The kernel adds a wait when the turn begins; but where the task was moved to another CPU
/// while it waited, it adds the part before the move earlier, which only the note can tell.
#[inline(always)]
unsafe fn waited_before(
    note: *mut TaskNote,
    pid: u32,
    turn: *const CpuTurn,
    run_delay_ns: u64,
) -> u64 {
    let at_start = unsafe { (*turn).run_delay_ns };
    let noted = unsafe { (*note).run_delay };
    unsafe { (*note).run_delay = u64::from(pid) << NOTE_BITS | run_delay_ns & NOTE_MASK };
    let moved_ns = at_start.wrapping_sub(noted) & NOTE_MASK;
    if noted >> NOTE_BITS == u64::from(pid) && moved_ns < NOTE_MAX {
        at_start.wrapping_sub(moved_ns)
    } else {
        at_start
    }
}

/// This CPU's counts of a group: an open-addressing table in an array, since a lookup in an array
/// is a few instructions in line where one in a hash map is a call.
#[inline(always)]
fn slot(group: u64) -> Option<*mut GroupRun> {
    let home = home(group);
    for i in 0..GROUP_PROBES {
        let run = GROUP_RUNS.get_ptr_mut((home + i) & (GROUP_SLOTS - 1))?;
        let holder = unsafe { (*run).group };
        if holder == group {
            return Some(run);
        }
        if holder == 0 {
            unsafe { (*run).group = group };
            return Some(run);
        }
    }
    let run = GROUP_RUNS.get_ptr_mut(GROUP_SLOTS)?;
    unsafe { (*run).group = GROUP_OTHER };
    Some(run)
}

/// Inodes of control groups lie a fixed distance apart (their files' inodes lie between), so the
/// low bits alone would collide: Fibonacci hashing.
#[inline(always)]
fn home(group: u64) -> u32 {
    (group.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - GROUP_SLOTS.trailing_zeros())) as u32
}

unsafe fn flush(current: *const u8) {
    let Some(turn) = CPU_TURNS.get_ptr_mut(0) else { return };
    let pid: u32 = unsafe { Probe::load(current, TASK_PID.load()) };
    if pid == 0 {
        return;
    }
    let Some(note) = TASK_NOTES.get_ptr_mut(pid & (TASK_SLOTS - 1)) else { return };
    let is_known = unsafe { (*turn).task } == current as u64;
    let exec_ns: u64 = unsafe { Probe::load(current, TASK_SUM_EXEC.load()) };
    let cpu_ns = unsafe { ran(note, pid, exec_ns, is_known, (*turn).exec_ns) };
    if is_known {
        unsafe { (*turn).exec_ns = exec_ns };
    }
    if let Some(run) = slot(unsafe { task::group::<Probe>(current) }) {
        unsafe { (*run).cpu_ns += cpu_ns };
    }
}

fn free(group: u64) {
    let home = home(group);
    for i in 0..GROUP_PROBES {
        let Some(run) = GROUP_RUNS.get_ptr_mut((home + i) & (GROUP_SLOTS - 1)) else { return };
        if unsafe { (*run).group } == group {
            unsafe {
                *run = GroupRun { cpu_ns: 0, wait_ns: 0, waits: [0; WAIT_BUCKETS], group: 0 }
            };
        }
    }
}
