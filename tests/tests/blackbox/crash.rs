//! SIGKILL in the middle of everything: what was acknowledged is there, once.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use skep_tests::{
    Agent, Deadline, Journald, Server,
    crash::{self, Kind, Plan},
    skipped,
};

const N_KILLS: usize = 6;

async fn kill_again_and_again(kind: Kind) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let plan = Plan { kind, n_kills: N_KILLS, n_connections: 3, seed: 1 };
    let report = crash::run(dir.path(), plan, |_, _| ()).await?;
    ensure!(report.n_batches_acknowledged > 10, "nearly nothing was acknowledged: {report:?}");
    ensure!(report.tally.is_good(), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn acknowledged_samples_survive_kills_exactly_once() -> anyhow::Result<()> {
    kill_again_and_again(Kind::Samples).await
}

#[tokio::test]
async fn acknowledged_lines_survive_kills_exactly_once() -> anyhow::Result<()> {
    kill_again_and_again(Kind::Lines).await
}

#[tokio::test]
async fn every_journal_entry_arrives_once_while_both_ends_crash() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("every_journal_entry_arrives_once_while_both_ends_crash", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let journald = Journald::start(dir.path()).await?;
    let mut server = Server::start(dir.path(), "").await?;
    let mut agent = Agent::start(dir.path(), &server, Some(journald.directory()), "").await?;
    let n_rounds = 6;
    let n_per_round = 400;
    for round in 0..n_rounds {
        let lines: Vec<String> =
            (0..n_per_round).map(|n| format!("entry {}", round * n_per_round + n)).collect();
        journald.log("storm.service", &lines).await?;
        // Identical lines, which share a microsecond more often than not.
        journald.log("twins.service", &vec!["twin".to_owned(); 20]).await?;
        if round % 2 == 0 {
            agent.crash_and_restart().await?;
        } else {
            server.crash_and_restart().await?;
        }
    }
    let client = server.client()?;
    let n_rounds = usize::try_from(n_rounds)?;
    let n_storm = n_rounds * usize::try_from(n_per_round)?;
    let (lines, twins) = Deadline::within(Duration::from_secs(90))
        .until("the last entry", || async {
            let lines = client.lines(r#"{unit="storm.service"}"#, 5_000).await?;
            let twins = client.lines(r#"{unit="twins.service"}"#, 5_000).await?;
            let all_there = lines.len() >= n_storm && twins.len() >= 20 * n_rounds;
            ensure!(all_there, "{} of {n_storm} entries, {} twins", lines.len(), twins.len());
            Ok(Some((lines, twins)))
        })
        .await
        .with_context(|| format!("{}\n{}", server.log(), agent.log()))?;
    let distinct: BTreeSet<&str> = lines.iter().map(|(_, it)| it.as_str()).collect();
    assert_eq!((lines.len(), distinct.len()), (n_storm, n_storm), "entries and distinct entries");
    assert_eq!(twins.len(), 20 * n_rounds, "identical lines are entries too");
    agent.stop().await?;
    server.stop().await
}
