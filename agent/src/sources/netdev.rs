//! Counters of network devices, from rtnetlink: the same numbers as `/proc/net/dev`, and one more
//! (`nohandler`), for one system call instead of two files a device.

mod address;
mod netlink;

use std::borrow::Cow;

use serde::Deserialize;
use skep_proto::MetricKind;

use self::netlink::{Link, LinkStats};
use super::{
    Context, SourceError, read_trimmed,
    settings::{Pattern, takes},
};
use crate::exposition::{Exposition, as_f64};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetdevSettings {
    pub(crate) device_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    pub(crate) device_include: Option<Pattern>,
    /// Whether `node_network_address_info` is collected.
    pub(crate) address_info: bool,
    /// Whether every counter of the kernel is told by itself and under its own name, instead of the
    /// sums and names of `/proc/net/dev`.
    pub(crate) enable_detailed_metrics: bool,
    /// Whether series have the device's alias as label `ifalias`.
    pub(crate) label_ifalias: bool,
}

impl NetdevSettings {
    fn takes(&self, device: &str) -> bool {
        takes(device, self.device_exclude.as_ref(), self.device_include.as_ref())
    }
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.netdev;
    let mut links = links()?;
    links.retain(|it| settings.takes(&it.name));
    for Link { name: device, stats, .. } in &links {
        let alias = settings.label_ifalias.then(|| {
            let path = context.roots.sys.join("class/net").join(device).join("ifalias");
            read_trimmed(&path).unwrap_or_default()
        });
        let fields: &[(&str, u64)] =
            if settings.enable_detailed_metrics { &detailed(stats) } else { &fields(stats) };
        for (field, value) in fields {
            let (direction, counter) = field.split_once('_').unwrap_or(("", field));
            let mut labels = vec![(Cow::Borrowed("device"), device.clone())];
            labels.extend(alias.iter().map(|it| (Cow::Borrowed("ifalias"), it.clone())));
            out.family(
                format!("node_network_{field}_total"),
                format!("Counter {counter} of the network device's {direction} side."),
                MetricKind::Counter,
            )
            .labelled(labels, as_f64(*value));
        }
    }
    if settings.address_info {
        collect_addresses(&links, out)?;
    }
    Ok(())
}

fn collect_addresses(links: &[Link], out: &mut Exposition) -> Result<(), SourceError> {
    let addresses = address::dump()
        .map_err(|source| SourceError::Kernel { what: "network addresses", source })?;
    for address in addresses {
        let Some(link) = links.iter().find(|it| it.device_idx == address.device_idx) else {
            continue;
        };
        out.family(
            "node_network_address_info",
            "1 for each address of a network device.",
            MetricKind::Gauge,
        )
        .point(
            [
                ("device", &link.name),
                ("address", &address.ip.to_string()),
                ("netmask", &address.prefix_len.to_string()),
                ("scope", address::scope(address.ip)),
            ],
            1.0,
        );
    }
    Ok(())
}

/// Devices with each other name they have.
pub(super) fn altnames() -> Result<impl Iterator<Item = (String, String)>, SourceError> {
    let names = |link: Link| link.altnames.into_iter().map(move |it| (link.name.clone(), it));
    Ok(links()?.into_iter().flat_map(names))
}

fn links() -> Result<Vec<Link>, SourceError> {
    netlink::dump().map_err(|source| SourceError::Kernel { what: "network devices", source })
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

/// Every counter of the kernel.
fn detailed(stats: &LinkStats) -> [(&'static str, u64); 24] {
    [
        ("receive_packets", stats.rx_packets),
        ("transmit_packets", stats.tx_packets),
        ("receive_bytes", stats.rx_bytes),
        ("transmit_bytes", stats.tx_bytes),
        ("receive_errors", stats.rx_errors),
        ("transmit_errors", stats.tx_errors),
        ("receive_dropped", stats.rx_dropped),
        ("transmit_dropped", stats.tx_dropped),
        ("multicast", stats.multicast),
        ("collisions", stats.collisions),
        ("receive_length_errors", stats.rx_length_errors),
        ("receive_over_errors", stats.rx_over_errors),
        ("receive_crc_errors", stats.rx_crc_errors),
        ("receive_frame_errors", stats.rx_frame_errors),
        ("receive_fifo_errors", stats.rx_fifo_errors),
        ("receive_missed_errors", stats.rx_missed_errors),
        ("transmit_aborted_errors", stats.tx_aborted_errors),
        ("transmit_carrier_errors", stats.tx_carrier_errors),
        ("transmit_fifo_errors", stats.tx_fifo_errors),
        ("transmit_heartbeat_errors", stats.tx_heartbeat_errors),
        ("transmit_window_errors", stats.tx_window_errors),
        ("receive_compressed", stats.rx_compressed),
        ("transmit_compressed", stats.tx_compressed),
        ("receive_nohandler", stats.rx_nohandler),
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
    fn settings_add_addresses_aliases_and_the_kernels_own_counters() {
        let mut host = Host::default();
        host.file("sys/class/net/lo/ifalias", "myself\n");
        let settings = &mut host.settings().netdev;
        settings.device_include = Some("^lo$".to_owned().try_into().unwrap());
        (settings.address_info, settings.label_ifalias) = (true, true);
        settings.enable_detailed_metrics = true;
        let text = host.text(collect);
        let info = "node_network_address_info{device=\"lo\",address=\"127.0.0.1\",netmask=\"8\",scope=\"link-local\"} 1\n";
        assert!(text.contains(info), "{text}");
        let series = "node_network_receive_crc_errors_total{device=\"lo\",ifalias=\"myself\"} 0\n";
        assert!(text.contains(series), "{text}");
        assert!(!text.contains("node_network_receive_errs_total"), "{text}");
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
