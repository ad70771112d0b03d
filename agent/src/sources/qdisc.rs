//! Queues of network devices: what they sent, dropped and hold, over rtnetlink.

use std::{fs, io, path::PathBuf};

use netlink_sys::protocols::NETLINK_ROUTE;
use serde::Deserialize;
use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{
    Context, SourceError, links,
    netlink::{Ask, Netlink, attributes, text, u32_at},
    settings::{Pattern, takes},
};
use crate::exposition::{Exposition, as_f64};

const RTM_GETQDISC: u16 = 38;
/// Bytes of `struct tcmsg`, and where it has the device and the parent.
const TCMSG_BYTES: usize = 20;
const INDEX_AT: usize = 4;
const PARENT_AT: usize = 12;
const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
/// The parent of a queue that is a device's own, and not part of another.
const ROOT: u32 = u32::MAX;

/// What a queue tells, in the order of [`Qdisc::values`].
const METRICS: [(&str, &str, MetricKind); 7] = [
    ("node_qdisc_bytes_total", "Bytes the queue sent.", Counter),
    ("node_qdisc_packets_total", "Packets the queue sent.", Counter),
    ("node_qdisc_drops_total", "Packets the queue dropped.", Counter),
    ("node_qdisc_requeues_total", "Packets that came back since the device was busy.", Counter),
    ("node_qdisc_overlimits_total", "How often the queue was over a limit.", Counter),
    ("node_qdisc_current_queue_length", "Packets that wait in the queue.", Gauge),
    ("node_qdisc_backlog", "Bytes that wait in the queue.", Gauge),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    device_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    device_include: Option<Pattern>,
    /// A folder whose `results.json` is told instead of the kernel's answer, as node_exporter's
    /// own test has one.
    fixtures: Option<PathBuf>,
}

/// One queue, as well in the JSON of [`Settings::fixtures`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Qdisc {
    iface_name: String,
    parent: u32,
    kind: String,
    bytes: u64,
    packets: u32,
    drops: u32,
    requeues: u32,
    overlimits: u32,
    qlen: u32,
    backlog: u32,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Settings { device_exclude, device_include, fixtures } = &context.settings.qdisc;
    let qdiscs = match fixtures {
        Some(dir) => from_json(dir.join("results.json"))?,
        None => dump().map_err(|source| SourceError::Kernel { what: "queues", source })?,
    };
    for qdisc in qdiscs.iter().filter(|it| it.parent == 0) {
        if !takes(&qdisc.iface_name, device_exclude.as_ref(), device_include.as_ref()) {
            continue;
        }
        for ((name, help, kind), value) in METRICS.into_iter().zip(qdisc.values()) {
            out.family(name, help, kind)
                .point([("device", &qdisc.iface_name), ("kind", &qdisc.kind)], as_f64(value));
        }
    }
    Ok(())
}

fn from_json(path: PathBuf) -> Result<Vec<Qdisc>, SourceError> {
    let parsed =
        fs::read(&path).and_then(|it| serde_json::from_slice(&it).map_err(io::Error::from));
    parsed.map_err(|source| SourceError::Read { path, source })
}

fn dump() -> io::Result<Vec<Qdisc>> {
    let netlink = Netlink::open(NETLINK_ROUTE)?;
    let names = links::names(&netlink)?;
    let mut qdiscs = Vec::new();
    netlink.ask(Ask::Dump, RTM_GETQDISC, &[0; TCMSG_BYTES], |_, body| {
        // A device may be gone by now.
        if let Some(name) = u32_at(body, INDEX_AT).and_then(|it| names.get(&it)) {
            qdiscs.extend(Qdisc::parse(body, name));
        }
    })?;
    Ok(qdiscs)
}

impl Qdisc {
    fn parse(body: &[u8], name: &str) -> Option<Self> {
        let parent = u32_at(body, PARENT_AT)?;
        let parent = if parent == ROOT { 0 } else { parent };
        let mut qdisc = Self { iface_name: name.to_owned(), parent, ..Self::default() };
        for (kind, value) in attributes(body.get(TCMSG_BYTES..)?) {
            match kind {
                TCA_KIND => qdisc.kind = text(value),
                TCA_STATS2 => qdisc.read_stats(value),
                _ => {}
            }
        }
        Some(qdisc)
    }

    fn read_stats(&mut self, value: &[u8]) {
        for (kind, value) in attributes(value) {
            let at = |at| u32_at(value, at).unwrap_or_default();
            match kind {
                TCA_STATS_BASIC => {
                    let bytes = value.first_chunk().map(|it| u64::from_ne_bytes(*it));
                    self.bytes = bytes.unwrap_or_default();
                    self.packets = at(8);
                }
                TCA_STATS_QUEUE => {
                    [self.qlen, self.backlog, self.drops, self.requeues, self.overlimits] =
                        [0, 4, 8, 12, 16].map(at);
                }
                _ => {}
            }
        }
    }

