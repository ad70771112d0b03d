//! Names of what is told of NFS mounts, in the order of the kernel's columns.

use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

pub(super) const AGE: (&str, &str, MetricKind) = (
    "node_mountstats_nfs_age_seconds_total",
    "How long the export has been mounted, in seconds.",
    Counter,
);

/// Metric and help.
pub(super) const BYTES: [(&str, &str); 8] = [
    ("node_mountstats_nfs_read_bytes_total", "Bytes that programs read."),
    ("node_mountstats_nfs_write_bytes_total", "Bytes that programs wrote."),
    ("node_mountstats_nfs_direct_read_bytes_total", "Bytes that programs read past the cache."),
    ("node_mountstats_nfs_direct_write_bytes_total", "Bytes that programs wrote past the cache."),
    ("node_mountstats_nfs_total_read_bytes_total", "Bytes read from the server."),
    ("node_mountstats_nfs_total_write_bytes_total", "Bytes written to the server."),
    ("node_mountstats_nfs_read_pages_total", "Pages of memory read from the server."),
    ("node_mountstats_nfs_write_pages_total", "Pages of memory written to the server."),
];

/// Metric and help; a column without a name is not told.
pub(super) const EVENTS: [(&str, &str); 27] = [
    (
        "node_mountstats_nfs_event_inode_revalidate_total",
        "How often cached attributes of an inode were asked for again.",
    ),
    (
        "node_mountstats_nfs_event_dnode_revalidate_total",
        "How often a cached name was asked for again.",
    ),
    (
        "node_mountstats_nfs_event_data_invalidate_total",
        "How often cached data of an inode were dropped.",
    ),
    (
        "node_mountstats_nfs_event_attribute_invalidate_total",
        "How often cached attributes of an inode were dropped.",
    ),
    ("node_mountstats_nfs_event_vfs_open_total", "How often a file or folder was opened."),
    ("node_mountstats_nfs_event_vfs_lookup_total", "How often a name was looked up in a folder."),
    ("node_mountstats_nfs_event_vfs_access_total", "How often permissions were asked for."),
    ("node_mountstats_nfs_event_vfs_update_page_total", "How often a page was changed."),
    ("node_mountstats_nfs_event_vfs_read_page_total", "How often one page was read."),
    ("node_mountstats_nfs_event_vfs_read_pages_total", "How often pages were read as a group."),
    ("node_mountstats_nfs_event_vfs_write_page_total", "How often one page was written."),
    ("node_mountstats_nfs_event_vfs_write_pages_total", "How often pages were written as a group."),
    ("node_mountstats_nfs_event_vfs_getdents_total", "How often a folder was listed."),
    ("node_mountstats_nfs_event_vfs_setattr_total", "How often attributes were set."),
    (
        "node_mountstats_nfs_event_vfs_flush_total",
        "How often waiting writes were sent because a file was closed.",
    ),
    ("node_mountstats_nfs_event_vfs_fsync_total", "How often a file or folder was synced."),
    ("node_mountstats_nfs_event_vfs_lock_total", "How often a lock on a file was tried."),
    ("node_mountstats_nfs_event_vfs_file_release_total", "How often a file was closed for good."),
    ("", ""),
    ("node_mountstats_nfs_event_truncation_total", "How often a file was cut."),
    (
        "node_mountstats_nfs_event_write_extension_total",
        "How often a file grew by a write behind its end.",
    ),
    (
        "node_mountstats_nfs_event_silly_rename_total",
        "How often a file was removed while it was open.",
    ),
    (
        "node_mountstats_nfs_event_short_read_total",
        "How often the server gave less than was asked for.",
    ),
    (
        "node_mountstats_nfs_event_short_write_total",
        "How often the server took less than it was given.",
    ),
    (
        "node_mountstats_nfs_event_jukebox_delay_total",
        "How often the server had to fetch data from a slow store.",
    ),
    ("node_mountstats_nfs_event_pnfs_read_total", "Reads through pNFS."),
    ("node_mountstats_nfs_event_pnfs_write_total", "Writes through pNFS."),
];

/// Metric, help and type.
pub(super) const TRANSPORTS: [(&str, &str, MetricKind); 10] = [
    (
        "node_mountstats_nfs_transport_bind_total",
        "How often a connection was made from scratch.",
        Counter,
    ),
    (
        "node_mountstats_nfs_transport_connect_total",
        "How often a TCP connection was made to the server.",
        Counter,
    ),
    (
        "node_mountstats_nfs_transport_idle_time_seconds",
        "Time since the last traffic, in seconds.",
        Gauge,
    ),
    ("node_mountstats_nfs_transport_sends_total", "Requests sent to the server.", Counter),
    ("node_mountstats_nfs_transport_receives_total", "Answers received from the server.", Counter),
    (
        "node_mountstats_nfs_transport_bad_transaction_ids_total",
        "Answers of the server to what was not asked.",
        Counter,
    ),
    (
        "node_mountstats_nfs_transport_backlog_queue_total",
        "Sum of the backlog's length over all requests.",
        Counter,
    ),
    (
        "node_mountstats_nfs_transport_maximum_rpc_slots",
        "Requests that were under way at once, at most.",
        Gauge,
    ),
    (
        "node_mountstats_nfs_transport_sending_queue_total",
        "Sum of the length of the queue to be sent over all requests.",
        Counter,
    ),
    (
        "node_mountstats_nfs_transport_pending_queue_total",
        "Sum of the length of the queue waiting for answers over all requests.",
        Counter,
    ),
];

/// Metric, help and how many of the file's units are one of the metric's.
pub(super) const OPERATIONS: [(&str, &str, f64); 8] = [
    ("node_mountstats_nfs_operations_requests_total", "Requests of the operation.", 1.0),
    (
        "node_mountstats_nfs_operations_transmissions_total",
        "How often a request of the operation was sent.",
        1.0,
    ),
    (
        "node_mountstats_nfs_operations_major_timeouts_total",
        "Requests of the operation whose retries were used up.",
        1.0,
    ),
    (
        "node_mountstats_nfs_operations_sent_bytes_total",
        "Bytes sent for the operation, headers included.",
        1.0,
    ),
    (
        "node_mountstats_nfs_operations_received_bytes_total",
        "Bytes received for the operation, headers included.",
        1.0,
    ),
    (
        "node_mountstats_nfs_operations_queue_time_seconds_total",
        "Time requests of the operation waited to be sent, in seconds.",
        1e3,
    ),
    (
        "node_mountstats_nfs_operations_response_time_seconds_total",
        "Time from sending to the answer, in seconds.",
        1e3,
    ),
    (
        "node_mountstats_nfs_operations_request_time_seconds_total",
        "Time from the start of the request until it was done, in seconds.",
        1e3,
    ),
];
