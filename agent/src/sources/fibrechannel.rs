//! Fibre Channel adapters, from `/sys/class/fc_host`.

use std::borrow::Cow;

use skep_proto::MetricKind::{Counter, Gauge};

use super::{Context, SourceError, sysfs};
use crate::exposition::Exposition;

/// Files that are labels of the adapter, told whether they are there or not.
const LABELS: [&str; 10] = [
    "speed",
    "port_state",
    "port_type",
    "port_id",
    "port_name",
    "fabric_name",
    "symbolic_name",
    "supported_classes",
    "supported_speeds",
    "dev_loss_tmo",
];

/// Files below `statistics`, their families and their help.
const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "node_fibrechannel_dumped_frames_total", "Frames that were thrown away."),
    ("error_frames", "node_fibrechannel_error_frames_total", "Frames with errors."),
    (
        "invalid_crc_count",
        "node_fibrechannel_invalid_crc_total",
        "Frames whose checksum was wrong.",
    ),
    ("rx_frames", "node_fibrechannel_rx_frames_total", "Frames received."),
    ("rx_words", "node_fibrechannel_rx_words_total", "Words of four bytes received."),
    ("tx_frames", "node_fibrechannel_tx_frames_total", "Frames sent."),
    ("tx_words", "node_fibrechannel_tx_words_total", "Words of four bytes sent."),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Seconds since the adapter's statistics began.",
    ),
    (
        "invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Words that were no valid transmission words.",
    ),
    ("link_failure_count", "node_fibrechannel_link_failure_total", "Times the link failed."),
    (
        "loss_of_sync_count",
        "node_fibrechannel_loss_of_sync_total",
        "Times the link lost synchronisation.",
    ),
    (
        "loss_of_signal_count",
        "node_fibrechannel_loss_of_signal_total",
        "Times the link lost its signal.",
    ),
    (
        "nos_count",
        "node_fibrechannel_nos_total",
        "Not-operational sequences that the port received.",
    ),
    (
        "fcp_packet_aborts",
        "node_fibrechannel_fcp_packet_aborts_total",
        "Commands to storage that were broken off.",
    ),
];

/// What an adapter says of a counter that it does not keep.
const NOT_KEPT: &str = "0xffffffffffffffff";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/fc_host");
    for host in sysfs::names(&dir, "Fibre Channel adapters")? {
        let host_dir = dir.join(&host);
        let mut labels = vec![(Cow::Borrowed("fc_host"), host.clone())];
        for file in LABELS {
            let text = sysfs::text_if_any(&host_dir.join(file))?.unwrap_or_default();
            labels.push((Cow::Borrowed(file), without_prefix(file, text)));
        }
        out.family(
            "node_fibrechannel_info",
            "Always 1; the labels tell the adapter's names, speeds and state.",
            Gauge,
        )
        .labelled(labels, 1.0);
        for (file, name, help) in COUNTERS {
            let path = host_dir.join("statistics").join(file);
            let text = sysfs::text_if_any(&path)?.filter(|it| it != NOT_KEPT);
            if let Some(text) = text {
                let value = sysfs::parse(&path, &text)?;
                out.family(name, help, Counter).point([("fc_host", &host)], value);
            }
        }
    }
    Ok(())
}

/// Names and numbers of ports go without their `0x`.
fn without_prefix(file: &str, text: String) -> String {
    match text.strip_prefix("0x") {
        Some(digits) if matches!(file, "port_id" | "port_name" | "fabric_name") => {
            digits.to_owned()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn what_an_adapter_does_not_keep_is_left_out() {
        let host = Host::default();
        for (file, text) in [
            ("host3/speed", "32 Gbit\n"),
            ("host3/port_state", "Online\n"),
            ("host3/port_id", "0x010200\n"),
            ("host3/fabric_name", "0x0\n"),
            ("host3/supported_speeds", "8 Gbit, 16 Gbit, 32 Gbit\n"),
            ("host3/statistics/rx_frames", "0x1f\n"),
            ("host3/statistics/tx_frames", "0x20\n"),
            ("host3/statistics/nos_count", "0xffffffffffffffff\n"),
        ] {
            host.file(&format!("sys/class/fc_host/{file}"), text);
        }
        host.check(collect, &expect![[r##"
            # HELP node_fibrechannel_info Always 1; the labels tell the adapter's names, speeds and state.
            # TYPE node_fibrechannel_info gauge
            node_fibrechannel_info{fc_host="host3",speed="32 Gbit",port_state="Online",port_type="",port_id="010200",port_name="",fabric_name="0",symbolic_name="",supported_classes="",supported_speeds="8 Gbit, 16 Gbit, 32 Gbit",dev_loss_tmo=""} 1
            # HELP node_fibrechannel_rx_frames_total Frames received.
            # TYPE node_fibrechannel_rx_frames_total counter
            node_fibrechannel_rx_frames_total{fc_host="host3"} 31
            # HELP node_fibrechannel_tx_frames_total Frames sent.
            # TYPE node_fibrechannel_tx_frames_total counter
            node_fibrechannel_tx_frames_total{fc_host="host3"} 32
        "##]]);
    }

    #[test]
    fn a_counter_that_is_no_number_is_named_and_a_host_without_adapters_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no Fibre Channel adapters
        "#]],
        );
        host.file("sys/class/fc_host/host3/statistics/rx_frames", "0xmany\n").check(
            collect,
            &expect![[r#"
                error: /sys/class/fc_host/host3/statistics/rx_frames: not a number: "0xmany"
            "#]],
        );
    }
}
