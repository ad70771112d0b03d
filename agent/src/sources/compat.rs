//! Writes docs/compat/node_exporter.md: which of its collectors there are, what they tell, where it
//! comes from, what they can be told and what tests them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use expect_test::expect_file;

use super::SOURCES;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sources");
const PAGE: &str = "../../../docs/compat/node_exporter.md";

/// Every collector that node_exporter 1.12 has on Linux.
const NODE_EXPORTER: &str = "\
    arp bcache bcachefs bonding btrfs buddyinfo cgroups conntrack cpu cpu_vulnerabilities cpufreq \
    diskstats dmi dmmultipath drbd drm edac entropy ethtool fibrechannel filefd filesystem hwmon \
    infiniband interrupts ipvs kernel_hung ksmd lnstat loadavg logind mdadm meminfo meminfo_numa \
    mountstats netclass netdev netstat network_route nfs nfsd ntp nvme nvmesubsystem os pcidevice \
    perf powersupplyclass pressure processes qdisc rapl runit schedstat selinux slabinfo sockstat \
    softirqs softnet stat supervisord swap sysctl systemd tapestats tcpstat textfile thermal_zone \
    time timex udp_queues uname vmstat watchdog wifi xfrm xfs zfs zoneinfo";

const HEAD: &str = "\
# node_exporter

Which of node_exporter's collectors for Linux there are. Names, types, labels, values and default \
filters are those of node_exporter 1.12; help texts are our own. This page is written by \
`agent/src/sources/compat.rs` (`UPDATE_EXPECT=1 cargo test -p skep-agent compat`).

## Compare with node_exporter

`cargo xtask conformance node_exporter DIR` runs all collectors over node_exporter's own fixture \
tree, compares family by family with what it prints for that tree, and prints a table by collector \
and both totals. `DIR` holds `fixtures.tar.gz`, or the tree itself, and `expected.prom` and \
`families.json`. `cargo xtask test` does the same where `SKEP_NODE_EXPORTER_CONFORMANCE` names that \
folder. uname and filesystem ask the live kernel whatever tree they are shown, so their families \
cannot be equal there.

Where `prometheus-node-exporter` is installed, the agent's tests run it and compare what both tell of \
the same host: families, types, series, and that its values lie between ours before and after.

`/metrics` takes `collect[]` and `exclude[]` as node_exporter does; `skep-agent collect --collector \
NAME` runs some collectors alone.

## Where the agent differs

| collector | node_exporter | here | why |
| :-- | :-- | :-- | :-- |
| any with `…_include` and `…_exclude` | refuses both at once | `…_include` decides alone | one file \
can hold both, for hosts of two kinds |
| interrupts, softirqs | columns are counted from 0 | the CPU's number from the heading | a CPU that \
is off has no column |
| cpu_vulnerabilities | fails where the kernel says `Unknown` | the state `unknown` | guests do not \
know |
| processes | reads the threads of each process | not where there is one | half of the files |
| btrfs | the ratio is 0 for `raid1c3` and `raid1c4` | 3 and 4 | that many copies there are |
| fibrechannel, tapestats | a counter without its file is 0 | left out | nobody counted |
| infiniband | lifespan in whole seconds | with its fraction | it is some milliseconds |
| zfs | fails where a statistic is below zero | tells it | the cache's free memory can be |
| systemd | a question after the other | 64 at a time | a thousand properties cost 16 round trips |
";

/// What the dashboard asks for and node_exporter does not tell by that name:
/// it is `node_kernel_hung_tasks_total`.
const OLD_NAMES: [&str; 1] = ["node_kernel_hung_tasks"];

/// What one collector's code says.
#[derive(Debug, Default)]
struct Code {
    /// Names of families; `*` stands for what is known only at run time.
    families: BTreeSet<String>,
    /// Files with tests.
    tested_by: BTreeSet<String>,
}

#[test]
fn the_page_names_every_collector_and_what_tests_it() {
    let mut page = HEAD.to_owned();
    let missing: Vec<&str> = NODE_EXPORTER
        .split(' ')
        .filter(|name| !SOURCES.iter().any(|it| it.name == *name))
        .collect();
    page.push_str("\n## Collectors\n\n");
    if missing.is_empty() {
        page.push_str("All of them are there.");
    } else {
        page.push_str(&format!("Not there: {}.", missing.join(", ")));
    }
    page.push_str(
        " Besides the tests of its own, each that tells what files say is \
         compared with node_exporter as above.\n\n",
    );
    page.push_str("| collector | runs | families | from | settings | tested by |\n");
    page.push_str("| :-- | :-- | --: | :-- | :-- | :-- |\n");
    let guide = guide();
    let mut families = String::new();
    for source in SOURCES.iter().filter(|it| NODE_EXPORTER.split(' ').any(|name| name == it.name)) {
        let name = source.name;
        let Code { families: told, tested_by } = read(name);
        assert!(!told.is_empty() && !tested_by.is_empty(), "{name} has no families or no tests");
        let runs = if source.is_on { "yes" } else { "if enabled" };
        let [from, settings] = &guide[name];
        let tested_by: Vec<_> =
            tested_by.iter().map(|it| format!("[{it}](../../agent/src/sources/{it})")).collect();
        let tested_by = tested_by.join(", ");
        page.push_str(&format!(
            "| {name} | {runs} | {} | {from} | {settings} | {tested_by} |\n",
            told.len()
        ));
        let told: Vec<_> = told.into_iter().map(|it| format!("`{it}`")).collect();
        families.push_str(&format!("\n**{name}**: {}\n", told.join(", ")));
    }
    page.push_str("\n## Families\n\n`*` is what the kernel or a file names.\n");
    page.push_str(&families);
    expect_file![PAGE].assert_eq(&page);
}

