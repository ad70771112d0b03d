//! Temperatures, fans, voltages and power of the board's sensors, from `/sys/class/hwmon`.

mod unit;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use skep_proto::MetricKind;

use self::unit::Unit;
use super::{Context, SourceError, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

/// What a file's name may begin with: the kinds of sensors that are told.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// A sensor's files: property → value; the file without a property is "".
type Properties = BTreeMap<String, String>;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let class = context.roots.sys.join("class/hwmon");
    if !class.is_dir() {
        return Err(SourceError::NoData { what: "hardware monitors" });
    }
    let dirs: Vec<PathBuf> =
        sorted_dir(&class).iter().map(|it| class.join(it)).filter(|it| it.is_dir()).collect();
    let mut n_monitors: HashMap<PathBuf, usize> = HashMap::new();
    for device in dirs.iter().filter_map(|it| device(it)) {
        *n_monitors.entry(device).or_default() += 1;
    }
    let settings = &context.settings.hwmon;
    for dir in &dirs {
        let is_shared = device(dir).is_some_and(|it| n_monitors.get(&it).is_some_and(|n| *n > 1));
        let Some(chip) = chip(dir, is_shared) else { continue };
        if !settings.takes_chip(&chip) {
            continue;
        }
        if let Some(name) = chip_name(dir) {
            out.family(
                "node_hwmon_chip_names",
                "Always 1; chip_name is the name the chip's driver gives it.",
                MetricKind::Gauge,
            )
            .point([("chip", &chip), ("chip_name", &name)], 1.0);
        }
        let mut sensors = BTreeMap::new();
        read_sensors(dir, &mut sensors);
        read_sensors(&dir.join("device"), &mut sensors);
        for ((kind, number), properties) in &sensors {
            let sensor = format!("{kind}{number}");
            if settings.takes_sensor(&chip, &sensor) {
                emit(out, &chip, kind, &sensor, properties);
            }
        }
    }
    Ok(())
}

/// What the monitor belongs to.
fn device(dir: &Path) -> Option<PathBuf> {
    fs::canonicalize(dir.join("device")).ok()
}

/// The device's path is what stays the same from boot to boot: `platform_coretemp_0`. Where one
/// device has several monitors, their names tell them apart.
fn chip(dir: &Path, is_shared: bool) -> Option<String> {
    let name = chip_name(dir);
    let from_device = device(dir).and_then(|device| {
        let text = |it: &Path| Some(clean(&it.file_name()?.to_string_lossy()));
        let (bus, device) = (text(device.parent()?)?, text(&device)?);
        match (bus.is_empty(), device.is_empty()) {
            (false, false) => Some(format!("{bus}_{device}")),
            (true, false) => Some(device),
            _ => None,
        }
    });
    match (from_device, name) {
        (Some(device), Some(name)) if is_shared => Some(format!("{device}_{name}")),
        (Some(chip), _) | (None, Some(chip)) => Some(chip),
        (None, None) => {
            let real = fs::canonicalize(dir).ok()?;
            Some(clean(&real.file_name()?.to_string_lossy()))
        }
    }
    .filter(|it| !it.is_empty())
}

fn chip_name(dir: &Path) -> Option<String> {
    read_trimmed(&dir.join("name")).map(|it| clean(&it)).filter(|it| !it.is_empty())
}

/// Lower case letters, digits, `:` and `_`.
fn clean(name: &str) -> String {
    let lower = name.to_lowercase();
    let replace = |c: char| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
    lower.chars().map(replace).collect::<String>().trim_matches('_').to_owned()
}

fn read_sensors(dir: &Path, sensors: &mut BTreeMap<(String, u32), Properties>) {
    for file in sorted_dir(dir) {
        let Some((kind, number, property)) = split(&file) else { continue };
        if let Some(value) = read_trimmed(&dir.join(&file)) {
            let sensor = sensors.entry((kind.to_owned(), number)).or_default();
            sensor.insert(property.to_owned(), value);
        }
    }
}

/// `temp1_crit_alarm` is of sensor `temp` 1, property `crit_alarm`.
fn split(file: &str) -> Option<(&str, u32, &str)> {
    let kind_end = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let (kind, rest) = file.split_at_checked(kind_end)?;
    if !KINDS.contains(&kind) {
        return None;
    }
    if rest.is_empty() {
        return Some((kind, 0, ""));
    }
    let number_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, property) = rest.split_at_checked(number_end)?;
    let property = if property.is_empty() { "" } else { property.strip_prefix('_')? };
    Some((kind, number.parse().ok()?, property))
}

