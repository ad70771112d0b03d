//! What comes into the page cache, and what goes from it.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use skep_abi::page_cache;

use crate::{groups, traced::traced};

/// By [`page_cache`].
#[map]
static PAGE_CACHE: PerCpuArray<u64> = PerCpuArray::with_max_entries(page_cache::ALL, 0);

traced! {
    "mm_filemap_add_to_page_cache" page_cache_add page_cache_add_raw |_| {
        count(page_cache::ADDED);
    };
    "mm_filemap_delete_from_page_cache" page_cache_remove page_cache_remove_raw |_| {
        count(page_cache::REMOVED);
    };
}

#[inline(always)]
fn count(what: u32) {
    if let Some(count) = PAGE_CACHE.get_ptr_mut(what) {
        unsafe { groups::add(count, 1) };
    }
}
