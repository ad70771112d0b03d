//! What `/proc/cpuinfo` says of each CPU, where the settings ask for it.

use std::collections::HashMap;

use skep_proto::MetricKind;

use crate::{
    exposition::Exposition,
    sources::{Context, SourceError, read_trimmed, settings::Pattern},
};

const HERTZ_PER_MEGAHERTZ: f64 = 1e6;

/// Labels of `node_cpu_info` and the keys they come from.
const LABELS: [(&str, &str); 10] = [
    ("package", "physical id"),
    ("core", "core id"),
    ("cpu", "processor"),
    ("vendor", "vendor_id"),
    ("family", "cpu family"),
    ("model", "model"),
    ("model_name", "model name"),
    ("microcode", "microcode"),
    ("stepping", "stepping"),
    ("cachesize", "cache size"),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.cpu;
    let (flags, bugs) = (&settings.info_flags_include, &settings.info_bugs_include);
    if !(settings.info || flags.is_some() || bugs.is_some()) {
        return Ok(());
    }
    let text = context.roots.read_proc("cpuinfo")?;
    let cpus = parse(&text);
    let family = out.family(
        "node_cpu_info",
        "Always 1; the labels are what /proc/cpuinfo tells of the CPU.",
        MetricKind::Gauge,
    );
    for cpu in &cpus {
        family.point(
            LABELS.map(|(label, key)| (label, cpu.get(key).copied().unwrap_or_default())),
            1.0,
        );
    }
    frequencies(context, out, &cpus);
    if let Some(cpu) = cpus.first() {
        words(out, cpu, "flags", flags.as_ref());
        words(out, cpu, "bugs", bugs.as_ref());
    }
    Ok(())
}

/// Where the hardware tells no frequency of its own, which cpufreq collects under the same name.
fn frequencies(context: &Context, out: &mut Exposition, cpus: &[HashMap<&str, &str>]) {
    let cur_freq = "devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq";
    if read_trimmed(&context.roots.sys.join(cur_freq)).is_some() {
        return;
    }
    let family = out.family(
        "node_cpu_frequency_hertz",
        "Frequency the CPU runs at according to /proc/cpuinfo, in hertz.",
        MetricKind::Gauge,
    );
    for cpu in cpus {
        let get = |key: &str| cpu.get(key).copied().unwrap_or_default();
        if let Ok(megahertz) = get("cpu MHz").parse::<f64>() {
            let labels = [
                ("package", get("physical id")),
                ("core", get("core id")),
                ("cpu", get("processor")),
            ];
            family.point(labels, megahertz * HERTZ_PER_MEGAHERTZ);
        }
    }
}

/// A block of `key : value` lines a CPU, ended by an empty line.
fn parse(text: &str) -> Vec<HashMap<&str, &str>> {
    text.split("\n\n")
        .map(|block| {
            let pairs = block.lines().filter_map(|it| it.split_once(':'));
            pairs.map(|(key, value)| (key.trim(), value.trim())).collect::<HashMap<_, _>>()
        })
        .filter(|cpu| cpu.contains_key("processor"))
        .collect()
}

fn words(
    out: &mut Exposition,
    cpu: &HashMap<&str, &str>,
    key: &'static str,
    include: Option<&Pattern>,
) {
    let (name, help, label) = match key {
        "flags" => (
            "node_cpu_flag_info",
            "1 for each selected feature of the first CPU in /proc/cpuinfo.",
            "flag",
        ),
        _ => (
            "node_cpu_bug_info",
            "1 for each selected hardware bug of the first CPU in /proc/cpuinfo.",
            "bug",
        ),
    };
    let words = cpu.get(key).copied().unwrap_or_default().split_ascii_whitespace();
    let family = out.family(name, help, MetricKind::Gauge);
    for word in words.filter(|word| include.is_some_and(|it| it.matches(word))) {
        family.point([(label, word)], 1.0);
    }
}
