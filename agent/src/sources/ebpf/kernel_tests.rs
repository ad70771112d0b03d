//! The programs in the running kernel: they load, and what a process does is what they say.
//!
//! Needs root and an agent built with an eBPF object; else each test says that it is skipped.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::AtomicU32,
    time::Duration,
};

use aya::programs::Program as AyaProgram;

use skep_proto::Clock as _;
use tokio::time::{Instant, sleep};

mod units;

use super::{
    loader::{Candidate, Hook, ProgramFailure},
    *,
};
use crate::sources::units::{Units, groups};

mod events;
mod host;

/// Generous: the machine may be busy with other things.
const DEADLINE: Duration = Duration::from_secs(60);
const QUEUE: usize = 20_000;

/// Whether these tests can run here; says so if not.
/// `None` where there can be no kernel programs. One test at a time: the kernel leaves a program out
/// where it is still at work for another task on the same CPU, which is rare with one agent, and
/// not with the programs of several at every hook.
async fn turn(test: &str) -> Option<tokio::sync::MutexGuard<'static, ()>> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    if is_possible(test) { Some(TURN.lock().await) } else { None }
}

fn is_possible(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || OBJECT.is_empty() {
        let why = if is_root { "the agent was built without an eBPF object" } else { "not root" };
        // Not `eprintln`, which the test harness keeps to itself.
        writeln!(io::stderr(), "skipped: {test}: {why}").unwrap();
    }
    is_root && !OBJECT.is_empty()
}

/// Whether this is a guest of `cargo xtask vmtest`, whose kernel may be older than any developer's.
fn is_other_kernel() -> bool {
    std::env::var_os("SKEP_VMTEST").is_some()
}

fn settings() -> EbpfSettings {
    let roots = Roots::default();
    let units = Units::new(&roots, 1_000).shared();
    let events = EventSettings { tcp_connect: true, ..EventSettings::default() };
    EbpfSettings { enabled: true, host: "h1".to_owned(), roots, units, events }
}

fn load() -> Object {
    Object::load(OBJECT, &cgroup2()).unwrap()
}

/// The programs, and what came out of them.
struct Kernel {
    ebpf: Ebpf,
    events_rx: mpsc::Receiver<LogRecord>,
}

impl Kernel {
    fn start() -> Self {
        let (events_tx, events_rx) = mpsc::channel(QUEUE);
        Self { ebpf: Ebpf::start(&settings(), events_tx), events_rx }
    }

    /// As `start`, with one function of the object only, and [`sched::FLUSH`].
    fn with_only(candidate: &Candidate) -> Self {
        let (events_tx, events_rx) = mpsc::channel(QUEUE);
        let start = |object: &mut Object| {
            object.attach(candidate).unwrap();
            object.start(&sched::FLUSH).unwrap();
            Statuses::new()
        };
        let (running, statuses) = Running::start(load(), &settings(), events_tx, start).unwrap();
        Self { ebpf: Ebpf { statuses, running: Some(running) }, events_rx }
    }

    fn collect(&mut self) -> String {
        let mut out = Exposition::default();
        self.ebpf.collect(&mut out);
        out.to_text()
    }

    /// A metric of one unit as it is now; 0 where there is none.
    fn value(&mut self, metric: &str, unit: &str) -> f64 {
        self.value_of(metric, unit, "")
    }

    /// As `value`, of a series with more labels: `,name="value"`.
    fn value_of(&mut self, metric: &str, unit: &str, more: &str) -> f64 {
        let prefix = format!("{metric}{{unit=\"{unit}\"{more}}} ");
        let text = self.collect();
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value.map_or(0.0, |it| it.parse().unwrap())
    }

    /// Whether the kernel holds counters of a group.
    fn is_counting(&self, group: u64) -> bool {
        let running = self.ebpf.running.as_ref().unwrap();
        let mut processes = HashMap::<u64, skep_abi::GroupProcesses>::new();
        running.maps.counters("GROUP_PROCESSES", &mut processes).unwrap();
        processes.contains_key(&group) || sched::read(&running.maps).unwrap().contains_key(&group)
    }

