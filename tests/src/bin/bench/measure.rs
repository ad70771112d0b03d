//! What the kernel says of a process: CPU time, memory; and of a folder: bytes.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use skep_proto::{Clock as _, SystemClock};
use skep_tests::cpu_seconds;
use tokio::time::{Instant, sleep};

/// A server is settled when it used less of a core than this …
const SETTLED_SHARE: f64 = 0.03;
/// … in two looks of this length, one after the other.
const LOOK: Duration = Duration::from_secs(2);
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// Waits until merges and what else goes on by itself is over.
pub(crate) async fn settle(pid: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    let (mut before, mut n_calm) = (cpu_seconds(pid)?, 0);
    while n_calm < 2 && started.elapsed() < SETTLE_MAX {
        sleep(LOOK).await;
        let now = cpu_seconds(pid)?;
        n_calm = if now - before < SETTLED_SHARE * LOOK.as_secs_f64() { n_calm + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

/// CPU seconds of all processes that this one has waited for.
pub(crate) fn children_cpu_s() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("a stat without a name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let [_, .., cutime, cstime] = fields.get(..15).context("a short stat")? else { return Ok(0.0) };
    Ok((cutime.parse::<f64>()? + cstime.parse::<f64>()?) / 100.0)
}

/// Resident memory now and at its highest since [`forget_peak`], in MB (10^6 bytes).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now_mb: f64,
    pub(crate) peak_mb: f64,
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mb = |key: &str| {
        let line = status.lines().find_map(|it| it.strip_prefix(key)).context("no such figure")?;
        anyhow::Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1_024.0 / 1e6)
    };
    Ok(Memory { now_mb: mb("VmRSS:")?, peak_mb: mb("VmHWM:")? })
}

/// Lets the peak begin anew; where the kernel refuses, it stays that of the whole life.
pub(crate) fn forget_peak(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

/// Bytes of all files below, as they say themselves.
pub(crate) fn tree_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        // A merge may take a file away while we look.
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { tree_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

/// Has the kernel forget what it keeps of these files, so that they are read from the disk.
pub(crate) fn forget_files(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            forget_files(&entry.path())?;
        } else if let Ok(file) = fs::File::open(entry.path()) {
            // Only what is on the disk can be forgotten.
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// The last full minute, in seconds since the epoch.
pub(crate) fn last_minute() -> i64 {
    SystemClock.now().to_ms().0 / 60_000 * 60
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn as_f64(n: u64) -> f64 {
    n as f64
}
