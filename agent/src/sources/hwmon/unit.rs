//! Which metric a sensor's property is, and in which unit the kernel tells it
//! (<https://docs.kernel.org/hwmon/sysfs-interface.html>).

use skep_proto::MetricKind;

#[derive(Debug, PartialEq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: MetricKind,
    pub(super) factor: f64,
}

const MILLI: f64 = 1e-3;
const MICRO: f64 = 1e-6;

impl Unit {
    /// `has_bare` says that the sensor has a file without a property, whose name `input` then must
    /// not take.
    pub(super) fn of(kind: &str, property: &str, has_bare: bool) -> Self {
        if let Some(unit) = of_chip(kind) {
            return unit;
        }
        let name = match property {
            "" => format!("node_hwmon_{kind}"),
            "input" if !has_bare => format!("node_hwmon_{kind}"),
            _ => format!("node_hwmon_{kind}_{}", super::clean(property)),
        };
        let (suffix, help, factor) = match (kind, property) {
            (_, "fault" | "alarm") => {
                ("", format!("Hardware sensor {property} status ({kind})"), 1.0)
            }
            (_, "beep") => {
                ("_enabled", "Hardware monitor sensor has beeping enabled".to_owned(), 1.0)
            }
            ("in" | "cpu", _) => {
                ("_volts", format!("Hardware monitor for voltage ({property})"), MILLI)
            }
            ("temp", it) if it != "type" => {
                ("_celsius", format!("Hardware monitor for temperature ({property})"), MILLI)
            }
            ("curr", _) => ("_amps", format!("Hardware monitor for current ({property})"), MILLI),
            ("energy", _) => {
                let help = format!("Hardware monitor for joules used so far ({property})");
                ("_joule_total", help, MICRO)
            }
            ("power", _) => power(property),
            ("humidity", _) => (
                "",
                format!(
                    "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the \
                     humidity as a percentage) ({property})"
                ),
                MICRO,
            ),
            ("fan", "input" | "min" | "max" | "target") => (
                "_rpm",
                format!("Hardware monitor for fan revolutions per minute ({property})"),
                1.0,
            ),
            ("freq", "input") => {
                ("_freq_mhz", "Hardware monitor for GPU frequency in MHz".to_owned(), MICRO)
            }
            _ => ("", format!("Hardware monitor {kind} element {property}"), 1.0),
        };
        let is_energy = suffix == "_joule_total";
        let kind = if is_energy { MetricKind::Counter } else { MetricKind::Gauge };
        Self { name: format!("{name}{suffix}"), help, kind, factor }
    }
}

/// What is of the whole chip and not of one sensor.
fn of_chip(kind: &str) -> Option<Unit> {
    let (name, help, factor) = match kind {
        "beep_enable" => ("node_hwmon_beep_enabled", "Hardware beep enabled", 1.0),
        "vrm" => ("node_hwmon_voltage_regulator_version", "Hardware voltage regulator", 1.0),
        "update_interval" => {
            ("node_hwmon_update_interval_seconds", "Hardware monitor update interval", MILLI)
        }
        _ => return None,
    };
    Some(Unit { name: name.to_owned(), help: help.to_owned(), kind: MetricKind::Gauge, factor })
}

fn power(property: &str) -> (&'static str, String, f64) {
    match property {
        "accuracy" => ("", "Hardware monitor power meter accuracy, as a ratio".to_owned(), MICRO),
        "average_interval" | "average_interval_min" | "average_interval_max" => (
            "_seconds",
            format!("Hardware monitor power usage update interval ({property})"),
            MILLI,
        ),
        _ => ("_watt", format!("Hardware monitor for power usage in watts ({property})"), MICRO),
    }
}
