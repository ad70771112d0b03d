//! What the agent collects: one file a source, one line a source in [`SOURCES`].

mod arp;
mod bcache;
mod bcachefs;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
mod conntrack;
mod cpu;
mod cpu_vulnerabilities;
mod cpufreq;
mod dbus;
mod diskstats;
mod dmi;
mod dmmultipath;
mod drbd;
mod drm;
pub(crate) mod ebpf;
mod edac;
mod entropy;
mod ethtool;
pub(crate) mod feed;
mod fibrechannel;
mod filefd;
mod files;
mod filesystem;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
pub(crate) mod journal;
mod kernel_hung;
mod ksmd;
mod links;
mod lnstat;
mod loadavg;
pub(crate) mod log_files;
mod logind;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netlink;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod ntp;
mod nvme;
mod nvmesubsystem;
mod os;
mod pcidevice;
mod powersupplyclass;
mod pressure;
mod processes;
mod qdisc;
mod rapl;
mod rpc_stats;
mod runit;
mod schedstat;
mod selinux;
mod settings;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod supervisord;
mod swap;
mod syscalls;
mod sysctl;
mod sysfs;
mod systemd;
mod tapestats;
mod tcpstat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod unit;
pub(crate) mod units;
mod vmstat;
mod watchdog;
mod wifi;
mod xfrm;
mod xfs;
mod zfs;
mod zoneinfo;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_proto::{Clock, Labels, LogEntry, MetricKind};

use crate::exposition::Exposition;

use self::units::{SharedUnits, Units};
pub(crate) use files::Folder;
pub(crate) use settings::{Settings, SourceName};

/// A source of metrics read anew at each tick.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    /// Whether it runs where the settings say nothing.
    pub(crate) is_on: bool,
    pub(crate) collect: Collect,
}

type Collect = fn(&Context, &mut Exposition) -> Result<(), SourceError>;

/// Every source of metrics, in the order of the collection.
pub(crate) const SOURCES: &[Source] = &[
    on("arp", arp::collect),
    on("bcache", bcache::collect),
    on("bcachefs", bcachefs::collect),
    on("bonding", bonding::collect),
    on("btrfs", btrfs::collect),
    off("buddyinfo", buddyinfo::collect),
    off("cgroups", cgroups::collect),
    on("conntrack", conntrack::collect),
    on("cpu", cpu::collect),
    off("cpu_vulnerabilities", cpu_vulnerabilities::collect),
    on("cpufreq", cpufreq::collect),
    on("diskstats", diskstats::collect),
    on("dmi", dmi::collect),
    on("dmmultipath", dmmultipath::collect),
    off("drbd", drbd::collect),
    off("drm", drm::collect),
    on("edac", edac::collect),
    on("entropy", entropy::collect),
    off("ethtool", ethtool::collect),
    on("fibrechannel", fibrechannel::collect),
    on("filefd", filefd::collect),
    on("filesystem", filesystem::collect),
    on("hwmon", hwmon::collect),
    on("infiniband", infiniband::collect),
    off("interrupts", interrupts::collect),
    on("ipvs", ipvs::collect),
    on("kernel_hung", kernel_hung::collect),
    off("ksmd", ksmd::collect),
    off("lnstat", lnstat::collect),
    on("loadavg", loadavg::collect),
    off("logind", logind::collect),
    on("mdadm", mdadm::collect),
    on("meminfo", meminfo::collect),
    off("meminfo_numa", meminfo_numa::collect),
    off("mountstats", mountstats::collect),
    on("netclass", netclass::collect),
    on("netdev", netdev::collect),
    on("netstat", netstat::collect),
    off("network_route", network_route::collect),
    on("nfs", nfs::collect),
    on("nfsd", nfsd::collect),
    off("ntp", ntp::collect),
    on("nvme", nvme::collect),
    off("nvmesubsystem", nvmesubsystem::collect),
    on("os", os::collect),
    off("pcidevice", pcidevice::collect),
    on("powersupplyclass", powersupplyclass::collect),
    on("pressure", pressure::collect),
    off("processes", processes::collect),
    off("qdisc", qdisc::collect),
    on("rapl", rapl::collect),
    off("runit", runit::collect),
    on("schedstat", schedstat::collect),
    on("selinux", selinux::collect),
    off("slabinfo", slabinfo::collect),
    on("sockstat", sockstat::collect),
    off("softirqs", softirqs::collect),
    on("softnet", softnet::collect),
    on("stat", stat::collect),
    off("supervisord", supervisord::collect),
    off("swap", swap::collect),
    off("sysctl", sysctl::collect),
    off("systemd", systemd::collect),
    on("tapestats", tapestats::collect),
    off("tcpstat", tcpstat::collect),
    on("textfile", textfile::collect),
    on("thermal_zone", thermal_zone::collect),
    on("time", time::collect),
    on("timex", timex::collect),
    on("udp_queues", udp_queues::collect),
    on("uname", uname::collect),
    on("unit", unit::collect),
    on("vmstat", vmstat::collect),
    on("watchdog", watchdog::collect),
    off("wifi", wifi::collect),
    off("xfrm", xfrm::collect),
    on("xfs", xfs::collect),
    on("zfs", zfs::collect),
    off("zoneinfo", zoneinfo::collect),
];

