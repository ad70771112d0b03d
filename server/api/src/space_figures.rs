//! The disk's figures as text for `/metrics`.

use skep_store::SpaceStats;

use crate::store_figures::{COUNTER, Family, GAUGE, one};

pub(crate) fn families(space: &SpaceStats) -> Vec<Family> {
    let mut families = vec![
        (
            "skep_store_used_bytes",
            GAUGE,
            "Bytes of all files in the data folder; without a cap, of the write-ahead log.",
            one(space.used_bytes),
        ),
        (
            "skep_store_file_system_free_bytes",
            GAUGE,
            "What the file system of the data folder has left.",
            one(space.free_bytes),
        ),
        (
            "skep_store_disk_full",
            GAUGE,
            "1 while writes are refused because the file system has less left than the reserve.",
            one(u8::from(space.is_full)),
        ),
        (
            "skep_store_evicted_parts_total",
            COUNTER,
            "Parquet files that went to stay under store.max_bytes.",
            one(space.n_evicted_parts),
        ),
        (
            "skep_store_evicted_bytes_total",
            COUNTER,
            "Bytes of such files.",
            one(space.evicted_bytes),
        ),
        (
            "skep_store_merges_postponed_total",
            COUNTER,
            "Merges that were put off, or done in part, for want of room on the disk.",
            one(space.n_merges_postponed),
        ),
    ];
    if let Some(max_bytes) = space.max_bytes {
        families.push(("skep_store_max_bytes", GAUGE, "store.max_bytes.", one(max_bytes)));
    }
    families
}
