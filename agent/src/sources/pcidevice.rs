//! PCI devices: what they are, their links, power states and virtual functions, from sysfs.

mod names;

use std::{borrow::Cow, fs, path::Path};

use skep_proto::MetricKind;

use self::names::Ids;
pub(crate) use self::names::{Names, Settings};
use super::{
    Context, SourceError,
    sysfs::{self, text, text_if_any},
};
use crate::exposition::Exposition;

const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];
const TRANSFERS_PER_GIGATRANSFER: f64 = 1e9;
/// What is told of a link that has no speed or width.
const NONE: f64 = -1.0;

/// File, metric, help, and what is told where there is no such file.
const NUMBERS: [(&str, &str, &str, f64); 7] = [
    ("max_link_width", "node_pcidevice_max_link_width", "Lanes the link can have.", NONE),
    ("current_link_width", "node_pcidevice_current_link_width", "Lanes the link has.", NONE),
    (
        "d3cold_allowed",
        "node_pcidevice_d3cold_allowed",
        "1 if the device may be switched off to D3cold, else 0.",
        0.0,
    ),
    (
        "sriov_drivers_autoprobe",
        "node_pcidevice_sriov_drivers_autoprobe",
        "1 if drivers are looked for as soon as a virtual function is made, else 0.",
        0.0,
    ),
    ("sriov_numvfs", "node_pcidevice_sriov_numvfs", "Virtual functions there are.", 0.0),
    ("sriov_totalvfs", "node_pcidevice_sriov_totalvfs", "Virtual functions there can be.", 0.0),
    (
        "sriov_vf_total_msix",
        "node_pcidevice_sriov_vf_total_msix",
        "MSI-X vectors for virtual functions.",
        0.0,
    ),
];

const SPEEDS: [(&str, &str, &str); 2] = [
    (
        "max_link_speed",
        "node_pcidevice_max_link_transfers_per_second",
        "Transfers a second the link can do.",
    ),
    (
        "current_link_speed",
        "node_pcidevice_current_link_transfers_per_second",
        "Transfers a second the link does.",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("bus/pci/devices");
    for name in sysfs::names(&dir, "PCI devices")? {
        let path = dir.join(&name);
        let target = fs::read_link(&path)
            .map_err(|source| SourceError::Read { path: path.clone(), source })?;
        let location = Location::parse(&name).ok_or(SourceError::Missing {
            file: "/sys/bus/pci/devices",
            what: "a location such as 0000:01:00.0",
        })?;
        // A device on a root bus hangs below `pci0000:00`, which is no device.
        let parent = target.parent().and_then(Path::file_name).and_then(|it| it.to_str());
        tell(context, &path, &location, parent.and_then(Location::parse).as_ref(), out)?;
    }
    Ok(())
}

/// `0000:01:00.0`
#[derive(Debug)]
struct Location<'a> {
    segment: &'a str,
    bus: &'a str,
    device: &'a str,
    function: &'a str,
}

impl<'a> Location<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (segment, rest) = name.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let is_hex = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_hexdigit());
        [segment, bus, device, function].into_iter().all(is_hex).then_some(Self {
            segment,
            bus,
            device,
            function,
        })
    }

    fn labels(&self) -> [(&'static str, &'a str); 4] {
        let Self { segment, bus, device, function } = *self;
        [("segment", segment), ("bus", bus), ("device", device), ("function", function)]
    }
}

fn tell(
    context: &Context,
    path: &Path,
    location: &Location<'_>,
    parent: Option<&Location<'_>>,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let ids = Ids {
        class: text(&path.join("class"))?,
        vendor: text(&path.join("vendor"))?,
        device: text(&path.join("device"))?,
        subsystem_vendor: text(&path.join("subsystem_vendor"))?,
        subsystem_device: text(&path.join("subsystem_device"))?,
    };
    let revision = text(&path.join("revision"))?;
    info(context, location, parent, (ids, revision), out);
    let labels = location.labels();
    for (file, name, help) in SPEEDS {
        let speed = text_if_any(&path.join(file))?;
        let value = speed.map_or(Ok(NONE), |it| transfers(&path.join(file), &it))?;
        out.family(name, help, MetricKind::Gauge).point(labels, value);
    }
    for (file, name, help, default) in NUMBERS {
        let path = path.join(file);
        let value = match text_if_any(&path)? {
            Some(text) if !is_unknown(&text) => sysfs::parse(&path, &text)?,
            _ => default,
        };
        out.family(name, help, MetricKind::Gauge).point(labels, value);
    }
    if let Some(node) = sysfs::value_if_any(&path.join("numa_node"))?.filter(|it| *it != NONE) {
        let help = "NUMA node of the device; none if it has no node of its own.";
        out.family("node_pcidevice_numa_node", help, MetricKind::Gauge).point(labels, node);
    }
    if let Some(state) = text_if_any(&path.join("power_state"))? {
        power_state(labels, &state, out);
    }
    Ok(())
}

