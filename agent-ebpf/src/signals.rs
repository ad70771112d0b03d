//! Who sends signals that may be the end of a process.

use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid},
    macros::map,
    maps::LruHashMap,
};
use skep_abi::{COMM_BYTES, EventHeader, Sender, SignalEvent, event_kind};

use crate::{
    events,
    task::{Memory, Probe, TASK_TGID, offsets},
    traced::traced,
};

offsets! {
    SIGINFO_CODE,
}

/// The last sender of a signal to a process, by its pid.
#[map]
static SIGNAL_SENDERS: LruHashMap<u32, Sender> = LruHashMap::with_max_entries(1024, 0);

const NOBODY: Sender = Sender { signal: 0, pid: 0, uid: 0, code: 0, comm: [0; COMM_BYTES] };

/// Signals that end no process by default: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
const HARMLESS: u32 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;
/// `TRACE_SIGNAL_DELIVERED`.
const DELIVERED: u32 = 0;
/// `SEND_SIG_NOINFO` and `SEND_SIG_PRIV`: no pointers, from a process and from the kernel.
const FROM_PROCESS: usize = 0;
const FROM_KERNEL: usize = 1;

traced! {
    "signal_generate" signal_sent signal_sent_raw |ctx| {
        let (signal, result): (u64, u64) = (ctx.arg(0), ctx.arg(4));
        unsafe { sent(signal as u32, ctx.arg(1), ctx.arg(2), result as u32) };
    };
}

#[inline(always)]
unsafe fn sent(signal: u32, info: *const u8, task: *const u8, result: u32) {
    if result != DELIVERED || signal == 0 || signal > 31 || HARMLESS >> signal & 1 == 1 {
        return;
    }
    if !events::is_on(event_kind::SIGNAL) {
        return;
    }
    let mut sender = NOBODY;
    sender.signal = signal;
    let at = info as usize;
    let code: i32 = if at == FROM_PROCESS || at == FROM_KERNEL {
        0
    } else {
        unsafe { Probe::load(info, SIGINFO_CODE.load()) }
    };
    sender.code = code;
    // Above zero are faults that the processor told the kernel.
    if at != FROM_KERNEL && code <= 0 {
        sender.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        sender.uid = bpf_get_current_uid_gid() as u32;
        sender.comm = bpf_get_current_comm().unwrap_or_default();
    }
    let pid: u32 = unsafe { Probe::load(task, TASK_TGID.load()) };
    let _ = SIGNAL_SENDERS.insert(&pid, &sender, 0);
}

/// Tells that a process was killed, from what it ends with.
#[inline(always)]
pub unsafe fn killed(exit: *const EventHeader, status: u32) {
    let Some(mut entry) = events::reserve::<SignalEvent>(event_kind::SIGNAL) else { return };
    let event = entry.as_mut_ptr();
    let signal = status & 0x7f;
    unsafe {
        (*event).header = *exit;
        (*event).header.kind = event_kind::SIGNAL;
        (*event).signal = signal;
        (*event).is_core_dumped = status >> 7 & 1;
        (*event).sender = NOBODY;
        let pid = (*exit).pid;
        if let Some(sender) = SIGNAL_SENDERS.get_ptr(&pid) {
            if (*sender).signal == signal {
                (*event).sender = *sender;
            }
            let _ = SIGNAL_SENDERS.remove(&pid);
        }
    }
    entry.submit(0);
}
