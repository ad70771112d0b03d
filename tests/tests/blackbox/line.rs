//! The line from the kernel to a query: what happens on this machine is read back.

use std::{fs, time::Duration};

use anyhow::Context as _;
use skep_tests::{
    Agent, Client, Deadline, Journald, Server, cgroup2, cpu_seconds, is_root, skipped,
};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(60);

/// Waits until a query has an answer that satisfies `good`.
async fn eventually(
    client: &Client,
    query: &str,
    good: impl Fn(f64) -> bool,
) -> anyhow::Result<f64> {
    Deadline::within(SOON)
        .until(query, || async {
            let seen = client.promql(query).await?;
            Ok(seen.iter().map(|(_, value)| *value).find(|it| good(*it)))
        })
        .await
        .with_context(|| query.to_owned())
}

#[tokio::test]
async fn figures_of_proc_are_read_back_as_rates() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let mut agent = Agent::start(dir.path(), &server, None, "").await?;
    let client = server.client()?;
    let n_cpus = std::thread::available_parallelism()?.get();

    // All modes of all CPUs together pass as fast as time does.
    let all = "sum(rate(node_cpu_seconds_total[1m]))";
    let n_cpus = f64::from(u32::try_from(n_cpus)?);
    eventually(&client, all, |it| (0.5 * n_cpus..1.5 * n_cpus).contains(&it)).await?;
    let memory = "node_memory_MemTotal_bytes{instance=\"bee-1\", job=\"node\"}";
    eventually(&client, memory, |it| it > 1e6).await?;
    eventually(&client, "count(node_uname_info{nodename!=\"\"})", |it| it == 1.0).await?;
    agent.stop().await
}

#[tokio::test]
async fn a_line_of_a_unit_is_found_by_unit_and_text() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("a_line_of_a_unit_is_found_by_unit_and_text", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let journald = Journald::start(dir.path()).await?;
    let server = Server::start(dir.path(), "").await?;
    let _agent = Agent::start(dir.path(), &server, Some(journald.directory()), "").await?;
    let client = server.client()?;
    journald.log("bees.service", &["the marker is 4711".to_owned(), "other".to_owned()]).await?;

    let query = r#"{unit="bees.service", host="bee-1"} |= "marker""#;
    let lines = Deadline::within(SOON)
        .until(query, || async {
            let lines = client.lines(query, 10).await?;
            Ok((!lines.is_empty()).then_some(lines))
        })
        .await?;
    assert_eq!(lines.iter().map(|(_, it)| it.as_str()).collect::<Vec<_>>(), ["the marker is 4711"]);
    // Every field of the entry came along.
    let query = r#"{unit="bees.service", transport!=""} | _TRANSPORT="" | _PID!="""#;
    assert_eq!(client.lines(query, 10).await?.len(), 2, "the transport is a label");
    Ok(())
}

#[tokio::test]
async fn a_group_that_burns_a_core_is_seen_burning_it() -> anyhow::Result<()> {
    let name = "a_group_that_burns_a_core_is_seen_burning_it";
    let Some(cgroup2) = cgroup2().filter(|_| is_root()) else {
        skipped(name, "needs root and a cgroup2 mount");
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let agent = Agent::start(dir.path(), &server, None, "").await?;
    let client = server.client()?;
    let unit = format!("skep-test-{}.service", std::process::id());
    let group = cgroup2.join(&unit);
    fs::create_dir(&group)?;
    let mut hog =
        Command::new("sh").args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn()?;
    let pid = hog.id().context("the hog has ended")?;
    fs::write(group.join("cgroup.procs"), pid.to_string())?;

    let result =
        match eventually(&client, "sum(ebpf_program_loaded{program=~\"sched.*\"})", |_| true).await
        {
            Ok(loaded) if loaded > 0.0 => {
                // Other tests share the cores, so the kernel's own account of the hog is the measure.
                let ours = format!("sum(unit_cpu_seconds_total{{unit=\"{unit}\"}})");
                compare_with_proc(&client, &ours, pid).await
            }
            _ => {
                skipped(name, &format!("the agent has no eBPF here:\n{}", agent.log()));
                Ok(())
            }
        };
    hog.kill().await?;
    fs::remove_dir(&group)?;
    result
}

/// Over some seconds, our counter grows as much as the process' own CPU time, within 10 %.
async fn compare_with_proc(client: &Client, query: &str, pid: u32) -> anyhow::Result<()> {
    eventually(client, query, |it| it > 0.0).await?;
    let before = (client.promql(query).await?, cpu_seconds(pid)?);
    let seconds = 8.0;
    Deadline::within(SOON)
        .until("the hog to burn some seconds", || async {
            Ok((cpu_seconds(pid)? - before.1 > seconds).then_some(()))
        })
        .await?;
    let after = (client.promql(query).await?, cpu_seconds(pid)?);
    let sum = |values: &[(serde_json::Value, f64)]| values.iter().map(|(_, it)| it).sum::<f64>();
    let (ours, theirs) = (sum(&after.0) - sum(&before.0), after.1 - before.1);
    // Our newest sample is up to a tick and a request old, at both ends.
    assert!((ours - theirs).abs() < 2.5, "{query} grew by {ours}, the process by {theirs}");
    Ok(())
}
