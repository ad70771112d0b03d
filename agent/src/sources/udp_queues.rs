//! Bytes that wait in UDP sockets, from `/proc/net/udp` and `udp6`.

use skep_proto::MetricKind;

use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

const FILE: &str = "/proc/net/udp";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut has_data = false;
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let Ok(text) = context.roots.read_proc(file) else { continue };
        has_data = true;
        let (tx_bytes, rx_bytes) = queues(&text)?;
        out.family(
            "node_udp_queues",
            "Memory that datagrams waiting in UDP sockets take, in bytes.",
            MetricKind::Gauge,
        )
        .point([("queue", "tx"), ("ip", ip)], as_f64(tx_bytes))
        .point([("queue", "rx"), ("ip", ip)], as_f64(rx_bytes));
    }
    if has_data { Ok(()) } else { Err(SourceError::NoData { what: "UDP" }) }
}

/// The sums of the fifth column, `tx:rx` in hexadecimal, of all sockets.
fn queues(text: &str) -> Result<(u64, u64), SourceError> {
    let mut sums = (0_u64, 0_u64);
    for line in text.lines().skip(1).filter(|it| !it.trim().is_empty()) {
        let queues = line
            .split_ascii_whitespace()
            .nth(4)
            .ok_or(SourceError::Missing { file: FILE, what: "tx_queue:rx_queue" })?;
        let bytes = |text: &str| u64::from_str_radix(text, 16).ok();
        let (tx, rx) = queues
            .split_once(':')
            .and_then(|(tx, rx)| bytes(tx).zip(bytes(rx)))
            .ok_or_else(|| SourceError::Number {
                file: FILE,
                what: "tx_queue:rx_queue",
                text: queues.to_owned(),
            })?;
        sums = (sums.0.saturating_add(tx), sums.1.saturating_add(rx));
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn queues_of_all_sockets_are_summed() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no UDP
        "#]],
        );
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let socket = |queues: &str| format!("   0: 00000000:0016 00000000:0000 0A {queues} 00:0\n");
        host.file(
            "proc/net/udp",
            &format!("{head}{}{}", socket("00000015:00000001"), socket("00000001:00000000")),
        )
        .file("proc/net/udp6", head)
        .check(
            collect,
            &expect![[r##"
            # HELP node_udp_queues Memory that datagrams waiting in UDP sockets take, in bytes.
            # TYPE node_udp_queues gauge
            node_udp_queues{queue="tx",ip="v4"} 22
            node_udp_queues{queue="rx",ip="v4"} 1
            node_udp_queues{queue="tx",ip="v6"} 0
            node_udp_queues{queue="rx",ip="v6"} 0
        "##]],
        );
        host.file("proc/net/udp", &format!("{head} 0: x\n")).check(
            collect,
            &expect![[r#"
            error: /proc/net/udp: tx_queue:rx_queue is missing
        "#]],
        );
        host.file("proc/net/udp", &format!("{head}{}", socket("1:x")));
        host.check(
            collect,
            &expect![[r#"
            error: /proc/net/udp: tx_queue:rx_queue is not a number: "1:x"
        "#]],
        );
    }
}
