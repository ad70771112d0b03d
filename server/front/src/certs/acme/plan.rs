//! When to ask for a certificate: pure, with the dice thrown by the caller.

use time::{Duration, OffsetDateTime};

use crate::config::Retry;

/// A number from 0 to 1, so that many servers do not come at the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter(f64);

/// Of the life of a certificate, at most: three days of ninety.
const RENEWAL_JITTER: f64 = 1.0 / 30.0;
/// Of the time to wait after a failure, at most.
const RETRY_JITTER: f64 = 0.2;
/// A CA that limits how often it is asked does so for an hour at least.
const RATE_LIMITED_MIN: Duration = Duration::HOUR;

impl Jitter {
    pub(crate) fn throw() -> Self {
        Self(rand::random::<f64>())
    }

    #[cfg(test)]
    pub(crate) fn of(value: f64) -> Self {
        Self(value)
    }
}

/// With a third of its life left, or somewhat before.
pub(crate) fn renew_at(
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    jitter: Jitter,
) -> OffsetDateTime {
    let life = not_after - not_before;
    not_before + life * 2 / 3 - life * (RENEWAL_JITTER * jitter.0)
}

/// Somewhere in the window that the CA suggests, as RFC 9773 §4.2 wants it.
pub(crate) fn in_window(
    start: OffsetDateTime,
    end: OffsetDateTime,
    jitter: Jitter,
) -> OffsetDateTime {
    start + (end - start).max(Duration::ZERO) * jitter.0
}

/// How long to wait after so many failures in a row.
pub(crate) fn pause(
    n_failures: u32,
    is_rate_limited: bool,
    retry: Retry,
    jitter: Jitter,
) -> Duration {
    let doubled = retry.first.saturating_mul(1 << n_failures.saturating_sub(1).min(30));
    let pause = Duration::try_from(doubled.min(retry.max)).unwrap_or(Duration::DAY);
    let pause = if is_rate_limited { pause.max(RATE_LIMITED_MIN) } else { pause };
    pause + pause * (RETRY_JITTER * jitter.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = time::macros::datetime!(2026-11-01 00:00 UTC);

    #[test]
    fn a_certificate_of_ninety_days_is_renewed_with_thirty_left_or_up_to_three_days_before() {
        let end = START + Duration::days(90);
        assert_eq!(renew_at(START, end, Jitter::of(0.0)), START + Duration::days(60));
        assert_eq!(renew_at(START, end, Jitter::of(1.0)), START + Duration::days(57));
    }

    #[test]
    fn pauses_double_from_the_first_to_the_longest() {
        let minutes = |n_failures| {
            pause(n_failures, false, Retry::default(), Jitter::of(0.0)).whole_minutes()
        };
        assert_eq!([1, 2, 3, 4, 9, 40].map(minutes), [1, 2, 4, 8, 256, 360]);
        let limited = pause(1, true, Retry::default(), Jitter::of(0.0));
        assert_eq!(limited, Duration::HOUR);
        let late = pause(1, false, Retry::default(), Jitter::of(1.0));
        assert_eq!(late, Duration::seconds(72));
    }

    #[test]
    fn a_window_that_is_none_is_its_start() {
        let day = Duration::DAY;
        assert_eq!(in_window(START, START + day * 2, Jitter::of(0.5)), START + day);
        assert_eq!(in_window(START, START - day, Jitter::of(0.5)), START);
    }
}
