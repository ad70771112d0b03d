//! Counters of network devices, from rtnetlink: the same numbers as `/proc/net/dev`, and one more
//! (`nohandler`), for one system call instead of two files a device.

mod netlink;

use skep_proto::MetricKind;

use self::netlink::LinkStats;
use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let links = netlink::dump()
        .map_err(|source| SourceError::Kernel { what: "network devices", source })?;
    for (device, stats) in links.iter().filter(|(it, _)| context.settings.netdev.takes(it)) {
        for (field, value) in fields(stats) {
            let (direction, counter) = field.split_once('_').unwrap_or_default();
            out.family(
                format!("node_network_{field}_total"),
                format!("Counter {counter} of the network device's {direction} side."),
                MetricKind::Counter,
            )
            .point([("device", device)], as_f64(value));
        }
    }
    Ok(())
}

/// The columns of `/proc/net/dev`: the kernel sums some of its counters there, and so do we.
fn fields(stats: &LinkStats) -> [(&'static str, u64); 17] {
    let receive_frame =
        stats.rx_length_errors + stats.rx_over_errors + stats.rx_crc_errors + stats.rx_frame_errors;
    let transmit_carrier = stats.tx_carrier_errors
        + stats.tx_aborted_errors
        + stats.tx_window_errors
        + stats.tx_heartbeat_errors;
    [
        ("receive_bytes", stats.rx_bytes),
        ("receive_packets", stats.rx_packets),
        ("receive_errs", stats.rx_errors),
        ("receive_drop", stats.rx_dropped + stats.rx_missed_errors),
        ("receive_fifo", stats.rx_fifo_errors),
        ("receive_frame", receive_frame),
        ("receive_compressed", stats.rx_compressed),
        ("receive_multicast", stats.multicast),
        ("receive_nohandler", stats.rx_nohandler),
        ("transmit_bytes", stats.tx_bytes),
        ("transmit_packets", stats.tx_packets),
        ("transmit_errs", stats.tx_errors),
        ("transmit_drop", stats.tx_dropped),
        ("transmit_fifo", stats.tx_fifo_errors),
        ("transmit_colls", stats.collisions),
        ("transmit_carrier", transmit_carrier),
        ("transmit_compressed", stats.tx_compressed),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{LinkStats, collect, fields};
    use crate::sources::tests::Host;

    #[test]
    fn detailed_errors_are_summed_as_proc_net_dev_does() {
        // Each counter is a power of two, so that a sum tells its parts.
        let powers: Vec<u8> = (0..24).flat_map(|it| (1_u64 << it).to_ne_bytes()).collect();
        let fields = fields(&LinkStats::parse(&powers).unwrap());
        let fields = fields.map(|(name, value)| format!("{name} {value:#x}")).join("\n");
        expect![[r#"
            receive_bytes 0x4
            receive_packets 0x1
            receive_errs 0x10
            receive_drop 0x8040
            receive_fifo 0x4000
            receive_frame 0x3c00
            receive_compressed 0x200000
            receive_multicast 0x100
            receive_nohandler 0x800000
            transmit_bytes 0x8
            transmit_packets 0x2
            transmit_errs 0x20
            transmit_drop 0x80
            transmit_fifo 0x40000
            transmit_colls 0x200
            transmit_carrier 0x1b0000
            transmit_compressed 0x400000"#]]
        .assert_eq(&fields);
    }

    #[test]
    fn the_loopback_device_is_there_unless_it_is_excluded() {
        let mut host = Host::default();
        let series = "node_network_receive_nohandler_total{device=\"lo\"} 0\n";
        assert!(host.text(collect).contains(series));
        host.settings().netdev.device_exclude = Some("^lo$".to_owned().try_into().unwrap());
        assert!(!host.text(collect).contains("\"lo\""));
    }
}
