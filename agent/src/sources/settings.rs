//! What the collectors can be told; the defaults are node_exporter's.

use std::{path::PathBuf, str::FromStr, time::Duration};

use regex::Regex;
use serde::Deserialize;

use super::{SOURCES, Source};

/// Settings by collector, each under the collector's name: `[collectors.filesystem]`. A key is
/// node_exporter's flag without the collector's name, `-` written as `_`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Collectors to run besides those that run by default.
    pub(crate) enable: Vec<SourceName>,
    /// Collectors not to run.
    pub(crate) disable: Vec<SourceName>,
    /// Whether only those of `enable` run.
    pub(crate) disable_defaults: bool,
    pub(crate) arp: DeviceSettings,
    pub(crate) bcache: super::bcache::BcacheSettings,
    pub(crate) cpu: CpuSettings,
    pub(crate) diskstats: DiskstatsSettings,
    pub(crate) ethtool: super::ethtool::Settings,
    pub(crate) filesystem: FilesystemSettings,
    pub(crate) hwmon: HwmonSettings,
    pub(crate) infiniband: DeviceSettings,
    pub(crate) interrupts: super::interrupts::Settings,
    pub(crate) ipvs: super::ipvs::IpvsSettings,
    pub(crate) netclass: NetclassSettings,
    pub(crate) netdev: super::netdev::NetdevSettings,
    pub(crate) netstat: NetstatSettings,
    pub(crate) ntp: super::ntp::Settings,
    pub(crate) pcidevice: super::pcidevice::Settings,
    pub(crate) powersupplyclass: super::powersupplyclass::PowerSupplySettings,
    pub(crate) qdisc: super::qdisc::Settings,
    pub(crate) rapl: super::rapl::RaplSettings,
    pub(crate) runit: super::runit::Settings,
    pub(crate) slabinfo: super::slabinfo::Settings,
    pub(crate) stat: StatSettings,
    pub(crate) supervisord: super::supervisord::Settings,
    pub(crate) sysctl: super::sysctl::Settings,
    pub(crate) systemd: super::systemd::Settings,
    pub(crate) tapestats: super::tapestats::TapestatsSettings,
    pub(crate) textfile: TextfileSettings,
    pub(crate) vmstat: VmstatSettings,
    pub(crate) wifi: super::wifi::Settings,
}

impl Settings {
    /// Makes these run, and no others.
    pub(crate) fn only(&mut self, sources: Vec<SourceName>) {
        self.enable = sources;
        self.disable = Vec::new();
        self.disable_defaults = true;
    }

    pub(crate) fn runs(&self, source: &Source) -> bool {
        let names = |list: &[SourceName]| list.iter().any(|it| it.0 == source.name);
        let is_on = source.is_on && !self.disable_defaults;
        (is_on || names(&self.enable)) && !names(&self.disable)
    }
}

/// The name of one of [`SOURCES`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct SourceName(String);

impl FromStr for SourceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.to_owned().try_into()
    }
}

impl TryFrom<String> for SourceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if SOURCES.iter().any(|it| it.name == name) {
            return Ok(Self(name));
        }
        let names: Vec<&str> = SOURCES.iter().map(|it| it.name).collect();
        Err(format!("there is no collector {name:?}; there are {}", names.join(", ")))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CpuSettings {
    /// Whether `node_cpu_guest_seconds_total` is collected.
    pub(crate) guest: bool,
    /// Whether `node_cpu_info` is collected; on as well where one of the two below is set.
    pub(crate) info: bool,
    /// Which CPU flags become `node_cpu_flag_info`.
    pub(crate) info_flags_include: Option<Pattern>,
    /// Which CPU bugs become `node_cpu_bug_info`.
    pub(crate) info_bugs_include: Option<Pattern>,
}

