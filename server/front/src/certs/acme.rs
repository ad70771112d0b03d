//! Certificates from ACME servers (RFC 8555): each name has an order of its own, tried until it succeeds.

pub(crate) mod authority;
pub(crate) mod challenge;
pub(crate) mod order;
pub(crate) mod plan;
pub(crate) mod store;
mod suggestion;
pub(crate) mod trial;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;

use self::authority::Authority;
use self::order::{AcmeError, Issued};
use self::plan::Jitter;
use self::store::Progress;
use super::chain::Certificate;
use crate::error::Error;

/// A computer that slept wakes up with a wall clock that has moved and timers that have not.
const SLEEP_MAX: Duration = Duration::MINUTE;
/// One certificate and the task that keeps it fresh.
#[derive(Debug)]
pub(crate) struct Managed {
    pub authority: Arc<Authority>,
    pub names: Vec<String>,
    certificate: ArcSwapOption<Certificate>,
    state: Mutex<State>,
    is_started: AtomicBool,
    stop: CancellationToken,
}

/// Where things stand; `progress` is what is on disk.
#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub progress: Progress,
    /// By the life of the certificate, with its jitter.
    pub renew_at: Option<OffsetDateTime>,
    /// Since the start of this process.
    pub n_failures_total: u64,
    pub n_renewals_total: u64,
}

/// What there is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Order,
    AskForSuggestion,
}

impl Managed {
    /// Finds the certificate of an earlier run, and when it is to be renewed.
    pub(crate) fn load(authority: Arc<Authority>, names: Vec<String>) -> Result<Self, Error> {
        let stored = match authority.store.certificate(&names) {
            Ok(stored) => stored,
            Err(error @ Error::StoredCertificate { .. }) => {
                tracing::warn!(%error, "A stored certificate is of no use; asking for a new one.");
                None
            }
            Err(error) => return Err(error),
        };
        let mut progress = authority.store.progress(&names);
        progress.names.clone_from(&names);
        // Whoever starts the server again may have put right what failed; one that is restarted
        // again and again waits the first pause all the same.
        let pause = i64::try_from(authority.config.retry.first.as_secs()).unwrap_or(i64::MAX);
        let earliest = progress.last_attempt.map(|it| it.saturating_add(pause));
        progress.next_attempt = progress.next_attempt.min(earliest);
        let managed = Self {
            authority,
            certificate: ArcSwapOption::empty(),
            state: Mutex::new(State { progress, ..State::default() }),
            is_started: AtomicBool::new(false),
            stop: CancellationToken::new(),
            names,
        };
        if let Some(certificate) = stored {
            managed.take(certificate);
        }
        Ok(managed)
    }

    pub(crate) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.load_full()
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Whether a reload may keep it as it is.
    pub(crate) fn is_for(&self, authority: &Authority, names: &[String]) -> bool {
        self.authority.config.is_same_authority(&authority.config) && self.names == names
    }

    /// True the first time: its task is to be started.
    pub(crate) fn start(&self) -> bool {
        !self.is_started.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Keeps the certificate fresh until stopped; `changed` is called with every new one.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken, changed: impl Fn()) {
        let stop = &self.stop;
        let child = shutdown.child_token();
        let both = async {
            tokio::select! { () = stop.cancelled() => {}, () = child.cancelled() => {} }
        };
        let mut stopped = std::pin::pin!(both);
        let token = CancellationToken::new();
        loop {
            let (step, at) = self.next(self.authority.clock.now());
            if let Some(wait) = wait(at - self.authority.clock.now()) {
                tokio::select! {
                    () = &mut stopped => return,
                    () = tokio::time::sleep(wait) => continue,
                }
            }
            let work = async {
                match step {
                    Step::Order if self.order(&token).await => changed(),
                    Step::Order => {}
                    Step::AskForSuggestion => tokio::select! {
                        () = self.ask_for_suggestion() => {}
                        () = token.cancelled() => {}
                    },
                }
            };
            let mut work = std::pin::pin!(work);
            tokio::select! {
                () = &mut work => {}
                () = &mut stopped => {
                    // Records that were set are taken away again.
                    token.cancel();
                    return work.await;
                }
            }
        }
    }

    fn next(&self, now: OffsetDateTime) -> (Step, OffsetDateTime) {
        let is_for_all = |it: &Certificate| self.names.iter().all(|name| it.covers(name));
        let is_whole = self.certificate().is_some_and(|it| is_for_all(&it));
        let state = self.lock();
        next(&state.progress, state.renew_at.filter(|_at| is_whole), now)
    }

    /// Whether there is a new certificate.
    async fn order(&self, stop: &CancellationToken) -> bool {
        let before = self.certificate();
        let outcome = self.authority.obtain(&self.names, before.as_deref(), stop).await;
        let now = self.authority.clock.now();
        match outcome {
            Ok(issued) => self.succeeded(issued, now),
            Err(AcmeError::Stopped) => false,
            Err(error) => {
                self.failed(&error, now);
                false
            }
        }
    }

    fn succeeded(&self, issued: Issued, now: OffsetDateTime) -> bool {
        let store = &self.authority.store;
        if let Err(error) = store.keep_certificate(&self.names, &issued.chain_pem, &issued.key_pem)
        {
            tracing::error!(%error, "Could not keep a new certificate; a restart will order another.");
        }
        let names = self.names.join(", ");
        tracing::info!(names, not_after = %issued.certificate.not_after, "Got a certificate.");
        self.take(issued.certificate);
        let mut state = self.lock();
        state.n_renewals_total += 1;
        state.progress = Progress {
            names: self.names.clone(),
            last_attempt: Some(now.unix_timestamp()),
            ..Progress::default()
        };
        self.keep(&state.progress);
        true
    }

