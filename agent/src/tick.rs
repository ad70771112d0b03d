//! When to collect, and which time stamp a collection gets. Pure: the clock is asked elsewhere.

use std::{collections::VecDeque, time::Duration};

use skep_proto::{TimestampMs, TimestampNs};

/// Timers and the wall clock do not run quite alike.
const EARLY_MS_MAX: i64 = 100;

/// Bounds what is remembered of a clock that jumps to and fro.
const USED_RANGES_MAX: usize = 16;

/// Ticks are the multiples of the interval since the epoch, so that all hosts collect at once and
/// every sample of a series is exactly one interval behind the one before: that is what the
/// store's encoding of time stamps lives on.
#[derive(Debug)]
pub(crate) struct Ticker {
    interval_ms: i64,
    last: Option<TimestampMs>,
    /// Stamps that have been given away, oldest range first; both ends are included. A clock that
    /// only goes forward makes one.
    used: VecDeque<(i64, i64)>,
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
    /// The clock was set back by at least one interval. Stamps go on from there, but for those
    /// that have been used.
    SetBack {
        by: Duration,
    },
}

impl Ticker {
    /// `interval` must not be zero.
    pub(crate) fn new(interval: Duration) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { interval_ms, last: None, used: VecDeque::new() }
    }

    /// The tick to wait for. No stamp comes twice.
    pub(crate) fn next(&self, now: TimestampNs) -> Tick {
        let upcoming = (now.0.div_euclid(1_000_000) / self.interval_ms + 1) * self.interval_ms;
        let irregular = match self.last.map(|last| (upcoming - last.0) / self.interval_ms) {
            // The clock was set back a little: wait a little longer.
            None | Some(0 | 1) => Irregular::No,
            Some(n_intervals @ 2..) => {
                Irregular::Missed { n_ticks: u64::try_from(n_intervals - 1).unwrap_or(0) }
            }
            Some(n_intervals) => {
                let by_ms = n_intervals.saturating_neg().saturating_mul(self.interval_ms);
                let by = Duration::from_millis(u64::try_from(by_ms).unwrap_or(0));
                Irregular::SetBack { by }
            }
        };
        let at = TimestampMs(self.first_unused(upcoming));
        let wait = u64::try_from(at.to_ns().0.saturating_sub(now.0)).unwrap_or(0);
        Tick { at, wait: Duration::from_nanos(wait), irregular }
    }

    /// Whether a collection made now may be stamped `at`: the clock may have been set while we
    /// waited. If so, the stamp is used up.
    pub(crate) fn take(&mut self, at: TimestampMs, now: TimestampNs) -> bool {
        let late_ms = now.to_ms().0.saturating_sub(at.0);
        let is_due = (-EARLY_MS_MAX..self.interval_ms).contains(&late_ms);
        if is_due {
            self.use_up(at);
        }
        is_due
    }

    fn first_unused(&self, mut at: i64) -> i64 {
        // Ranges do not overlap, so that each is left behind at most once.
        for _ in 0..self.used.len() {
            let Some((_, last)) = self.used.iter().find(|range| (range.0..=range.1).contains(&at))
            else {
                break;
            };
            at = last + self.interval_ms;
        }
        at
    }

    fn use_up(&mut self, at: TimestampMs) {
        let follows = self.last.is_some_and(|last| at.0 == last.0 + self.interval_ms);
        match self.used.back_mut() {
            Some(range) if follows => range.1 = at.0,
            _ => self.used.push_back((at.0, at.0)),
        }
        if self.used.len() > USED_RANGES_MAX {
            self.used.pop_front();
        }
        self.last = Some(at);
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
    fn a_clock_set_back_aligns_anew_and_leaves_out_what_was_used() {
        let mut ticker = ticker();
        check(&mut ticker, 1_000.0, 1_005, Irregular::No);
        check(&mut ticker, 1_006.0, 1_020, Irregular::No);
        let by = Duration::from_secs(1_020 - 975);
        check(&mut ticker, 970.0, 975, Irregular::SetBack { by });
        check(&mut ticker, 975.5, 990, Irregular::No);
        check(&mut ticker, 990.5, 1_035, Irregular::No);
        check(&mut ticker, 1_035.5, 1_050, Irregular::No);
    }

    #[test]
    fn no_stamp_comes_twice_however_the_clock_jumps() {
        let mut ticker = ticker();
        let mut seen = std::collections::BTreeSet::new();
        let mut now_s = 10_000_i64;
        for step in 0..2_000_i64 {
            // A jump every hundred steps, six to and fro.
            now_s += if step % 300 == 299 { 700 * (step % 7 - 3) } else { 7 };
            let now = TimestampNs(now_s * 1_000_000_000);
            let tick = ticker.next(now);
            assert!(tick.at.to_ns() > now);
            if tick.wait <= Duration::from_secs(7) && ticker.take(tick.at, tick.at.to_ns()) {
                assert!(seen.insert(tick.at), "{:?} came twice", tick.at);
            }
        }
        assert!(seen.len() > 300, "only {} ticks", seen.len());
    }
}
