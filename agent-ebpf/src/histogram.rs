//! Histograms of durations, counted where they are measured.

use core::arch::asm;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use skep_abi::Histogram;

use crate::groups;

/// Counts a duration.
///
/// # Safety
/// `histogram` is this CPU's own.
#[inline(always)]
pub unsafe fn add<const SHIFT: u32, const N: usize>(histogram: *mut Histogram<SHIFT, N>, ns: u64) {
    unsafe {
        (*histogram).sum_ns += ns;
        let count = (&raw mut (*histogram).counts).cast::<u64>().add(bucket::<SHIFT, N>(ns));
        *count += 1;
    }
}

/// Counts what began at `start_ns` and ends now. Another CPU may count at the same time.
///
/// # Safety
/// `histogram` lies in a map.
#[inline(always)]
pub unsafe fn add_since<const SHIFT: u32, const N: usize>(
    histogram: *mut Histogram<SHIFT, N>,
    start_ns: u64,
) {
    let ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(start_ns);
    let idx = bucket::<SHIFT, N>(ns);
    unsafe {
        groups::add(&raw mut (*histogram).sum_ns, ns);
        groups::add((&raw mut (*histogram).counts).cast::<u64>().add(idx), 1);
    }
}

/// The first bucket whose bound is not below the duration; the last one has none.
#[inline(always)]
pub fn bucket<const SHIFT: u32, const N: usize>(ns: u64) -> usize {
    let above = ns.saturating_sub(1) >> SHIFT;
    let above = if above > u64::from(u32::MAX) { u32::MAX } else { above as u32 };
    let mut n_bits = u64::from(u32::BITS - above.leading_zeros());
    // The compiler must not compare something else instead: the verifier only knows what it sees.
    // An instruction, because the kernel refuses the lines of two `asm!` at the same place.
    unsafe { asm!("{0} = {0}", inout(reg) n_bits) };
    if n_bits < N as u64 { n_bits as usize } else { N - 1 }
}
