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
        // What the kernel's documentation calls it: `temp*_input`.
        let file =
            if property.is_empty() { format!("{kind}*") } else { format!("{kind}*_{property}") };
        let (suffix, help, factor) = match (kind, property) {
            (_, "fault" | "alarm") => ("", format!("1 while {file} is raised, else 0."), 1.0),
            (_, "beep") => {
                ("_enabled", "1 if an alarm of the sensor makes a beep, else 0.".to_owned(), 1.0)
            }
            ("in" | "cpu", _) => ("_volts", format!("Voltage in volts, from {file}."), MILLI),
            ("temp", it) if it != "type" => {
                ("_celsius", format!("Temperature in degrees Celsius, from {file}."), MILLI)
            }
            ("curr", _) => ("_amps", format!("Current in amperes, from {file}."), MILLI),
            ("energy", _) => {
                ("_joule_total", format!("Energy used so far in joules, from {file}."), MICRO)
            }
            ("power", _) => power(property),
            // The kernel tells thousandths of a per cent, so the metric is a tenth of the ratio.
            ("humidity", _) => (
                "",
                format!("Relative humidity from {file}; multiplied by 1000 it is in per cent."),
                MICRO,
            ),
            ("fan", "input" | "min" | "max" | "target") => {
                ("_rpm", format!("Speed of the fan in rotations per minute, from {file}."), 1.0)
            }
            ("freq", "input") => {
                ("_freq_mhz", format!("Frequency in megahertz, from {file}."), MICRO)
            }
            _ => ("", format!("Value of {file}, as the driver tells it."), 1.0),
        };
        // Names and factors do not know flags with a longer name, such as `temp1_crit_alarm`.
        let is_flag = property.ends_with("_alarm") || property.ends_with("_fault");
        let help = if is_flag { format!("Above 0 while {file} is raised.") } else { help };
        let is_energy = suffix == "_joule_total";
        let kind = if is_energy { MetricKind::Counter } else { MetricKind::Gauge };
        Self { name: format!("{name}{suffix}"), help, kind, factor }
    }
}

/// What is of the whole chip and not of one sensor.
fn of_chip(kind: &str) -> Option<Unit> {
    let (name, help, factor) = match kind {
        "beep_enable" => {
            ("node_hwmon_beep_enabled", "1 if the chip may beep on an alarm, else 0.", 1.0)
        }
        "vrm" => (
            "node_hwmon_voltage_regulator_version",
            "Which voltage regulator standard the chip assumes, as a number.",
            1.0,
        ),
        "update_interval" => (
            "node_hwmon_update_interval_seconds",
            "Time between two readings of the chip, in seconds.",
            MILLI,
        ),
        _ => return None,
    };
    Some(Unit { name: name.to_owned(), help: help.to_owned(), kind: MetricKind::Gauge, factor })
}

fn power(property: &str) -> (&'static str, String, f64) {
    match property {
        "accuracy" => ("", "Accuracy of the power meter, from power*_accuracy.".to_owned(), MICRO),
        "average_interval" | "average_interval_min" | "average_interval_max" => (
            "_seconds",
            format!("Time the power meter averages over in seconds, from power*_{property}."),
            MILLI,
        ),
        _ => ("_watt", format!("Power in watts, from power*_{property}."), MICRO),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::Unit;

    #[test]
    fn help_names_the_unit_and_the_file() {
        let helps = [
            ("temp", "input"),
            ("temp", "crit_alarm"),
            ("temp", "type"),
            ("in", "max"),
            ("curr", "input"),
            ("energy", "input"),
            ("power", "average"),
            ("power", "average_interval"),
            ("humidity", "input"),
            ("fan", "input"),
            ("fan", "fault"),
            ("freq", "input"),
            ("pwm", ""),
            ("update_interval", ""),
        ]
        .map(|(kind, property)| {
            let unit = Unit::of(kind, property, property.is_empty());
            format!("{}: {}", unit.name, unit.help)
        });
        expect![[r#"
            node_hwmon_temp_celsius: Temperature in degrees Celsius, from temp*_input.
            node_hwmon_temp_crit_alarm_celsius: Above 0 while temp*_crit_alarm is raised.
            node_hwmon_temp_type: Value of temp*_type, as the driver tells it.
            node_hwmon_in_max_volts: Voltage in volts, from in*_max.
            node_hwmon_curr_amps: Current in amperes, from curr*_input.
            node_hwmon_energy_joule_total: Energy used so far in joules, from energy*_input.
            node_hwmon_power_average_watt: Power in watts, from power*_average.
            node_hwmon_power_average_interval_seconds: Time the power meter averages over in seconds, from power*_average_interval.
            node_hwmon_humidity: Relative humidity from humidity*_input; multiplied by 1000 it is in per cent.
            node_hwmon_fan_rpm: Speed of the fan in rotations per minute, from fan*_input.
            node_hwmon_fan_fault: 1 while fan*_fault is raised, else 0.
            node_hwmon_freq_freq_mhz: Frequency in megahertz, from freq*_input.
            node_hwmon_pwm: Value of pwm*, as the driver tells it.
            node_hwmon_update_interval_seconds: Time between two readings of the chip, in seconds."#]].assert_eq(&helps.join("\n"));
    }
}
