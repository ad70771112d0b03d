//! Whole outputs of the CPU collector.

use expect_test::expect;

use super::collect;
use crate::sources::tests::Host;

const STAT: &str = "cpu  301854 612 111922 8979004 3552 2 3944 0 44 36\n\
    cpu0 44490 19 21045 1087069 220 1 3410 7 2 1\ncpu1 47869 23 16474 1110787 591 0 46 0 3 2\n\
    intr 1\n";

#[test]
fn ticks_become_seconds_by_mode() {
    Host::default().file("proc/stat", STAT).check(
        collect,
        &expect![[r##"
            # HELP node_cpu_guest_seconds_total CPU time that virtual machines ran, in seconds; the same mode of node_cpu_seconds_total contains it.
            # TYPE node_cpu_guest_seconds_total counter
            node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.02
            node_cpu_guest_seconds_total{cpu="0",mode="nice"} 0.01
            node_cpu_guest_seconds_total{cpu="1",mode="user"} 0.03
            node_cpu_guest_seconds_total{cpu="1",mode="nice"} 0.02
            # HELP node_cpu_seconds_total CPU time since boot by what it was spent on, in seconds.
            # TYPE node_cpu_seconds_total counter
            node_cpu_seconds_total{cpu="0",mode="user"} 444.9
            node_cpu_seconds_total{cpu="0",mode="nice"} 0.19
            node_cpu_seconds_total{cpu="0",mode="system"} 210.45
            node_cpu_seconds_total{cpu="0",mode="idle"} 10870.69
            node_cpu_seconds_total{cpu="0",mode="iowait"} 2.2
            node_cpu_seconds_total{cpu="0",mode="irq"} 0.01
            node_cpu_seconds_total{cpu="0",mode="softirq"} 34.1
            node_cpu_seconds_total{cpu="0",mode="steal"} 0.07
            node_cpu_seconds_total{cpu="1",mode="user"} 478.69
            node_cpu_seconds_total{cpu="1",mode="nice"} 0.23
            node_cpu_seconds_total{cpu="1",mode="system"} 164.74
            node_cpu_seconds_total{cpu="1",mode="idle"} 11107.87
            node_cpu_seconds_total{cpu="1",mode="iowait"} 5.91
            node_cpu_seconds_total{cpu="1",mode="irq"} 0
            node_cpu_seconds_total{cpu="1",mode="softirq"} 0.46
            node_cpu_seconds_total{cpu="1",mode="steal"} 0
        "##]],
    );
}

#[test]
fn guests_can_be_left_out() {
    let mut host = Host::default();
    host.settings().cpu.guest = false;
    let text = host.file("proc/stat", STAT).text(collect);
    assert!(text.contains("node_cpu_seconds_total"));
    assert!(!text.contains("guest"));
}

#[test]
fn a_counter_that_falls_a_little_stays_and_one_that_falls_far_starts_anew() {
    let host = Host::default();
    let seconds = |user: u32, idle: u32| {
        host.file("proc/stat", &format!("cpu0 {user} 0 0 {idle}\n"));
        let text = host.text(collect);
        let value = |mode: &str| {
            let series = format!("node_cpu_seconds_total{{cpu=\"0\",mode=\"{mode}\"}} ");
            let line = text.lines().find_map(|it| it.strip_prefix(&series)).unwrap();
            line.parse::<f64>().unwrap()
        };
        (value("user"), value("idle"))
    };
    assert_eq!(seconds(200, 1000), (2.0, 10.0));
    assert_eq!(seconds(190, 990), (2.0, 10.0));
    assert_eq!(seconds(210, 1100), (2.1, 11.0));
    assert_eq!(seconds(5, 800), (0.05, 8.0));
}

#[test]
fn models_flags_and_bugs_are_read_where_asked_for() {
    let cpu = |n: u32| {
        format!(
            "processor\t: {n}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n\
             model name\t: Some CPU: fast\nstepping\t: 10\nmicrocode\t: 0xb4\n\
             cpu MHz\t\t: 799.998\ncache size\t: 8192 KB\nphysical id\t: 0\ncore id\t\t: {n}\nflags\t\t: fpu aes avx2\n\
             bugs\t\t: mds l1tf\npower management:\n\n"
        )
    };
    let mut host = Host::default();
    host.settings().cpu.info_flags_include = Some("^a".to_owned().try_into().unwrap());
    host.settings().cpu.info_bugs_include = Some("^mds$".to_owned().try_into().unwrap());
    host.settings().cpu.guest = false;
    host.file("proc/cpuinfo", &(cpu(0) + &cpu(1)))
        .file("proc/stat", "cpu0 1 0 0 0\n")
        .check(collect, &expect![[r##"
            # HELP node_cpu_bug_info 1 for each selected hardware bug of the first CPU in /proc/cpuinfo.
            # TYPE node_cpu_bug_info gauge
            node_cpu_bug_info{bug="mds"} 1
            # HELP node_cpu_flag_info 1 for each selected feature of the first CPU in /proc/cpuinfo.
            # TYPE node_cpu_flag_info gauge
            node_cpu_flag_info{flag="aes"} 1
            node_cpu_flag_info{flag="avx2"} 1
            # HELP node_cpu_frequency_hertz Frequency the CPU runs at according to /proc/cpuinfo, in hertz.
            # TYPE node_cpu_frequency_hertz gauge
            node_cpu_frequency_hertz{package="0",core="0",cpu="0"} 7.99998e+08
            node_cpu_frequency_hertz{package="0",core="1",cpu="1"} 7.99998e+08
            # HELP node_cpu_info Always 1; the labels are what /proc/cpuinfo tells of the CPU.
            # TYPE node_cpu_info gauge
            node_cpu_info{package="0",core="0",cpu="0",vendor="GenuineIntel",family="6",model="142",model_name="Some CPU: fast",microcode="0xb4",stepping="10",cachesize="8192 KB"} 1
            node_cpu_info{package="0",core="1",cpu="1",vendor="GenuineIntel",family="6",model="142",model_name="Some CPU: fast",microcode="0xb4",stepping="10",cachesize="8192 KB"} 1
            # HELP node_cpu_seconds_total CPU time since boot by what it was spent on, in seconds.
            # TYPE node_cpu_seconds_total counter
            node_cpu_seconds_total{cpu="0",mode="user"} 0.01
            node_cpu_seconds_total{cpu="0",mode="nice"} 0
            node_cpu_seconds_total{cpu="0",mode="system"} 0
            node_cpu_seconds_total{cpu="0",mode="idle"} 0
            node_cpu_seconds_total{cpu="0",mode="iowait"} 0
            node_cpu_seconds_total{cpu="0",mode="irq"} 0
            node_cpu_seconds_total{cpu="0",mode="softirq"} 0
            node_cpu_seconds_total{cpu="0",mode="steal"} 0
        "##]]);
}

#[test]
fn throttles_are_told_once_a_core_and_once_a_package() {
    let mut host = Host::default();
    host.settings().cpu.guest = false;
    host.file("proc/stat", "cpu0 1 0 0 0\n");
    let cpu = "sys/devices/system/cpu";
    for (n, core, package, count) in [(0, 0, 0, "5"), (1, 0, 0, "6"), (2, 1, 0, "7"), (3, 0, 1, "")]
    {
        host.file(&format!("{cpu}/cpu{n}/topology/core_id"), &format!("{core}\n"))
            .file(&format!("{cpu}/cpu{n}/topology/physical_package_id"), &format!("{package}\n"));
        if !count.is_empty() {
            host.file(&format!("{cpu}/cpu{n}/thermal_throttle/core_throttle_count"), count)
                .file(&format!("{cpu}/cpu{n}/thermal_throttle/package_throttle_count"), "30\n");
        }
    }
    host.file(&format!("{cpu}/isolated"), "1,3-4\n").check(collect, &expect![[r##"
        # HELP node_cpu_core_throttles_total Times the core was slowed down because it was too hot.
        # TYPE node_cpu_core_throttles_total counter
        node_cpu_core_throttles_total{package="0",core="0"} 5
        node_cpu_core_throttles_total{package="0",core="1"} 7
        # HELP node_cpu_isolated 1 for each CPU that is kept out of scheduling (isolcpus).
        # TYPE node_cpu_isolated gauge
        node_cpu_isolated{cpu="1"} 1
        node_cpu_isolated{cpu="3"} 1
        node_cpu_isolated{cpu="4"} 1
        # HELP node_cpu_package_throttles_total Times the package was slowed down because it was too hot.
        # TYPE node_cpu_package_throttles_total counter
        node_cpu_package_throttles_total{package="0"} 30
        # HELP node_cpu_seconds_total CPU time since boot by what it was spent on, in seconds.
        # TYPE node_cpu_seconds_total counter
        node_cpu_seconds_total{cpu="0",mode="user"} 0.01
        node_cpu_seconds_total{cpu="0",mode="nice"} 0
        node_cpu_seconds_total{cpu="0",mode="system"} 0
        node_cpu_seconds_total{cpu="0",mode="idle"} 0
        node_cpu_seconds_total{cpu="0",mode="iowait"} 0
        node_cpu_seconds_total{cpu="0",mode="irq"} 0
        node_cpu_seconds_total{cpu="0",mode="softirq"} 0
        node_cpu_seconds_total{cpu="0",mode="steal"} 0
    "##]]);
}

#[test]
fn what_is_missing_or_no_number_is_named() {
    let host = Host::default();
    host.file("proc/stat", "intr 1\n").check(
        collect,
        &expect![[r#"
        error: /proc/stat: a cpu is missing
    "#]],
    );
    host.file("proc/stat", "cpu0 1 x\n").check(
        collect,
        &expect![[r#"
        error: /proc/stat: a cpu's ticks is not a number: "x"
    "#]],
    );
}
