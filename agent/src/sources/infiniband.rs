//! InfiniBand adapters and their ports, from `/sys/class/infiniband`.

mod counters;

use std::{io, path::Path};

use skep_proto::MetricKind::Gauge;

use self::counters::FOLDERS;
use super::{Context, SourceError, sorted_dir, sysfs};
use crate::exposition::Exposition;

const BYTES_PER_GIGABIT: f64 = 125_000_000.0;
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let class = context.roots.sys.join("class/infiniband");
    for device in sysfs::names(&class, "InfiniBand adapters")? {
        // A device that is left out is not read: some have files that cannot be understood.
        if !context.settings.infiniband.takes(&device) {
            continue;
        }
        let dir = class.join(&device);
        let text = |file| Ok(sysfs::text_if_any(&dir.join(file))?.unwrap_or_default());
        out.family(
            "node_infiniband_info",
            "Always 1; the labels tell the adapter's kind and firmware.",
            Gauge,
        )
        .point(
            [
                ("device", &device),
                ("board_id", &text("board_id")?),
                ("firmware_version", &text("fw_ver")?),
                ("hca_type", &text("hca_type")?),
            ],
            1.0,
        );
        for port in sorted_dir(&dir.join("ports")) {
            collect_port(&dir.join("ports").join(&port), &device, &port, out)?;
        }
    }
    Ok(())
}

fn collect_port(
    dir: &Path,
    device: &str,
    port: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let labels = [("device", device), ("port", port)];
    for (file, name, help) in [
        (
            "state",
            "node_infiniband_state_id",
            "State of the port: 1 is down, 2 initialised, 3 armed, 4 active, 5 active and deferred.",
        ),
        (
            "phys_state",
            "node_infiniband_physical_state_id",
            "State of the link: 1 asleep, 2 polling, 3 disabled, 4 trained, 5 up, 6 recovering, 7 tested.",
        ),
    ] {
        let path = dir.join(file);
        // As `4: ACTIVE`.
        let text = sysfs::text(&path)?;
        let id = sysfs::parse(&path, text.split(':').next().unwrap_or_default().trim())?;
        out.family(name, help, Gauge).point(labels, id);
    }
    out.family(
        "node_infiniband_rate_bytes_per_second",
        "Bytes a second that the link carries at most.",
        Gauge,
    )
    .point(labels, rate(&dir.join("rate"))?);
    // Ports have some of them: looking which saves most of the opens.
    for (folder, counters) in FOLDERS {
        let folder = dir.join(folder);
        for file in sorted_dir(&folder) {
            let idx = counters.binary_search_by_key(&file.as_str(), |it| it.0);
            if let Some((file, name, kind, unit, help)) = idx.ok().and_then(|it| counters.get(it))
                && let Some(value) = counter(&folder.join(file))?
            {
                out.family(*name, *help, *kind).point(labels, value * unit);
            }
        }
    }
    Ok(())
}

/// From `40 Gb/sec (4X QDR)`.
fn rate(path: &Path) -> Result<f64, SourceError> {
    let text = sysfs::text(path)?;
    let gigabits = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    let gigabits = gigabits.filter(|it| it.is_finite());
    gigabits
        .map(|it| (it * BYTES_PER_GIGABIT).trunc())
        .ok_or_else(|| SourceError::Value { path: path.to_owned(), text })
}

