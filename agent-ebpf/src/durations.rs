//! Histograms of durations, counted where they are measured.

use core::arch::asm;

use skep_abi::{DURATION_BUCKETS, DURATION_SHIFT, Durations};

/// Counts a duration.
///
/// # Safety
/// `durations` is this CPU's own.
#[inline(always)]
pub unsafe fn add(durations: *mut Durations, ns: u64) {
    unsafe {
        (*durations).sum_ns += ns;
        let count = (&raw mut (*durations).counts).cast::<u64>().add(bucket(ns));
        *count += 1;
    }
}

/// The first bucket whose bound is not below the duration; the last one has none.
#[inline(always)]
fn bucket(ns: u64) -> usize {
    let above = ns.saturating_sub(1) >> DURATION_SHIFT;
    let above = if above > u64::from(u32::MAX) { u32::MAX } else { above as u32 };
    let mut n_bits = u64::from(u32::BITS - above.leading_zeros());
    // The compiler must not compare something else instead: the verifier only knows what it sees.
    unsafe { asm!("/* {0} */", inout(reg) n_bits) };
    if n_bits < DURATION_BUCKETS as u64 { n_bits as usize } else { DURATION_BUCKETS - 1 }
}