impl Default for CpuSettings {
    fn default() -> Self {
        Self { guest: true, info: false, info_flags_include: None, info_bugs_include: None }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DiskstatsSettings {
    pub(crate) device_exclude: Pattern,
    /// Decides alone where it is set.
    pub(crate) device_include: Option<Pattern>,
}

impl Default for DiskstatsSettings {
    fn default() -> Self {
        Self {
            device_exclude: Pattern::known(r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"),
            device_include: None,
        }
    }
}

impl DiskstatsSettings {
    pub(crate) fn takes(&self, device: &str) -> bool {
        takes(device, Some(&self.device_exclude), self.device_include.as_ref())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FilesystemSettings {
    pub(crate) mount_points_exclude: Pattern,
    /// Decides alone where it is set.
    pub(crate) mount_points_include: Option<Pattern>,
    pub(crate) fs_types_exclude: Pattern,
    /// Decides alone where it is set.
    pub(crate) fs_types_include: Option<Pattern>,
    /// How long one file system may take to answer before it is reported as stuck. Default 5.
    #[serde(rename = "mount_timeout_seconds", deserialize_with = "seconds")]
    pub(crate) mount_timeout: Duration,
}

impl Default for FilesystemSettings {
    fn default() -> Self {
        Self {
            mount_points_exclude: Pattern::known(
                r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
            ),
            mount_points_include: None,
            fs_types_exclude: Pattern::known(
                "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$",
            ),
            fs_types_include: None,
            mount_timeout: Duration::from_secs(5),
        }
    }
}

impl FilesystemSettings {
    pub(crate) fn takes(&self, mount_point: &str, fs_type: &str) -> bool {
        let Self { mount_points_exclude, fs_types_exclude, .. } = self;
        takes(mount_point, Some(mount_points_exclude), self.mount_points_include.as_ref())
            && takes(fs_type, Some(fs_types_exclude), self.fs_types_include.as_ref())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeviceSettings {
    pub(crate) device_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    pub(crate) device_include: Option<Pattern>,
}

impl DeviceSettings {
    pub(crate) fn takes(&self, device: &str) -> bool {
        takes(device, self.device_exclude.as_ref(), self.device_include.as_ref())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HwmonSettings {
    pub(crate) chip_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    pub(crate) chip_include: Option<Pattern>,
    /// Matched against `chip;sensor`, as the next one.
    pub(crate) sensor_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    pub(crate) sensor_include: Option<Pattern>,
}

impl HwmonSettings {
    pub(crate) fn takes_chip(&self, chip: &str) -> bool {
        takes(chip, self.chip_exclude.as_ref(), self.chip_include.as_ref())
    }

    pub(crate) fn takes_sensor(&self, chip: &str, sensor: &str) -> bool {
        let name = format!("{chip};{sensor}");
        takes(&name, self.sensor_exclude.as_ref(), self.sensor_include.as_ref())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetclassSettings {
    pub(crate) ignored_devices: Option<Pattern>,
    /// Whether devices that do not know their speed have none; by default it is -125000.
    pub(crate) ignore_invalid_speed: bool,
    /// Whether `node_network_altnames_info` is collected; only netlink tells it.
    pub(crate) netlink: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetstatSettings {
    pub(crate) fields: Pattern,
}

impl Default for NetstatSettings {
    fn default() -> Self {
        Self {
            fields: Pattern::known(
                "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
            ),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatSettings {
    /// Whether `node_softirqs_total` is collected.
    pub(crate) softirq: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TextfileSettings {
    /// Where `*.prom` files of other programs lie; `*`, `?` and `[…]` match as in a shell.
    pub(crate) directories: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VmstatSettings {
    pub(crate) fields: Pattern,
}

impl Default for VmstatSettings {
    fn default() -> Self {
        Self { fields: Pattern::known("^(oom_kill|pgpg|pswp|pg.*fault).*") }
    }
}

/// A regular expression of the configuration, not anchored.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(Regex);

impl Pattern {
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn known(pattern: &str) -> Self {
        Self(Regex::new(pattern).expect("a test builds all defaults"))
    }
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Regex::new(&pattern).map(Self)
    }
}

/// Whether a filter of both kinds lets a name through; `include` decides alone where it is set.
pub(super) fn takes(name: &str, exclude: Option<&Pattern>, include: Option<&Pattern>) -> bool {
    match (include, exclude) {
        (Some(include), _) => include.matches(name),
        (None, Some(exclude)) => !exclude.matches(name),
        (None, None) => true,
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}
