//! Replicated block devices, from `/proc/drbd` (version 8 of DRBD).

use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/drbd";
const KIB: f64 = 1024.0;

/// Key, metric, help, type, and what a unit of the file is. Like `ns`, `nr` is in KiB; node_exporter
/// takes it for bytes, and so do the dashboards made for it.
const NUMBERS: [(&str, &str, &str, MetricKind, f64); 12] = [
    ("ns", "node_drbd_network_sent_bytes_total", "Bytes sent to the peer.", Counter, KIB),
    ("nr", "node_drbd_network_received_bytes_total", "Data received from the peer.", Counter, 1.0),
    ("dw", "node_drbd_disk_written_bytes_total", "Bytes written to the local disk.", Counter, KIB),
    ("dr", "node_drbd_disk_read_bytes_total", "Bytes read from the local disk.", Counter, KIB),
    (
        "al",
        "node_drbd_activitylog_writes_total",
        "Writes to the activity log of the meta data.",
        Counter,
        1.0,
    ),
    ("bm", "node_drbd_bitmap_writes_total", "Writes to the bitmap of the meta data.", Counter, 1.0),
    ("lo", "node_drbd_local_pending", "Requests that the local disk has not done yet.", Gauge, 1.0),
    ("pe", "node_drbd_remote_pending", "Requests that the peer has not answered yet.", Gauge, 1.0),
    (
        "ua",
        "node_drbd_remote_unacknowledged",
        "Requests of the peer that have not been answered yet.",
        Gauge,
        1.0,
    ),
    (
        "ap",
        "node_drbd_application_pending",
        "Requests of this host's programs that are not done yet.",
        Gauge,
        1.0,
    ),
    ("ep", "node_drbd_epochs", "Epochs that are under way.", Gauge, 1.0),
    ("oos", "node_drbd_out_of_sync_bytes", "Bytes that are out of sync.", Gauge, KIB),
];

/// Key, metric, help, and what is well of a pair `local/remote`.
const PAIRS: [(&str, &str, &str, &str); 2] = [
    ("ro", "node_drbd_node_role_is_primary", "1 if the node is primary, else 0.", "Primary"),
    (
        "ds",
        "node_drbd_disk_state_is_up_to_date",
        "1 if the node's disk is up to date, else 0.",
        "UpToDate",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Ok(text) = context.roots.read_proc("drbd") else {
        return Err(SourceError::NoData { what: "DRBD devices" });
    };
    let mut device = "unknown".to_owned();
    for word in text.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once(':').filter(|(_, it)| !it.contains(':')) else {
            continue;
        };
        if value.is_empty() && key.bytes().all(|it| it.is_ascii_digit()) {
            device = format!("drbd{key}");
        } else if let Some((.., name, help, kind, unit)) = NUMBERS.iter().find(|it| it.0 == key) {
            let value = number(FILE, "a number", Some(value))? * unit;
            out.family(*name, *help, *kind).point([("device", &device)], value);
        } else if let Some((.., name, help, well)) = PAIRS.iter().find(|it| it.0 == key) {
            pair(out, &device, (name, help, well), value)?;
        } else if key == "cs" {
            out.family(
                "node_drbd_connected",
                "1 if the device is connected to its peer, else 0.",
                Gauge,
            )
            .point([("device", &device)], f64::from(u8::from(value == "Connected")));
        }
    }
    Ok(())
}

