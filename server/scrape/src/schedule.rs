//! When a target is scraped and which time its samples get. Pure.

use std::time::Duration;

use skep_proto::TimestampNs;

/// How late a scrape may be and still get the time it was due: equal distances take less room.
const TOLERANCE: Duration = Duration::from_millis(2);

/// The ticks of one target.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    /// Of the steady clock.
    due: Duration,
    /// Of the wall clock: one of the points that samples may be stamped with.
    aligned_ns: i64,
}

impl Schedule {
    /// The first tick is at `due`, when the wall clock says `now`.
    pub(crate) fn new(interval: Duration, due: Duration, now: TimestampNs) -> Self {
        Self { interval, due, aligned_ns: now.0 }
    }

    pub(crate) fn due(&self) -> Duration {
        self.due
    }

    /// The tick after this one; those that have passed meanwhile are left out but for the last.
    pub(crate) fn advance(&mut self, elapsed: Duration) {
        self.due += self.interval;
        while self.due + self.interval <= elapsed {
            self.due += self.interval;
        }
    }

    /// The time of a scrape that begins now, in milliseconds.
    pub(crate) fn stamp(&mut self, now: TimestampNs) -> i64 {
        let ns = |it: Duration| i64::try_from(it.as_nanos()).unwrap_or(i64::MAX).max(1);
        let interval = ns(self.interval);
        let tolerance = ns(TOLERANCE.min(self.interval / 100));
        // The wall clock may have jumped in either direction.
        let n_ticks = now.0.saturating_sub(self.aligned_ns).saturating_add(tolerance);
        self.aligned_ns += n_ticks.div_euclid(interval).saturating_mul(interval);
        let is_aligned = now.0.saturating_sub(self.aligned_ns).abs() <= tolerance;
        TimestampNs(if is_aligned { self.aligned_ns } else { now.0 }).to_ms().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    fn schedule() -> Schedule {
        Schedule::new(Duration::from_secs(10), Duration::ZERO, TimestampNs(5 * SECOND))
    }

    #[test]
    fn a_scrape_a_little_late_or_early_gets_the_time_it_was_due() {
        let mut schedule = schedule();
        for (now, ms) in [
            (5 * SECOND, 5_000),
            (15 * SECOND + MS, 15_000),
            (25 * SECOND - MS, 25_000),
            (35 * SECOND + 3 * MS, 35_003),
            (75 * SECOND + MS, 75_000),
            // The clock was set back by a minute, and forward again.
            (25 * SECOND + 2 * MS, 25_000),
            (26 * SECOND, 26_000),
            (95 * SECOND, 95_000),
        ] {
            assert_eq!(schedule.stamp(TimestampNs(now)), ms);
        }
    }

    #[test]
    fn ticks_that_were_missed_are_left_out() {
        let mut schedule = schedule();
        for (elapsed, due) in [(0, 10), (10, 20), (39, 30), (62, 60), (61, 70)] {
            schedule.advance(Duration::from_secs(elapsed));
            assert_eq!(schedule.due().as_secs(), due, "{elapsed}");
        }
    }
}