/// Virtual functions may not see some counters, and some have `N/A (no PMA)`.
fn counter(path: &Path) -> Result<Option<f64>, SourceError> {
    match sysfs::text_if_any(path) {
        Ok(Some(text)) if text.contains("N/A (no PMA)") => Ok(None),
        Ok(text) => text.map(|it| sysfs::parse(path, &it)).transpose(),
        Err(SourceError::Read { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("fw_ver", "2.31.5050\n"),
            ("hca_type", "MT4099\n"),
            ("ports/1/state", "4: ACTIVE\n"),
            ("ports/1/phys_state", "5: LinkUp\n"),
            ("ports/1/rate", "2.5 Gb/sec (1X SDR)\n"),
            ("ports/1/counters/port_rcv_data", "25\n"),
            ("ports/1/counters/link_downed", "1\n"),
            ("ports/1/counters/symbol_error", "3\n"),
            ("ports/1/counters/something_new", "not read\n"),
            ("ports/1/hw_counters/lifespan", "12\n"),
            ("ports/1/hw_counters/rx_read_requests", "8\n"),
            ("ports/1/counters/port_xmit_wait", "N/A (no PMA)\n"),
            ("ports/1/counters_ext/port_xmit_data_64", "26\n"),
            ("ports/2/state", "1: DOWN\n"),
            ("ports/2/phys_state", "2: Polling\n"),
            ("ports/2/rate", "10 Gb/sec (4X)\n"),
        ] {
            host.file(&format!("sys/class/infiniband/mlx4_0/{file}"), text);
        }
        host
    }

    #[test]
    fn ports_are_told_with_the_counters_they_have() {
        host().check(collect, &expect![[r##"
            # HELP node_infiniband_info Always 1; the labels tell the adapter's kind and firmware.
            # TYPE node_infiniband_info gauge
            node_infiniband_info{device="mlx4_0",board_id="",firmware_version="2.31.5050",hca_type="MT4099"} 1
            # HELP node_infiniband_legacy_data_transmitted_bytes_total Bytes sent, as kernels before 4.5 count them.
            # TYPE node_infiniband_legacy_data_transmitted_bytes_total counter
            node_infiniband_legacy_data_transmitted_bytes_total{device="mlx4_0",port="1"} 104
            # HELP node_infiniband_lifespan_seconds Seconds for which these counters may be kept before they are read anew.
            # TYPE node_infiniband_lifespan_seconds gauge
            node_infiniband_lifespan_seconds{device="mlx4_0",port="1"} 0.012
            # HELP node_infiniband_link_downed_total Times the link failed and could not be trained again.
            # TYPE node_infiniband_link_downed_total counter
            node_infiniband_link_downed_total{device="mlx4_0",port="1"} 1
            # HELP node_infiniband_physical_state_id State of the link: 1 asleep, 2 polling, 3 disabled, 4 trained, 5 up, 6 recovering, 7 tested.
            # TYPE node_infiniband_physical_state_id gauge
            node_infiniband_physical_state_id{device="mlx4_0",port="1"} 5
            node_infiniband_physical_state_id{device="mlx4_0",port="2"} 2
            # HELP node_infiniband_port_data_received_bytes_total Bytes received.
            # TYPE node_infiniband_port_data_received_bytes_total counter
            node_infiniband_port_data_received_bytes_total{device="mlx4_0",port="1"} 100
            # HELP node_infiniband_rate_bytes_per_second Bytes a second that the link carries at most.
            # TYPE node_infiniband_rate_bytes_per_second gauge
            node_infiniband_rate_bytes_per_second{device="mlx4_0",port="1"} 3.125e+08
            node_infiniband_rate_bytes_per_second{device="mlx4_0",port="2"} 1.25e+09
            # HELP node_infiniband_rx_read_requests_total Reads received.
            # TYPE node_infiniband_rx_read_requests_total counter
            node_infiniband_rx_read_requests_total{device="mlx4_0",port="1"} 8
            # HELP node_infiniband_state_id State of the port: 1 is down, 2 initialised, 3 armed, 4 active, 5 active and deferred.
            # TYPE node_infiniband_state_id gauge
            node_infiniband_state_id{device="mlx4_0",port="1"} 4
            node_infiniband_state_id{device="mlx4_0",port="2"} 1
            # HELP node_infiniband_symbol_error_total Minor errors of the link.
            # TYPE node_infiniband_symbol_error_total counter
            node_infiniband_symbol_error_total{device="mlx4_0",port="1"} 3
        "##]]);
    }

    #[test]
    fn adapters_can_be_left_out() {
        let mut host = host();
        host.file("sys/class/infiniband/mana_0/ports/1/rate", "unheard of\n");
        host.settings().infiniband.device_exclude = Some("^mana".to_owned().try_into().unwrap());
        let text = host.text(collect);
        assert!(text.contains("mlx4_0") && !text.contains("mana_0"), "{text}");
    }

    #[test]
    fn what_is_no_number_is_named_and_a_host_without_adapters_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no InfiniBand adapters
        "#]],
        );
        host().file("sys/class/infiniband/mlx4_0/ports/2/rate", "fast\n").check(
            collect,
            &expect![[r#"
                error: /sys/class/infiniband/mlx4_0/ports/2/rate: not a number: "fast"
            "#]],
        );
        host().file("sys/class/infiniband/mlx4_0/ports/2/state", "DOWN\n").check(
            collect,
            &expect![[r#"
                error: /sys/class/infiniband/mlx4_0/ports/2/state: not a number: "DOWN"
            "#]],
        );
    }
}