    fn failed(&self, error: &AcmeError, now: OffsetDateTime) {
        let mut state = self.lock();
        let text = crate::error::chain(error);
        let n_failures = state.progress.n_failures.saturating_add(1);
        let retry = self.authority.config.retry;
        let pause = plan::pause(n_failures, error.is_rate_limit(), retry, Jitter::throw());
        let is_serving = self.certificate().is_some();
        let (names, minutes) = (self.names.join(", "), pause.whole_minutes());
        tracing::warn!(
            error = text,
            names,
            n_failures,
            next_in_minutes = minutes,
            is_serving,
            "Could not get a certificate; what there is stays in use."
        );
        state.n_failures_total += 1;
        state.progress.n_failures = n_failures;
        state.progress.last_error = Some(text);
        state.progress.last_attempt = Some(now.unix_timestamp());
        state.progress.next_attempt = Some((now + pause).unix_timestamp());
        self.keep(&state.progress);
    }

    async fn ask_for_suggestion(&self) {
        let Some(certificate) = self.certificate() else { return };
        let asked = self.authority.suggestion(&certificate).await;
        let now = self.authority.clock.now();
        let mut state = self.lock();
        match asked {
            Ok(Some(suggestion)) => {
                let at = plan::in_window(suggestion.start, suggestion.end, Jitter::throw());
                let is_known = store::time(state.progress.suggested_renewal)
                    .is_some_and(|it| suggestion.start <= it && it <= suggestion.end);
                if !is_known {
                    state.progress.suggested_renewal = Some(at.unix_timestamp());
                }
            }
            Ok(None) => state.progress.suggested_renewal = None,
            Err(error) => {
                tracing::debug!(
                    error = crate::error::chain(&error),
                    "No suggestion when to renew."
                );
            }
        }
        state.progress.next_suggestion = Some((now + suggestion::INTERVAL).unix_timestamp());
        self.keep(&state.progress);
    }

    fn take(&self, certificate: Certificate) {
        let jitter = Jitter::throw();
        self.lock().renew_at =
            Some(plan::renew_at(certificate.not_before, certificate.not_after, jitter));
        self.certificate.store(Some(Arc::new(certificate)));
    }

    fn keep(&self, progress: &Progress) {
        if let Err(error) = self.authority.store.keep_progress(progress) {
            tracing::warn!(%error, "Could not write down how an order went.");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `renew_at`: of a certificate for all names, if there is one.
fn next(
    progress: &Progress,
    renew_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> (Step, OffsetDateTime) {
    let suggested = store::time(progress.suggested_renewal);
    let due = renew_at.map_or(now, |at| suggested.map_or(at, |it| it.min(at)));
    let order = store::time(progress.next_attempt).map_or(due, |it| it.max(due));
    match store::time(progress.next_suggestion) {
        Some(ask) if ask < order && renew_at.is_some() => (Step::AskForSuggestion, ask),
        None if order > now && renew_at.is_some() => (Step::AskForSuggestion, now),
        _later => (Step::Order, order),
    }
}

/// For the timer; `None` when it is time.
fn wait(left: Duration) -> Option<std::time::Duration> {
    let wait = std::time::Duration::try_from(left.min(SLEEP_MAX)).ok()?;
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-12-01 00:00 UTC);

    fn days(n: i64) -> OffsetDateTime {
        NOW + Duration::days(n)
    }

    fn seconds(at: OffsetDateTime) -> Option<i64> {
        Some(at.unix_timestamp())
    }

    #[test]
    fn without_a_certificate_an_order_is_due_at_once_or_after_the_pause() {
        let mut progress = Progress::default();
        assert_eq!(next(&progress, None, NOW), (Step::Order, NOW));
        progress.next_attempt = seconds(days(1));
        assert_eq!(next(&progress, None, NOW), (Step::Order, days(1)));
        // A suggestion about a certificate that is gone holds nothing up.
        progress.next_suggestion = seconds(NOW);
        assert_eq!(next(&progress, None, NOW), (Step::Order, days(1)));
    }

    #[test]
    fn a_certificate_is_renewed_when_it_is_time_or_when_the_ca_says_so_before() {
        let mut progress = Progress::default();
        assert_eq!(next(&progress, Some(days(60)), NOW), (Step::AskForSuggestion, NOW));
        progress.next_suggestion = seconds(days(1));
        assert_eq!(next(&progress, Some(days(60)), NOW), (Step::AskForSuggestion, days(1)));
        progress.suggested_renewal = seconds(days(-1));
        assert_eq!(next(&progress, Some(days(60)), NOW), (Step::Order, days(-1)));
        progress.suggested_renewal = seconds(days(90));
        progress.next_suggestion = seconds(days(61));
        assert_eq!(next(&progress, Some(days(60)), NOW), (Step::Order, days(60)));
    }

    #[test]
    fn a_renewal_that_failed_waits_for_its_pause_however_due_it_is() {
        let progress = Progress {
            next_attempt: seconds(days(2)),
            next_suggestion: seconds(days(3)),
            ..Progress::default()
        };
        assert_eq!(next(&progress, Some(days(-5)), NOW), (Step::Order, days(2)));
    }

    #[test]
    fn the_timer_is_short_so_that_a_machine_that_slept_notices() {
        assert_eq!(wait(Duration::days(60)), Some(std::time::Duration::from_secs(60)));
        assert_eq!(wait(Duration::seconds(5)), Some(std::time::Duration::from_secs(5)));
        assert_eq!(wait(Duration::ZERO), None);
        assert_eq!(wait(Duration::seconds(-5)), None);
    }
}
