//! SIGKILL in the middle of everything: what was acknowledged is there, once.

use anyhow::ensure;
use skep_tests::{
    Journald,
    crash::{
        self, Kind, Plan,
        journal::{self, JournalPlan},
    },
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
    let plan = JournalPlan { n_kills: N_KILLS, lines_per_second: 500, seed: 1 };
    let report = journal::run(dir.path(), plan, |_| ()).await?;
    ensure!(report.n_logged > 100, "nearly nothing was logged: {report:?}");
    ensure!(report.is_good(), "{report:?}");
    Ok(())
}
