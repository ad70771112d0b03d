//! When to collect, and which time stamp a collection gets. Pure: the clock is asked elsewhere.

use std::time::Duration;

use skep_proto::{TimestampMs, TimestampNs};

/// Timers and the wall clock do not run quite alike.
const EARLY_MS_MAX: i64 = 100;

/// Ticks are the multiples of the interval since the epoch, so that all hosts collect at once and
/// every sample of a series is exactly one interval behind the one before: that is what the
/// store's encoding of time stamps lives on.
#[derive(Debug)]
pub(crate) struct Ticker {
    interval_ms: i64,
    last: Option<TimestampMs>,
}

/// The next collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) at: TimestampMs,
    /// How long from now.
    pub(crate) wait: Duration,
    pub(crate) irregular: Irregular,
}

/// What was not as usual about the way from the tick before to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Irregular {
    No,
    /// Collecting took too long, the host slept, or the clock was set forward.
    Missed {
        n_ticks: u64,
    },
    /// The clock was set back by at least one interval: stamps start over from there.
    SetBack {
        by: Duration,
    },
}

impl Ticker {
    /// `interval` must not be zero.
    pub(crate) fn new(interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { interval_ms, last: None }
    }

    /// The tick to wait for. No stamp comes twice unless the clock was set back by an interval or
    /// more.
    pub(crate) fn next(&self, now: TimestampNs) -> Tick {
        let upcoming = (now.0.div_euclid(1_000_000) / self.interval_ms + 1) * self.interval_ms;
        let (at, irregular) = match self.last {
            None => (upcoming, Irregular::No),
            Some(last) => {
                let n_intervals = (upcoming - last.0) / self.interval_ms;
                match n_intervals {
                    1 => (upcoming, Irregular::No),
                    // The clock was set back a little: wait a little longer.
                    0 => (last.0 + self.interval_ms, Irregular::No),
                    2.. => {
                        let n_ticks = u64::try_from(n_intervals - 1).unwrap_or(0);
                        (upcoming, Irregular::Missed { n_ticks })
                    }
                    _ => {
                        let by = u64::try_from(last.0 - upcoming).unwrap_or(0);
                        (upcoming, Irregular::SetBack { by: Duration::from_millis(by) })
                    }
                }
            }
        };
        let at = TimestampMs(at);
        let wait = u64::try_from(at.to_ns().0.saturating_sub(now.0)).unwrap_or(0);
        Tick { at, wait: Duration::from_nanos(wait), irregular }
    }

    /// Whether a collection made now may be stamped `at`: the clock may have been set while we
    /// waited. If so, the stamp is used up.
    pub(crate) fn take(&mut self, at: TimestampMs, now: TimestampNs) -> bool {
        let late_ms = now.to_ms().0.saturating_sub(at.0);
        let is_due = (-EARLY_MS_MAX..self.interval_ms).contains(&late_ms);
        if is_due {
            self.last = Some(at);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticker() -> Ticker {
        Ticker::new(Duration::from_secs(15))
    }

    fn seconds(seconds: f64) -> TimestampNs {
        TimestampNs(i64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap())
    }

    #[track_caller]
    fn check(ticker: &mut Ticker, now: f64, at_s: i64, irregular: Irregular) {
        let tick = ticker.next(seconds(now));
        assert!(ticker.take(tick.at, tick.at.to_ns()));
        assert_eq!((tick.at, tick.irregular), (TimestampMs(at_s * 1000), irregular));
    }

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let mut ticker = ticker();
        let first = ticker.next(seconds(1_000.5));
        assert_eq!(first.at, TimestampMs(1_005_000));
        assert_eq!(first.wait, Duration::from_millis(4_500));
        check(&mut ticker, 1_005.1, 1_020, Irregular::No);
        check(&mut ticker, 1_021.0, 1_035, Irregular::No);
    }

    #[test]
    fn a_clock_set_back_a_little_does_not_make_a_stamp_twice() {
        let mut ticker = ticker();
        check(&mut ticker, 1_000.0, 1_005, Irregular::No);
        check(&mut ticker, 1_004.9, 1_020, Irregular::No);
        check(&mut ticker, 1_020.0, 1_035, Irregular::No);
    }

    #[test]
    fn a_clock_set_while_waiting_means_waiting_anew() {
        let mut ticker = ticker();
        let tick = ticker.next(seconds(1_000.0));
        assert!(!ticker.take(tick.at, seconds(1_004.0)), "set back");
        assert!(!ticker.take(tick.at, seconds(1_020.0)), "set forward");
        assert_eq!(ticker.next(seconds(1_004.0)).at, tick.at);
        assert!(ticker.take(tick.at, seconds(1_004.95)));
    }

    #[test]
    fn missed_ticks_are_left_out_and_counted() {
        let mut ticker = ticker();
        check(&mut ticker, 1_000.0, 1_005, Irregular::No);
        check(&mut ticker, 1_050.0, 1_065, Irregular::Missed { n_ticks: 3 });
        check(&mut ticker, 1_066.0, 1_080, Irregular::No);
    }

    #[test]
    fn a_clock_set_back_aligns_anew() {
        let mut ticker = ticker();
        check(&mut ticker, 1_000.0, 1_005, Irregular::No);
        let by = Duration::from_secs(1005 - 525);
        check(&mut ticker, 520.0, 525, Irregular::SetBack { by });
        check(&mut ticker, 525.5, 540, Irregular::No);
    }
}
