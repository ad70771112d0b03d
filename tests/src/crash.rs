//! SIGKILL at seeded random moments under a deterministic load, and a count of what is missing
//! or twice afterwards.

mod check;
pub mod journal;
mod load;
mod marks;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use skep_wal::sim::Seeded;
use tokio::{sync::RwLock, time::Instant};

use crate::{Client, Server};

pub use check::Tally;
pub use load::Kind;
use load::Sender;
use marks::Tree;

/// Small limits, so that flushes and merges run all the time and many kills meet one.
const SETTINGS: &str = "[store]\n\
    retention = \"off\"\n\
    group_interval = \"2ms\"\n\
    flush_bytes = \"256KiB\"\n\
    flush_age = \"1s\"\n\
    parts_per_day_max = 2\n";

/// A server that is left alone lives at most this long.
const UPTIME_MS_MAX: usize = 700;
/// A flush or merge asked for by us is killed within this.
const WORK_MS_MAX: usize = 80;
/// A start is killed within this.
const START_MS_MAX: usize = 150;

/// While it goes on; three more at the end.
const N_CHECKS: usize = 5;

/// What to do to the server.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub kind: Kind,
    pub n_kills: usize,
    pub n_connections: u32,
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Over all checks: a row that is missing in three of them counts three times.
    pub tally: Tally,
    pub n_checks: usize,
    pub n_batches_acknowledged: u64,
    /// In the middle of what the kills came: what they left behind, and how often.
    pub marks: BTreeMap<&'static str, usize>,
    /// From the command to the ready file.
    pub starts: Vec<Duration>,
}

/// Runs the plan in `dir`; `progress` is told after each kill.
///
/// # Errors
/// The server does not come up again or does not answer. Rows that are missing or twice are not
/// an error but in the report.
pub async fn run(
    dir: &Path,
    plan: Plan,
    mut progress: impl FnMut(usize, &Report),
) -> anyhow::Result<Report> {
    let mut server = Server::start(dir, SETTINGS).await?;
    let client = server.client()?;
    let stop = Arc::new(AtomicBool::new(false));
    let gate = Arc::new(RwLock::new(()));
    let senders: Vec<_> =
        (0..plan.n_connections).map(|it| Sender::new(it, plan.kind, Arc::clone(&gate))).collect();
    let mut tasks = Vec::new();
    for sender in &senders {
        tasks.push(tokio::spawn(sender.clone().run(server.client()?, Arc::clone(&stop))));
    }
    let mut report = Report::default();
    let mut random = Seeded::new(plan.seed);
    let n_kills_between_checks = plan.n_kills.div_ceil(N_CHECKS).max(1);
    for kill in 1..=plan.n_kills {
        let is_starting = kill_somewhere(&mut server, &client, &mut random, &mut report).await?;
        let before = Tree::read(&server.data_dir())?;
        let started = Instant::now();
        server.restart().await.with_context(|| format!("start after kill {kill}"))?;
        report.starts.push(started.elapsed());
        if is_starting {
            *report.marks.entry("start").or_default() += 1;
        }
        for mark in before.marks(&Tree::read(&server.data_dir())?, &server.log()) {
            *report.marks.entry(mark).or_default() += 1;
        }
        if kill % n_kills_between_checks == 0 {
            let _paused = gate.write().await;
            check_all(&client, &senders, &mut report).await?;
        }
        progress(kill, &report);
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await?;
    }
    // What the log alone holds, then what a flush made of it, then what a merge made of that.
    server.crash_and_restart().await?;
    check_all(&client, &senders, &mut report).await?;
    client.flush().await?;
    check_all(&client, &senders, &mut report).await?;
    client.compact().await?;
    check_all(&client, &senders, &mut report).await?;
    report.n_batches_acknowledged = senders.iter().map(Sender::n_acknowledged).sum();
    server.stop().await?;
    Ok(report)
}

/// Picks a moment and kills; returns whether the last kill came during a start.
async fn kill_somewhere(
    server: &mut Server,
    client: &Client,
    random: &mut Seeded,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let action = random.below(4);
    let bound_ms = if action == 0 { UPTIME_MS_MAX } else { WORK_MS_MAX };
    let micros = random.below(bound_ms * 1_000);
    let wait = Duration::from_micros(u64::try_from(micros)?);
    let client = client.clone();
    // Whoever is asked dies before it answers, or not: both are wanted.
    let work = match action {
        1 => Some(tokio::spawn(async move { client.flush().await })),
        2 => Some(tokio::spawn(async move {
            client.flush().await?;
            client.compact().await
        })),
        _ => None,
    };
    if work.is_some() {
        *report.marks.entry("asked for a flush or merge").or_default() += 1;
    }
    tokio::time::sleep(wait).await;
    server.kill().await?;
    if let Some(work) = work {
        drop(work.await?);
    }
    if action == 3 {
        let micros = random.below(START_MS_MAX * 1_000);
        server.kill_during_start(Duration::from_micros(u64::try_from(micros)?)).await?;
    }
    Ok(action == 3)
}

async fn check_all(client: &Client, senders: &[Sender], report: &mut Report) -> anyhow::Result<()> {
    for sender in senders {
        let tally = check::check(client, sender).await?;
        report.tally.add(tally);
    }
    report.n_checks += 1;
    Ok(())
}
