//! How well the agent's kernel programs tell what a unit does: a hog of CPU time against the
//! kernel's own account of it, and how soon a kill for want of memory is found in the store.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_proto::{Clock as _, SystemClock};
use skep_tests::{Agent, Client, Deadline, Server, cgroup2, is_root, skipped};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

const SOON: Duration = Duration::from_secs(60);
/// Between two looks at what the kernel says of the hog.
const LOOK: Duration = Duration::from_millis(20);
const MEMORY_BYTES: u32 = 20 << 20;
const MEMORY_V1: &str = "/sys/fs/cgroup/memory";

pub(crate) async fn run(dir: &Path, seconds: u64) -> anyhow::Result<()> {
    let Some(cgroup2) = cgroup2().filter(|_| is_root()) else {
        skipped("kernel", "needs root and a cgroup2 mount");
        return Ok(());
    };
    let mut server = Server::start(dir, "").await?;
    let mut agent = Agent::start_every("1s", dir, &server, None, "").await?;
    let client = server.client()?;
    let group = Group::new(&cgroup2)?;
    cpu(&client, &group, seconds).await.with_context(|| agent.log())?;
    memory(&client, &group).await.with_context(|| agent.log())?;
    drop(group);
    agent.stop().await?;
    server.stop().await
}

/// A control group that looks like a service, in each hierarchy that is asked for.
struct Group {
    unit: String,
    dirs: Vec<PathBuf>,
}

impl Group {
    fn new(cgroup2: &Path) -> anyhow::Result<Self> {
        let unit = format!("skep-bench-{}.service", std::process::id());
        let dir = cgroup2.join(&unit);
        fs::create_dir(&dir)?;
        let mut group = Self { dirs: vec![dir.clone()], unit };
        let v1 = Path::new(MEMORY_V1).join(&group.unit);
        if Path::new(MEMORY_V1).join("memory.limit_in_bytes").exists() {
            fs::create_dir(&v1)?;
            fs::write(v1.join("memory.limit_in_bytes"), MEMORY_BYTES.to_string())?;
            group.dirs.push(v1);
        } else {
            fs::write(cgroup2.join("cgroup.subtree_control"), "+memory")?;
            fs::write(dir.join("memory.max"), MEMORY_BYTES.to_string())?;
        }
        Ok(group)
    }

    /// A shell that joins the group and then runs `script`.
    fn run(&self, script: &str) -> anyhow::Result<Child> {
        let join: Vec<String> =
            self.dirs.iter().map(|it| format!("echo $$ > {}/cgroup.procs", it.display())).collect();
        let script = format!("set -e; {}; {script}", join.join("; "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stderr(Stdio::null()).kill_on_drop(true);
        Ok(command.spawn()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.dirs {
            drop(fs::remove_dir(dir));
        }
    }
}

/// The unit's counter at its samples' times beside the time its one thread was on a CPU by then.
async fn cpu(client: &Client, group: &Group, seconds: u64) -> anyhow::Result<()> {
    let mut hog = group.run("while :; do :; done")?;
    let pid = hog.id().context("the hog has ended")?;
    let begun = Instant::now();
    let mut looks = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        looks.push((SystemClock.now().to_ms().0, on_cpu_s(pid)?));
        sleep(LOOK).await;
    }
    hog.kill().await?;
    let selector = format!("unit_cpu_seconds_total{{unit=\"{}\"}}[5m]", group.unit);
    let samples = Deadline::within(SOON)
        .until("samples of the hog", || async { samples(client, &selector).await.map(Some) })
        .await?;
    let both: Vec<(i64, f64, f64)> =
        samples.iter().filter_map(|(ts, ours)| Some((*ts, *ours, at(&looks, *ts)?))).collect();
    let (Some(first), Some(last)) = (both.first(), both.last()) else {
        anyhow::bail!("no sample of the hog in its {seconds} s");
    };
    println!(
        "a hog of one core in a unit: first seen after {:.1} s; in the next {:.0} s its metric rose \
         by {:.3} s a second on a CPU",
        begun_to(first.0, &looks),
        f64::from(i32::try_from(last.0 - first.0)?) / 1_000.0,
        (last.1 - first.1) / (last.2 - first.2)
    );
    Ok(())
}

fn begun_to(ts: i64, looks: &[(i64, f64)]) -> f64 {
    let begun = looks.first().map_or(ts, |(begun, _)| *begun);
    f64::from(i32::try_from(ts - begun).unwrap_or(i32::MAX)) / 1_000.0
}

/// Exact, of a process of one thread.
fn on_cpu_s(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}

/// Between the looks before and after `ts`.
fn at(looks: &[(i64, f64)], ts: i64) -> Option<f64> {
    let after = looks.partition_point(|(it, _)| *it < ts);
    let (before, after) = (looks.get(after.checked_sub(1)?)?, looks.get(after)?);
    let ms = |from: i64, to: i64| i32::try_from(to - from).map_or(0.0, f64::from);
    let share = ms(before.0, ts) / ms(before.0, after.0).max(1.0);
    Some(before.1 + share * (after.1 - before.1))
}

/// Times in ms and values of one series; an error where there are too few yet.
async fn samples(client: &Client, selector: &str) -> anyhow::Result<Vec<(i64, f64)>> {
    let data = client.data("/api/v1/query", &[("query", selector)]).await?;
    let values = data.pointer("/result/0/values").and_then(Value::as_array).context("no series")?;
    ensure!(values.len() >= 3, "{} samples", values.len());
    values
        .iter()
        .map(|it| {
            let seconds = it.get(0).and_then(Value::as_f64).context("no time")?;
            let value = it.get(1).and_then(Value::as_str).context("no value")?;
            #[expect(clippy::cast_possible_truncation, reason = "a time of today in ms")]
            Ok(((seconds * 1_000.0).round() as i64, value.parse()?))
        })
        .collect()
}

async fn memory(client: &Client, group: &Group) -> anyhow::Result<()> {
    let mut hog = group.run("exec tail /dev/zero")?;
    let status = hog.wait().await?;
    let killed_at = Instant::now();
    ensure!(!status.success(), "the hog of memory was not killed: {status}");
    let query = format!(
        r#"{{source="kernel", event="oom", unit="{}"}} | comm="tail" | rss_bytes!="""#,
        group.unit
    );
    let line = Deadline::within(SOON)
        .until("the kill", || async {
            Ok(client.lines(&query, 1).await?.into_iter().next().map(|(_, line)| line))
        })
        .await?;
    println!(
        "killed at a limit of {} MiB: in the store {:.1} s later, with unit, comm and RSS: {line}",
        MEMORY_BYTES >> 20,
        killed_at.elapsed().as_secs_f64()
    );
    Ok(())
}