    fn values(&self) -> [u64; 7] {
        let Self { bytes, packets, drops, requeues, overlimits, qlen, backlog, .. } = *self;
        [
            bytes,
            packets.into(),
            drops.into(),
            requeues.into(),
            overlimits.into(),
            qlen.into(),
            backlog.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::sources::{netlink::attribute, tests::Host};

    fn message(parent: u32, kind: &str) -> Vec<u8> {
        let mut body = vec![0; TCMSG_BYTES];
        body[PARENT_AT..PARENT_AT + 4].copy_from_slice(&parent.to_ne_bytes());
        let numbers = |numbers: &[u32]| -> Vec<u8> {
            numbers.iter().flat_map(|it| it.to_ne_bytes()).collect()
        };
        let basic = [&5_000_000_000_u64.to_ne_bytes()[..], &numbers(&[42])].concat();
        let stats = [
            attribute(TCA_STATS_BASIC, &basic),
            attribute(TCA_STATS_QUEUE, &numbers(&[1, 2, 3, 4, 5])),
        ];
        body.extend(attribute(TCA_KIND, format!("{kind}\0").as_bytes()));
        body.extend(attribute(TCA_STATS2, &stats.concat()));
        body
    }

    #[test]
    fn messages_of_the_kernel_are_read() {
        let qdisc = Qdisc::parse(&message(ROOT, "fq_codel"), "eth0").unwrap();
        assert_eq!((&*qdisc.iface_name, &*qdisc.kind, qdisc.parent), ("eth0", "fq_codel", 0));
        assert_eq!(qdisc.values(), [5_000_000_000, 42, 3, 4, 5, 1, 2]);
        assert_eq!(Qdisc::parse(&message(0x8001_0001, "fq"), "eth0").unwrap().parent, 0x8001_0001);
        let cut = &message(ROOT, "fq")[..TCMSG_BYTES + 8];
        assert_eq!(Qdisc::parse(cut, "eth0").unwrap().values(), [0; 7]);
        assert!(Qdisc::parse(&[0; 9], "eth0").is_none());
    }

    #[test]
    fn queues_are_told_by_device_but_for_those_inside_others() {
        let mut host = Host::default();
        let dir = host.path("qdisc");
        host.settings().qdisc =
            toml::from_str(&format!("fixtures = {dir:?}\ndevice_exclude = \"^lo$\"")).unwrap();
        let inner = r#"{"IfaceName": "eth0", "Kind": "fq", "Parent": 1, "Bytes": 7}"#;
        let outer = r#"{"IfaceName": "eth0", "Kind": "mq", "Bytes": 83, "Qlen": 3, "Backlog": 9}"#;
        let other = r#"{"IfaceName": "lo", "Kind": "noqueue"}"#;
        host.file("qdisc/results.json", &format!("[{inner}, {outer}, {other}]"));
        host.check(
            collect,
            &expect![[r##"
            # HELP node_qdisc_backlog Bytes that wait in the queue.
            # TYPE node_qdisc_backlog gauge
            node_qdisc_backlog{device="eth0",kind="mq"} 9
            # HELP node_qdisc_bytes_total Bytes the queue sent.
            # TYPE node_qdisc_bytes_total counter
            node_qdisc_bytes_total{device="eth0",kind="mq"} 83
            # HELP node_qdisc_current_queue_length Packets that wait in the queue.
            # TYPE node_qdisc_current_queue_length gauge
            node_qdisc_current_queue_length{device="eth0",kind="mq"} 3
            # HELP node_qdisc_drops_total Packets the queue dropped.
            # TYPE node_qdisc_drops_total counter
            node_qdisc_drops_total{device="eth0",kind="mq"} 0
            # HELP node_qdisc_overlimits_total How often the queue was over a limit.
            # TYPE node_qdisc_overlimits_total counter
            node_qdisc_overlimits_total{device="eth0",kind="mq"} 0
            # HELP node_qdisc_packets_total Packets the queue sent.
            # TYPE node_qdisc_packets_total counter
            node_qdisc_packets_total{device="eth0",kind="mq"} 0
            # HELP node_qdisc_requeues_total Packets that came back since the device was busy.
            # TYPE node_qdisc_requeues_total counter
            node_qdisc_requeues_total{device="eth0",kind="mq"} 0
        "##]],
        );
        host.file("qdisc/results.json", "[{\"Bytes\": \"many\"}]").check(collect, &expect![[r#"
            error: cannot read /qdisc/results.json: invalid type: string "many", expected u64 at line 1 column 17
        "#]]);
    }

    #[test]
    fn the_kernel_answers() {
        // A namespace without devices that queue has none.
        assert!(!Host::default().text(collect).starts_with("error"));
    }
}
