//! What NFS mounts did: bytes, events, RPC transports and operations, from `/proc/self/mountstats`.

mod metrics;
mod parse;

use std::collections::HashSet;

use skep_proto::MetricKind;

use self::{
    metrics::{AGE, BYTES, EVENTS, OPERATIONS, TRANSPORTS},
    parse::{Mount, Nfs},
};
use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

/// node_exporter wraps what is larger, since kernels give times that are negative as huge numbers.
const EXACT_MAX: u64 = 1 << 53;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("self/mountstats")?;
    // Both list the mounts in the same order.
    let mountinfo = context.roots.read_proc("self/mountinfo")?;
    let (mut mountpoints, mut devices) = (HashSet::new(), HashSet::new());
    let mut addresses = mountinfo.lines().map(parse::address);
    for mount in parse::mounts(&text) {
        let address = addresses.next().flatten().unwrap_or_default();
        let Mount { device, mountpoint, stats } = mount?;
        let Some(stats) = stats else { continue };
        for transport in &stats.transports {
            let protocol = transport.protocol;
            let labels = [("export", device), ("protocol", protocol), ("mountaddr", address)];
            if mountpoints.insert((labels, mountpoint)) {
                let [export, protocol, mountaddr] = labels;
                out.family(
                    "node_mountstats_nfs_mountpoint_info",
                    "Always 1; the labels tell where the export is mounted.",
                    MetricKind::Gauge,
                )
                .point([export, protocol, mountaddr, ("mountpoint", mountpoint)], 1.0);
            }
            // An export that is mounted twice has one set of counters.
            if !devices.insert(labels) {
                break;
            }
            tell(&stats, labels, out);
        }
    }
    Ok(())
}

type Labels<'a> = [(&'static str, &'a str); 3];

