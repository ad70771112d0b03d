//! Temperatures and cooling devices, from `/sys/class/thermal`.

use skep_proto::MetricKind;

use super::{Context, SourceError, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

const DEGREES_PER_MILLIDEGREE: f64 = 0.001;

/// A sensor that cannot be read just now is left out.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/thermal");
    for entry in sorted_dir(&dir) {
        let device = dir.join(&entry);
        let Some(kind) = read_trimmed(&device.join("type")) else { continue };
        let value = |file: &str| read_trimmed(&device.join(file))?.parse::<f64>().ok();
        if let (Some(zone), Some(millidegrees)) =
            (entry.strip_prefix("thermal_zone"), value("temp"))
        {
            out.family(
                "node_thermal_zone_temp",
                "Temperature of the thermal zone, in degrees Celsius.",
                MetricKind::Gauge,
            )
            .point([("zone", zone), ("type", &kind)], millidegrees * DEGREES_PER_MILLIDEGREE);
        }
        if let (Some(name), Some(current), Some(max)) =
            (entry.strip_prefix("cooling_device"), value("cur_state"), value("max_state"))
        {
            out.family(
                "node_cooling_device_cur_state",
                "How much the device cools now, from 0 to its max_state.",
                MetricKind::Gauge,
            )
            .point([("name", name), ("type", &kind)], current);
            out.family(
                "node_cooling_device_max_state",
                "Step at which the device cools most.",
                MetricKind::Gauge,
            )
            .point([("name", name), ("type", &kind)], max);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn zones_and_cooling_devices_are_read() {
        let dir = "sys/class/thermal";
        Host::default()
            .file(&format!("{dir}/thermal_zone0/type"), "cpu-thermal\n")
            .file(&format!("{dir}/thermal_zone0/temp"), "12376\n")
            .file(&format!("{dir}/thermal_zone1/type"), "asleep\n")
            .file(&format!("{dir}/cooling_device0/type"), "Processor\n")
            .file(&format!("{dir}/cooling_device0/cur_state"), "0\n")
            .file(&format!("{dir}/cooling_device0/max_state"), "3\n")
            .check(
                collect,
                &expect![[r##"
                    # HELP node_cooling_device_cur_state How much the device cools now, from 0 to its max_state.
                    # TYPE node_cooling_device_cur_state gauge
                    node_cooling_device_cur_state{name="0",type="Processor"} 0
                    # HELP node_cooling_device_max_state Step at which the device cools most.
                    # TYPE node_cooling_device_max_state gauge
                    node_cooling_device_max_state{name="0",type="Processor"} 3
                    # HELP node_thermal_zone_temp Temperature of the thermal zone, in degrees Celsius.
                    # TYPE node_thermal_zone_temp gauge
                    node_thermal_zone_temp{zone="0",type="cpu-thermal"} 12.376
                "##]],
            );
    }
}
