//! Time in interrupt handlers, hard and soft.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{PerCpuArray, PerCpuHashMap},
};
use skep_abi::{Counted, HARDIRQS_MAX, IrqTurn, SOFTIRQS_MAX};

use crate::traced::traced;

#[map]
static SOFTIRQS: PerCpuArray<Counted> = PerCpuArray::with_max_entries(SOFTIRQS_MAX, 0);

#[map]
static HARDIRQS: PerCpuHashMap<u32, Counted> = PerCpuHashMap::with_max_entries(HARDIRQS_MAX, 0);

#[map]
static IRQ_TURNS: PerCpuArray<IrqTurn> = PerCpuArray::with_max_entries(1, 0);

traced! {
    "softirq_entry" softirq_begin softirq_begin_raw |_| soft_begins();
    "softirq_exit" softirq_end softirq_end_raw |ctx| soft_ends(ctx.arg::<u64>(0) as u32);
    "irq_handler_entry" hardirq_begin hardirq_begin_raw |_| hard_begins();
    "irq_handler_exit" hardirq_end hardirq_end_raw |ctx| hard_ends(ctx.arg::<u64>(0) as u32);
}

#[inline(always)]
fn soft_begins() {
    let Some(turn) = IRQ_TURNS.get_ptr_mut(0) else { return };
    unsafe {
        (*turn).soft_ns = bpf_ktime_get_ns();
        (*turn).hard_before_ns = (*turn).hard_total_ns;
    }
}

#[inline(always)]
fn soft_ends(vector: u32) {
    let Some(turn) = IRQ_TURNS.get_ptr_mut(0) else { return };
    let Some(counted) = SOFTIRQS.get_ptr_mut(vector) else { return };
    unsafe {
        // The program came in between the two.
        if (*turn).soft_ns == 0 {
            return;
        }
        // Hard interrupts that came meanwhile are on their own account.
        let hard_ns = (*turn).hard_total_ns - (*turn).hard_before_ns;
        let all_ns = bpf_ktime_get_ns() - (*turn).soft_ns;
        (*counted).n += 1;
        (*counted).ns += all_ns.saturating_sub(hard_ns);
        (*turn).soft_ns = 0;
    }
}

#[inline(always)]
fn hard_begins() {
    if let Some(turn) = IRQ_TURNS.get_ptr_mut(0) {
        unsafe { (*turn).hard_ns = bpf_ktime_get_ns() };
    }
}

#[inline(always)]
fn hard_ends(irq: u32) {
    let Some(turn) = IRQ_TURNS.get_ptr_mut(0) else { return };
    let started = unsafe { (*turn).hard_ns };
    if started == 0 {
        return;
    }
    let ns = unsafe { bpf_ktime_get_ns() } - started;
    unsafe {
        (*turn).hard_ns = 0;
        (*turn).hard_total_ns += ns;
    }
    if HARDIRQS.get_ptr(&irq).is_none() {
        let _ = HARDIRQS.insert(&irq, &Counted { n: 0, ns: 0 }, 0);
    }
    if let Some(counted) = HARDIRQS.get_ptr_mut(&irq) {
        unsafe {
            (*counted).n += 1;
            (*counted).ns += ns;
        }
    }
}
