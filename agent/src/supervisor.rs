//! What systemd is told, if it started us: that the agent is up, that it lives, that it stops.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, interval};
use tracing::warn;

/// Without a watchdog nobody listens, and nothing is sent.
const PULSE_DEFAULT: Duration = Duration::from_secs(3600);

/// When to say [`alive`]: twice in the unit's `WatchdogSec=`.
pub(crate) fn pulse() -> Interval {
    let pulse = sd_notify::watchdog_enabled().map_or(PULSE_DEFAULT, |limit| limit / 2);
    interval(pulse.max(Duration::from_millis(1)))
}

pub(crate) fn ready(server: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("brings what it reads to {server}"))]);
}

pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "Could not tell systemd how the agent is.");
    }
}
