//! Goldens over trees of control groups that we made up.

use expect_test::expect;

use super::collect;
use crate::sources::tests::Host;

const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n\
                        full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n";

/// As `collect`, without the sockets of the machine that runs the test.
fn text(host: &Host) -> String {
    let text = host.text(collect);
    text.lines().filter(|it| !it.contains("unit_listening")).map(|it| format!("{it}\n")).collect()
}

/// Control groups are mounted as these lines say.
fn host_with(mounts: &str) -> Host {
    let host = Host::default();
    host.file("proc/self/mounts", mounts);
    host.restarted()
}

fn unified() -> Host {
    host_with("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n")
}

fn write_web_service(host: &Host) {
    let group = "sys/fs/cgroup/system.slice/web.service";
    let events = "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n";
    let cpu = "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 10\n\
               nr_throttled 2\nthrottled_usec 1500000\n";
    let io = "8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n259:1 \n";
    for (file, text) in [
        ("memory.current", "4096\n"),
        ("worker/memory.current", "1024\n"),
        ("memory.peak", "8192\n"),
        ("memory.max", "max\n"),
        ("memory.swap.current", "0\n"),
        ("memory.stat", "anon 3000\nfile 1000\nkernel 96\n"),
        ("memory.events", events),
        ("cpu.stat", cpu),
        ("cpu.pressure", PRESSURE),
        ("io.pressure", PRESSURE),
        ("memory.pressure", PRESSURE),
        ("pids.current", "7\n"),
        ("pids.max", "4915\n"),
        ("io.stat", io),
    ] {
        host.file(&format!("{group}/{file}"), text);
    }
}

