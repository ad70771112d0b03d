//! What XFS did, by file system, from `/sys/fs/xfs/*/stats/stats`.

use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, number, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

/// A line's name and, for its numbers in their order, families and help.
const LINES: [(&str, &[(&str, &str)]); 8] = [
    (
        "extent_alloc",
        &[
            ("node_xfs_extent_allocation_extents_allocated_total", "Extents allocated."),
            ("node_xfs_extent_allocation_blocks_allocated_total", "Blocks allocated."),
            ("node_xfs_extent_allocation_extents_freed_total", "Extents freed."),
            ("node_xfs_extent_allocation_blocks_freed_total", "Blocks freed."),
        ],
    ),
    (
        "abt",
        &[
            ("node_xfs_allocation_btree_lookups_total", "Lookups in the trees of free space."),
            ("node_xfs_allocation_btree_compares_total", "Compares in the trees of free space."),
            (
                "node_xfs_allocation_btree_records_inserted_total",
                "Records added to the trees of free space.",
            ),
            (
                "node_xfs_allocation_btree_records_deleted_total",
                "Records taken out of the trees of free space.",
            ),
        ],
    ),
    (
        "blk_map",
        &[
            ("node_xfs_block_mapping_reads_total", "Times a file's blocks were looked up to read."),
            (
                "node_xfs_block_mapping_writes_total",
                "Times a file's blocks were looked up to write.",
            ),
            ("node_xfs_block_mapping_unmaps_total", "Times blocks were taken from a file."),
            (
                "node_xfs_block_mapping_extent_list_insertions_total",
                "Extents added to lists of files' extents.",
            ),
            (
                "node_xfs_block_mapping_extent_list_deletions_total",
                "Extents taken out of lists of files' extents.",
            ),
            (
                "node_xfs_block_mapping_extent_list_lookups_total",
                "Lookups in lists of files' extents.",
            ),
            (
                "node_xfs_block_mapping_extent_list_compares_total",
                "Compares in lists of files' extents.",
            ),
        ],
    ),
    (
        "bmbt",
        &[
            ("node_xfs_block_map_btree_lookups_total", "Lookups in the trees of files' blocks."),
            ("node_xfs_block_map_btree_compares_total", "Compares in the trees of files' blocks."),
            (
                "node_xfs_block_map_btree_records_inserted_total",
                "Records added to the trees of files' blocks.",
            ),
            (
                "node_xfs_block_map_btree_records_deleted_total",
                "Records taken out of the trees of files' blocks.",
            ),
        ],
    ),
    (
        "dir",
        &[
            (
                "node_xfs_directory_operation_lookup_total",
                "Names looked up in folders because the kernel did not remember them.",
            ),
            ("node_xfs_directory_operation_create_total", "Names added to folders."),
            ("node_xfs_directory_operation_remove_total", "Names taken out of folders."),
            ("node_xfs_directory_operation_getdents_total", "Times a folder was listed."),
        ],
    ),
    (
        "ig",
        &[
            ("node_xfs_inode_operation_attempts_total", "Inodes looked for in the cache."),
            ("node_xfs_inode_operation_found_total", "Inodes found in the cache."),
            (
                "node_xfs_inode_operation_recycled_total",
                "Inodes found in the cache and not usable as they were being freed.",
            ),
            ("node_xfs_inode_operation_missed_total", "Inodes not found in the cache."),
            (
                "node_xfs_inode_operation_duplicates_total",
                "Inodes not found in the cache that somebody else had just put there.",
            ),
            ("node_xfs_inode_operation_reclaims_total", "Inodes dropped from the cache."),
            (
                "node_xfs_inode_operation_attribute_changes_total",
                "Changes of the attributes of inodes.",
            ),
        ],
    ),
    (
        "rw",
        &[
            ("node_xfs_write_calls_total", "Writes to files."),
            ("node_xfs_read_calls_total", "Reads of files."),
        ],
    ),
    (
        "vnodes",
        &[
            ("node_xfs_vnode_active_total", "Vnodes not on the list of free ones."),
            ("node_xfs_vnode_allocate_total", "Vnodes allocated."),
            ("node_xfs_vnode_get_total", "Vnodes that were got."),
            ("node_xfs_vnode_hold_total", "Vnodes that were held."),
            ("node_xfs_vnode_release_total", "Vnodes that were let go."),
            ("node_xfs_vnode_reclaim_total", "Vnodes that were taken back."),
            ("node_xfs_vnode_remove_total", "Vnodes that were removed."),
        ],
    ),
];

