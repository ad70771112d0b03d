//! `[memory]`: what the whole process may take, and how it is shared out.

use std::{fs, path::Path};

use anyhow::bail;
use serde::Deserialize;
use skep_query::Limits;
use skep_store::StoreConfig;

use super::values::bytes;

/// Of what the machine or the cgroup allows: others live there too.
const LIMIT_SHARE: u64 = 2;
/// Where neither tells.
const AVAILABLE_UNKNOWN: u64 = 2 << 30;
/// Below it not even an idle server is content.
const LIMIT_MIN: u64 = 64 << 20;

/// Shares of the limit; what is left is for the program itself, the index of label sets, and the
/// columns of a flush or merge.
const HEADS_SHARE: u64 = 4;
const QUERIES_SHARE: u64 = 4;
const LOG_SHARE: u64 = 16;
const CACHE_SHARE: u64 = 16;
const RESULTS_SHARE: u64 = 32;
const WRITES_SHARE: u64 = 8;
/// Of the heads: a flush begins, so that writes go on while it runs.
const FLUSH_SHARE: usize = 4;
/// What a write of ordinary size takes while it is at work.
const WRITE_BYTES: u64 = 2 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMemory {
    limit: Option<String>,
}

/// Bytes for each part of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) limit: u64,
    heads: u64,
    queries: u64,
    log_queue: u64,
    cache: u64,
    results: u64,
    writes: u64,
}

impl RawMemory {
    pub(super) fn shares(&self) -> anyhow::Result<Shares> {
        let limit = match &self.limit {
            Some(text) => {
                let limit = bytes("memory.limit", text)? as u64;
                if limit < LIMIT_MIN {
                    bail!(
                        "memory.limit {text:?} is too small to work in; write at least \"64MiB\""
                    );
                }
                limit
            }
            None => (available() / LIMIT_SHARE).max(LIMIT_MIN),
        };
        Ok(Shares::of(limit))
    }
}

impl Shares {
    fn of(limit: u64) -> Self {
        Self {
            limit,
            heads: limit / HEADS_SHARE,
            queries: limit / QUERIES_SHARE,
            log_queue: limit / LOG_SHARE,
            cache: limit / CACHE_SHARE,
            results: limit / RESULTS_SHARE,
            writes: limit / WRITES_SHARE,
        }
    }

    /// Defaults that fit the limit; never more than they were.
    pub(super) fn lower_store(&self, config: &mut StoreConfig) {
        let heads = config.memory_bytes_max.min(to_usize(self.heads));
        config.memory_bytes_max = heads;
        config.flush_bytes = config.flush_bytes.min(heads / FLUSH_SHARE);
        config.log_queue_bytes = config.log_queue_bytes.min(to_usize(self.log_queue));
        config.sample_cache_bytes = config.sample_cache_bytes.min(to_usize(self.cache));
    }

    /// As [`Self::lower_store`].
    pub(super) fn lower_queries(&self, limits: &mut Limits) {
        limits.memory_bytes_total = limits.memory_bytes_total.min(to_usize(self.queries));
        limits.memory_bytes_max = limits.memory_bytes_max.min(limits.memory_bytes_total);
        limits.result_cache_bytes = limits.result_cache_bytes.min(to_usize(self.results));
    }

    /// As [`Self::lower_store`]: writes at work at once.
    pub(super) fn n_writes(&self, default: usize) -> usize {
        to_usize(self.writes / WRITE_BYTES).clamp(2, default)
    }

    /// Refuses what was written in other tables if it is more than the limit.
    pub(super) fn check(&self, store: &StoreConfig, queries: &Limits) -> anyhow::Result<()> {
        let (heads, total) = (store.memory_bytes_max as u64, queries.memory_bytes_total as u64);
        if heads.saturating_add(total) > self.limit {
            bail!(
                "store.memory_max is {heads} bytes and query.memory_total {total}, together more \
                 than memory.limit, {}; lower them, leave them out, or raise the limit",
                self.limit
            );
        }
        Ok(())
    }

    /// For `/metrics`.
    pub(super) fn figures(
        &self,
        store: &StoreConfig,
        queries: &Limits,
    ) -> Vec<(&'static str, u64)> {
        vec![
            ("all", self.limit),
            ("heads", store.memory_bytes_max as u64),
            ("flush", store.flush_bytes as u64),
            ("log", store.log_queue_bytes as u64),
            ("cache", store.sample_cache_bytes as u64),
            ("queries", queries.memory_bytes_total as u64),
            ("results", queries.result_cache_bytes as u64),
        ]
    }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// What this process may take: the least of what its cgroup, those above it and the machine allow.
fn available() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    available_in(Path::new("/"), read).unwrap_or(AVAILABLE_UNKNOWN)
}

fn available_in(root: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let meminfo = read(&root.join("proc/meminfo")).unwrap_or_default();
    let total = meminfo.lines().find_map(|it| it.strip_prefix("MemTotal:")).and_then(kib);
    let cgroups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = cgroups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (folder, file) = if controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|it| it == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            return None;
        };
        // In a container the path may be the host's: then the root of the mount is ours.
        let ancestors = Path::new(path.trim_start_matches('/')).ancestors();
        ancestors
            .filter_map(|it| read(&root.join(folder).join(it).join(file))?.trim().parse().ok())
            .min()
    });
    total.into_iter().chain(limits).min()
}

/// `  16384 kB`.
fn kib(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| path == Path::new("/").join(name));
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(available_in(Path::new("/"), read), expected);
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_least_of_machine_and_cgroups_counts() {
        check(&[], None);
        check(&[MEMINFO], Some(16 << 20));
        let v2 = ("proc/self/cgroup", "0::/system.slice/skep.service\n");
        check(&[MEMINFO, v2, ("sys/fs/cgroup/memory.max", "max\n")], Some(16 << 20));
        let own = ("sys/fs/cgroup/system.slice/skep.service/memory.max", "max\n");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "8388608\n");
        check(&[MEMINFO, v2, own, above], Some(8 << 20));
        let v1 = ("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/a1b2\n0::/\n");
        let container = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4194304\n");
        check(&[MEMINFO, v1, container], Some(4 << 20));
    }

    #[test]
    fn shares_fit_into_the_limit_and_large_machines_change_nothing() {
        let (mut store, mut queries) = (StoreConfig::new("/x"), Limits::default());
        let (store_before, queries_before) = (format!("{store:?}"), queries.clone());
        let large = Shares::of(1 << 40);
        large.lower_store(&mut store);
        large.lower_queries(&mut queries);
        assert_eq!((format!("{store:?}"), &queries), (store_before, &queries_before));
        assert_eq!(large.n_writes(64), 64);

        let small = Shares::of(128 << 20);
        small.lower_store(&mut store);
        small.lower_queries(&mut queries);
        small.check(&store, &queries).unwrap();
        assert_eq!((store.memory_bytes_max, store.flush_bytes), (32 << 20, 8 << 20));
        assert_eq!((queries.memory_bytes_total, queries.memory_bytes_max), (32 << 20, 32 << 20));
        assert_eq!((store.log_queue_bytes, small.n_writes(64)), (8 << 20, 8));
    }
}