#[test]
fn a_units_files_are_told_once_and_slices_are_not() {
    let host = unified();
    host.file("sys/fs/cgroup/memory.current", "999\n")
        .file("sys/fs/cgroup/system.slice/memory.current", "888\n");
    write_web_service(&host);
    expect![[r##"
        # HELP unit_cpu_mode_seconds_total CPU time of a unit by mode, as its control group counts it.
        # TYPE unit_cpu_mode_seconds_total counter
        unit_cpu_mode_seconds_total{unit="web.service",mode="user"} 3
        unit_cpu_mode_seconds_total{unit="web.service",mode="system"} 2
        # HELP unit_cpu_periods_total Periods of a unit's CPU quota in which it could run.
        # TYPE unit_cpu_periods_total counter
        unit_cpu_periods_total{unit="web.service"} 10
        # HELP unit_cpu_throttled_periods_total Periods of a unit's CPU quota that were used up before their end.
        # TYPE unit_cpu_throttled_periods_total counter
        unit_cpu_throttled_periods_total{unit="web.service"} 2
        # HELP unit_cpu_throttled_seconds_total Time that a unit's CPU quota kept it from running, added up over CPUs.
        # TYPE unit_cpu_throttled_seconds_total counter
        unit_cpu_throttled_seconds_total{unit="web.service"} 1.5
        # HELP unit_io_bytes_total Bytes of a unit's I/O, as its control group counts them.
        # TYPE unit_io_bytes_total counter
        unit_io_bytes_total{unit="web.service",device="8:0",operation="read"} 100
        unit_io_bytes_total{unit="web.service",device="8:0",operation="write"} 200
        unit_io_bytes_total{unit="web.service",device="8:0",operation="discard"} 0
        # HELP unit_io_operations_total Requests of a unit's I/O, as its control group counts them.
        # TYPE unit_io_operations_total counter
        unit_io_operations_total{unit="web.service",device="8:0",operation="read"} 3
        unit_io_operations_total{unit="web.service",device="8:0",operation="write"} 4
        unit_io_operations_total{unit="web.service",device="8:0",operation="discard"} 0
        # HELP unit_memory_anon_bytes Memory of a unit's processes that no file is behind.
        # TYPE unit_memory_anon_bytes gauge
        unit_memory_anon_bytes{unit="web.service"} 3000
        # HELP unit_memory_current_bytes Memory that is charged to a unit, its part of the page cache too.
        # TYPE unit_memory_current_bytes gauge
        unit_memory_current_bytes{unit="web.service"} 4096
        # HELP unit_memory_events_total How often a unit's memory came up against what its control group permits.
        # TYPE unit_memory_events_total counter
        unit_memory_events_total{unit="web.service",event="low"} 0
        unit_memory_events_total{unit="web.service",event="high"} 1
        unit_memory_events_total{unit="web.service",event="max"} 2
        unit_memory_events_total{unit="web.service",event="oom"} 3
        unit_memory_events_total{unit="web.service",event="oom_kill"} 4
        # HELP unit_memory_file_bytes Page cache that is charged to a unit, shared memory too.
        # TYPE unit_memory_file_bytes gauge
        unit_memory_file_bytes{unit="web.service"} 1000
        # HELP unit_memory_peak_bytes The most memory that was charged to a unit.
        # TYPE unit_memory_peak_bytes gauge
        unit_memory_peak_bytes{unit="web.service"} 8192
        # HELP unit_memory_swap_bytes Memory of a unit that is swapped out.
        # TYPE unit_memory_swap_bytes gauge
        unit_memory_swap_bytes{unit="web.service"} 0
        # HELP unit_pressure_stalled_seconds_total Seconds in which all tasks of a unit that were not idle waited for it.
        # TYPE unit_pressure_stalled_seconds_total counter
        unit_pressure_stalled_seconds_total{unit="web.service",resource="cpu"} 0.5
        unit_pressure_stalled_seconds_total{unit="web.service",resource="io"} 0.5
        unit_pressure_stalled_seconds_total{unit="web.service",resource="memory"} 0.5
        # HELP unit_pressure_waiting_seconds_total Seconds in which at least one task of a unit waited for a resource.
        # TYPE unit_pressure_waiting_seconds_total counter
        unit_pressure_waiting_seconds_total{unit="web.service",resource="cpu"} 2.5
        unit_pressure_waiting_seconds_total{unit="web.service",resource="io"} 2.5
        unit_pressure_waiting_seconds_total{unit="web.service",resource="memory"} 2.5
        # HELP unit_tasks Threads of a unit.
        # TYPE unit_tasks gauge
        unit_tasks{unit="web.service"} 7
        # HELP unit_tasks_limit The most threads that a unit may have; not there without a limit.
        # TYPE unit_tasks_limit gauge
        unit_tasks_limit{unit="web.service"} 4915
    "##]].assert_eq(&text(&host));
}

#[test]
fn version_1_says_what_version_2_does_not() {
    let host = host_with(
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
         cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
         cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
         cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
         cgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0\n",
    );
    host.file("sys/fs/cgroup/unified/a.service/cpu.stat", "user_usec 1000000\nsystem_usec 0\n")
        .file("sys/fs/cgroup/cpu,cpuacct/a.service/cpuacct.usage_user", "9000000000\n")
        .file("sys/fs/cgroup/cpu,cpuacct/a.service/cpu.stat", "nr_periods 1\nthrottled_time 5000\n")
        .file("sys/fs/cgroup/memory/a.service/memory.usage_in_bytes", "4096\n")
        .file("sys/fs/cgroup/memory/a.service/memory.limit_in_bytes", "9223372036854771712\n")
        .file(
            "sys/fs/cgroup/memory/a.service/memory.stat",
            "cache 1\nrss 2\ntotal_cache 10\ntotal_rss 20\ntotal_swap 30\n",
        )
        .file(
            "sys/fs/cgroup/memory/a.service/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
        )
        .file("sys/fs/cgroup/pids/a.service/pids.current", "3\n")
        .file("sys/fs/cgroup/pids/a.service/pids.max", "max\n")
        .file(
            "sys/fs/cgroup/blkio/a.service/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Discard 0\n8:0 Total 300\nTotal 300\n",
        )
        .file(
            "sys/fs/cgroup/blkio/a.service/blkio.throttle.io_serviced_recursive",
            "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
        );
    expect![[r##"
        # HELP unit_cpu_mode_seconds_total CPU time of a unit by mode, as its control group counts it.
        # TYPE unit_cpu_mode_seconds_total counter
        unit_cpu_mode_seconds_total{unit="a.service",mode="user"} 1
        unit_cpu_mode_seconds_total{unit="a.service",mode="system"} 0
        # HELP unit_cpu_periods_total Periods of a unit's CPU quota in which it could run.
        # TYPE unit_cpu_periods_total counter
        unit_cpu_periods_total{unit="a.service"} 1
        # HELP unit_cpu_throttled_seconds_total Time that a unit's CPU quota kept it from running, added up over CPUs.
        # TYPE unit_cpu_throttled_seconds_total counter
        unit_cpu_throttled_seconds_total{unit="a.service"} 5e-06
        # HELP unit_io_bytes_total Bytes of a unit's I/O, as its control group counts them.
        # TYPE unit_io_bytes_total counter
        unit_io_bytes_total{unit="a.service",device="8:0",operation="read"} 100
        unit_io_bytes_total{unit="a.service",device="8:0",operation="write"} 200
        unit_io_bytes_total{unit="a.service",device="8:0",operation="discard"} 0
        # HELP unit_io_operations_total Requests of a unit's I/O, as its control group counts them.
        # TYPE unit_io_operations_total counter
        unit_io_operations_total{unit="a.service",device="8:0",operation="read"} 1
        unit_io_operations_total{unit="a.service",device="8:0",operation="write"} 2
        unit_io_operations_total{unit="a.service",device="8:0",operation="discard"} 0
        # HELP unit_memory_anon_bytes Memory of a unit's processes that no file is behind.
        # TYPE unit_memory_anon_bytes gauge
        unit_memory_anon_bytes{unit="a.service"} 20
        # HELP unit_memory_current_bytes Memory that is charged to a unit, its part of the page cache too.
        # TYPE unit_memory_current_bytes gauge
        unit_memory_current_bytes{unit="a.service"} 4096
        # HELP unit_memory_events_total How often a unit's memory came up against what its control group permits.
        # TYPE unit_memory_events_total counter
        unit_memory_events_total{unit="a.service",event="oom_kill"} 5
        # HELP unit_memory_file_bytes Page cache that is charged to a unit, shared memory too.
        # TYPE unit_memory_file_bytes gauge
        unit_memory_file_bytes{unit="a.service"} 10
        # HELP unit_memory_swap_bytes Memory of a unit that is swapped out.
        # TYPE unit_memory_swap_bytes gauge
        unit_memory_swap_bytes{unit="a.service"} 30
        # HELP unit_tasks Threads of a unit.
        # TYPE unit_tasks gauge
        unit_tasks{unit="a.service"} 3
    "##]].assert_eq(&text(&host));
}

#[test]
fn groups_of_one_unit_are_added_up_and_containers_are_named() {
    let host = unified();
    let id = "ab".repeat(32);
    for user in [1, 2] {
        host.file(
            &format!(
                "sys/fs/cgroup/user-{user}.slice/user@{user}.service/foot.service/pids.current"
            ),
            "2\n",
        );
    }
    host.file(&format!("sys/fs/cgroup/docker-{id}.scope/pids.current"), "5\n")
        .file("sys/fs/cgroup/lxc.payload.db/ssh.service/pids.current", "1\n");
    expect![[r##"
        # HELP unit_tasks Threads of a unit.
        # TYPE unit_tasks gauge
        unit_tasks{unit="docker-abababababababababababababababababababababababababababababababab.scope",container="abababababab"} 5
        unit_tasks{unit="foot.service"} 4
        unit_tasks{unit="ssh.service",container="db"} 1
    "##]].assert_eq(&text(&host));
}

#[test]
fn a_unit_that_is_gone_is_told_no_more_and_its_files_are_closed() {
    let host = unified();
    host.file("sys/fs/cgroup/a.service/pids.current", "1\n")
        .file("sys/fs/cgroup/b.service/pids.current", "1\n");
    assert!(text(&host).contains(r#"unit_tasks{unit="a.service"} 1"#));
    host.file("sys/fs/cgroup/a.service/pids.current", "2\n");
    assert!(text(&host).contains(r#"unit_tasks{unit="a.service"} 2"#), "it is read anew");
    std::fs::remove_dir_all(host.path("sys/fs/cgroup/a.service")).unwrap();
    let after = text(&host);
    assert!(!after.contains("a.service") && after.contains("b.service"), "{after}");
}

#[test]
fn a_host_without_control_groups_has_no_units() {
    expect![[r#"
        error: this host has no control groups
    "#]]
    .assert_eq(&text(&Host::default()));
}