#[test]
fn every_metric_of_node_exporter_full_is_a_family_of_ours() {
    let Some(path) = std::env::var_os("SKEP_DASHBOARDS").map(PathBuf::from) else {
        println!("skipped: SKEP_DASHBOARDS names no file");
        return;
    };
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut dashboards = json["sources"].as_object().unwrap().values();
    let full = dashboards.find(|it| it["title"] == "Node Exporter Full").unwrap();
    let mut metrics = BTreeSet::new();
    for query in full["promql"].as_array().unwrap() {
        let words = query.as_str().unwrap().split(|it: char| !is_name(it));
        metrics.extend(words.filter(|it| it.starts_with("node_")).map(str::to_owned));
    }
    assert!(metrics.len() > 200, "{} has no dashboard Node Exporter Full", path.display());
    // Those of the scrape itself.
    let mut families: BTreeSet<String> =
        ["success", "duration_seconds"].map(|it| format!("node_scrape_collector_{it}")).into();
    families.extend(SOURCES.iter().flat_map(|it| read(it.name).families));
    let is_known = |metric: &str| families.iter().any(|it| matches(it, metric));
    let unknown: Vec<_> =
        metrics.iter().filter(|it| !is_known(it) && !OLD_NAMES.contains(&it.as_str())).collect();
    println!("{} metrics, {} unknown", metrics.len(), unknown.len());
    assert!(unknown.is_empty(), "no collector tells {unknown:?}");
}

fn is_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}

/// Columns `from` and `settings` of the guide's table, by collector.
fn guide() -> BTreeMap<&'static str, [&'static str; 2]> {
    let guide = include_str!("../../../docs/guide/collectors.md");
    let rows = guide.lines().skip_while(|it| !it.starts_with("| :--")).skip(1);
    rows.map_while(|row| {
        let mut cells = row.strip_prefix("| ")?.strip_suffix('|')?.split(" |");
        let name = cells.next()?.split(' ').next()?;
        Some((name, [cells.next()?.trim(), cells.next()?.trim()]))
    })
    .collect()
}

/// The collector's file and those of its folder, and what they share with others.
fn read(name: &str) -> Code {
    let mut files = vec![Path::new(DIR).join(format!("{name}.rs"))];
    files.extend(
        fs::read_dir(Path::new(DIR).join(name)).into_iter().flatten().map(|it| it.unwrap().path()),
    );
    if ["nfs", "nfsd"].contains(&name) {
        files.push(Path::new(DIR).join("rpc_stats.rs"));
    }
    let mut code = Code::default();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("#[test]") {
            let file = file.strip_prefix(DIR).unwrap().to_str().unwrap();
            code.tested_by.insert(file.to_owned());
        }
        let is_of_tests = file.ends_with("tests.rs");
        let text = if is_of_tests { "" } else { &text };
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        code.families.extend(names(text));
    }
    code
}

/// Strings that are names of families.
fn names(text: &str) -> impl Iterator<Item = String> {
    text.split("\"node_").skip(1).filter_map(|rest| {
        let rest = rest.split('"').next()?;
        let mut name = "node_".to_owned();
        let mut depth = 0;
        for it in rest.chars() {
            match it {
                '{' => {
                    depth += 1;
                    name.push('*');
                }
                '}' => depth -= 1,
                _ if depth > 0 => {}
                it if is_name(it) => name.push(it),
                _ => return None,
            }
        }
        Some(name)
    })
}

/// `*` stands for any part of a name that is not empty.
fn matches(family: &str, metric: &str) -> bool {
    let mut parts = family.split('*');
    let first = parts.next().unwrap();
    let Some(mut rest) = metric.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let at = if is_last {
            rest.strip_suffix(part).map(str::len)
        } else {
            rest.get(1..).and_then(|it| it.find(part)).map(|it| it + 1)
        };
        match at {
            Some(at) if at > 0 => rest = &rest[at + if is_last { 0 } else { part.len() }..],
            _ => return false,
        }
    }
    true
}

#[test]
fn stars_stand_for_parts_of_names() {
    assert!(matches("node_load1", "node_load1") && !matches("node_load1", "node_load15"));
    assert!(matches("node_*_total", "node_x_total") && !matches("node_*_total", "node_total"));
    assert!(matches("node_a_*_b_*", "node_a_x_b_y") && !matches("node_a_*_b_*", "node_a_x_c_y"));
    assert!(!matches("node_*_total", "node_x_bytes"));
    assert_eq!(
        names("f(\"node_{a}_{b}_total\", \"node_ x\")").collect::<Vec<_>>(),
        ["node_*_*_total"]
    );
}
