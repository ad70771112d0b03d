//! Batteries, chargers and mains, from `/sys/class/power_supply`.

use std::borrow::Cow;

use serde::Deserialize;
use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, settings::Pattern, sorted_dir, sysfs};
use crate::exposition::Exposition;

const MICRO: f64 = 1e-6;
/// Temperatures are in tenths of a degree.
const TENTH: f64 = 0.1;

/// Files, sorted, with the fields they become, their unit and their help.
const FIELDS: [(&str, &str, f64, &str); 49] = [
    ("authentic", "authentic", 1.0, "1 if the battery proved to be a genuine one."),
    ("calibrate", "calibrate", 1.0, "1 while the battery is being calibrated."),
    ("capacity", "capacity", 1.0, "Charge in percent."),
    ("capacity_alert_max", "capacity_alert_max", 1.0, "Charge in percent above which it warns."),
    ("capacity_alert_min", "capacity_alert_min", 1.0, "Charge in percent below which it warns."),
    ("charge_control_limit", "charge_control_limit", MICRO, "Limit of the charging current."),
    (
        "charge_control_limit_max",
        "charge_control_limit_max",
        MICRO,
        "Highest limit that the charging current can have.",
    ),
    ("charge_counter", "charge_counter", MICRO, "Charge that went in less what went out, in Ah."),
    ("charge_empty", "charge_empty", MICRO, "Charge at which it counts as empty, in Ah."),
    (
        "charge_empty_design",
        "charge_empty_design",
        MICRO,
        "Charge at which it was meant to count as empty, in Ah.",
    ),
    ("charge_full", "charge_full", MICRO, "Charge when it was last full, in Ah."),
    ("charge_full_design", "charge_full_design", MICRO, "Charge it was meant to hold, in Ah."),
    ("charge_now", "charge_ampere", MICRO, "Charge, in Ah."),
    (
        "charge_term_current",
        "charge_term_current",
        MICRO,
        "Charging current below which it counts as full, in A.",
    ),
    (
        "constant_charge_current",
        "constant_charge_current",
        MICRO,
        "Charging current while that is held constant, in A.",
    ),
    (
        "constant_charge_current_max",
        "constant_charge_current_max",
        MICRO,
        "Highest charging current that can be held constant, in A.",
    ),
    (
        "constant_charge_voltage",
        "constant_charge_voltage",
        MICRO,
        "Charging voltage while that is held constant, in V.",
    ),
    (
        "constant_charge_voltage_max",
        "constant_charge_voltage_max",
        MICRO,
        "Highest charging voltage that can be held constant, in V.",
    ),
    ("current_boot", "current_boot", MICRO, "Current when the host booted, in A."),
    ("current_max", "current_max", MICRO, "Highest current, in A."),
    ("current_now", "current_ampere", MICRO, "Current, in A."),
    ("cycle_count", "cyclecount", 1.0, "Times the battery was charged and used up."),
    ("energy_empty", "energy_empty", MICRO, "Energy at which it counts as empty, in Wh."),
    (
        "energy_empty_design",
        "energy_empty_design",
        MICRO,
        "Energy at which it was meant to count as empty, in Wh.",
    ),
    ("energy_full", "energy_full", MICRO, "Energy when it was last full, in Wh."),
    ("energy_full_design", "energy_full_design", MICRO, "Energy it was meant to hold, in Wh."),
    ("energy_now", "energy_watthour", MICRO, "Energy, in Wh."),
    ("input_current_limit", "input_current_limit", MICRO, "Limit of the current it takes, in A."),
    ("online", "online", 1.0, "1 if it is plugged in, 2 if in at a set voltage, else 0."),
    ("power_now", "power_watt", MICRO, "Power it takes or gives, in W."),
    (
        "precharge_current",
        "precharge_current",
        MICRO,
        "Current at which a drained battery begins to be charged, in A.",
    ),
    ("present", "present", 1.0, "1 if the battery is there, else 0."),
    ("temp", "temp_celsius", TENTH, "Temperature, in degrees Celsius."),
    ("temp_alert_max", "temp_alert_max_celsius", TENTH, "Temperature above which it warns."),
    ("temp_alert_min", "temp_alert_min_celsius", TENTH, "Temperature below which it warns."),
    ("temp_ambient", "temp_ambient_celsius", TENTH, "Temperature around it."),
    (
        "temp_ambient_max",
        "temp_ambient_max_celsius",
        TENTH,
        "Temperature around it above which it warns.",
    ),
    (
        "temp_ambient_min",
        "temp_ambient_min_celsius",
        TENTH,
        "Temperature around it below which it warns.",
    ),
    ("temp_max", "temp_max_celsius", TENTH, "Highest temperature it may have."),
    ("temp_min", "temp_min_celsius", TENTH, "Lowest temperature it may have."),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0, "Seconds until it is empty."),
    ("time_to_full_now", "time_to_full_seconds", 1.0, "Seconds until it is full."),
    ("voltage_boot", "voltage_boot", MICRO, "Voltage when the host booted, in V."),
    ("voltage_max", "voltage_max", MICRO, "Highest voltage measured, in V."),
    ("voltage_max_design", "voltage_max_design", MICRO, "Voltage it was meant to have full, in V."),
    ("voltage_min", "voltage_min", MICRO, "Lowest voltage measured, in V."),
    (
        "voltage_min_design",
        "voltage_min_design",
        MICRO,
        "Voltage it was meant to have empty, in V.",
    ),
    ("voltage_now", "voltage_volt", MICRO, "Voltage, in V."),
    ("voltage_ocv", "voltage_ocv", MICRO, "Voltage without a load, in V."),
];

