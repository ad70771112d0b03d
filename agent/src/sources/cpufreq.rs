//! CPU frequencies and their governors, from `/sys/devices/system/cpu/cpu*/cpufreq`.

use skep_proto::MetricKind;

use super::{Context, SourceError, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

const HERTZ_PER_KILOHERTZ: f64 = 1000.0;

/// Files and the metrics they become. The first four are the hardware's figures, the first of all
/// is readable by root only.
const FREQUENCIES: [(&str, &str, &str); 7] = [
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Frequency the CPU runs at according to the hardware, in hertz.",
    ),
    (
        "cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Frequency the CPU ran at on average since it was last read, in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Lowest frequency the CPU is made for, in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Highest frequency the CPU is made for, in hertz.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Frequency of the CPU according to the scaling driver, mostly the last it asked for, in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Lowest frequency the scaling policy allows, in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Highest frequency the scaling policy allows, in hertz.",
    ),
];

/// A figure that cannot be read is left out: virtual machines have none at all.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("devices/system/cpu");
    for entry in sorted_dir(&dir) {
        let Some(cpu) = entry.strip_prefix("cpu").filter(|it| it.parse::<u32>().is_ok()) else {
            continue;
        };
        let cpufreq = dir.join(&entry).join("cpufreq");
        for (file, name, help) in FREQUENCIES {
            let kilohertz = read_trimmed(&cpufreq.join(file)).and_then(|it| it.parse().ok());
            let Some(kilohertz) = kilohertz else { continue };
            let hertz: f64 = kilohertz;
            out.family(name, help, MetricKind::Gauge)
                .point([("cpu", cpu)], hertz * HERTZ_PER_KILOHERTZ);
        }
        let Some(governor) = read_trimmed(&cpufreq.join("scaling_governor")) else { continue };
        let available = read_trimmed(&cpufreq.join("scaling_available_governors"));
        for it in available.unwrap_or_default().split_ascii_whitespace() {
            let is_enabled = f64::from(u8::from(it == governor));
            out.family(
                "node_cpu_scaling_governor",
                "1 for the frequency governor in use, 0 for each other one there is.",
                MetricKind::Gauge,
            )
            .point([("cpu", cpu), ("governor", it)], is_enabled);
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
    fn what_can_be_read_is_told_in_hertz() {
        let host = Host::default();
        for (file, text) in [
            ("cpu0/cpufreq/cpuinfo_max_freq", "3700000\n"),
            ("cpu0/cpufreq/cpuinfo_avg_freq", "1600000\n"),
            ("cpu0/cpufreq/scaling_cur_freq", "1699981\n"),
            ("cpu0/cpufreq/scaling_setspeed", "<unsupported>\n"),
            ("cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("cpu0/cpufreq/scaling_available_governors", "performance powersave\n"),
            ("cpu1/cpufreq/cpuinfo_cur_freq", "<unknown>\n"),
            ("cpufreq/policy0/scaling_cur_freq", "1\n"),
        ] {
            host.file(&format!("sys/devices/system/cpu/{file}"), text);
        }
        host.check(
            collect,
            &expect![[r##"
                # HELP node_cpu_frequency_avg_hertz Frequency the CPU ran at on average since it was last read, in hertz.
                # TYPE node_cpu_frequency_avg_hertz gauge
                node_cpu_frequency_avg_hertz{cpu="0"} 1.6e+09
                # HELP node_cpu_frequency_max_hertz Highest frequency the CPU is made for, in hertz.
                # TYPE node_cpu_frequency_max_hertz gauge
                node_cpu_frequency_max_hertz{cpu="0"} 3.7e+09
                # HELP node_cpu_scaling_frequency_hertz Frequency of the CPU according to the scaling driver, mostly the last it asked for, in hertz.
                # TYPE node_cpu_scaling_frequency_hertz gauge
                node_cpu_scaling_frequency_hertz{cpu="0"} 1.699981e+09
                # HELP node_cpu_scaling_governor 1 for the frequency governor in use, 0 for each other one there is.
                # TYPE node_cpu_scaling_governor gauge
                node_cpu_scaling_governor{cpu="0",governor="performance"} 0
                node_cpu_scaling_governor{cpu="0",governor="powersave"} 1
            "##]],
        );
        assert_eq!(Host::default().text(collect), "");
    }
}
