//! Window functions: one series' samples in, one value a step out. Pure; leaves and subqueries
//! share them.
//!
//! The window of step `t` is `(t - window_ms, t]`. The order of floating-point operations is
//! Prometheus', so that results are equal to the last bit.

pub(crate) mod extended;
pub(crate) mod mixed;
mod over_time;
mod rate;
mod regression;

use std::{borrow::Cow, ops::Range};

use skep_proto::is_stale_marker;

use crate::{Grid, leaf::Window, matrix::absent};

/// The samples of one series, stale markers left out, and where the windows lie in them.
#[derive(Debug)]
pub(crate) struct Windows<'a> {
    ts: Cow<'a, [i64]>,
    values: Cow<'a, [f64]>,
    grid: &'a Grid,
    window_ms: i64,
}

/// The samples of one window: never empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    ts: &'a [i64],
    values: &'a [f64],
    /// Where the first sample stands in the series.
    first_idx: usize,
    /// The end of the window.
    at: i64,
}

impl Window {
    /// Fills `out`, one value a step of `grid`, absent where the window gives none. `ts` is sorted
    /// and as long as `values`; both may hold more than the windows see.
    pub fn apply(&self, ts: &[i64], values: &[f64], grid: &Grid, window_ms: i64, out: &mut [f64]) {
        out.fill(absent());
        match self {
            Self::Last => return last(ts, values, grid, window_ms, out, |_, value| value),
            Self::LastTimestamp => {
                return last(ts, values, grid, window_ms, out, |ts, _| rate::seconds(ts));
            }
            Self::RateOfBuckets => {
                return rate::of_buckets(ts, values, grid, window_ms, rate::Kind::Rate, out);
            }
            Self::IncreaseOfBuckets => {
                return rate::of_buckets(ts, values, grid, window_ms, rate::Kind::Increase, out);
            }
            _ => {}
        }
        let windows = Windows::new(ts, values, grid, window_ms);
        match self {
            Self::Rate => rate::extrapolated(&windows, rate::Kind::Rate, out),
            Self::Increase => rate::extrapolated(&windows, rate::Kind::Increase, out),
            Self::Delta => rate::extrapolated(&windows, rate::Kind::Delta, out),
            Self::Irate => windows.each(out, |_, it| rate::instant(&it, true)),
            Self::Idelta => windows.each(out, |_, it| rate::instant(&it, false)),
            Self::Deriv => windows.each(out, |_, it| regression::deriv(&it)),
            Self::PredictLinear { ahead_seconds } => windows.each(out, |step_idx, it| {
                regression::predict(&it, at_step(ahead_seconds, step_idx))
            }),
            Self::DoubleExponentialSmoothing { smoothing, trend } => {
                windows.each(out, |step_idx, it| {
                    regression::smooth(&it, at_step(smoothing, step_idx), at_step(trend, step_idx))
                });
            }
            other => over_time::apply(other, &windows, out),
        }
    }
}

/// A parameter that may change from step to step; one value stands for all.
pub(crate) fn at_step(param: &[f64], step_idx: usize) -> f64 {
    param.get(step_idx).or(param.last()).copied().unwrap_or(f64::NAN)
}

/// The newest sample of each window, unless it is a stale marker.
fn last(
    ts: &[i64],
    values: &[f64],
    grid: &Grid,
    window_ms: i64,
    out: &mut [f64],
    value_of: impl Fn(i64, f64) -> f64,
) {
    let mut end = 0;
    for (slot, at) in out.iter_mut().zip(grid.steps()) {
        end += ts.iter().skip(end).take_while(|it| **it <= at.0).count();
        let Some(newest) = end.checked_sub(1) else {
            continue;
        };
        if let (Some(&t), Some(&value)) = (ts.get(newest), values.get(newest))
            && t > at.0.saturating_sub(window_ms)
            && !is_stale_marker(value)
        {
            *slot = value_of(t, value);
        }
    }
}

impl<'a> Windows<'a> {
    fn new(ts: &'a [i64], values: &'a [f64], grid: &'a Grid, window_ms: i64) -> Self {
        if !values.iter().any(|it| is_stale_marker(*it)) {
            let (ts, values) = (Cow::Borrowed(ts), Cow::Borrowed(values));
            return Self { ts, values, grid, window_ms };
        }
        let (ts, values) = ts
            .iter()
            .zip(values)
            .filter(|(_, value)| !is_stale_marker(**value))
            .map(|(&ts, &value)| (ts, value))
            .unzip();
        Self { ts: Cow::Owned(ts), values: Cow::Owned(values), grid, window_ms }
    }

    /// Every window that holds a sample, both ends moving forward only.
    fn ranges(&self) -> impl Iterator<Item = (usize, i64, Range<usize>)> + '_ {
        let (mut start, mut end) = (0, 0);
        self.grid.steps().enumerate().filter_map(move |(step_idx, at)| {
            let after = at.0.saturating_sub(self.window_ms);
            end += self.ts.iter().skip(end).take_while(|it| **it <= at.0).count();
            start += self.ts.iter().skip(start).take_while(|it| **it <= after).count();
            (start < end).then_some((step_idx, at.0, start..end))
        })
    }

    fn slices(&self) -> impl Iterator<Item = (usize, Slice<'_>)> + '_ {
        self.ranges().filter_map(|(step_idx, at, range)| {
            let first_idx = range.start;
            let ts = self.ts.get(range.clone())?;
            let values = self.values.get(range)?;
            Some((step_idx, Slice { ts, values, first_idx, at }))
        })
    }

    fn each(&self, out: &mut [f64], mut value_of: impl FnMut(usize, Slice<'_>) -> Option<f64>) {
        for (step_idx, slice) in self.slices() {
            if let (Some(value), Some(slot)) = (value_of(step_idx, slice), out.get_mut(step_idx)) {
                *slot = value;
            }
        }
    }
}

impl Slice<'_> {
    pub(crate) fn first(&self) -> Option<(i64, f64)> {
        Some((*self.ts.first()?, *self.values.first()?))
    }

    pub(crate) fn last(&self) -> Option<(i64, f64)> {
        Some((*self.ts.last()?, *self.values.last()?))
    }
}
