//! Our collectors beside a `prometheus-node-exporter` on this very host, where it is installed:
//! same families, types and series, and values that lie between ours before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use skep_proto::SystemClock;

use super::{
    Context, Roots, Settings, collect_all,
    conformance::{Family, parse},
};
use crate::exposition::Exposition;

const PEER: &str = "prometheus-node-exporter";

/// Of the peer itself and of its doings.
const NOT_COMPARED: [&str; 2] =
    ["node_exporter_build_info", "node_scrape_collector_duration_seconds"];

/// Collectors that are off by default here and there.
const WIDE: [&str; 13] = [
    "buddyinfo",
    "cgroups",
    "interrupts",
    "ksmd",
    "lnstat",
    "meminfo_numa",
    "mountstats",
    "network_route",
    "processes",
    "qdisc",
    "slabinfo",
    "tcpstat",
    "zoneinfo",
];

/// Whose series come and go with the states that something is in.
const PASSING: [&str; 3] =
    ["node_processes_state", "node_processes_threads_state", "node_tcp_connection_states"];

/// What may be another from one moment to the next and back: only whether it is there is compared.
const OF_THE_MOMENT: [&str; 28] = [
    "node_buddyinfo_",
    "node_ksmd_pages_",
    "node_lnstat_entries_total",
    "node_processes_",
    "node_qdisc_",
    "node_slabinfo_",
    "node_zoneinfo_",
    "node_arp_entries",
    "node_cooling_device_",
    "node_hwmon_",
    "node_ipvs_",
    "node_nf_conntrack_entries",
    "node_power_supply_",
    "node_thermal_zone_",
    "node_timex_",
    "node_udp_queues",
    "node_disk_io_now",
    "node_procs_",
    "node_sockstat_",
    "node_memory_",
    "node_filesystem_",
    "node_load",
    "node_pressure_",
    "node_netstat_Tcp_CurrEstab",
    "node_filefd_",
    "node_entropy_",
    "node_time_seconds",
    "node_cpu_scaling_frequency",
];

/// What node_exporter tells since 1.5, which is Debian's.
const NEWER: [&str; 15] = [
    "node_bcachefs_",
    "node_btrfs_",
    "node_dmmultipath_",
    "node_edac_channel_",
    "node_filesystem_mount_info",
    "node_infiniband_info",
    "node_kernel_hung_tasks_total",
    "node_ksmd_general_profit_bytes",
    "node_md_",
    "node_nvme_namespace_",
    "node_pressure_irq_",
    "node_softnet_",
    "node_watchdog_",
    "node_xfs_",
    "node_zfs_",
];

