//! Sockets in use by protocol, from `/proc/net/sockstat` and `sockstat6`.

use std::fs;

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::{Exposition, as_f64};

const FILE: &str = "/proc/net/sockstat";
/// `AT_PAGESZ` of the auxiliary vector.
const PAGE_SIZE_KEY: u64 = 6;
const PAGE_BYTES_DEFAULT: u64 = 4096;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut text = context.roots.read_proc("net/sockstat")?;
    // Absent where the kernel has no IPv6.
    text.push('\n');
    text.push_str(&context.roots.read_proc("net/sockstat6").unwrap_or_default());
    let page_bytes = as_f64(page_bytes());
    for line in text.lines() {
        let Some((protocol, pairs)) = line.split_once(':') else { continue };
        let mut words = pairs.split_ascii_whitespace();
        while let Some(state) = words.next() {
            let value = number(FILE, "a count", words.next())?;
            if protocol == "sockets" {
                out.gauge(
                    "node_sockstat_sockets_used",
                    "Sockets in use, of every protocol.",
                    value,
                );
                continue;
            }
            let mut emit = |state: &str, value| {
                out.family(
                    format!("node_sockstat_{protocol}_{state}"),
                    help(protocol, state),
                    MetricKind::Gauge,
                )
                .point([], value);
            };
            emit(state, value);
            if state == "mem" {
                emit("mem_bytes", value * page_bytes);
            }
        }
    }
    Ok(())
}

/// Most figures are counts of sockets; memory of buffers is told in pages, of fragments in bytes.
fn help(protocol: &str, state: &str) -> String {
    match state {
        "mem" => format!("Memory that {protocol} sockets use, in pages."),
        "mem_bytes" => format!("Memory that {protocol} sockets use, in bytes."),
        "memory" => format!("Memory that {protocol} uses for incomplete packets, in bytes."),
        _ => format!("Field {state} of {protocol} among the kernel's socket counts."),
    }
}

/// The kernel tells every process: pairs of words, of which one is the page size.
fn page_bytes() -> u64 {
    let auxv = fs::read("/proc/self/auxv").unwrap_or_default();
    let (words, _) = auxv.as_chunks::<{ size_of::<usize>() }>();
    let words: Vec<usize> = words.iter().map(|it| usize::from_ne_bytes(*it)).collect();
    let (pairs, _) = words.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| pair.map(|it| u64::try_from(it).unwrap_or_default()))
        .find_map(|[key, value]| (key == PAGE_SIZE_KEY).then_some(value))
        .unwrap_or(PAGE_BYTES_DEFAULT)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{collect, page_bytes};
    use crate::sources::tests::Host;

    #[test]
    fn states_of_each_protocol_are_read() {
        Host::default()
            .file("proc/net/sockstat", "sockets: used 229\nTCP: inuse 4 tw 5\nUDP: inuse 0 mem 0\n")
            .file("proc/net/sockstat6", "TCP6: inuse 17\nFRAG6: inuse 0 memory 3\n")
            .check(
                collect,
                &expect![[r#"
                    # HELP node_sockstat_FRAG6_inuse Field inuse of FRAG6 among the kernel's socket counts.
                    # TYPE node_sockstat_FRAG6_inuse gauge
                    node_sockstat_FRAG6_inuse 0
                    # HELP node_sockstat_FRAG6_memory Memory that FRAG6 uses for incomplete packets, in bytes.
                    # TYPE node_sockstat_FRAG6_memory gauge
                    node_sockstat_FRAG6_memory 3
                    # HELP node_sockstat_TCP6_inuse Field inuse of TCP6 among the kernel's socket counts.
                    # TYPE node_sockstat_TCP6_inuse gauge
                    node_sockstat_TCP6_inuse 17
                    # HELP node_sockstat_TCP_inuse Field inuse of TCP among the kernel's socket counts.
                    # TYPE node_sockstat_TCP_inuse gauge
                    node_sockstat_TCP_inuse 4
                    # HELP node_sockstat_TCP_tw Field tw of TCP among the kernel's socket counts.
                    # TYPE node_sockstat_TCP_tw gauge
                    node_sockstat_TCP_tw 5
                    # HELP node_sockstat_UDP_inuse Field inuse of UDP among the kernel's socket counts.
                    # TYPE node_sockstat_UDP_inuse gauge
                    node_sockstat_UDP_inuse 0
                    # HELP node_sockstat_UDP_mem Memory that UDP sockets use, in pages.
                    # TYPE node_sockstat_UDP_mem gauge
                    node_sockstat_UDP_mem 0
                    # HELP node_sockstat_UDP_mem_bytes Memory that UDP sockets use, in bytes.
                    # TYPE node_sockstat_UDP_mem_bytes gauge
                    node_sockstat_UDP_mem_bytes 0
                    # HELP node_sockstat_sockets_used Sockets in use, of every protocol.
                    # TYPE node_sockstat_sockets_used gauge
                    node_sockstat_sockets_used 229
                "#]],
            );
    }

    #[test]
    fn memory_is_told_in_pages_and_in_bytes() {
        assert!(page_bytes().is_power_of_two() && page_bytes() >= 4096);
        let text = Host::default().file("proc/net/sockstat", "TCP: mem 3\n").text(collect);
        assert!(text.contains("node_sockstat_TCP_mem 3\n"), "{text}");
        assert!(text.contains(&format!("node_sockstat_TCP_mem_bytes {}\n", 3 * page_bytes())));
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.file("proc/net/sockstat", "TCP: inuse\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/sockstat: a count is missing
        "#]],
        );
        host.file("proc/net/sockstat", "TCP: inuse x\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/sockstat: a count is not a number: "x"
        "#]],
        );
    }
}
