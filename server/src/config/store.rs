//! `[store]`: how safe, how long, how much memory.

use std::{path::Path, time::Duration};

use anyhow::bail;
use serde::Deserialize;
use skep_store::{Durability, RollupPeriod, RollupPeriods, StoreConfig};

use super::{
    memory::Shares,
    values::{bytes, count, duration, positive_duration},
};

/// A season: disks of homes are small.
const RETENTION_DEFAULT: Duration = Duration::from_hours(24 * 90);
pub(super) const KEEP_ALL: &str = "off";
/// What a power cut may cost who asked for `durability = "interval"`.
const SYNC_INTERVAL_DEFAULT: &str = "1s";
/// A day is summed up an hour after its end, and must be whole until then.
const RETENTION_MIN_ROLLUPS: Duration = Duration::from_hours(48);
/// A query opens every part of its days.
const PARTS_PER_DAY_MAX: usize = 1_000;
/// Each takes some 400 bytes.
const EXEMPLARS_MAX: usize = 10_000_000;
/// A part may take an eighth of the cap, and the log twice that.
const MAX_BYTES_MIN: u64 = 16 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStore {
    /// A duration, or "off": keep everything, whatever its age.
    retention: Option<String>,
    /// How long samples summed up in 5 minutes and hours are kept; not made if left out.
    retention_5m: Option<String>,
    retention_1h: Option<String>,
    /// "fsync": a write is on the disk before it is acknowledged; "interval": soon after.
    durability: Option<RawDurability>,
    sync_interval: Option<String>,
    group_interval: Option<String>,
    memory_max: Option<String>,
    flush_bytes: Option<String>,
    flush_age: Option<String>,
    max_bytes: Option<String>,
    reserve_bytes: Option<String>,
    future_max: Option<String>,
    exemplars_max: Option<usize>,
    parts_per_day_max: Option<usize>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDurability {
    Fsync,
    Interval,
}

impl RawStore {
    pub(super) fn config(&self, data_dir: &Path, memory: &Shares) -> anyhow::Result<StoreConfig> {
        let mut config = StoreConfig::new(data_dir);
        memory.lower_store(&mut config);
        config.durability = self.durability(config.durability)?;
        config.retention = match self.retention.as_deref() {
            None => Some(RETENTION_DEFAULT),
            Some(KEEP_ALL) => None,
            Some(it) => Some(positive_duration("store.retention", it)?),
        };
        config.rollups = self.rollups(config.retention)?;
        if let Some(it) = &self.group_interval {
            config.group_interval = duration("store.group_interval", it)?;
        }
        if let Some(it) = &self.memory_max {
            config.memory_bytes_max = bytes("store.memory_max", it)?;
            config.flush_bytes = config.flush_bytes.min(config.memory_bytes_max / 4);
        }
        if let Some(it) = &self.flush_bytes {
            config.flush_bytes = bytes("store.flush_bytes", it)?;
        }
        if let Some(it) = &self.flush_age {
            config.flush_age = positive_duration("store.flush_age", it)?;
        }
        if let Some(it) = &self.max_bytes {
            config.max_bytes = Some(size_cap(it)?);
        }
        if let Some(it) = &self.reserve_bytes {
            config.reserve_bytes = Some(bytes("store.reserve_bytes", it)? as u64);
        }
        if let Some(it) = &self.future_max {
            config.future_max = duration("store.future_max", it)?;
        }
        if let Some(n) = self.exemplars_max {
            config.n_exemplars_max = count("store.exemplars_max", n, 0..=EXEMPLARS_MAX)?;
        }
        if let Some(n) = self.parts_per_day_max {
            config.parts_per_day_max = count("store.parts_per_day_max", n, 1..=PARTS_PER_DAY_MAX)?;
        }
        if config.flush_bytes >= config.memory_bytes_max {
            bail!(
                "store.flush_bytes is {} bytes, not below store.memory_max, {}: every write would \
                 be refused before the first flush; write a quarter of it",
                config.flush_bytes,
                config.memory_bytes_max
            );
        }
        Ok(config)
    }

    fn rollups(&self, retention: Option<Duration>) -> anyhow::Result<RollupPeriods> {
        let period = |key: &str, text: &Option<String>| {
            let Some(text) = text.as_deref() else { return Ok(None) };
            if retention.is_some_and(|it| it < RETENTION_MIN_ROLLUPS) {
                bail!(
                    "{key}: days are summed up when they are complete; store.retention must be at \
                       least \"2d\" for that"
                );
            }
            Ok(Some(match text {
                KEEP_ALL => RollupPeriod::Forever,
                text => RollupPeriod::For(positive_duration(key, text)?),
            }))
        };
        Ok(RollupPeriods {
            minutes_5: period("store.retention_5m", &self.retention_5m)?,
            hour_1: period("store.retention_1h", &self.retention_1h)?,
        })
    }

    fn durability(&self, default: Durability) -> anyhow::Result<Durability> {
        match (self.durability, self.sync_interval.as_deref()) {
            (Some(RawDurability::Interval), every) => {
                let every = every.unwrap_or(SYNC_INTERVAL_DEFAULT);
                Ok(Durability::Interval(positive_duration("store.sync_interval", every)?))
            }
            (_fsync, Some(every)) => bail!(
                "store.sync_interval {every:?} does nothing unless store.durability is \
                 \"interval\"; write that too or leave it out"
            ),
            (Some(RawDurability::Fsync), None) => Ok(Durability::Fsync),
            (None, None) => Ok(default),
        }
    }
}

/// "200MB"; below the least, the log alone would fill it.
fn size_cap(text: &str) -> anyhow::Result<u64> {
    let size = bytes("store.max_bytes", text)? as u64;
    if size < MAX_BYTES_MIN {
        bail!("store.max_bytes {text:?} is too small to work in; write at least \"16MiB\"");
    }
    Ok(size)
}
