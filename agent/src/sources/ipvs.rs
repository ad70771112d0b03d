//! The kernel's load balancer, from `/proc/net/ip_vs` and `ip_vs_stats`.

use std::{borrow::Cow, collections::BTreeMap, net::Ipv4Addr};

use serde::Deserialize;
use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, sysfs};
use crate::exposition::{Exposition, as_f64};

const STATS: &str = "/proc/net/ip_vs_stats";
const TABLE: &str = "/proc/net/ip_vs";

/// The figures of `ip_vs_stats` in their order.
const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "Connections that were balanced."),
    ("node_ipvs_incoming_packets_total", "Packets from clients."),
    ("node_ipvs_outgoing_packets_total", "Packets to clients that came through this host."),
    ("node_ipvs_incoming_bytes_total", "Bytes from clients."),
    ("node_ipvs_outgoing_bytes_total", "Bytes to clients that came through this host."),
];

/// Figures of a backend in the order of its line's last columns.
const FIGURES: [(&str, &str); 3] = [
    ("node_ipvs_backend_weight", "Share of the connections that the backend is to get."),
    ("node_ipvs_backend_connections_active", "Connections to the backend that are open."),
    ("node_ipvs_backend_connections_inactive", "Connections to the backend that are being closed."),
];

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IpvsSettings {
    /// Backends that differ in none of these labels are added up.
    pub(crate) backend_labels: Vec<BackendLabel>,
}