fn pair(
    out: &mut Exposition,
    device: &str,
    (name, help, well): (&'static str, &'static str, &str),
    value: &str,
) -> Result<(), SourceError> {
    let (local, remote) = value
        .split_once('/')
        .ok_or(SourceError::Missing { file: FILE, what: "the state of the remote node" })?;
    let family = out.family(name, help, Gauge);
    for (node, state) in [("local", local), ("remote", remote)] {
        let labels = [("device", device), ("node", node)];
        family.point(labels, f64::from(u8::from(state == well)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn each_device_is_told() {
        let text = "version: 8.4.11 (api:1/proto:86-101)\n\n\
            \x201: cs:Connected ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n\
            \x20   ns:17 nr:11 dw:28 dr:12 al:5 bm:6 lo:1 pe:2 ua:3 ap:4 ep:1 wo:d oos:9\n\
            \x202: cs:WFConnection ro:Secondary/Unknown ds:UpToDate/DUnknown C r-----\n\
            \x20   ns:0 oos:0\n";
        Host::default().file("proc/drbd", text).check(collect, &expect![[r##"
            # HELP node_drbd_activitylog_writes_total Writes to the activity log of the meta data.
            # TYPE node_drbd_activitylog_writes_total counter
            node_drbd_activitylog_writes_total{device="drbd1"} 5
            # HELP node_drbd_application_pending Requests of this host's programs that are not done yet.
            # TYPE node_drbd_application_pending gauge
            node_drbd_application_pending{device="drbd1"} 4
            # HELP node_drbd_bitmap_writes_total Writes to the bitmap of the meta data.
            # TYPE node_drbd_bitmap_writes_total counter
            node_drbd_bitmap_writes_total{device="drbd1"} 6
            # HELP node_drbd_connected 1 if the device is connected to its peer, else 0.
            # TYPE node_drbd_connected gauge
            node_drbd_connected{device="drbd1"} 1
            node_drbd_connected{device="drbd2"} 0
            # HELP node_drbd_disk_read_bytes_total Bytes read from the local disk.
            # TYPE node_drbd_disk_read_bytes_total counter
            node_drbd_disk_read_bytes_total{device="drbd1"} 12288
            # HELP node_drbd_disk_state_is_up_to_date 1 if the node's disk is up to date, else 0.
            # TYPE node_drbd_disk_state_is_up_to_date gauge
            node_drbd_disk_state_is_up_to_date{device="drbd1",node="local"} 1
            node_drbd_disk_state_is_up_to_date{device="drbd1",node="remote"} 0
            node_drbd_disk_state_is_up_to_date{device="drbd2",node="local"} 1
            node_drbd_disk_state_is_up_to_date{device="drbd2",node="remote"} 0
            # HELP node_drbd_disk_written_bytes_total Bytes written to the local disk.
            # TYPE node_drbd_disk_written_bytes_total counter
            node_drbd_disk_written_bytes_total{device="drbd1"} 28672
            # HELP node_drbd_epochs Epochs that are under way.
            # TYPE node_drbd_epochs gauge
            node_drbd_epochs{device="drbd1"} 1
            # HELP node_drbd_local_pending Requests that the local disk has not done yet.
            # TYPE node_drbd_local_pending gauge
            node_drbd_local_pending{device="drbd1"} 1
            # HELP node_drbd_network_received_bytes_total Data received from the peer.
            # TYPE node_drbd_network_received_bytes_total counter
            node_drbd_network_received_bytes_total{device="drbd1"} 11
            # HELP node_drbd_network_sent_bytes_total Bytes sent to the peer.
            # TYPE node_drbd_network_sent_bytes_total counter
            node_drbd_network_sent_bytes_total{device="drbd1"} 17408
            node_drbd_network_sent_bytes_total{device="drbd2"} 0
            # HELP node_drbd_node_role_is_primary 1 if the node is primary, else 0.
            # TYPE node_drbd_node_role_is_primary gauge
            node_drbd_node_role_is_primary{device="drbd1",node="local"} 1
            node_drbd_node_role_is_primary{device="drbd1",node="remote"} 0
            node_drbd_node_role_is_primary{device="drbd2",node="local"} 0
            node_drbd_node_role_is_primary{device="drbd2",node="remote"} 0
            # HELP node_drbd_out_of_sync_bytes Bytes that are out of sync.
            # TYPE node_drbd_out_of_sync_bytes gauge
            node_drbd_out_of_sync_bytes{device="drbd1"} 9216
            node_drbd_out_of_sync_bytes{device="drbd2"} 0
            # HELP node_drbd_remote_pending Requests that the peer has not answered yet.
            # TYPE node_drbd_remote_pending gauge
            node_drbd_remote_pending{device="drbd1"} 2
            # HELP node_drbd_remote_unacknowledged Requests of the peer that have not been answered yet.
            # TYPE node_drbd_remote_unacknowledged gauge
            node_drbd_remote_unacknowledged{device="drbd1"} 3
        "##]]);
    }

    #[test]
    fn a_host_without_drbd_has_no_data_and_what_is_wrong_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no DRBD devices
        "#]],
        );
        host.file("proc/drbd", "1: ns:many\n").check(
            collect,
            &expect![[r#"
            error: /proc/drbd: a number is not a number: "many"
        "#]],
        );
        host.file("proc/drbd", "1: ro:Primary\n").check(
            collect,
            &expect![[r#"
            error: /proc/drbd: the state of the remote node is missing
        "#]],
        );
    }
}
