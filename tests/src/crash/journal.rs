//! SIGKILL of the agent and of the server while a real journald takes lines at a steady rate: the
//! store has what the journal has, once.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::Context as _;
use skep_wal::sim::Seeded;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{Agent, Client, Deadline, Journald, Server, journald::UnitOutput};

/// Twins are logged by a unit of their own, so many at a time.
const TWINS: usize = 20;
const TWIN: &str = "twin";
/// Between two kills, at most.
const UPTIME_MS_MAX: usize = 1_500;
/// Lines are written in bundles of one such tick.
const TICK: Duration = Duration::from_millis(50);
/// Lines asked for at once; more than share a time stamp.
const PAGE: usize = 5_000;
const ARRIVED_WITHIN: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct JournalPlan {
    /// Of the agent, of the server, or of both at once.
    pub n_kills: usize,
    pub lines_per_second: usize,
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    pub n_logged: usize,
    pub n_lost: usize,
    pub n_doubled: usize,
    /// Identical lines, which share a microsecond more often than not.
    pub n_twins_logged: usize,
    pub n_twins_found: usize,
    pub n_agent_kills: usize,
    pub n_server_kills: usize,
    /// Entries of the store by unit, for whoever asks where the lost ones are.
    pub by_unit: Vec<String>,
}

impl JournalReport {
    pub fn is_good(&self) -> bool {
        self.n_lost == 0 && self.n_doubled == 0 && self.n_twins_found == self.n_twins_logged
    }
}

/// Runs the plan in `dir`; `progress` is told the number of each kill.
///
/// # Errors
/// Something does not come up again. Lines that are missing or twice are not an error but in the
/// report.
pub async fn run(
    dir: &Path,
    plan: JournalPlan,
    mut progress: impl FnMut(usize),
) -> anyhow::Result<JournalReport> {
    let journald = Journald::start(dir).await?;
    let mut server = Server::start(dir, "").await?;
    let mut agent = Agent::start(dir, &server, Some(journald.directory()), "").await?;
    let (stop, is_over) = watch::channel(false);
    let stream = journald.stream("storm.service").await?;
    let writing = tokio::spawn(log_steadily(stream, plan.lines_per_second, is_over));
    let mut random = Seeded::new(plan.seed);
    let mut report = JournalReport::default();
    for kill in 1..=plan.n_kills {
        journald.log("twins.service", &vec![TWIN.to_owned(); TWINS]).await?;
        report.n_twins_logged += TWINS;
        sleep(Duration::from_millis(u64::try_from(random.below(UPTIME_MS_MAX))?)).await;
        let victim = random.below(3);
        if victim != 0 {
            server.kill().await?;
            report.n_server_kills += 1;
        }
        if victim != 1 {
            agent.crash_and_restart().await?;
            report.n_agent_kills += 1;
        }
        if victim != 0 {
            server.restart().await?;
        }
        progress(kill);
    }
    stop.send_replace(true);
    report.n_logged = writing.await??;
    count(&server.client()?, &mut report)
        .await
        .with_context(|| format!("{}\n{}", server.log(), agent.log()))?;
    agent.stop().await?;
    server.stop().await?;
    Ok(report)
}

/// Writes numbered lines until told to stop; returns how many.
async fn log_steadily(
    mut stream: UnitOutput,
    lines_per_second: usize,
    is_over: watch::Receiver<bool>,
) -> anyhow::Result<usize> {
    let started = Instant::now();
    let mut n_logged = 0;
    while !*is_over.borrow() {
        let n_due = lines_per_second * usize::try_from(started.elapsed().as_millis())? / 1_000;
        let text: String = (n_logged..n_due).map(|n| format!("entry {n:08}\n")).collect();
        stream.write(&text).await?;
        n_logged = n_logged.max(n_due);
        sleep(TICK).await;
    }
    stream.finish().await?;
    Ok(n_logged)
}

async fn count(client: &Client, report: &mut JournalReport) -> anyhow::Result<()> {
    let arrived = Deadline::within(ARRIVED_WITHIN)
        .until("the last line", || async {
            let n_storm = total(client, "storm.service").await?;
            let n_twins = total(client, "twins.service").await?;
            let is_all = n_storm >= report.n_logged && n_twins >= report.n_twins_logged;
            Ok(is_all.then_some(()))
        })
        .await;
    // What did not arrive is counted below.
    drop(arrived);
    report.n_twins_found = total(client, "twins.service").await?;
    let n_found = total(client, "storm.service").await?;
    let (mut distinct, mut since) = (BTreeSet::new(), 0);
    loop {
        let lines = client.lines_since(r#"{unit="storm.service"}"#, since, PAGE).await?;
        let n_before = distinct.len();
        since = lines.last().map_or(since, |(ts, _)| *ts);
        distinct.extend(lines.into_iter().map(|(_, line)| line));
        if distinct.len() == n_before {
            break;
        }
    }
    report.n_lost = report.n_logged.saturating_sub(distinct.len());
    report.n_doubled = n_found.saturating_sub(distinct.len());
    let by_unit = r#"sum by (unit, job) (count_over_time({job=~".+"}[1h]))"#;
    let by_unit = client.logql(by_unit).await?;
    report.by_unit = by_unit.iter().map(|(labels, n)| format!("{labels} {n}")).collect();
    Ok(())
}

/// All lines of a unit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of lines, which is whole and small"
)]
async fn total(client: &Client, unit: &str) -> anyhow::Result<usize> {
    let query = format!(r#"sum(count_over_time({{unit="{unit}"}}[1h]))"#);
    let sum: f64 = client.logql(&query).await?.iter().map(|(_, n)| n).sum();
    Ok(sum as usize)
}
