//! How slowly a body may come: who sends a byte now and then would hold a connection for ever.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// So much has to come in the time that is given; little enough for the slowest line.
const STEP_BYTES: u64 = 16 * 1024;

/// Gives a body up that comes too slowly for whoever waits for it.
#[derive(Debug)]
pub(super) struct Pace {
    budget: Budget,
    /// Set up by the first wait: most bodies come at once.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The time for a step of a body. What counts is how long its reader waits, not how long it has
/// something else to do.
#[derive(Debug)]
struct Budget {
    limit: Duration,
    /// Of the step that is under way.
    n_bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limit: Duration) -> Self {
        Self { budget: Budget::new(limit), timer: None }
    }

    /// So many bytes have come.
    pub(super) fn note(&mut self, n_bytes: u64) {
        self.budget.note(n_bytes, Instant::now);
    }

    /// Nothing is there yet: ready when the time for this step is over.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.budget.deadline(Instant::now());
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Budget {
    fn new(limit: Duration) -> Self {
        Self { limit, n_bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    fn note(&mut self, n_bytes: u64, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now().saturating_duration_since(since);
        }
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        if self.n_bytes >= STEP_BYTES {
            self.n_bytes = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// Until when the reader, who waits now, will wait.
    fn deadline(&mut self, now: Instant) -> Instant {
        let since = *self.waiting_since.get_or_insert(now);
        since + self.limit.saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Whether a body goes on that brings `n_bytes` after each pause, for so long a reader is busy
    /// between two, and how long it was waited for.
    fn check(pause: Duration, n_bytes: u64, busy: Duration) -> (bool, Duration) {
        let mut now = Instant::now();
        let mut budget = Budget::new(LIMIT);
        let mut waited = Duration::ZERO;
        for _ in 0..1000 {
            let deadline = budget.deadline(now);
            if now + pause >= deadline {
                return (false, waited + (deadline - now));
            }
            now += pause;
            waited += pause;
            budget.note(n_bytes, || now);
            now += busy;
        }
        (true, waited)
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_and_a_slow_line_is_not() {
        let second = Duration::from_secs(1);
        assert_eq!(check(second * 7, 1, Duration::ZERO), (false, LIMIT));
        assert_eq!(check(second * 13, 4096, Duration::ZERO), (true, second * 13_000));
        assert_eq!(check(LIMIT * 2, STEP_BYTES, Duration::ZERO), (false, LIMIT));
    }

    #[test]
    fn a_reader_that_does_not_ask_costs_the_sender_no_time() {
        let pause = Duration::from_millis(10);
        assert_eq!(check(pause, 100, LIMIT), (true, pause * 1000));
    }
}
