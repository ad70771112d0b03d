//! What the agent takes on a host: for a collection beside node_exporter, for journal entries until
//! they are acknowledged, and for a day on which nothing happens.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use skep_tests::{Agent, Deadline, Journald, Process, Server, cpu_seconds, free_port, skipped};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    kernel,
    measure::{as_f64, memory},
};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Scrapes of each of the two exporters, in turn.
    #[arg(long, default_value_t = 300)]
    scrapes: u32,
    /// Compare only these collectors, and nothing else; several times for several.
    #[arg(long, value_name = "NAME")]
    collector: Vec<String>,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
    /// Journal entries to read and send.
    #[arg(long, default_value_t = 100_000)]
    entries: u64,
    /// How long to look at an agent that has nothing to do but its collections, every 15 s.
    #[arg(long, default_value_t = 120)]
    idle_seconds: u64,
    /// Where server, agent and journal keep their data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Collections,
    Journal,
    Kernel,
    Idle,
}

const NODE_EXPORTER: &str = "prometheus-node-exporter";
/// How long one core is burnt.
const HOG_SECONDS: u64 = 14;
const UP_WITHIN: Duration = Duration::from_secs(30);
const SENT_WITHIN: Duration = Duration::from_secs(300);

/// What Debian's node_exporter 1.5 collects by default.
const DEFAULT: &[&str] = &[
    "arp",
    "bcache",
    "bonding",
    "btrfs",
    "conntrack",
    "cpu",
    "cpufreq",
    "diskstats",
    "dmi",
    "edac",
    "entropy",
    "fibrechannel",
    "filefd",
    "filesystem",
    "hwmon",
    "infiniband",
    "ipvs",
    "loadavg",
    "mdadm",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "nfs",
    "nfsd",
    "nvme",
    "os",
    "powersupplyclass",
    "pressure",
    "rapl",
    "schedstat",
    "selinux",
    "sockstat",
    "softnet",
    "stat",
    "tapestats",
    "textfile",
    "thermal_zone",
    "time",
    "timex",
    "udp_queues",
    "uname",
    "vmstat",
    "xfs",
    "zfs",
];

/// What it can collect besides on any Linux host.
const WIDE: &[&str] = &[
    "buddyinfo",
    "ethtool",
    "interrupts",
    "ksmd",
    "lnstat",
    "meminfo_numa",
    "mountstats",
    "network_route",
    "processes",
    "qdisc",
    "slabinfo",
    "tcpstat",
    "zoneinfo",
];

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if !args.collector.is_empty() {
        let chosen: Vec<&str> = args.collector.iter().map(String::as_str).collect();
        return collections("chosen", &chosen, args).await;
    }
    let is_wanted = |part| args.only.is_none_or(|it| it == part);
    if is_wanted(Part::Collections) {
        collections("default set", DEFAULT, args).await?;
        collections("wide set", &[DEFAULT, WIDE].concat(), args).await?;
    }
    if is_wanted(Part::Journal) {
        journal(args).await?;
    }
    if is_wanted(Part::Kernel) {
        let dir = tempfile::tempdir_in(&args.dir)?;
        kernel::run(dir.path(), HOG_SECONDS).await?;
    }
    if is_wanted(Part::Idle) {
        idle(args).await?;
    }
    Ok(())
}

/// An exporter of either kind.
struct Exporter {
    url: String,
    pid: u32,
    cpu_s: f64,
    n_series: usize,
}

impl Exporter {
    fn new(port: u16, pid: u32) -> Self {
        Self { url: format!("http://127.0.0.1:{port}/metrics"), pid, cpu_s: 0.0, n_series: 0 }
    }

    async fn wait(&self) -> anyhow::Result<()> {
        Deadline::within(UP_WITHIN)
            .until("the first scrape", || async {
                Ok(reqwest::get(&self.url).await.is_ok().then_some(()))
            })
            .await
    }

    async fn scrape(&mut self) -> anyhow::Result<()> {
        let before = cpu_seconds(self.pid)?;
        let text = reqwest::get(&self.url).await?.error_for_status()?.text().await?;
        self.cpu_s += cpu_seconds(self.pid)? - before;
        self.n_series = text.lines().filter(|it| it.starts_with("node_")).count();
        Ok(())
    }

    fn figures(&self, scrapes: u32) -> anyhow::Result<String> {
        let ms = self.cpu_s * 1_000.0 / f64::from(scrapes);
        let mb = memory(self.pid)?.now_mb;
        Ok(format!("{ms:.2} CPU ms a scrape, {} series, {mb:.0} MB", self.n_series))
    }
}