const fn on(name: &'static str, collect: Collect) -> Source {
    Source { name, is_on: true, collect }
}

const fn off(name: &'static str, collect: Collect) -> Source {
    Source { name, is_on: false, collect }
}

/// What a collector may look at. Made once and kept as long as the agent runs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) roots: Roots,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) units: SharedUnits,
    state: State,
}

impl Context {
    /// At most `units_max` units are told apart.
    pub(crate) fn new(
        roots: Roots,
        settings: Settings,
        clock: Arc<dyn Clock>,
        units_max: usize,
    ) -> Self {
        let units = Units::new(&roots, units_max).shared();
        Self { roots, settings, clock, units, state: State::default() }
    }
}

/// What collectors remember from one collection to the next.
#[derive(Debug, Default)]
struct State {
    cpu: cpu::Seen,
    filesystem: filesystem::Mounts,
    unit: unit::Seen,
    pcidevice: pcidevice::Names,
}

/// Where the host's file systems are mounted, as seen from this process.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
    pub(crate) udev: PathBuf,
    pub(crate) root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            udev: "/run/udev/data".into(),
            root: "/".into(),
        }
    }
}

impl Roots {
    /// A whole file below the proc root, as text.
    pub(crate) fn read_proc(&self, file: &str) -> Result<String, SourceError> {
        read(&self.proc.join(file))
    }
}

/// A log line on its way to the spool.
#[derive(Debug, Clone)]
pub(crate) struct LogRecord {
    pub(crate) stream: Labels,
    pub(crate) entry: LogEntry,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{file}: {what} is missing")]
    Missing { file: &'static str, what: &'static str },
    #[error("{file}: {what} is not a number: {text:?}")]
    Number { file: &'static str, what: &'static str, text: String },
    #[error("{}: not a number: {text:?}", path.display())]
    Value { path: PathBuf, text: String },
    /// Not a fault: the collector just yields nothing.
    #[error("this host has no {what}")]
    NoData { what: &'static str },
    #[error("cannot ask the kernel for {what}")]
    Kernel { what: &'static str, source: io::Error },
    #[error("cannot ask {peer} at {at}")]
    Peer { peer: &'static str, at: String, source: io::Error },
}

pub(crate) fn read(path: &Path) -> Result<String, SourceError> {
    let text = files::open(path).and_then(|file| files::read_text(&file, files::TEXT_BYTES));
    text.map_err(|source| SourceError::Read { path: path.to_owned(), source })
}

/// A number of a file, where `what` names it in the error.
pub(crate) fn number(
    file: &'static str,
    what: &'static str,
    text: Option<&str>,
) -> Result<f64, SourceError> {
    let text = text.ok_or(SourceError::Missing { file, what })?;
    text.parse().map_err(|std::num::ParseFloatError { .. }| SourceError::Number {
        file,
        what,
        text: text.to_owned(),
    })
}

/// A one-line file that need not be there.
pub(crate) fn read_trimmed(path: &Path) -> Option<String> {
    files::trimmed(&files::open(path).ok()?)
}

/// Names in a folder, sorted; none where it cannot be read. Names that are not UTF-8 are left out:
/// the kernel makes none.
pub(crate) fn sorted_dir(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|it| it.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Which of the sources that are switched on a collection shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    All,
    Only(BTreeSet<String>),
    Except(BTreeSet<String>),
}

impl Choice {
    /// What node_exporter would say of a name that cannot be chosen. Names to leave out may be any.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), String> {
        let Self::Only(names) = self else { return Ok(()) };
        for name in names {
            match SOURCES.iter().find(|it| it.name == name) {
                None => return Err(format!("missing collector: {name}")),
                Some(source) if !settings.runs(source) => {
                    return Err(format!("disabled collector: {name}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn takes(&self, source: &Source) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(source.name),
            Self::Except(names) => !names.contains(source.name),
        }
    }
}

/// Runs every source that is switched on; one that fails reports itself and the others go on.
pub(crate) fn collect_all(
    context: &Context,
    out: &mut Exposition,
) -> Vec<(&'static str, SourceError)> {
    collect_chosen(context, &Choice::All, out)
}

/// As [`collect_all`], but only those that were chosen.
pub(crate) fn collect_chosen(
    context: &Context,
    choice: &Choice,
    out: &mut Exposition,
) -> Vec<(&'static str, SourceError)> {
    let mut errors = Vec::new();
    let is_chosen = |it: &&Source| context.settings.runs(it) && choice.takes(it);
    for source in SOURCES.iter().filter(is_chosen) {
        let started = tokio::time::Instant::now();
        let result = (source.collect)(context, out);
        let seconds = started.elapsed().as_secs_f64();
        out.family(
            "node_scrape_collector_duration_seconds",
            "Time the collector took, in seconds.",
            MetricKind::Gauge,
        )
        .point([("collector", source.name)], seconds);
        out.family(
            "node_scrape_collector_success",
            "1 if the collector yielded its metrics, else 0.",
            MetricKind::Gauge,
        )
        .point([("collector", source.name)], f64::from(u8::from(result.is_ok())));
        match result {
            Ok(()) | Err(SourceError::NoData { .. }) => {}
            Err(error) => errors.push((source.name, error)),
        }
    }
    errors
}

#[cfg(test)]
mod compat;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod live;
#[cfg(test)]
mod tests;
