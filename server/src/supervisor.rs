//! What systemd is told, if it started us: that the server serves, that it lives, that it stops.

use std::time::Duration;

use sd_notify::NotifyState;
use skep_front::Bound;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// Says that the server lives until dropped, as often as the unit's `WatchdogSec=` asks for.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _pulse: Option<AbortOnDropHandle<()>>,
}

/// Says that the server serves, and where.
pub(crate) fn serving(bound: &Bound) -> Watchdog {
    let at: Vec<String> = bound.https.iter().map(ToString::to_string).collect();
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("HTTPS at {}", at.join(", ")))]);
    let limit = sd_notify::watchdog_enabled();
    Watchdog { _pulse: limit.map(|it| AbortOnDropHandle::new(tokio::spawn(pulse(it)))) }
}

/// Says that open requests are let go on, and then rows in memory are written.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// From a task, so that a runtime whose threads all hang is told apart from one that waits.
async fn pulse(limit: Duration) {
    let mut due = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        due.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "Could not tell the service manager how the server is.");
    }
}