fn tell(stats: &Nfs<'_>, labels: Labels<'_>, out: &mut Exposition) {
    let (name, help, kind) = AGE;
    out.family(name, help, kind).point(labels, as_f64(stats.age_seconds));
    for (metrics, values) in [(&BYTES[..], &stats.bytes[..]), (&EVENTS, &stats.events)] {
        for ((name, help), value) in metrics.iter().zip(values) {
            // The kernel has an event that nobody knows the meaning of.
            if !name.is_empty() {
                out.family(*name, *help, MetricKind::Counter).point(labels, as_f64(*value));
            }
        }
    }
    let [export, protocol, mountaddr] = labels;
    for (idx, transport) in stats.transports.iter().enumerate() {
        let idx = idx.to_string();
        for ((name, help, kind), value) in TRANSPORTS.into_iter().zip(transport.values) {
            out.family(name, help, kind).point(
                [export, protocol, mountaddr, ("transport", &*idx)],
                as_f64(value % EXACT_MAX),
            );
        }
    }
    for operation in &stats.operations {
        for ((name, help, unit), value) in OPERATIONS.into_iter().zip(operation.values) {
            // Only times can be negative.
            let value = if unit == 1.0 { value } else { value % EXACT_MAX };
            out.family(name, help, MetricKind::Counter).point(
                [export, protocol, mountaddr, ("operation", operation.name)],
                as_f64(value) / unit,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const MOUNTINFO: &str = "21 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        194 21 0:42 / /mnt/a rw - nfs4 10.0.0.1:/srv rw,vers=4.2,addr=10.0.0.1,local_lock=none\n\
        195 21 0:42 / /mnt/b rw - nfs4 10.0.0.1:/srv rw,vers=4.2,addr=10.0.0.1,local_lock=none\n\
        196 21 0:43 / /mnt/c rw - nfs 10.0.0.2:/old rw,vers=3,addr=10.0.0.2\n";

    fn nfs4(mountpoint: &str) -> String {
        format!(
            "device 10.0.0.1:/srv mounted on {mountpoint} with fstype nfs4 statvers=1.1\n\
             \topts:\trw,vers=4.2,proto=tcp\n\
             \tage:\t13968\n\
             \tcaps:\tcaps=0xfff7\n\
             \tevents:\t1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27\n\
             \tbytes:\t101 102 103 104 105 106 107 108\n\
             \tRPC iostats version: 1.1  p/v: 100003/4 (nfs)\n\
             \txprt:\ttcp 832 0 201 0 202 203 204 205 999 206 207 208 209\n\
             \txprt:\ttcp 833 0 301 0 18446744073709551615 303 304 305 999 306 307 308 309\n\
             \tper-op statistics\n\
             \t        NULL: 1 2 3 4 5 6 7 8 9\n\
             \t      ACCESS: 11 12 0 14 15 18446743919241604546 1500 2500\n\n"
        )
    }

    /// Three mounts of two exports: the series whose name holds `part`.
    fn series(part: impl Fn(&str) -> bool) -> String {
        let old = "device 10.0.0.2:/old mounted on /mnt/c with fstype nfs statvers=1.0\n\
            \tage:\t5\n\tbytes:\t0 0 0 0 0 0 0 0\n\
            \tevents:\t0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n\
            \txprt:\tudp 832 7 8 9 10 999 11\n\
            \tper-op statistics\n";
        let local = "device /dev/sda1 mounted on / with fstype ext4\n";
        let text = [local, &nfs4("/mnt/a"), &nfs4("/mnt/b"), old].concat();
        let host = Host::default();
        let text = host
            .file("proc/self/mountstats", &text)
            .file("proc/self/mountinfo", MOUNTINFO)
            .text(collect);
        let series = text.lines().filter_map(|it| it.strip_prefix("node_mountstats_nfs_"));
        series.filter(|it| part(it)).flat_map(|it| [it, "\n"]).collect()
    }

    #[test]
    fn an_export_that_is_mounted_twice_is_told_once() {
        let is_rest =
            |it: &str| !["event", "oper", "transp"].iter().any(|part| it.starts_with(part));
        expect![[r#"
            age_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 13968
            age_seconds_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 5
            direct_read_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 103
            direct_read_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            direct_write_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 104
            direct_write_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            mountpoint_info{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",mountpoint="/mnt/a"} 1
            mountpoint_info{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",mountpoint="/mnt/b"} 1
            mountpoint_info{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",mountpoint="/mnt/c"} 1
            read_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 101
            read_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            read_pages_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 107
            read_pages_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            total_read_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 105
            total_read_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            total_write_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 106
            total_write_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            write_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 102
            write_bytes_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
            write_pages_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 108
            write_pages_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2"} 0
        "#]].assert_eq(&series(is_rest));
    }

    #[test]
    fn events_are_told_by_name() {
        let is_event = |it: &str| it.starts_with("event_") && it.contains("10.0.0.1");
        expect![[r#"
            event_attribute_invalidate_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 4
            event_data_invalidate_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 3
            event_dnode_revalidate_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 2
            event_inode_revalidate_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 1
            event_jukebox_delay_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 25
            event_pnfs_read_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 26
            event_pnfs_write_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 27
            event_short_read_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 23
            event_short_write_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 24
            event_silly_rename_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 22
            event_truncation_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 20
            event_vfs_access_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 7
            event_vfs_file_release_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 18
            event_vfs_flush_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 15
            event_vfs_fsync_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 16
            event_vfs_getdents_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 13
            event_vfs_lock_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 17
            event_vfs_lookup_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 6
            event_vfs_open_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 5
            event_vfs_read_page_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 9
            event_vfs_read_pages_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 10
            event_vfs_setattr_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 14
            event_vfs_update_page_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 8
            event_vfs_write_page_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 11
            event_vfs_write_pages_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 12
            event_write_extension_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1"} 21
        "#]].assert_eq(&series(is_event));
    }

    #[test]
    fn each_transport_is_told_and_udp_has_no_connections() {
        expect![[r#"
            transport_backlog_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 206
            transport_backlog_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 306
            transport_backlog_queue_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 11
            transport_bad_transaction_ids_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 205
            transport_bad_transaction_ids_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 305
            transport_bad_transaction_ids_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 10
            transport_bind_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 0
            transport_bind_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 0
            transport_bind_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 7
            transport_connect_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 201
            transport_connect_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 301
            transport_connect_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 0
            transport_idle_time_seconds{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 202
            transport_idle_time_seconds{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 9.007199254740991e+15
            transport_idle_time_seconds{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 0
            transport_maximum_rpc_slots{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 207
            transport_maximum_rpc_slots{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 307
            transport_maximum_rpc_slots{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 0
            transport_pending_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 209
            transport_pending_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 309
            transport_pending_queue_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 0
            transport_receives_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 204
            transport_receives_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 304
            transport_receives_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 9
            transport_sending_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 208
            transport_sending_queue_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 308
            transport_sending_queue_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 0
            transport_sends_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="0"} 203
            transport_sends_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",transport="1"} 303
            transport_sends_total{export="10.0.0.2:/old",protocol="udp",mountaddr="10.0.0.2",transport="0"} 8
        "#]].assert_eq(&series(|it| it.starts_with("transport_")));
    }

    #[test]
    fn operations_are_told_and_times_that_are_negative_wrap() {
        expect![[r#"
            operations_major_timeouts_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 3
            operations_major_timeouts_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 0
            operations_queue_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 0.006
            operations_queue_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 9.007044786793922e+12
            operations_received_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 5
            operations_received_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 15
            operations_request_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 0.008
            operations_request_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 2.5
            operations_requests_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 1
            operations_requests_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 11
            operations_response_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 0.007
            operations_response_time_seconds_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 1.5
            operations_sent_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 4
            operations_sent_bytes_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 14
            operations_transmissions_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="NULL"} 2
            operations_transmissions_total{export="10.0.0.1:/srv",protocol="tcp",mountaddr="10.0.0.1",operation="ACCESS"} 12
        "#]].assert_eq(&series(|it| it.starts_with("operations_")));
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/self/mountstats: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/self/mountinfo", MOUNTINFO);
        for wrong in ["bytes:\t1 2", "events:\t1 x", "age:", "xprt:\trdma 1", "xprt:\ttcp 832 1"] {
            let device = "device 10.0.0.1:/srv mounted on /mnt/a with fstype nfs4 statvers=1.1";
            host.file("proc/self/mountstats", &format!("{device}\n\t{wrong}\n"));
            println!("{wrong}");
            assert!(host.text(collect).starts_with("error: /proc/self/mountstats: "));
        }
        host.file("proc/self/mountstats", "device a mounted\n").check(
            collect,
            &expect![[r#"
            error: /proc/self/mountstats: a part of a mount's heading is missing
        "#]],
        );
        host.file("proc/self/mountstats", &nfs4("/mnt/a").replace("NULL: 1", "NULL: one")).check(
            collect,
            &expect![[r#"
                error: /proc/self/mountstats: a number of an operation is not a number: "one"
            "#]],
        );
    }
}
