//! Stage `sampling`: keeps a share of the entries, by chance.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    drop_counter_reason: Option<String>,
    #[serde(default)]
    rate: f64,
}

#[derive(Debug, Clone)]
struct SamplingStage {
    reason: String,
    rate: f64,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { drop_counter_reason, rate } = settings(config)?;
    if !(0.0..=1.0).contains(&rate) {
        return Err(StageError::Invalid(
            "sampling stage failed to parse rate,Sampling Rate must be between 0.0 and 1.0",
        ));
    }
    let reason = drop_counter_reason.filter(|it| !it.is_empty());
    Ok(Box::new(SamplingStage {
        reason: reason.unwrap_or_else(|| "sampling_stage".to_owned()),
        rate,
    }))
}

impl Process for SamplingStage {
    fn process(&mut self, _: &mut Entry, context: &mut Context) -> bool {
        let is_kept = fraction(&mut context.random) < self.rate;
        if !is_kept {
            context.metrics.count_dropped(&self.reason);
        }
        is_kept
    }
}

/// The next of a xorshift64* generator's numbers, from 0 to below 1.
fn fraction(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let bits = u32::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or(0);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
