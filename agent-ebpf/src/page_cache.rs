//! What comes into the page cache, and what goes from it.

use aya_ebpf::{
    macros::{btf_tracepoint, map, raw_tracepoint},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, RawTracePointContext},
};
use skep_abi::page_cache;

use crate::groups;

/// By [`page_cache`].
#[map]
static PAGE_CACHE: PerCpuArray<u64> = PerCpuArray::with_max_entries(page_cache::ALL, 0);

macro_rules! programs {
    ($($tracepoint:literal $btf:ident $raw:ident $what:expr;)*) => { $(
        #[btf_tracepoint(function = $tracepoint)]
        pub fn $btf(_: BtfTracePointContext) -> i32 {
            count($what)
        }

        #[raw_tracepoint(tracepoint = $tracepoint)]
        pub fn $raw(_: RawTracePointContext) -> i32 {
            count($what)
        }
    )* };
}

programs! {
    "mm_filemap_add_to_page_cache" page_cache_add page_cache_add_raw page_cache::ADDED;
    "mm_filemap_delete_from_page_cache" page_cache_remove page_cache_remove_raw page_cache::REMOVED;
}

#[inline(always)]
fn count(what: u32) -> i32 {
    if let Some(count) = PAGE_CACHE.get_ptr_mut(what) {
        unsafe { groups::add(count, 1) };
    }
    0
}