impl Default for IpvsSettings {
    fn default() -> Self {
        Self { backend_labels: BackendLabel::ALL.to_vec() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackendLabel {
    LocalAddress,
    LocalPort,
    RemoteAddress,
    RemotePort,
    Proto,
    LocalMark,
}

impl BackendLabel {
    const ALL: [Self; 6] = [
        Self::LocalAddress,
        Self::LocalPort,
        Self::RemoteAddress,
        Self::RemotePort,
        Self::Proto,
        Self::LocalMark,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::LocalAddress => "local_address",
            Self::LocalPort => "local_port",
            Self::RemoteAddress => "remote_address",
            Self::RemotePort => "remote_port",
            Self::Proto => "proto",
            Self::LocalMark => "local_mark",
        }
    }
}

/// What connections are balanced for: an address, or packets that a firewall marked.
#[derive(Debug, Default)]
struct Service {
    proto: String,
    address: String,
    port: String,
    mark: String,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let stats_path = context.roots.proc.join("net/ip_vs_stats");
    let Some(stats) = sysfs::text_if_any(&stats_path)? else {
        return Err(SourceError::NoData { what: "load balancer" });
    };
    // Two lines of titles come first; the figures are hexadecimal.
    let line = stats.lines().nth(2).unwrap_or_default();
    let mut columns = line.split_ascii_whitespace();
    for (name, help) in TOTALS {
        out.counter(name, help, figure(STATS, columns.next(), 16)?);
    }
    let chosen = &context.settings.ipvs.backend_labels;
    let backends = parse(&context.roots.read_proc("net/ip_vs")?, |label| chosen.contains(&label))?;
    for (labels, figures) in backends {
        for ((name, help), value) in FIGURES.into_iter().zip(figures) {
            let labels = labels.iter().map(|(name, it)| (Cow::Borrowed(*name), it.clone()));
            out.family(name, help, Gauge).labelled(labels.collect(), value);
        }
    }
    Ok(())
}

type LabelValues = Vec<(&'static str, String)>;

fn parse(
    table: &str,
    is_chosen: impl Fn(BackendLabel) -> bool,
) -> Result<BTreeMap<LabelValues, [f64; 3]>, SourceError> {
    let mut service = Service::default();
    let mut backends: BTreeMap<LabelValues, [f64; 3]> = BTreeMap::new();
    for line in table.lines() {
        let mut columns = line.split_ascii_whitespace();
        match (columns.next(), columns.next()) {
            (None, _) | (Some("IP" | "Prot"), _) | (_, Some("RemoteAddress:Port")) => {}
            (Some("->"), address) => {
                let (remote_address, remote_port) = endpoint(address)?;
                let mut columns = columns.skip(1);
                let mut sums = [0.0; 3];
                for sum in &mut sums {
                    *sum = figure(TABLE, columns.next(), 10)?;
                }
                let labels = BackendLabel::ALL.into_iter().filter(|it| is_chosen(*it));
                let labels = labels.map(|label| {
                    let text = match label {
                        BackendLabel::LocalAddress => &service.address,
                        BackendLabel::LocalPort => &service.port,
                        BackendLabel::RemoteAddress => &remote_address,
                        BackendLabel::RemotePort => &remote_port,
                        BackendLabel::Proto => &service.proto,
                        BackendLabel::LocalMark => &service.mark,
                    };
                    (label.name(), text.clone())
                });
                let backend = backends.entry(labels.collect()).or_default();
                for (sum, value) in backend.iter_mut().zip(sums) {
                    *sum += value;
                }
            }
            (Some("FWM"), mark) => {
                let mark = mark.unwrap_or_default().to_owned();
                service = Service {
                    proto: "FWM".to_owned(),
                    port: "0".to_owned(),
                    mark,
                    ..Default::default()
                };
            }
            (Some(proto), address) => {
                let (address, port) = endpoint(address)?;
                service = Service { proto: proto.to_owned(), address, port, mark: String::new() };
            }
        }
    }
    Ok(backends)
}

fn figure(file: &'static str, text: Option<&str>, radix: u32) -> Result<f64, SourceError> {
    let what = "a figure";
    let text = text.ok_or(SourceError::Missing { file, what })?;
    u64::from_str_radix(text, radix).map(as_f64).map_err(|std::num::ParseIntError { .. }| {
        SourceError::Number { file, what, text: text.to_owned() }
    })
}

/// `C0A80016:0CEA` or `[2001:0DB8:…:0001]:0CEA`, all of it hexadecimal.
fn endpoint(text: Option<&str>) -> Result<(String, String), SourceError> {
    let what = "an address";
    let text = text.ok_or(SourceError::Missing { file: TABLE, what })?;
    let parsed = text.rsplit_once(':').and_then(|(address, port)| {
        let port = u16::from_str_radix(port, 16).ok()?.to_string();
        let address = match address.strip_prefix('[') {
            Some(address) => {
                address.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?.to_string()
            }
            None => Ipv4Addr::from_bits(u32::from_str_radix(address, 16).ok()?).to_string(),
        };
        Some((address, port))
    });
    parsed.ok_or_else(|| SourceError::Number { file: TABLE, what, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{BackendLabel, collect};
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        host.file(
            "proc/net/ip_vs_stats",
            "   Total Incoming Outgoing         Incoming         Outgoing\n\
             \x20  Conns  Packets  Packets            Bytes            Bytes\n\
             \x20     1F      100        0               A0                0\n\n\
             \x20Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n\
             \x20      4        1        0                2                0\n",
        );
        host.file(
            "proc/net/ip_vs",
            "IP Virtual Server version 1.2.1 (size=4096)\n\
             Prot LocalAddress:Port Scheduler Flags\n\
             \x20 -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
             TCP  C0A80016:0050 wlc  \n\
             \x20 -> C0A80101:1F90      Masq    10     5          1         \n\
             \x20 -> C0A80102:1F90      Masq    20     6          2         \n\
             UDP  [2001:0DB8:0000:0000:0000:0000:0000:0001]:0035 rr\n\
             \x20 -> [2001:0DB8:0000:0000:0000:0000:0000:00FF]:0035 Route 1 0 7\n\
             FWM  10001000 wlc   \n\
             \x20 -> C0A80101:0000      Tunnel  3      1          0         \n",
        );
        host
    }

    #[test]
    fn totals_and_backends_are_read() {
        host().check(collect, &expect![[r##"
            # HELP node_ipvs_backend_connections_active Connections to the backend that are open.
            # TYPE node_ipvs_backend_connections_active gauge
            node_ipvs_backend_connections_active{local_address="",local_port="0",remote_address="192.168.1.1",remote_port="0",proto="FWM",local_mark="10001000"} 1
            node_ipvs_backend_connections_active{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.1",remote_port="8080",proto="TCP",local_mark=""} 5
            node_ipvs_backend_connections_active{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.2",remote_port="8080",proto="TCP",local_mark=""} 6
            node_ipvs_backend_connections_active{local_address="2001:db8::1",local_port="53",remote_address="2001:db8::ff",remote_port="53",proto="UDP",local_mark=""} 0
            # HELP node_ipvs_backend_connections_inactive Connections to the backend that are being closed.
            # TYPE node_ipvs_backend_connections_inactive gauge
            node_ipvs_backend_connections_inactive{local_address="",local_port="0",remote_address="192.168.1.1",remote_port="0",proto="FWM",local_mark="10001000"} 0
            node_ipvs_backend_connections_inactive{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.1",remote_port="8080",proto="TCP",local_mark=""} 1
            node_ipvs_backend_connections_inactive{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.2",remote_port="8080",proto="TCP",local_mark=""} 2
            node_ipvs_backend_connections_inactive{local_address="2001:db8::1",local_port="53",remote_address="2001:db8::ff",remote_port="53",proto="UDP",local_mark=""} 7
            # HELP node_ipvs_backend_weight Share of the connections that the backend is to get.
            # TYPE node_ipvs_backend_weight gauge
            node_ipvs_backend_weight{local_address="",local_port="0",remote_address="192.168.1.1",remote_port="0",proto="FWM",local_mark="10001000"} 3
            node_ipvs_backend_weight{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.1",remote_port="8080",proto="TCP",local_mark=""} 10
            node_ipvs_backend_weight{local_address="192.168.0.22",local_port="80",remote_address="192.168.1.2",remote_port="8080",proto="TCP",local_mark=""} 20
            node_ipvs_backend_weight{local_address="2001:db8::1",local_port="53",remote_address="2001:db8::ff",remote_port="53",proto="UDP",local_mark=""} 1
            # HELP node_ipvs_connections_total Connections that were balanced.
            # TYPE node_ipvs_connections_total counter
            node_ipvs_connections_total 31
            # HELP node_ipvs_incoming_bytes_total Bytes from clients.
            # TYPE node_ipvs_incoming_bytes_total counter
            node_ipvs_incoming_bytes_total 160
            # HELP node_ipvs_incoming_packets_total Packets from clients.
            # TYPE node_ipvs_incoming_packets_total counter
            node_ipvs_incoming_packets_total 256
            # HELP node_ipvs_outgoing_bytes_total Bytes to clients that came through this host.
            # TYPE node_ipvs_outgoing_bytes_total counter
            node_ipvs_outgoing_bytes_total 0
            # HELP node_ipvs_outgoing_packets_total Packets to clients that came through this host.
            # TYPE node_ipvs_outgoing_packets_total counter
            node_ipvs_outgoing_packets_total 0
        "##]]);
    }

    #[test]
    fn backends_are_added_up_over_labels_that_are_not_chosen() {
        let mut host = host();
        host.settings().ipvs.backend_labels =
            vec![BackendLabel::Proto, BackendLabel::RemoteAddress];
        let text = host.text(collect);
        let lines = text.lines().filter(|it| it.starts_with("node_ipvs_backend_weight"));
        expect![[r#"
            node_ipvs_backend_weight{remote_address="192.168.1.1",proto="FWM"} 3
            node_ipvs_backend_weight{remote_address="192.168.1.1",proto="TCP"} 10
            node_ipvs_backend_weight{remote_address="192.168.1.2",proto="TCP"} 20
            node_ipvs_backend_weight{remote_address="2001:db8::ff",proto="UDP"} 1"#]]
        .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_table_that_is_damaged_is_told_and_a_host_without_a_load_balancer_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no load balancer
        "#]],
        );
        for table in [
            "TCP  C0A80016 wlc\n",
            "TCP\n",
            "  -> C0A80101:1F90 Masq 10 5\n",
            "  -> C0A80101:1F90 Masq ten 5 1\n",
        ] {
            let text = host().file("proc/net/ip_vs", table).text(collect);
            assert!(text.starts_with("error: /proc/net/ip_vs: a"), "{table}: {text}");
        }
        host().file("proc/net/ip_vs_stats", "a\nb\n1 2 3\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/ip_vs_stats: a figure is missing
        "#]],
        );
    }
}