/// Files, sorted, whose names are labels of `node_power_supply_info` where they say something.
const LABELS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PowerSupplySettings {
    pub(crate) ignored_supplies: Option<Pattern>,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let ignored = context.settings.powersupplyclass.ignored_supplies.as_ref();
    let class = context.roots.sys.join("class/power_supply");
    for supply in sysfs::names(&class, "power supplies")? {
        if ignored.is_some_and(|it| it.matches(&supply)) {
            continue;
        }
        let dir = class.join(&supply);
        let mut labels = vec![(Cow::Borrowed("power_supply"), supply.clone())];
        // A supply has some of them: looking which saves most of the opens.
        for file in sorted_dir(&dir) {
            if let Ok(idx) = LABELS.binary_search(&file.as_str()) {
                let label = LABELS.get(idx).copied().unwrap_or_default();
                let text = sysfs::text_if_any(&dir.join(&file))?;
                let text = text.filter(|it| !it.is_empty());
                labels.extend(text.map(|it| (Cow::Borrowed(label), it)));
            }
            let idx = FIELDS.binary_search_by_key(&file.as_str(), |it| it.0);
            let field = idx.ok().and_then(|it| FIELDS.get(it));
            if let Some((file, field, unit, help)) = field
                && let Some(value) = sysfs::value_if_any(&dir.join(file))?
            {
                out.family(format!("node_power_supply_{field}"), *help, Gauge)
                    .point([("power_supply", &supply)], value * unit);
            }
        }
        out.family(
            "node_power_supply_info",
            "Always 1; the labels tell what the supply is and what it does.",
            Gauge,
        )
        .labelled(labels, 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{FIELDS, LABELS, collect};
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("AC/online", "1\n"),
            ("AC/type", "Mains\n"),
            ("AC/uevent", "POWER_SUPPLY_NAME=AC\n"),
            ("BAT1/type", "Battery\n"),
            ("BAT1/status", "Discharging\n"),
            ("BAT1/health", "\n"),
            ("BAT1/capacity", "77\n"),
            ("BAT1/cycle_count", "12\n"),
            ("BAT1/charge_now", "3500000\n"),
            ("BAT1/current_now", "-1250000\n"),
            ("BAT1/temp", "301\n"),
            ("BAT1/voltage_now", "11660000\n"),
            ("BAT1/power/control", "auto\n"),
        ] {
            host.file(&format!("sys/class/power_supply/{file}"), text);
        }
        host.bytes("sys/class/power_supply/BAT1/model_name", b"X\xff\xff1\n");
        host
    }

    #[test]
    fn what_a_supply_tells_is_in_base_units() {
        host().check(collect, &expect![[r##"
            # HELP node_power_supply_capacity Charge in percent.
            # TYPE node_power_supply_capacity gauge
            node_power_supply_capacity{power_supply="BAT1"} 77
            # HELP node_power_supply_charge_ampere Charge, in Ah.
            # TYPE node_power_supply_charge_ampere gauge
            node_power_supply_charge_ampere{power_supply="BAT1"} 3.5
            # HELP node_power_supply_current_ampere Current, in A.
            # TYPE node_power_supply_current_ampere gauge
            node_power_supply_current_ampere{power_supply="BAT1"} -1.25
            # HELP node_power_supply_cyclecount Times the battery was charged and used up.
            # TYPE node_power_supply_cyclecount gauge
            node_power_supply_cyclecount{power_supply="BAT1"} 12
            # HELP node_power_supply_info Always 1; the labels tell what the supply is and what it does.
            # TYPE node_power_supply_info gauge
            node_power_supply_info{power_supply="AC",type="Mains"} 1
            node_power_supply_info{power_supply="BAT1",model_name="X�1",status="Discharging",type="Battery"} 1
            # HELP node_power_supply_online 1 if it is plugged in, 2 if in at a set voltage, else 0.
            # TYPE node_power_supply_online gauge
            node_power_supply_online{power_supply="AC"} 1
            # HELP node_power_supply_temp_celsius Temperature, in degrees Celsius.
            # TYPE node_power_supply_temp_celsius gauge
            node_power_supply_temp_celsius{power_supply="BAT1"} 30.1
            # HELP node_power_supply_voltage_volt Voltage, in V.
            # TYPE node_power_supply_voltage_volt gauge
            node_power_supply_voltage_volt{power_supply="BAT1"} 11.66
        "##]]);
    }

    #[test]
    fn supplies_can_be_left_out() {
        let mut host = host();
        host.settings().powersupplyclass.ignored_supplies =
            Some("^BAT".to_owned().try_into().unwrap());
        host.check(collect, &expect![[r##"
            # HELP node_power_supply_info Always 1; the labels tell what the supply is and what it does.
            # TYPE node_power_supply_info gauge
            node_power_supply_info{power_supply="AC",type="Mains"} 1
            # HELP node_power_supply_online 1 if it is plugged in, 2 if in at a set voltage, else 0.
            # TYPE node_power_supply_online gauge
            node_power_supply_online{power_supply="AC"} 1
        "##]]);
    }

    #[test]
    fn a_value_that_is_no_number_is_named_and_a_host_without_supplies_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no power supplies
        "#]],
        );
        host().file("sys/class/power_supply/BAT1/temp", "warm\n").check(
            collect,
            &expect![[r#"
            error: /sys/class/power_supply/BAT1/temp: not a number: "warm"
        "#]],
        );
    }

    #[test]
    fn the_tables_are_sorted() {
        assert!(FIELDS.is_sorted_by_key(|it| it.0) && LABELS.is_sorted());
    }
}
