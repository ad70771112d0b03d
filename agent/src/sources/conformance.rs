//! Our collectors against node_exporter's own fixture tree and golden output, where the environment
//! names a folder that has them.
//!
//! `SKEP_NODE_EXPORTER_CONFORMANCE=DIR` with `DIR/proc`, `DIR/sys`, `DIR/udev`, `DIR/textfile` (the
//! unpacked `fixtures.tar.gz`) and `DIR/expected.prom` and `DIR/families.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_proto::SystemClock;

use super::{Context, Roots, SOURCES, Settings, collect_all};
use crate::{config::UNITS_MAX_DEFAULT, exposition::Exposition};

/// Collectors that ask the live kernel, whatever tree they are shown: their golden holds another
/// machine's answer.
const LIVE: [&str; 2] = ["uname", "filesystem"];

/// The golden was made with these.
const SETTINGS: &str = r#"
    [arp]
    device_exclude = "nope"
    [bcache]
    priority_stats = true
    [cpu]
    info = true
    info_bugs_include = "^(cpu_meltdown|spectre_.*|mds)$"
    info_flags_include = "^(aes|avx.?|constant_tsc)$"
    [hwmon]
    chip_include = "(applesmc|asus_nb_wmi|coretemp|hwmon4|ieee80211|nct6779)"
    [netclass]
    ignore_invalid_speed = true
    ignored_devices = "(dmz|int)"
    [netdev]
    device_include = "lo"
    [stat]
    softirq = true
    [sysctl]
    include = ["kernel.threads-max", "fs.file-nr", "fs.file-nr:total,current,max"]
    include_info = ["kernel.seccomp.actions_avail"]
"#;

#[test]
fn fixtures_of_node_exporter_yield_its_golden_output() {
    let Some(dir) = std::env::var_os("SKEP_NODE_EXPORTER_CONFORMANCE").map(PathBuf::from) else {
        println!("skipped: SKEP_NODE_EXPORTER_CONFORMANCE names no folder");
        return;
    };
    let expected = parse(&fs::read_to_string(dir.join("expected.prom")).unwrap());
    let actual = parse(&collect(&dir));
    let mut faults = Vec::new();
    let mut totals = [(0, 0); 2];
    for (collector, families) in families_of(&dir) {
        let source = SOURCES.iter().find(|it| it.name == collector);
        let (mut n_equal, mut n_families) = (0, 0);
        for family in families.iter().filter(|it| expected.contains_key(*it) && !is_skipped(it)) {
            n_families += 1;
            match compare(&expected[family], actual.get(family)) {
                Ok(()) => n_equal += 1,
                Err(fault) if source.is_some() && !LIVE.contains(&&*collector) => {
                    faults.push(format!("{collector}: {family}: {fault}"));
                }
                Err(fault) => println!("    {collector}: {family}: {fault}"),
            }
        }
        if n_families > 0 {
            println!("{collector:24} {n_equal:4}/{n_families}");
        }
        let is_on = source.is_some_and(|it| it.is_on);
        for total in totals.iter_mut().skip(usize::from(!is_on)) {
            *total = (total.0 + n_equal, total.1 + n_families);
        }
    }
    let [(on_equal, on), (equal, all)] = totals;
    println!("{on_equal} of {on} families of the collectors that are on by default are equal");
    println!("{equal} of {all} families of all collectors are equal");
    assert!(all > 0, "{} holds none of our families", dir.display());
    assert!(faults.is_empty(), "{} families differ:\n{}", faults.len(), faults.join("\n"));
    assert!(equal * 100 >= all * 97, "{equal} of {all} families are less than 97 %");
}

fn collect(dir: &Path) -> String {
    let roots = Roots {
        proc: dir.join("proc"),
        sys: dir.join("sys"),
        udev: dir.join("udev/data"),
        root: dir.to_owned(),
    };
    let mut settings: Settings = toml::from_str(SETTINGS).unwrap();
    settings.textfile.directories = vec![dir.join("textfile/two_metric_files")];
    settings.qdisc = toml::from_str(&format!(
        "device_include = \"(wlan0|eth0)\"\nfixtures = {:?}",
        dir.join("qdisc")
    ))
    .unwrap();
    settings.wifi = toml::from_str(&format!("fixtures = {:?}", dir.join("wifi"))).unwrap();
    settings.enable = SOURCES.iter().map(|it| it.name.parse().unwrap()).collect();
    let mut out = Exposition::default();
    let context = Context::new(roots, settings, Arc::new(SystemClock), UNITS_MAX_DEFAULT);
    for (name, error) in collect_all(&context, &mut out) {
        println!("    {name}: {:#}", anyhow::Error::new(error));
    }
    // Where the golden's fixtures lay.
    out.to_text().replace(&format!("{}/", dir.display()), "collector/fixtures/")
}

/// Names of families by collector.
fn families_of(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(dir.join("families.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = |family: &serde_json::Value| family[0].as_str().unwrap().to_owned();
    let collectors = json["collectors"].as_object().unwrap().iter();
    collectors
        .map(|(collector, it)| {
            (collector.clone(), it["families"].as_array().unwrap().iter().map(name).collect())
        })
        .collect()
}

/// Values of the machine that made the golden, as in the fixtures' own comparison.
fn is_skipped(family: &str) -> bool {
    let is_traffic = ["receive", "transmit"].iter().any(|direction| {
        ["bytes", "packets"]
            .iter()
            .any(|unit| family == format!("node_network_{direction}_{unit}_total"))
    });
    is_traffic
        || family == "node_textfile_mtime_seconds"
        || family == "node_time_seconds"
        || family.starts_with("node_time_zone")
}

/// A family's type and its values by sorted labels.
pub(super) type Family = (String, BTreeMap<BTreeSet<String>, f64>);

pub(super) fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
            families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            // No value of these collectors has `",` inside.
            let labels = labels.strip_suffix('}').unwrap().split_inclusive("\",");
            let labels = labels.map(|it| it.trim_end_matches(',').to_owned()).collect();
            families.entry(name.to_owned()).or_default().1.insert(labels, value.parse().unwrap());
        }
    }
    families
}

fn compare(expected: &Family, actual: Option<&Family>) -> Result<(), String> {
    let (expected_kind, expected) = expected;
    let (kind, actual) = actual.ok_or("missing")?;
    if kind != expected_kind {
        return Err(format!("type {kind} instead of {expected_kind}"));
    }
    for (labels, value) in expected {
        match actual.get(labels) {
            None => return Err(format!("{labels:?} is missing")),
            Some(it) if (it - value).abs() > value.abs() * 1e-9 => {
                return Err(format!("{labels:?} is {it}, not {value}"));
            }
            Some(_) => {}
        }
    }
    match actual.keys().find(|it| !expected.contains_key(*it)) {
        Some(labels) => Err(format!("{labels:?} is too many")),
        None => Ok(()),
    }
}
