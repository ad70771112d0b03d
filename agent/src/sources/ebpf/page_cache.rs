//! What comes into the page cache, and what goes from it.

use skep_abi::page_cache;
use skep_proto::MetricKind;

use super::{
    family::{Collect, CollectError, Family},
    loader::{Program, traced},
    maps::Maps,
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[ADD, REMOVE],
    start: Some(|_maps| Ok(Box::new(PageCache::default()))),
    ..Family::EMPTY
};

const ADD: Program = traced!(
    "page_cache_add",
    "what reads and writes bring into the page cache",
    "page_cache_add",
    "mm_filemap_add_to_page_cache",
    1,
    &[]
);
const REMOVE: Program = traced!(
    "page_cache_remove",
    "what goes from the page cache",
    "page_cache_remove",
    "mm_filemap_delete_from_page_cache",
    1,
    &[]
);

/// By [`page_cache`].
#[derive(Debug, Default)]
struct PageCache(Vec<u64>);

impl Collect for PageCache {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.0 = maps.summed("PAGE_CACHE")?;
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        for (idx, count) in (0_u32..).zip(&self.0) {
            let (name, help) = if idx == page_cache::ADDED {
                (
                    "ebpf_page_cache_insertions_total",
                    "Pages, or larger folios, put into the page cache: by reads that did not find \
                     them there, by reading ahead and by writes of new ones.",
                )
            } else {
                (
                    "ebpf_page_cache_removals_total",
                    "Pages, or larger folios, that left the page cache.",
                )
            };
            out.family(name, help, MetricKind::Counter).point([], as_f64(*count));
        }
    }
}