/// The same collectors of both, scraped in turn. Clock ticks of 10 ms are coarse, but neither knows
/// when one comes: over some hundred scrapes they even out.
async fn collections(what: &str, collectors: &[&str], args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let mut server = Server::start(dir.path(), "").await?;
    let port = free_port()?;
    let settings = format!(
        "[expose]\nlisten = \"127.0.0.1:{port}\"\n[ebpf]\nenabled = false\n\
         [collectors]\ndisable_defaults = true\nenable = {collectors:?}\n"
    );
    let mut agent = Agent::start_every("1h", dir.path(), &server, None, &settings).await?;
    let mut ours = Exporter::new(port, agent.pid());
    let port = free_port()?;
    let mut command = Command::new(NODE_EXPORTER);
    command.args([
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.disable-exporter-metrics".to_owned(),
        "--collector.disable-defaults".to_owned(),
    ]);
    command.args(collectors.iter().map(|it| format!("--collector.{it}")));
    let peer = Process::start(NODE_EXPORTER, &mut command)
        .with_context(|| format!("`apt-get install {NODE_EXPORTER}` brings it on Debian"))?;
    let mut theirs = Exporter::new(port, peer.pid());
    for exporter in [&ours, &theirs] {
        exporter.wait().await.with_context(|| format!("{}\n{}", agent.log(), peer.log()))?;
    }
    for _ in 0..args.scrapes {
        ours.scrape().await?;
        theirs.scrape().await?;
    }
    println!("{what}, {} collectors:", collectors.len());
    println!("  skep-agent     {}", ours.figures(args.scrapes)?);
    println!("  node_exporter  {}", theirs.figures(args.scrapes)?);
    println!("  ratio          {:.2}", ours.cpu_s / theirs.cpu_s);
    agent.stop().await?;
    server.stop().await
}

/// From entries that lie in a real journal to the server's acknowledgement of the last of them.
async fn journal(args: &Args) -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("journal", why);
        return Ok(());
    }
    let dir = tempfile::tempdir_in(&args.dir)?;
    let journald = Journald::start(dir.path()).await?;
    let lines: Vec<String> = (0..args.entries)
        .map(|n| format!("GET /api/items/{n} 200 in {} ms, {} bytes", n % 97, n * 31 % 20_011))
        .collect();
    journald.log("load.service", &lines).await?;
    let mut server = Server::start(dir.path(), "[store]\nretention = \"off\"").await?;
    let settings = "[ebpf]\nenabled = false\n[collectors]\ndisable_defaults = true\n";
    let started = Instant::now();
    let mut agent =
        Agent::start_every("1h", dir.path(), &server, Some(journald.directory()), settings).await?;
    let client = server.client()?;
    let query = r#"sum(count_over_time({unit="load.service"}[6h]))"#;
    Deadline::within(SENT_WITHIN)
        .until("the last entry", || async {
            let n_there: f64 = client.logql(query).await?.iter().map(|(_, n)| n).sum();
            ensure!(n_there >= as_f64(args.entries), "{n_there} of {} entries", args.entries);
            Ok(Some(()))
        })
        .await
        .with_context(|| agent.log())?;
    let cpu_s = cpu_seconds(agent.pid())?;
    println!(
        "journal: {} entries read, sent and acknowledged in {:.1} s: {:.0} per CPU-second of the \
         agent, {:.0} MB at most",
        args.entries,
        started.elapsed().as_secs_f64(),
        as_f64(args.entries) / cpu_s,
        memory(agent.pid())?.peak_mb
    );
    agent.stop().await?;
    server.stop().await
}

/// Everything on, nothing to tell but metrics every 15 s.
async fn idle(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&args.dir)?;
    let journald = match Journald::unavailable() {
        Some(why) => {
            skipped("journal of the idle agent", why);
            None
        }
        None => Some(Journald::start(dir.path()).await?),
    };
    let mut server = Server::start(dir.path(), "").await?;
    let directory = journald.as_ref().map(Journald::directory);
    let mut agent = Agent::start_every("15s", dir.path(), &server, directory, "").await?;
    // Its start, reading the kernel's types, is not what a day costs.
    sleep(Duration::from_secs(20)).await;
    let (before, started) = (cpu_seconds(agent.pid())?, Instant::now());
    sleep(Duration::from_secs(args.idle_seconds)).await;
    let share = (cpu_seconds(agent.pid())? - before) / started.elapsed().as_secs_f64();
    let memory = memory(agent.pid())?;
    println!(
        "idle, everything on, collected every 15 s: {:.2} % of a core, {:.0} MB, {:.0} MB at most",
        share * 100.0,
        memory.now_mb,
        memory.peak_mb
    );
    agent.stop().await?;
    server.stop().await
}