#[test]
fn a_node_exporter_on_this_host_tells_the_same() {
    let Some(peer) = Peer::start() else {
        println!("skipped: {PEER} is not installed");
        return;
    };
    let before = parse(&ours());
    let theirs = parse(&peer.scrape());
    let after = parse(&ours());
    let mut faults = Vec::new();
    let mut n_series = 0;
    let is_compared = |name: &str| name.starts_with("node_") && !NOT_COMPARED.contains(&name);
    for (name, family) in theirs.iter().filter(|it| is_compared(it.0)) {
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => {
                n_series += family.1.len();
                faults.extend(compare(name, family, before, after));
            }
            _ => faults.push(format!("{name} is missing")),
        }
    }
    let is_newer = |name: &str| NEWER.iter().any(|it| name.starts_with(it));
    let only_ours =
        before.keys().filter(|it| is_compared(it) && !theirs.contains_key(*it) && !is_newer(it));
    faults.extend(only_ours.map(|it| format!("{it} is ours only")));
    println!("{n_series} series of {} families compared", theirs.len());
    assert!(n_series > 0, "{PEER} told nothing");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn compare(name: &str, theirs: &Family, before: &Family, after: &Family) -> Vec<String> {
    let (kind, series) = theirs;
    if before.0 != *kind {
        return vec![format!("{name}: type {} instead of {kind}", before.0)];
    }
    if PASSING.contains(&name) {
        return Vec::new();
    }
    // Newer versions of node_exporter, which we follow, have labels that this one may not have yet.
    let known: BTreeSet<&str> = series.keys().flatten().map(|it| label_name(it)).collect();
    let (before, after) = (project(before, &known), project(after, &known));
    let is_steady = !OF_THE_MOMENT.iter().any(|it| name.starts_with(it));
    let mut faults = Vec::new();
    for (labels, value) in series {
        let (Some(before), Some(after)) = (before.get(labels), after.get(labels)) else {
            faults.push(format!("{name}{labels:?} is missing"));
            continue;
        };
        // The kernel's seconds of idling go back now and then, by a tick or two.
        let slack = if name.ends_with("_seconds_total") { 0.05 } else { value.abs() * 1e-9 };
        let range = before.min(*after) - slack..=before.max(*after) + slack;
        // A gauge that moves may have been anywhere; one that stands has stood.
        let is_told = kind != "gauge" || before.to_bits() == after.to_bits();
        if is_steady && is_told && !range.contains(value) {
            faults.push(format!("{name}{labels:?} is {value}, ours {before} and {after}"));
        }
    }
    // We have collectors that it has not.
    let is_whole = name != "node_scrape_collector_success";
    let extra = before.keys().find(|it| is_whole && !series.contains_key(*it));
    faults.extend(extra.map(|it| format!("{name}{it:?} is too many")));
    faults
}

fn project(family: &Family, known: &BTreeSet<&str>) -> BTreeMap<BTreeSet<String>, f64> {
    let keep = |labels: &BTreeSet<String>| {
        labels.iter().filter(|it| known.contains(label_name(it))).cloned().collect()
    };
    family.1.iter().map(|(labels, value)| (keep(labels), *value)).collect()
}

fn label_name(label: &str) -> &str {
    label.split('=').next().unwrap()
}

fn ours() -> String {
    let mut out = Exposition::default();
    let settings: Settings = toml::from_str(&format!("enable = {WIDE:?}")).unwrap();
    let context = Context::new(Roots::default(), settings, Arc::new(SystemClock), usize::MAX);
    for (name, error) in collect_all(&context, &mut out) {
        println!("{name}: {:#}", anyhow::Error::new(error));
    }
    out.to_text()
}

/// Our defaults as the peer's flags.
fn filters() -> Vec<String> {
    let Settings { diskstats, filesystem, netstat, vmstat, .. } = Settings::default();
    vec![
        format!("--collector.diskstats.device-exclude={}", diskstats.device_exclude.as_str()),
        format!(
            "--collector.filesystem.mount-points-exclude={}",
            filesystem.mount_points_exclude.as_str()
        ),
        format!("--collector.filesystem.fs-types-exclude={}", filesystem.fs_types_exclude.as_str()),
        "--collector.netdev.device-exclude=".to_owned(),
        format!("--collector.netstat.fields={}", netstat.fields.as_str()),
        "--collector.textfile.directory=".to_owned(),
        format!("--collector.vmstat.fields={}", vmstat.fields.as_str()),
    ]
}

/// Ends with the test.
struct Peer {
    process: Child,
    address: String,
}

impl Peer {
    fn start() -> Option<Self> {
        let process = Command::new(PEER)
            .args(["--web.listen-address=127.0.0.1:0", "--web.disable-exporter-metrics"])
            // Debian has other defaults than node_exporter.
            .arg("--no-collector.systemd")
            .args(filters())
            .args(WIDE.map(|it| format!("--collector.{it}")))
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut peer = Self { process, address: String::new() };
        // The pipe stays open behind the reader: a peer that cannot log would end.
        let log = BufReader::new(peer.process.stderr.as_mut().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let line = lines.find(|it| it.contains("Listening on")).expect("it says where it listens");
        let address = line.split("address=").nth(1).unwrap();
        peer.address = address.split_ascii_whitespace().next().unwrap().to_owned();
        Some(peer)
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        body.to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
