//! What processes of a group read, write, send and receive, by the programs that see it.

use std::net::{TcpListener, UdpSocket};

use tokio::net::TcpSocket;

use super::*;
use crate::sources::Context;

/// A file system that is on a block device, unlike `/tmp` of some hosts.
fn disk_dir() -> tempfile::TempDir {
    let exe = std::env::current_exe().unwrap();
    tempfile::tempdir_in(exe.parent().unwrap()).unwrap()
}

/// A port that nobody listens at.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_counted_to_the_byte() {
    let Some(_turn) = turn("network bytes").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let script = format!(
        "exec bash -c 'exec 3<>/dev/udp/127.0.0.1/{port}; \
         for i in 1 2 3; do printf %01000d 0 >&3; done; echo sent; read _'"
    );
    let mut child = group.run(&script);
    assert_eq!(child.hear(), "sent\n");
    let mut buffer = [0; 2000];
    let (n, sender) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(n, 1000);
    for _ in 0..2 {
        socket.send_to(&buffer[..500], sender).unwrap();
    }
    let mut seen = |what, direction: &str| {
        let more = format!(",direction=\"{direction}\"");
        kernel.value_of(&format!("unit_network_{what}_total"), &group.unit, &more)
    };
    // 28 bytes of IP and UDP headers each.
    assert_eq!((seen("packets", "transmit"), seen("bytes", "transmit")), (3.0, 3.0 * 1028.0));
    wait_until("the answers are there", || seen("packets", "receive") >= 2.0).await;
    assert_eq!((seen("packets", "receive"), seen("bytes", "receive")), (2.0, 2.0 * 528.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_made_and_refused_are_told_apart() {
    let Some(_turn) = turn("TCP connections").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (open, closed) = (listener.local_addr().unwrap().port(), closed_port());
    let script = format!(
        "for port in {open} {open} {closed}; do bash -c \"exec 3<>/dev/tcp/127.0.0.1/$port\"; done; \
         echo done; read _"
    );
    let mut child = group.run(&script);
    assert_eq!(child.hear(), "done\n");
    let unit = &group.unit;
    assert_eq!(kernel.value("unit_tcp_connects_total", unit), 2.0);
    assert_eq!(kernel.value("unit_tcp_connect_seconds_count", unit), 2.0);
    let seconds = kernel.value("unit_tcp_connect_seconds_sum", unit);
    assert!(0.0 < seconds && seconds < 1.0, "{seconds} s over loopback");
    let failures = "unit_tcp_connect_failures_total";
    assert_eq!(kernel.value_of(failures, unit, ",reason=\"refused\""), 1.0);
    assert_eq!(kernel.value_of(failures, unit, ",reason=\"timeout\""), 0.0);
    assert_eq!(kernel.value("unit_tcp_accepted_total", unit), 0.0);
}

/// What a child runs in its group to be a listener with room for one connection, which it never
/// accepts: this test binary, and of it [`a_listener_in_the_group_of_another_test`].
fn listen() -> String {
    let (exe, module) = (std::env::current_exe().unwrap(), module_path!());
    let test = module.split_once("::").unwrap().1;
    format!(
        "{LISTEN}=1 exec {} --exact {test}::a_listener_in_the_group_of_another_test --nocapture",
        exe.display()
    )
}

const LISTEN: &str = "SKEP_TEST_LISTEN";

#[tokio::test]
async fn a_listener_in_the_group_of_another_test() {
    if std::env::var_os(LISTEN).is_none() {
        return;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    println!("port {}", listener.local_addr().unwrap().port());
    // Until the other test ends.
    io::stdin().read_line(&mut String::new()).unwrap();
}

/// Where the child of [`listen`] listens.
fn hear_port(child: &mut Inside) -> u16 {
    for _ in 0..10 {
        if let Some(port) = child.hear().strip_prefix("port ") {
            return port.trim().parse().unwrap();
        }
    }
    panic!("the child does not listen");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_lets_in_and_what_is_sent_again_is_on_each_sides_account() {
    let Some(_turn) = turn("accepted TCP connections and retransmits").await else { return };
    let mut kernel = Kernel::start();
    let (server, client) = (TestGroup::new(), TestGroup::new());
    let mut listener = server.run(&listen());
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{}", hear_port(&mut listener));
    // The second or third finds the queue full and has to send its SYN again, after a second.
    let clients: Vec<_> =
        (0..3).map(|_| client.run(&format!("exec bash -c '{connect}; read _'"))).collect();
    wait_until("a SYN is sent again", || {
        kernel.value("unit_tcp_retransmits_total", &client.unit) >= 1.0
    })
    .await;
    let accepted = kernel.value("unit_tcp_accepted_total", &server.unit);
    assert!((1.0..=2.0).contains(&accepted), "{accepted}");
    assert_eq!(kernel.value("unit_tcp_connects_total", &server.unit), 0.0);
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fsync_is_timed() {
    let Some(_turn) = turn("fsync latency").await else { return };
    let mut kernel = Kernel::start();
    let (group, dir) = (TestGroup::new(), disk_dir());
    let file = dir.path().join("file");
    let dd = format!("dd if=/dev/zero of={} bs=4k count=1", file.display());
    let script =
        format!("{dd} conv=fsync; {dd} conv=fsync; {dd} conv=fdatasync; {dd}; echo done; read _");
    let mut child = group.run(&script);
    assert_eq!(child.hear(), "done\n");
    assert_eq!(kernel.value("unit_fsync_seconds_count", &group.unit), 3.0);
    let seconds = kernel.value("unit_fsync_seconds_sum", &group.unit);
    assert!(seconds > 0.0, "{seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_disk_is_on_the_writers_account() {
    let Some(_turn) = turn("block I/O").await else { return };
    let dir = disk_dir();
    if rustix::fs::major(fs::metadata(dir.path()).unwrap().dev()) == 0 {
        writeln!(io::stderr(), "skipped: block I/O: {} is on no disk", dir.path().display())
            .unwrap();
        return;
    }
    let file = dir.path().join("file");
    // The blocks are there before, so that no metadata comes with them.
    let mut out = fs::File::create(&file).unwrap();
    out.write_all(&vec![1; 1 << 20]).unwrap();
    out.sync_all().unwrap();
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let dd =
        format!("dd if=/dev/zero of={} bs=64k count=16 conv=notrunc oflag=direct", file.display());
    let mut child = group.run(&format!("{dd}; echo done; read _"));
    assert_eq!(child.hear(), "done\n");
    let text = kernel.collect();
    let unit = format!("unit=\"{}\"", group.unit);
    let written: Vec<&str> = text
        .lines()
        .filter(|it| it.contains(&unit) && it.contains("operation=\"write\""))
        .filter(|it| it.starts_with("unit_block_bytes_total") || it.contains("_count"))
        .collect();
    let bytes = written.iter().find(|it| it.starts_with("unit_block_bytes")).expect("bytes");
    assert!(bytes.ends_with(" 1.048576e+06"), "{written:?}");
    assert!(
        !bytes.contains("device=\"\"") && !bytes.contains(':'),
        "the device has a name: {bytes}"
    );
    let n_requests = written.iter().find(|it| it.contains("_count")).expect("requests");
    assert!(n_requests.ends_with(" 16"), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_processes_are_counted_by_code_and_signal() {
    let Some(_turn) = turn("exit codes").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let mut child = group.run(
        "/bin/sh -c 'exit 3'; /bin/sh -c 'exit 3'; /bin/sh -c 'kill -9 $$'; /bin/sh -c 'kill $$'; \
         echo done; read _",
    );
    assert_eq!(child.hear(), "done\n");
    let exits = "unit_process_exits_total";
    assert_eq!(kernel.value_of(exits, &group.unit, ",code=\"3\""), 2.0);
    assert_eq!(kernel.value_of(exits, &group.unit, ",code=\"0\""), 0.0);
    let signals = "unit_process_fatal_signals_total";
    assert_eq!(kernel.value_of(signals, &group.unit, ",signal=\"KILL\""), 1.0);
    assert_eq!(kernel.value_of(signals, &group.unit, ",signal=\"TERM\""), 1.0);
}

/// The collector of control groups' files on this host.
fn collect_files() -> String {
    let settings = crate::sources::Settings::default();
    let context = Context::new(Roots::default(), settings, Arc::new(SystemClock), 1_000);
    let mut out = Exposition::default();
    crate::sources::unit::collect(&context, &mut out).unwrap();
    out.to_text()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_group_and_its_sockets_say_what_its_process_does() {
    let Some(_turn) = turn("files of control groups").await else { return };
    let mut group = TestGroup::new();
    group.limit_memory(64 << 20);
    let mut child = group
        .run(&format!("held=$(head -c 20000000 /dev/zero | tr '\\0' x); echo held; {}", listen()));
    assert_eq!(child.hear(), "held\n");
    let value = |metric: &str, more: &str| {
        let prefix = format!("{metric}{{unit=\"{}\"{more}}} ", group.unit);
        let text = collect_files();
        let value = text.lines().find_map(|it| it.strip_prefix(&prefix)).map(str::to_owned);
        value.unwrap_or_else(|| panic!("{prefix} is not in\n{text}")).parse::<f64>().unwrap()
    };
    // The shell's own copy may be gone by now, the most it ever was is not.
    let peak = value("unit_memory_peak_bytes", "");
    assert!((20e6..=f64::from(64 << 20)).contains(&peak), "{peak}");
    assert_eq!(value("unit_memory_limit_bytes", ""), f64::from(64 << 20));
    assert!(value("unit_memory_current_bytes", "") > 0.0);
    assert!(value("unit_cpu_mode_seconds_total", ",mode=\"user\"") > 0.0);
    assert_ne!(hear_port(&mut child), 0);
    if is_other_kernel() {
        // The guest is without the module for socket diagnosis.
        return;
    }
    assert_eq!(value("unit_listening_sockets", ",protocol=\"tcp\""), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_lists_every_metric_of_units() {
    let guide = include_str!("../../../../../docs/guide/units.md");
    let mut names: Vec<String> =
        crate::sources::units::figures::DEFINITIONS.iter().map(|it| it.name.to_owned()).collect();
    if let Some(_turn) = turn("metrics of units in the guide").await {
        let group = TestGroup::new();
        let mut kernel = Kernel::start();
        let mut child = group.run("/bin/true; echo done; read _");
        assert_eq!(child.hear(), "done\n");
        let text = kernel.collect() + &collect_files();
        let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE unit_"));
        names.extend(types.map(|it| format!("unit_{}", it.split(' ').next().unwrap())));
    }
    for name in names {
        assert!(guide.contains(&format!("| {name} |")), "{name} is not in docs/guide/units.md");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_costs_little() {
    let Some(_turn) = turn("the cost of each program").await else { return };
    let mut object = load();
    object.start(&sched::EMPTY).unwrap();
    for program in programs() {
        drop(object.start(program));
    }
    let stats = aya::sys::enable_stats(aya::sys::Stats::RunTime).unwrap();
    let (group, dir) = (TestGroup::new(), disk_dir());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (file, closed) = (dir.path().join("file"), closed_port());
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do \
         dd if=/dev/zero of={} bs=16k count=20 oflag=direct conv=fsync; \
         bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'; bash -c 'exec 3<>/dev/tcp/127.0.0.1/{closed}'; \
         bash -c 'exec 3<>/dev/udp/127.0.0.1/{port}; for i in 1 2 3 4 5 6 7 8 9; do printf x >&3; done'; \
         done; echo done; read _",
        file.display()
    );
    let mut child = group.run(&script);
    assert_eq!(child.hear(), "done\n");
    ping_pong(20_000);
    drop(stats);
    let cost = |program: &AyaProgram| {
        let info = AyaProgram::info(program).ok()?;
        let run_ns = as_f64(u64::try_from(info.run_time().as_nanos()).ok()?);
        Some((run_ns / as_f64(info.run_count()), info.run_count()))
    };
    let kernel = &object.maps.kernel;
    let (empty_ns, _) = kernel.program("sched_empty").and_then(cost).expect("it runs");
    let mut costs: Vec<_> = kernel
        .programs()
        .filter_map(|(name, program)| Some((name, cost(program)?)))
        .filter(|(_, (_, n_runs))| *n_runs >= 10)
        .collect();
    costs.sort_unstable_by_key(|(name, _)| *name);
    for (name, (ns, n_runs)) in &costs {
        eprintln!("{name}: {:.0} ns net of an empty program, {n_runs} runs", ns - empty_ns);
    }
    for name in ["net_sent", "tcp_state", "block_issue", "block_complete"] {
        assert!(costs.iter().any(|(it, _)| *it == name), "{name} ran");
    }
    // A fiftieth of this on a quiet machine: a loop over a map would show.
    let slow: Vec<_> = costs.iter().filter(|(_, (ns, _))| *ns > 50_000.0).collect();
    assert!(slow.is_empty(), "{slow:?}");
}
