//! The kernel's half of the agent: one file a group of programs, the same name on both sides.
//!
//! rustc emits no CO-RE relocations. Every offset into a kernel struct is therefore a frozen
//! global that the agent sets from the kernel's own BTF before it loads a program; a branch that
//! this kernel cannot take is dropped by the verifier, because it knows those values.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod block;
mod connect;
mod disk;
mod dns;
mod drops;
mod events;
mod exec;
mod fsync;
mod groups;
mod histogram;
mod irq;
mod net;
mod networks;
mod oom;
mod packet;
mod page_cache;
mod peers;
mod reclaim;
mod sched;
mod signals;
mod task;
mod tcp;
mod traced;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program with a loop that has no end.
    loop {}
}

// The helpers that read kernel memory are for programs under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