fn is_unknown(text: &str) -> bool {
    text.is_empty() || text.starts_with("Unknown")
}

/// `8.0 GT/s PCIe`
fn transfers(path: &Path, text: &str) -> Result<f64, SourceError> {
    if is_unknown(text) {
        return Ok(NONE);
    }
    let number = text.strip_suffix(" GT/s PCIe").and_then(|it| it.parse::<f64>().ok());
    let wrong = || SourceError::Value { path: path.to_owned(), text: text.to_owned() };
    Ok(number.ok_or_else(wrong)? * TRANSFERS_PER_GIGATRANSFER)
}

fn info(
    context: &Context,
    location: &Location<'_>,
    parent: Option<&Location<'_>>,
    (ids, revision): (Ids, String),
    out: &mut Exposition,
) {
    let [segment, bus, device, function] = parent.map_or(["*"; 4], |it| it.labels().map(|it| it.1));
    let mut labels: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(20);
    let mut add = |name: &'static str, value: &str| labels.push((name.into(), value.to_owned()));
    location.labels().into_iter().for_each(|(name, value)| add(name, value));
    add("parent_segment", segment);
    add("parent_bus", bus);
    add("parent_device", device);
    add("parent_function", function);
    add("class_id", &ids.class);
    add("vendor_id", &ids.vendor);
    add("device_id", &ids.device);
    add("subsystem_vendor_id", &ids.subsystem_vendor);
    add("subsystem_device_id", &ids.subsystem_device);
    add("revision", &revision);
    let settings = &context.settings.pcidevice;
    if let Some(found) = context.state.pcidevice.of(settings, &context.roots.root, ids) {
        add("vendor_name", &found.vendor);
        add("device_name", &found.device);
        add("subsystem_vendor_name", &found.subsystem_vendor);
        add("subsystem_device_name", &found.subsystem_device);
        add("class_name", &found.class);
    }
    out.family(
        "node_pcidevice_info",
        "Always 1; the labels tell what the PCI device is and where.",
        MetricKind::Gauge,
    )
    .labelled(labels, 1.0);
}