/// A host without an XFS file system just has none.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("fs/xfs");
    for device in sorted_dir(&dir) {
        let path = dir.join(&device).join("stats/stats");
        if let Some(text) = read_trimmed(&path) {
            collect_device(&text, &device, out)?;
        }
    }
    Ok(())
}

fn collect_device(text: &str, device: &str, out: &mut Exposition) -> Result<(), SourceError> {
    for line in text.lines() {
        let mut columns = line.split_ascii_whitespace();
        let Some(name) = columns.next() else { continue };
        let Some((_, families)) = LINES.iter().find(|it| it.0 == name) else { continue };
        for (family, help) in *families {
            let value = number("/sys/fs/xfs/*/stats/stats", "a count", columns.next())?;
            out.family(*family, *help, Counter).point([("device", device)], value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const STATS: &str = "extent_alloc 1 2 3 4\n\
        abt 5 6 7 8\n\
        blk_map 9 10 11 12 13 14 15\n\
        bmbt 16 17 18 19\n\
        dir 20 21 22 23\n\
        trans 1 1 1\n\
        ig 24 25 26 27 28 29 30\n\
        rw 31 32\n\
        vnodes 33 34 35 36 37 38 39 40\n\
        xpc 1 2 3\n";

    #[test]
    #[expect(clippy::too_many_lines, reason = "the golden is long")]
    fn every_file_system_is_told_and_the_sum_over_all_is_not() {
        let host = Host::default();
        host.file("sys/fs/xfs/sda1/stats/stats", STATS)
            .file("sys/fs/xfs/dm-0/stats/stats", "rw 1 2\n")
            .file("sys/fs/xfs/stats/stats", STATS)
            .check(collect, &expect![[r##"
                # HELP node_xfs_allocation_btree_compares_total Compares in the trees of free space.
                # TYPE node_xfs_allocation_btree_compares_total counter
                node_xfs_allocation_btree_compares_total{device="sda1"} 6
                # HELP node_xfs_allocation_btree_lookups_total Lookups in the trees of free space.
                # TYPE node_xfs_allocation_btree_lookups_total counter
                node_xfs_allocation_btree_lookups_total{device="sda1"} 5
                # HELP node_xfs_allocation_btree_records_deleted_total Records taken out of the trees of free space.
                # TYPE node_xfs_allocation_btree_records_deleted_total counter
                node_xfs_allocation_btree_records_deleted_total{device="sda1"} 8
                # HELP node_xfs_allocation_btree_records_inserted_total Records added to the trees of free space.
                # TYPE node_xfs_allocation_btree_records_inserted_total counter
                node_xfs_allocation_btree_records_inserted_total{device="sda1"} 7
                # HELP node_xfs_block_map_btree_compares_total Compares in the trees of files' blocks.
                # TYPE node_xfs_block_map_btree_compares_total counter
                node_xfs_block_map_btree_compares_total{device="sda1"} 17
                # HELP node_xfs_block_map_btree_lookups_total Lookups in the trees of files' blocks.
                # TYPE node_xfs_block_map_btree_lookups_total counter
                node_xfs_block_map_btree_lookups_total{device="sda1"} 16
                # HELP node_xfs_block_map_btree_records_deleted_total Records taken out of the trees of files' blocks.
                # TYPE node_xfs_block_map_btree_records_deleted_total counter
                node_xfs_block_map_btree_records_deleted_total{device="sda1"} 19
                # HELP node_xfs_block_map_btree_records_inserted_total Records added to the trees of files' blocks.
                # TYPE node_xfs_block_map_btree_records_inserted_total counter
                node_xfs_block_map_btree_records_inserted_total{device="sda1"} 18
                # HELP node_xfs_block_mapping_extent_list_compares_total Compares in lists of files' extents.
                # TYPE node_xfs_block_mapping_extent_list_compares_total counter
                node_xfs_block_mapping_extent_list_compares_total{device="sda1"} 15
                # HELP node_xfs_block_mapping_extent_list_deletions_total Extents taken out of lists of files' extents.
                # TYPE node_xfs_block_mapping_extent_list_deletions_total counter
                node_xfs_block_mapping_extent_list_deletions_total{device="sda1"} 13
                # HELP node_xfs_block_mapping_extent_list_insertions_total Extents added to lists of files' extents.
                # TYPE node_xfs_block_mapping_extent_list_insertions_total counter
                node_xfs_block_mapping_extent_list_insertions_total{device="sda1"} 12
                # HELP node_xfs_block_mapping_extent_list_lookups_total Lookups in lists of files' extents.
                # TYPE node_xfs_block_mapping_extent_list_lookups_total counter
                node_xfs_block_mapping_extent_list_lookups_total{device="sda1"} 14
                # HELP node_xfs_block_mapping_reads_total Times a file's blocks were looked up to read.
                # TYPE node_xfs_block_mapping_reads_total counter
                node_xfs_block_mapping_reads_total{device="sda1"} 9
                # HELP node_xfs_block_mapping_unmaps_total Times blocks were taken from a file.
                # TYPE node_xfs_block_mapping_unmaps_total counter
                node_xfs_block_mapping_unmaps_total{device="sda1"} 11
                # HELP node_xfs_block_mapping_writes_total Times a file's blocks were looked up to write.
                # TYPE node_xfs_block_mapping_writes_total counter
                node_xfs_block_mapping_writes_total{device="sda1"} 10
                # HELP node_xfs_directory_operation_create_total Names added to folders.
                # TYPE node_xfs_directory_operation_create_total counter
                node_xfs_directory_operation_create_total{device="sda1"} 21
                # HELP node_xfs_directory_operation_getdents_total Times a folder was listed.
                # TYPE node_xfs_directory_operation_getdents_total counter
                node_xfs_directory_operation_getdents_total{device="sda1"} 23
                # HELP node_xfs_directory_operation_lookup_total Names looked up in folders because the kernel did not remember them.
                # TYPE node_xfs_directory_operation_lookup_total counter
                node_xfs_directory_operation_lookup_total{device="sda1"} 20
                # HELP node_xfs_directory_operation_remove_total Names taken out of folders.
                # TYPE node_xfs_directory_operation_remove_total counter
                node_xfs_directory_operation_remove_total{device="sda1"} 22
                # HELP node_xfs_extent_allocation_blocks_allocated_total Blocks allocated.
                # TYPE node_xfs_extent_allocation_blocks_allocated_total counter
                node_xfs_extent_allocation_blocks_allocated_total{device="sda1"} 2
                # HELP node_xfs_extent_allocation_blocks_freed_total Blocks freed.
                # TYPE node_xfs_extent_allocation_blocks_freed_total counter
                node_xfs_extent_allocation_blocks_freed_total{device="sda1"} 4
                # HELP node_xfs_extent_allocation_extents_allocated_total Extents allocated.
                # TYPE node_xfs_extent_allocation_extents_allocated_total counter
                node_xfs_extent_allocation_extents_allocated_total{device="sda1"} 1
                # HELP node_xfs_extent_allocation_extents_freed_total Extents freed.
                # TYPE node_xfs_extent_allocation_extents_freed_total counter
                node_xfs_extent_allocation_extents_freed_total{device="sda1"} 3
                # HELP node_xfs_inode_operation_attempts_total Inodes looked for in the cache.
                # TYPE node_xfs_inode_operation_attempts_total counter
                node_xfs_inode_operation_attempts_total{device="sda1"} 24
                # HELP node_xfs_inode_operation_attribute_changes_total Changes of the attributes of inodes.
                # TYPE node_xfs_inode_operation_attribute_changes_total counter
                node_xfs_inode_operation_attribute_changes_total{device="sda1"} 30
                # HELP node_xfs_inode_operation_duplicates_total Inodes not found in the cache that somebody else had just put there.
                # TYPE node_xfs_inode_operation_duplicates_total counter
                node_xfs_inode_operation_duplicates_total{device="sda1"} 28
                # HELP node_xfs_inode_operation_found_total Inodes found in the cache.
                # TYPE node_xfs_inode_operation_found_total counter
                node_xfs_inode_operation_found_total{device="sda1"} 25
                # HELP node_xfs_inode_operation_missed_total Inodes not found in the cache.
                # TYPE node_xfs_inode_operation_missed_total counter
                node_xfs_inode_operation_missed_total{device="sda1"} 27
                # HELP node_xfs_inode_operation_reclaims_total Inodes dropped from the cache.
                # TYPE node_xfs_inode_operation_reclaims_total counter
                node_xfs_inode_operation_reclaims_total{device="sda1"} 29
                # HELP node_xfs_inode_operation_recycled_total Inodes found in the cache and not usable as they were being freed.
                # TYPE node_xfs_inode_operation_recycled_total counter
                node_xfs_inode_operation_recycled_total{device="sda1"} 26
                # HELP node_xfs_read_calls_total Reads of files.
                # TYPE node_xfs_read_calls_total counter
                node_xfs_read_calls_total{device="dm-0"} 2
                node_xfs_read_calls_total{device="sda1"} 32
                # HELP node_xfs_vnode_active_total Vnodes not on the list of free ones.
                # TYPE node_xfs_vnode_active_total counter
                node_xfs_vnode_active_total{device="sda1"} 33
                # HELP node_xfs_vnode_allocate_total Vnodes allocated.
                # TYPE node_xfs_vnode_allocate_total counter
                node_xfs_vnode_allocate_total{device="sda1"} 34
                # HELP node_xfs_vnode_get_total Vnodes that were got.
                # TYPE node_xfs_vnode_get_total counter
                node_xfs_vnode_get_total{device="sda1"} 35
                # HELP node_xfs_vnode_hold_total Vnodes that were held.
                # TYPE node_xfs_vnode_hold_total counter
                node_xfs_vnode_hold_total{device="sda1"} 36
                # HELP node_xfs_vnode_reclaim_total Vnodes that were taken back.
                # TYPE node_xfs_vnode_reclaim_total counter
                node_xfs_vnode_reclaim_total{device="sda1"} 38
                # HELP node_xfs_vnode_release_total Vnodes that were let go.
                # TYPE node_xfs_vnode_release_total counter
                node_xfs_vnode_release_total{device="sda1"} 37
                # HELP node_xfs_vnode_remove_total Vnodes that were removed.
                # TYPE node_xfs_vnode_remove_total counter
                node_xfs_vnode_remove_total{device="sda1"} 39
                # HELP node_xfs_write_calls_total Writes to files.
                # TYPE node_xfs_write_calls_total counter
                node_xfs_write_calls_total{device="dm-0"} 1
                node_xfs_write_calls_total{device="sda1"} 31
            "##]]);
    }

    #[test]
    fn a_line_that_is_cut_off_is_told_and_a_host_without_xfs_has_none() {
        let host = Host::default();
        host.check(collect, &expect![""]);
        host.file("sys/fs/xfs/sda1/stats/stats", "rw 1\n").check(
            collect,
            &expect![[r#"
            error: /sys/fs/xfs/*/stats/stats: a count is missing
        "#]],
        );
        host.file("sys/fs/xfs/sda1/stats/stats", "rw 1 x\n").check(
            collect,
            &expect![[r#"
            error: /sys/fs/xfs/*/stats/stats: a count is not a number: "x"
        "#]],
        );
    }
}
