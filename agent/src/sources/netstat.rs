//! Protocol counters of the network stack, from `/proc/net/netstat`, `snmp` and `snmp6`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

/// One untyped series a field that the settings take.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut emit = |file, protocol: &str, field: &str, text: Option<&str>| {
        let name = format!("{protocol}_{field}");
        if !context.settings.netstat.fields.matches(&name) {
            return Ok(());
        }
        let value = number(file, "a counter", text)?;
        out.family(
            format!("node_netstat_{name}"),
            format!("Field {field} of {protocol} in {file}."),
            MetricKind::Unknown,
        )
        .point([], value);
        Ok(())
    };
    for (path, file) in [("net/netstat", "/proc/net/netstat"), ("net/snmp", "/proc/net/snmp")] {
        tables(file, &context.roots.read_proc(path)?, &mut emit)?;
    }
    // Absent where the kernel has no IPv6.
    for line in context.roots.read_proc("net/snmp6").unwrap_or_default().lines() {
        let mut words = line.split_ascii_whitespace();
        let key = words.next().unwrap_or_default();
        if let Some((protocol, field)) = key.split_once('6') {
            emit("/proc/net/snmp6", &format!("{protocol}6"), field, words.next())?;
        }
    }
    Ok(())
}

/// Pairs of lines: `Tcp: Name Name` and `Tcp: 1 2`.
fn tables(
    file: &'static str,
    text: &str,
    emit: &mut impl FnMut(&'static str, &str, &str, Option<&str>) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (protocol, names) =
            names.split_once(':').ok_or(SourceError::Missing { file, what: "a protocol" })?;
        let (_, values) =
            values.split_once(':').ok_or(SourceError::Missing { file, what: "a protocol" })?;
        let mut values = values.split_ascii_whitespace();
        for name in names.split_ascii_whitespace() {
            emit(file, protocol, name, values.next())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn chosen_counters_of_all_protocols_are_read() {
        Host::default()
            .file("proc/net/netstat", "IpExt: InNoRoutes InOctets\nIpExt: 1 2\n")
            .file("proc/net/snmp", "Tcp: MaxConn InSegs InErrs\nTcp: -1 3 4\n")
            .file("proc/net/snmp6", "Ip6InOctets \t5\nIp6InReceives \t6\nUdp6NoPorts \t7\n")
            .check(
                collect,
                &expect![[r#"
                    # HELP node_netstat_Ip6_InOctets Field InOctets of Ip6 in /proc/net/snmp6.
                    # TYPE node_netstat_Ip6_InOctets untyped
                    node_netstat_Ip6_InOctets 5
                    # HELP node_netstat_IpExt_InOctets Field InOctets of IpExt in /proc/net/netstat.
                    # TYPE node_netstat_IpExt_InOctets untyped
                    node_netstat_IpExt_InOctets 2
                    # HELP node_netstat_Tcp_InErrs Field InErrs of Tcp in /proc/net/snmp.
                    # TYPE node_netstat_Tcp_InErrs untyped
                    node_netstat_Tcp_InErrs 4
                    # HELP node_netstat_Tcp_InSegs Field InSegs of Tcp in /proc/net/snmp.
                    # TYPE node_netstat_Tcp_InSegs untyped
                    node_netstat_Tcp_InSegs 3
                    # HELP node_netstat_Udp6_NoPorts Field NoPorts of Udp6 in /proc/net/snmp6.
                    # TYPE node_netstat_Udp6_NoPorts untyped
                    node_netstat_Udp6_NoPorts 7
                "#]],
            );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/net/netstat: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/net/netstat", "").file("proc/net/snmp", "Tcp: A InErrs\nTcp: 1\n");
        host.check(
            collect,
            &expect![[r#"
            error: /proc/net/snmp: a counter is missing
        "#]],
        );
        host.file("proc/net/snmp", "Tcp InErrs\nTcp: 1\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/snmp: a protocol is missing
        "#]],
        );
    }
}