fn power_state(labels: [(&'static str, &str); 4], state: &str, out: &mut Exposition) {
    let family = out.family(
        "node_pcidevice_power_state",
        "1 for the power state the device is in, 0 for the others.",
        MetricKind::Gauge,
    );
    let [segment, bus, device, function] = labels;
    for it in POWER_STATES {
        let labels = [segment, bus, device, function, ("state", it)];
        family.point(labels, f64::from(u8::from(it == state)));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use expect_test::expect;

    use super::{Location, collect};
    use crate::sources::tests::Host;

    fn device(host: &Host, target: &str, files: &[(&str, &str)]) {
        let ids = [
            ("class", "0x010802"),
            ("vendor", "0xc0a9"),
            ("device", "0x540a"),
            ("subsystem_vendor", "0x8086"),
            ("subsystem_device", "0x5021"),
            ("revision", "0x01"),
        ];
        for (file, text) in ids.iter().chain(files) {
            host.file(&format!("sys/devices/{target}/{file}"), &format!("{text}\n"));
        }
        let devices = host.path("sys/bus/pci/devices");
        std::fs::create_dir_all(&devices).unwrap();
        let name = target.rsplit('/').next().unwrap();
        symlink(format!("../../../devices/{target}"), devices.join(name)).unwrap();
    }

    #[test]
    fn devices_are_told_with_what_they_have() {
        let host = Host::default();
        let bridge = "pci0000:00/0000:00:02.1";
        device(&host, bridge, &[("current_link_speed", "Unknown"), ("numa_node", "-1")]);
        let disk = [
            ("max_link_speed", "16.0 GT/s PCIe"),
            ("current_link_speed", "8.0 GT/s PCIe"),
            ("max_link_width", "4"),
            ("current_link_width", "4"),
            ("numa_node", "1"),
            ("d3cold_allowed", "1"),
            ("power_state", "D3hot"),
            ("sriov_numvfs", "4"),
        ];
        device(&host, &format!("{bridge}/0000:01:00.0"), &disk);
        host.check(collect, &expect![[r##"
            # HELP node_pcidevice_current_link_transfers_per_second Transfers a second the link does.
            # TYPE node_pcidevice_current_link_transfers_per_second gauge
            node_pcidevice_current_link_transfers_per_second{segment="0000",bus="00",device="02",function="1"} -1
            node_pcidevice_current_link_transfers_per_second{segment="0000",bus="01",device="00",function="0"} 8e+09
            # HELP node_pcidevice_current_link_width Lanes the link has.
            # TYPE node_pcidevice_current_link_width gauge
            node_pcidevice_current_link_width{segment="0000",bus="00",device="02",function="1"} -1
            node_pcidevice_current_link_width{segment="0000",bus="01",device="00",function="0"} 4
            # HELP node_pcidevice_d3cold_allowed 1 if the device may be switched off to D3cold, else 0.
            # TYPE node_pcidevice_d3cold_allowed gauge
            node_pcidevice_d3cold_allowed{segment="0000",bus="00",device="02",function="1"} 0
            node_pcidevice_d3cold_allowed{segment="0000",bus="01",device="00",function="0"} 1
            # HELP node_pcidevice_info Always 1; the labels tell what the PCI device is and where.
            # TYPE node_pcidevice_info gauge
            node_pcidevice_info{segment="0000",bus="00",device="02",function="1",parent_segment="*",parent_bus="*",parent_device="*",parent_function="*",class_id="0x010802",vendor_id="0xc0a9",device_id="0x540a",subsystem_vendor_id="0x8086",subsystem_device_id="0x5021",revision="0x01"} 1
            node_pcidevice_info{segment="0000",bus="01",device="00",function="0",parent_segment="0000",parent_bus="00",parent_device="02",parent_function="1",class_id="0x010802",vendor_id="0xc0a9",device_id="0x540a",subsystem_vendor_id="0x8086",subsystem_device_id="0x5021",revision="0x01"} 1
            # HELP node_pcidevice_max_link_transfers_per_second Transfers a second the link can do.
            # TYPE node_pcidevice_max_link_transfers_per_second gauge
            node_pcidevice_max_link_transfers_per_second{segment="0000",bus="00",device="02",function="1"} -1
            node_pcidevice_max_link_transfers_per_second{segment="0000",bus="01",device="00",function="0"} 1.6e+10
            # HELP node_pcidevice_max_link_width Lanes the link can have.
            # TYPE node_pcidevice_max_link_width gauge
            node_pcidevice_max_link_width{segment="0000",bus="00",device="02",function="1"} -1
            node_pcidevice_max_link_width{segment="0000",bus="01",device="00",function="0"} 4
            # HELP node_pcidevice_numa_node NUMA node of the device; none if it has no node of its own.
            # TYPE node_pcidevice_numa_node gauge
            node_pcidevice_numa_node{segment="0000",bus="01",device="00",function="0"} 1
            # HELP node_pcidevice_power_state 1 for the power state the device is in, 0 for the others.
            # TYPE node_pcidevice_power_state gauge
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="D0"} 0
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="D1"} 0
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="D2"} 0
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="D3hot"} 1
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="D3cold"} 0
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="unknown"} 0
            node_pcidevice_power_state{segment="0000",bus="01",device="00",function="0",state="error"} 0
            # HELP node_pcidevice_sriov_drivers_autoprobe 1 if drivers are looked for as soon as a virtual function is made, else 0.
            # TYPE node_pcidevice_sriov_drivers_autoprobe gauge
            node_pcidevice_sriov_drivers_autoprobe{segment="0000",bus="00",device="02",function="1"} 0
            node_pcidevice_sriov_drivers_autoprobe{segment="0000",bus="01",device="00",function="0"} 0
            # HELP node_pcidevice_sriov_numvfs Virtual functions there are.
            # TYPE node_pcidevice_sriov_numvfs gauge
            node_pcidevice_sriov_numvfs{segment="0000",bus="00",device="02",function="1"} 0
            node_pcidevice_sriov_numvfs{segment="0000",bus="01",device="00",function="0"} 4
            # HELP node_pcidevice_sriov_totalvfs Virtual functions there can be.
            # TYPE node_pcidevice_sriov_totalvfs gauge
            node_pcidevice_sriov_totalvfs{segment="0000",bus="00",device="02",function="1"} 0
            node_pcidevice_sriov_totalvfs{segment="0000",bus="01",device="00",function="0"} 0
            # HELP node_pcidevice_sriov_vf_total_msix MSI-X vectors for virtual functions.
            # TYPE node_pcidevice_sriov_vf_total_msix gauge
            node_pcidevice_sriov_vf_total_msix{segment="0000",bus="00",device="02",function="1"} 0
            node_pcidevice_sriov_vf_total_msix{segment="0000",bus="01",device="00",function="0"} 0
        "##]]);
    }

    #[test]
    fn devices_can_have_names() {
        let mut host = Host::default();
        host.settings().pcidevice = toml::from_str("names = true").unwrap();
        device(&host, "pci0000:00/0000:00:02.1", &[]);
        let info = |host: &Host| {
            let text = host.text(collect);
            let info = text.lines().find(|it| it.starts_with("node_pcidevice_info{")).unwrap();
            info.split_once(",vendor_name=").unwrap().1.to_owned()
        };
        assert_eq!(
            info(&host),
            "\"c0a9\",device_name=\"540a\",subsystem_vendor_name=\"8086\",\
             subsystem_device_name=\"5021\",class_name=\"Unknown class (010802)\"} 1"
        );
        let mut host = Host::default();
        host.settings().pcidevice = toml::from_str("names = true").unwrap();
        device(&host, "pci0000:00/0000:00:02.1", &[]);
        host.file(
            "usr/share/misc/pci.ids",
            "# a comment\n\n1000  Other\n\t540a  Not this one\n\
             8086  Intel Corporation\n\t540a  Nor this one\n\
             c0a9  Micron/Crucial Technology\n\t5407  P5\n\t540a  P2 [Nick P2]\n\
             \t\t8086 5020  Not it\n\t\t8086 5021  Shelf disk\n\
             C 01  Mass storage controller\n\t06  SATA controller\n\t\t02  Not it\n\
             \t08  Non-Volatile memory controller\n\t\t01  NVMHCI\n\t\t02  NVM Express\n\
             C 02  Network controller\n\t08  Fabric controller\n",
        );
        let names = "\"Micron/Crucial Technology\",device_name=\"P2 [Nick P2]\",\
            subsystem_vendor_name=\"Intel Corporation\",subsystem_device_name=\"Shelf disk\",\
            class_name=\"NVM Express\"} 1";
        assert_eq!(info(&host), names);
        // Names are looked up once.
        std::fs::remove_file(host.path("usr/share/misc/pci.ids")).unwrap();
        assert_eq!(info(&host), names);
    }

    #[test]
    fn a_host_without_pci_has_no_data_and_what_is_wrong_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no PCI devices
        "#]],
        );
        device(&host, "pci0000:00/0000:00:02.1", &[("max_link_speed", "fast")]);
        host.check(
            collect,
            &expect![[r#"
            error: /sys/bus/pci/devices/0000:00:02.1/max_link_speed: not a number: "fast"
        "#]],
        );
        let host = Host::default();
        device(&host, "pci0000:00/0000:00:02.1", &[("sriov_numvfs", "many")]);
        host.check(
            collect,
            &expect![[r#"
            error: /sys/bus/pci/devices/0000:00:02.1/sriov_numvfs: not a number: "many"
        "#]],
        );
        let host = Host::default();
        device(&host, "pci0000:00/strange", &[]);
        host.check(
            collect,
            &expect![[r#"
                error: /sys/bus/pci/devices: a location such as 0000:01:00.0 is missing
            "#]],
        );
    }

    #[test]
    fn locations_are_four_numbers() {
        assert!(Location::parse("0000:0a:1f.7").is_some());
        assert!(Location::parse("pci0000:00").is_none());
        assert!(Location::parse("0000:00:02").is_none());
        assert!(Location::parse("0000:x0:02.1").is_none());
    }
}
