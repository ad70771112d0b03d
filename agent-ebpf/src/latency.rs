//! Histograms of latencies.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use skep_abi::{LATENCY_BUCKETS, LATENCY_SHIFT, Latency};

use crate::groups;

/// Counts one that began at `start_ns` and ends now.
///
/// # Safety
/// `latency` lies in a map.
#[inline(always)]
pub unsafe fn observe_since(latency: *mut Latency, start_ns: u64) {
    let ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(start_ns);
    let idx = bucket(ns);
    unsafe {
        groups::add(&raw mut (*latency).sum_ns, ns);
        groups::add((&raw mut (*latency).counts).cast::<u64>().add(idx), 1);
    }
}

#[inline(always)]
fn bucket(ns: u64) -> usize {
    let above = ns.saturating_sub(1) >> LATENCY_SHIFT;
    let above = if above > u64::from(u32::MAX) { u32::MAX } else { above as u32 };
    let n_bits = (u32::BITS - above.leading_zeros()) as usize;
    if n_bits < LATENCY_BUCKETS { n_bits } else { LATENCY_BUCKETS - 1 }
}
