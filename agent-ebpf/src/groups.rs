//! Counters by control group, exact where the event ring may lose records.

use core::arch::asm;

use aya_ebpf::maps::{HashMap, PerCpuHashMap};
use skep_abi::{GROUP_OTHER, GroupPart};

/// Whose counters an entry holds, and whose it counts if there is no room for more.
pub trait Key: Copy {
    fn other() -> Self;
}

impl Key for u64 {
    #[inline(always)]
    fn other() -> Self {
        GROUP_OTHER
    }
}

impl Key for GroupPart {
    #[inline(always)]
    fn other() -> Self {
        Self { group: GROUP_OTHER, part: 0 }
    }
}

/// A map of counters.
pub trait Counters<K, V> {
    fn find(&self, key: &K) -> Option<*mut V>;
    fn add(&self, key: &K, value: &V) -> bool;
}

impl<K, V> Counters<K, V> for HashMap<K, V> {
    #[inline(always)]
    fn find(&self, key: &K) -> Option<*mut V> {
        self.get_ptr_mut(key)
    }

    #[inline(always)]
    fn add(&self, key: &K, value: &V) -> bool {
        self.insert(key, value, BPF_NOEXIST).is_ok()
    }
}

impl<K, V> Counters<K, V> for PerCpuHashMap<K, V> {
    #[inline(always)]
    fn find(&self, key: &K) -> Option<*mut V> {
        self.get_ptr_mut(key)
    }

    #[inline(always)]
    fn add(&self, key: &K, value: &V) -> bool {
        self.insert(key, value, BPF_NOEXIST).is_ok()
    }
}

/// Another CPU may have put the entry in meanwhile, and counted.
const BPF_NOEXIST: u64 = 1;

/// The counters of a key, from `zero` on if it is new; those of all others if there is no room for
/// it. Another CPU may count at the same time: see [`add`].
#[inline(always)]
pub fn counters<K: Key, V>(map: &impl Counters<K, V>, key: K, zero: &V) -> Option<*mut V> {
    if let Some(counters) = map.find(&key) {
        return Some(counters);
    }
    map.add(&key, zero);
    if let Some(counters) = map.find(&key) {
        return Some(counters);
    }
    // The agent puts this entry in before it loads a program.
    map.find(&K::other())
}

/// Adds to a counter, also if another program comes in between.
///
/// # Safety
/// `count` points to a counter in a map.
#[inline(always)]
pub unsafe fn add(count: *mut u64, n: u64) {
    // core has no atomic additions for a target without compare-and-swap (BPF v1).
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) count, in(reg) n) };
}