fn emit(out: &mut Exposition, chip: &str, kind: &str, sensor: &str, properties: &Properties) {
    let label = properties.get("label");
    if let Some(label) = label {
        out.family(
            "node_hwmon_sensor_label",
            "Always 1; label is what the chip's driver says the sensor measures.",
            MetricKind::Gauge,
        )
        .point([("chip", chip), ("sensor", sensor), ("label", label)], 1.0);
    }
    for (property, text) in properties.iter().filter(|(property, _)| *property != "label") {
        let Ok(value) = text.parse::<f64>() else { continue };
        // Frequencies alone are told by their label, where it says anything.
        let named = label.filter(|_| kind == "freq").map(|it| clean(it));
        let sensor = named.as_deref().filter(|it| !it.is_empty()).unwrap_or(sensor);
        let Unit { name, help, kind, factor } =
            Unit::of(kind, property, properties.contains_key(""));
        out.family(name, help, kind).point([("chip", chip), ("sensor", sensor)], value * factor);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use expect_test::expect;

    use super::{clean, collect, split};
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        std::fs::create_dir_all(host.path("sys/class/hwmon")).unwrap();
        for (n, device, name) in
            [(0, "platform/coretemp.0", "coretemp"), (1, "acpi/wmi", "a-b"), (2, "acpi/wmi", "c")]
        {
            let dir = format!("sys/devices/{device}/hwmon/hwmon{n}");
            host.file(&format!("{dir}/name"), &format!("{name}\n"));
            symlink("../..", host.path(&format!("{dir}/device"))).unwrap();
            let link = host.path(&format!("sys/class/hwmon/hwmon{n}"));
            symlink(host.path(&dir), link).unwrap();
        }
        host
    }

    #[test]
    fn every_kind_of_sensor_has_its_unit() {
        let host = host();
        for (file, text) in [
            ("temp1_input", "55000"),
            ("temp1_crit_alarm", "0"),
            ("temp1_label", "Core 0"),
            ("fan2_input", "1998"),
            ("fan2_beep", "1"),
            ("fan2_alarm", "0"),
            ("in0_input", "792"),
            ("power1_average", "2500000"),
            ("energy1_input", "3000000"),
            ("freq1_input", "300000000"),
            ("freq1_label", "mclk"),
            ("pwm1", "128"),
            ("pwm1_input", "7"),
            ("update_interval", "1000"),
            ("beep_enable", "1"),
            ("temp9_input", "asleep"),
            ("temp", "1"),
        ] {
            host.file(&format!("sys/devices/platform/coretemp.0/hwmon/hwmon0/{file}"), text);
        }
        let text = host.text(collect);
        let series: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
        expect![[r#"
            node_hwmon_beep_enabled{chip="platform_coretemp_0",sensor="beep_enable0"} 1
            node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1
            node_hwmon_chip_names{chip="acpi_wmi_a_b",chip_name="a_b"} 1
            node_hwmon_chip_names{chip="acpi_wmi_c",chip_name="c"} 1
            node_hwmon_energy_joule_total{chip="platform_coretemp_0",sensor="energy1"} 3
            node_hwmon_fan_alarm{chip="platform_coretemp_0",sensor="fan2"} 0
            node_hwmon_fan_beep_enabled{chip="platform_coretemp_0",sensor="fan2"} 1
            node_hwmon_fan_rpm{chip="platform_coretemp_0",sensor="fan2"} 1998
            node_hwmon_freq_freq_mhz{chip="platform_coretemp_0",sensor="mclk"} 300
            node_hwmon_in_volts{chip="platform_coretemp_0",sensor="in0"} 0.792
            node_hwmon_power_average_watt{chip="platform_coretemp_0",sensor="power1"} 2.5
            node_hwmon_pwm{chip="platform_coretemp_0",sensor="pwm1"} 128
            node_hwmon_pwm_input{chip="platform_coretemp_0",sensor="pwm1"} 7
            node_hwmon_sensor_label{chip="platform_coretemp_0",sensor="freq1",label="mclk"} 1
            node_hwmon_sensor_label{chip="platform_coretemp_0",sensor="temp1",label="Core 0"} 1
            node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp0"} 0.001
            node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 55
            node_hwmon_temp_crit_alarm_celsius{chip="platform_coretemp_0",sensor="temp1"} 0
            node_hwmon_update_interval_seconds{chip="platform_coretemp_0",sensor="update_interval0"} 1"#]].assert_eq(&series.join("\n"));
    }

    #[test]
    fn chips_can_be_chosen_and_a_host_may_have_none() {
        let mut host = host();
        host.settings().hwmon.chip_include = Some("^acpi".to_owned().try_into().unwrap());
        host.check(
            collect,
            &expect![[r##"
                # HELP node_hwmon_chip_names Always 1; chip_name is the name the chip's driver gives it.
                # TYPE node_hwmon_chip_names gauge
                node_hwmon_chip_names{chip="acpi_wmi_a_b",chip_name="a_b"} 1
                node_hwmon_chip_names{chip="acpi_wmi_c",chip_name="c"} 1
            "##]],
        );
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no hardware monitors
        "#]],
        );
    }

    #[test]
    fn file_names_tell_sensor_and_property() {
        assert_eq!(split("pwm1_auto_point1_pwm"), Some(("pwm", 1, "auto_point1_pwm")));
        assert_eq!(split("update_interval"), Some(("update_interval", 0, "")));
        assert_eq!(split("temp1x"), None);
        assert_eq!(split("uevent"), None);
        assert_eq!(split("in99999999999"), None);
        assert_eq!(clean(" Mt7996_phy0.0-"), "mt7996_phy0_0");
    }
}