    /// Waits for a log entry of a unit.
    async fn event(&mut self, name: &str, unit: &str, has: (&str, &str)) -> LogRecord {
        let wait = async {
            loop {
                let record = self.events_rx.recv().await.expect("the reader runs");
                let is_it = record.stream.get("event") == name
                    && record.stream.get("unit") == unit
                    && record.entry.metadata.iter().any(|(key, it)| (&**key, &**it) == has);
                if is_it {
                    return record;
                }
            }
        };
        let record = tokio::time::timeout(DEADLINE, wait).await;
        record.unwrap_or_else(|_| panic!("no event {name} of {unit} with {has:?}"))
    }
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "waited too long until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A control group of its own; gone at the end.
struct TestGroup {
    /// In each hierarchy.
    dirs: Vec<PathBuf>,
    unit: String,
}

impl TestGroup {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("skep-test-{}-{n}", std::process::id());
        let dir = cgroup2().join(&name);
        fs::create_dir(&dir).unwrap();
        Self { dirs: vec![dir], unit: format!("/{name}") }
    }

    /// Adds a limit on memory, in whichever version has the controller.
    fn limit_memory(&mut self, bytes: u64) {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        if v1.join("memory.limit_in_bytes").exists() {
            let dir = v1.join(&self.unit[1..]);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("memory.limit_in_bytes"), bytes.to_string()).unwrap();
            self.dirs.push(dir);
        } else {
            fs::write(cgroup2().join("cgroup.subtree_control"), "+memory").unwrap();
            fs::write(self.dirs[0].join("memory.max"), bytes.to_string()).unwrap();
        }
    }

    /// Runs a shell script inside; `echo` tells the test that it is there.
    fn run(&self, script: &str) -> Inside {
        let join: String = self
            .dirs
            .iter()
            .map(|it| format!("echo $$ > {}/cgroup.procs; ", it.display()))
            .collect();
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("set -e; {join} echo ready; set +e; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the child could not join its groups");
        Inside { child, out }
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // A killed process leaves its group a moment later.
            for _ in 0..1000 {
                match fs::remove_dir(dir) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    groups::find_root(&mounts, Path::new("/sys")).expect("a cgroup2 tree")
}

/// A process in a [`TestGroup`].
struct Inside {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Inside {
    /// On-CPU and run-queue time in seconds, as the scheduler counts them for the process.
    fn schedstat(&self) -> (f64, f64) {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        let mut ns = text.split(' ').map(|it| it.parse::<f64>().unwrap_or(0.0) / 1e9);
        (ns.next().unwrap(), ns.next().unwrap())
    }

    /// User and system time in seconds, to a hundredth.
    fn cpu_seconds(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    async fn stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_until("the child stops", || fs::read_to_string(&stat).unwrap().contains(") T ")).await;
    }

    fn tell(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.expect("the child is ours");
    }
}

const HOG: &str = "while :; do :; done";

#[track_caller]
fn assert_near(what: &str, value: f64, expected: f64) {
    let tolerance = 0.05 * expected + 0.02;
    assert!((value - expected).abs() <= tolerance, "{what}: {value} is not near {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_candidate_of_every_program_is_taken_by_this_kernel() {
    let Some(_turn) = turn("loading each program").await else { return };
    let mut object = load();
    for candidate in programs().flat_map(|it| it.candidates) {
        let result = object.attach(candidate);
        if is_other_kernel()
            && matches!(result, Err(ProgramFailure::Field(_) | ProgramFailure::Arguments { .. }))
        {
            // Then another candidate must do: see `all_programs_report_that_they_run`.
            continue;
        }
        let is_function = matches!(candidate.hook, Hook::FunctionEntry(_) | Hook::FunctionExit(_));
        let reason = result.as_ref().err().map(ProgramFailure::reason);
        let may_lack = reason == Some("attach") && is_other_kernel();
        if is_function && (may_lack || reason == Some("not_permitted")) {
            // Some kernels permit no one to look at their functions, or have them inlined.
            continue;
        }
        assert!(result.is_ok(), "{}: {:?}", candidate.function, result);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_programs_report_that_they_run() {
    let Some(_turn) = turn("all programs").await else { return };
    let text = Kernel::start().collect();
    for program in programs() {
        let line = format!("ebpf_program_loaded{{program=\"{}\",reason=\"\"}} 1\n", program.name);
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

async fn check_hog(mut kernel: Kernel) {
    let group = TestGroup::new();
    let hog = group.run(HOG);
    // What it took to get into its group is on another account: much on an emulated processor.
    let (joined, joined_ticks) = (hog.schedstat().0, hog.cpu_seconds());
    wait_until("the hog has run for a second", || hog.schedstat().0 > joined + 1.0).await;
    // It need not have left its CPU since it began: the flush has to see it.
    let before = hog.schedstat().0 - joined;
    let seen = kernel.value("unit_cpu_seconds_total", &group.unit);
    let after = hog.schedstat().0;
    let is_seen = 0.95 * before - 0.02 < seen && seen <= after;
    assert!(is_seen, "{seen} s are not between {before} and {after}");
    hog.stop().await;
    let seen = kernel.value("unit_cpu_seconds_total", &group.unit);
    assert_near("by the scheduler", seen, hog.schedstat().0 - joined);
    assert_near("by the clock tick", seen, hog.cpu_seconds() - joined_ticks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_loop_is_on_its_units_account() {
    if let Some(_turn) = turn("on-CPU time").await {
        check_hog(Kernel::start()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_of_sched_counts_the_same() {
    if let Some(_turn) = turn("on-CPU time by the raw tracepoint").await {
        check_hog(Kernel::with_only(&sched::SWITCH.candidates[1])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_gone_is_told_once_more_and_then_freed() {
    let Some(_turn) = turn("groups that are gone").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let id = fs::metadata(&group.dirs[0]).unwrap().ino();
    let unit = group.unit.clone();
    let mut child = group.run("/bin/true; echo done; read _");
    assert_eq!(child.hear(), "done\n");
    let before = kernel.value("unit_cpu_seconds_total", &unit);
    assert!(before > 0.0);
    drop(child);
    drop(group);
    assert!(kernel.is_counting(id));
    let last = kernel.value("unit_cpu_seconds_total", &unit);
    assert!(last >= before, "{last} s after {before} s");
    assert!(!kernel.collect().contains(&unit), "it was told once");
    assert!(!kernel.is_counting(id), "its counters are free for others");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hogs_on_one_cpu_wait_for_each_other() {
    let Some(_turn) = turn("run-queue wait").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let pinned = "taskset -p -c 0 $$ > /dev/null; echo pinned;";
    let mut hogs = [group.run(&format!("{pinned} {HOG}")), group.run(&format!("{pinned} {HOG}"))];
    for hog in &mut hogs {
        assert_eq!(hog.hear(), "pinned\n");
    }
    let waited = |hogs: &[Inside]| hogs.iter().map(|it| it.schedstat().1).sum::<f64>();
    wait_until("the hogs have waited for a second", || waited(&hogs) > 1.0).await;
    for hog in &hogs {
        hog.stop().await;
    }
    let seen = kernel.value("unit_run_queue_wait_seconds_sum", &group.unit);
    assert_near("wait", seen, waited(&hogs));
    assert!(kernel.value("unit_run_queue_wait_seconds_count", &group.unit) > 10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_programs_are_counted_exactly() {
    let Some(_turn) = turn("exec counts").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done; echo done; read _";
    let mut child = group.run(script);
    assert_eq!(child.hear(), "done\n");
    assert_eq!(kernel.value("unit_process_execs_total", &group.unit), 1000.0);
    assert_eq!(kernel.value_of("unit_process_exits_total", &group.unit, ",code=\"0\""), 1000.0);
    child.tell();
    let mut rest = String::new();
    child.out.read_to_string(&mut rest).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_and_ends_of_processes_are_log_entries() {
    let Some(_turn) = turn("exec and exit events").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let before = SystemClock.now();
    let mut child =
        group.run("read _; /bin/true; /bin/sh -c 'exit 3'; /bin/sh -c 'kill -9 $$'; read _");
    child.tell();
    let exec = kernel.event("exec", &group.unit, ("filename", "/bin/true")).await;
    assert_eq!(exec.stream.get("host"), "h1");
    assert!(exec.entry.line.starts_with("started /bin/true as pid "), "{}", exec.entry.line);
    let has = |record: &LogRecord, key: &str, value: &str| {
        record.entry.metadata.contains(&(key.to_owned(), value.to_owned()))
    };
    assert!(has(&exec, "argv0", "/bin/true"), "{exec:?}");
    assert!(has(&exec, "ppid", &child.child.id().to_string()), "{exec:?}");
    assert!(before <= exec.entry.ts && exec.entry.ts <= SystemClock.now(), "{exec:?}");
    let end = kernel.event("exit", &group.unit, ("exit_code", "3")).await;
    assert!(end.entry.line.contains(" exited with code 3 after "), "{}", end.entry.line);
    let end = kernel.event("exit", &group.unit, ("signal", "9")).await;
    assert!(end.entry.line.contains(" was killed by signal 9 after "), "{}", end.entry.line);
}

async fn check_oom_kill(mut kernel: Kernel) {
    let mut group = TestGroup::new();
    group.limit_memory(30 << 20);
    // The shell does not ask after its child before the end, so the victim stays in /proc.
    let mut child = group.run("read _; tail /dev/zero & read _");
    child.tell();
    let kill = kernel.event("oom", &group.unit, ("comm", "tail")).await;
    assert_eq!(kill.stream.get("level"), "error");
    let rss = kill.entry.metadata.iter().find(|(key, _)| key == "rss_bytes").expect("its size");
    let rss: u64 = rss.1.parse().unwrap();
    assert!((10 << 20..40 << 20).contains(&rss), "{rss} bytes in a group of 30 MiB");
    let has = |key: &str, value: &str| kill.entry.metadata.contains(&(key.into(), value.into()));
    assert!(has("memory_limit_bytes", "31457280") && has("cgroup", &group.unit), "{kill:?}");
    assert_eq!(kernel.value("unit_oom_kills_total", &group.unit), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oom_kill_is_counted_and_told() {
    if let Some(_turn) = turn("OOM kills").await {
        check_oom_kill(Kernel::start()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_of_oom_finds_the_unit_in_proc() {
    if let Some(_turn) = turn("OOM kills by the classic tracepoint").await {
        check_oom_kill(Kernel::with_only(&oom::VICTIM.candidates[1])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_costs_little() {
    let Some(_turn) = turn("the cost of a switch").await else { return };
    let both = load();
    let cpu_only = Object::load_for(OBJECT, &cgroup2(), |globals| {
        let run_delay = globals.iter_mut().find(|(name, _)| *name == "TASK_RUN_DELAY").unwrap();
        run_delay.1 = skep_abi::ABSENT;
    });
    let cpu_ns = net_cost(cpu_only.unwrap());
    let both_ns = net_cost(both);
    eprintln!("sched_switch: {cpu_ns:.1} ns for on-CPU time, {both_ns:.1} ns with waits");
    // A fifth of this on a quiet machine; a helper call or two more a switch would show.
    assert!(cpu_ns < 100.0 && both_ns < 200.0, "{cpu_ns} ns, {both_ns} ns with waits");
}

/// What a switch costs above an empty program, in ns.
fn net_cost(mut object: Object) -> f64 {
    for program in [&sched::EMPTY, &sched::SWITCH] {
        object.start(program).unwrap();
    }
    let stats = aya::sys::enable_stats(aya::sys::Stats::RunTime).unwrap();
    ping_pong(50_000);
    drop(stats);
    let cost = |function| {
        let program = object.maps.kernel.program(function).and_then(|it| AyaProgram::info(it).ok());
        let info = program.expect("it runs");
        let n_runs = info.run_count();
        assert!(n_runs > 1000, "{function} ran {n_runs} times");
        as_f64(u64::try_from(info.run_time().as_nanos()).unwrap()) / as_f64(n_runs)
    };
    cost("sched_switch") - cost("sched_empty")
}

/// Two threads that wake each other.
fn ping_pong(n_rounds: u32) {
    let (ping_tx, ping_rx) = std::sync::mpsc::sync_channel(0);
    let (pong_tx, pong_rx) = std::sync::mpsc::sync_channel(0);
    let echo = std::thread::spawn(move || {
        while let Ok(round) = ping_rx.recv() {
            pong_tx.send(round).unwrap();
        }
    });
    for round in 0..n_rounds {
        ping_tx.send(round).unwrap();
        assert_eq!(pong_rx.recv().unwrap(), round);
    }
    drop(ping_tx);
    echo.join().unwrap();
}
