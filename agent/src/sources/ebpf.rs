//! Kernel programs as a source: loads the embedded eBPF object, reads its maps at each tick and
//! hands its events on as log records.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use aya::maps::RingBuf;
use skep_proto::{MetricKind, SystemClock};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use self::{
    events::{Reader, Stats},
    family::{Collect, CollectError, FAMILIES, event_kinds, programs},
    loader::{LoadError, Object},
    maps::Maps,
    statistics::Statistics,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::{LogRecord, Roots, units::SharedUnits},
};

mod block;
mod btf;
mod by_unit;
mod connect;
mod disk;
mod dns;
mod drops;
mod events;
mod exec;
mod family;
mod fsync;
mod histogram;
mod irq;
mod loader;
mod maps;
mod net;
mod networks;
mod oom;
mod oom_limit;
mod page_cache;
mod peers;
mod raw;
mod reclaim;
mod sched;
mod signals;
mod statistics;
mod survey;
mod task;
mod tcp;
mod top;

pub(crate) use self::events::EventSettings;
pub(crate) use self::survey::{ProgramState, survey};

#[cfg(test)]
mod kernel_tests;

/// Built by `cargo xtask`; empty where the agent was built without kernel programs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ebpf.o"));

const RING_MAP: &str = "EVENTS";
const LOST_MAP: &str = "EVENTS_LOST";

/// What the loader must know; valid by construction.
#[derive(Debug, Clone)]
pub(crate) struct EbpfSettings {
    pub(crate) enabled: bool,
    /// The label `host` of every event's stream.
    pub(crate) host: String,
    pub(crate) roots: Roots,
    pub(crate) units: SharedUnits,
    pub(crate) events: EventSettings,
}

/// The loaded programs. Dropping it detaches them.
#[derive(Debug)]
pub(crate) struct Ebpf {
    statuses: Statuses,
    running: Option<Running>,
}

/// Each program's name, and why it does not run; empty if it does.
type Statuses = Vec<(&'static str, &'static str)>;

#[derive(Debug)]
struct Running {
    maps: Maps,
    families: Vec<Box<dyn Collect>>,
    units: SharedUnits,
    stats: Arc<Stats>,
    statistics: Statistics,
    /// What the last collection could not do; said once, not at each tick.
    trouble: Option<String>,
    _readers: Vec<AbortOnDropHandle<()>>,
}

impl Ebpf {
    /// Called within the runtime. Never fails: a host without eBPF is told so once, in the log.
    pub(crate) fn start(settings: &EbpfSettings, events_tx: mpsc::Sender<LogRecord>) -> Self {
        if !settings.enabled {
            return Self { statuses: all_programs("disabled"), running: None };
        }
        Self::start_object(OBJECT, settings, events_tx)
    }

    fn start_object(
        object: &[u8],
        settings: &EbpfSettings,
        events_tx: mpsc::Sender<LogRecord>,
    ) -> Self {
        let root = {
            let units = settings.units.lock().unwrap_or_else(PoisonError::into_inner);
            units.groups_root().to_owned()
        };
        let events_on = settings.events.mask();
        let object = match Object::load_for(object, &root, |globals| {
            globals.push(("EVENTS_ON", events_on));
        }) {
            Ok(object) => object,
            Err(error) => {
                let reason = error.reason();
                if matches!(error, LoadError::NoObject) {
                    info!("{error}; going on without kernel programs.");
                } else {
                    let error = anyhow::Error::from(error);
                    warn!("{error:#}; going on without kernel programs.");
                }
                return Self { statuses: all_programs(reason), running: None };
            }
        };
        match Running::start(object, settings, events_tx, start_programs) {
            Ok((running, statuses)) => Self { statuses, running: Some(running) },
            Err(error) => {
                warn!("{error:#}; going on without kernel programs.");
                Self { statuses: all_programs("object"), running: None }
            }
        }
    }

    /// Adds what the maps hold now. Called from a blocking thread, one call at a time.
    pub(crate) fn collect(&mut self, out: &mut Exposition) {
        let loaded = out.family(
            "ebpf_program_loaded",
            "Whether a kernel program runs, and if not, why.",
            MetricKind::Gauge,
        );
        for (program, reason) in &self.statuses {
            let value = f64::from(u8::from(reason.is_empty()));
            loaded.point([("program", program), ("reason", reason)], value);
        }
        if let Some(running) = &mut self.running {
            running.collect(out);
        }
    }
}

fn all_programs(reason: &'static str) -> Statuses {
    programs().map(|program| (program.name, reason)).collect()
}

fn start_programs(object: &mut Object) -> Statuses {
    let statuses: Vec<_> = programs()
        .map(|program| match object.start(program) {
            Ok(function) => {
                debug!(program = program.name, function, "A kernel program runs.");
                (program.name, "")
            }
            Err(error) => {
                let reason = error.reason();
                let error = anyhow::Error::from(error);
                warn!(
                    program = program.name,
                    "A kernel program does not run, so there will be no {}: {error:#}.",
                    program.gives
                );
                (program.name, reason)
            }
        })
        .collect();
    let n_running = statuses.iter().filter(|(_, reason)| reason.is_empty()).count();
    info!(n_running, of = statuses.len(), "Kernel programs run.");
    statuses
}

impl Running {
    /// The families' maps are made ready before the first program looks at them.
    fn start(
        mut object: Object,
        settings: &EbpfSettings,
        events_tx: mpsc::Sender<LogRecord>,
        start_programs: impl FnOnce(&mut Object) -> Statuses,
    ) -> anyhow::Result<(Self, Statuses)> {
        object.maps.sys.clone_from(&settings.roots.sys);
        let starts = FAMILIES.iter().filter_map(|family| family.start);
        let families = starts.map(|it| it(&mut object.maps)).collect::<Result<_, _>>()?;
        let statuses = start_programs(&mut object);
        let mut maps = object.maps;
        let stats = Arc::new(Stats::default());
        let units = Arc::clone(&settings.units);
        let reader = Reader {
            host: settings.host.clone(),
            roots: settings.roots.clone(),
            units: Arc::clone(&units),
            stats: Arc::clone(&stats),
            events_tx,
            clock: SystemClock,
            settings: settings.events.clone(),
            limiters: BTreeMap::new(),
            walked: None,
        };
        let _readers = vec![start_log(&mut maps.kernel)?, start_events(&mut maps.kernel, reader)?];
        let statistics = Statistics::default();
        Ok((Self { maps, families, units, stats, statistics, trouble: None, _readers }, statuses))
    }

    fn collect(&mut self, out: &mut Exposition) {
        let trouble = self.update().map(|error| format!("{:#}", anyhow::Error::from(error)));
        if let Some(trouble) = trouble.as_ref().filter(|it| Some(*it) != self.trouble.as_ref()) {
            warn!("{trouble}; what kernel programs count is not up to date.");
        }
        self.trouble = trouble;
        for family in &self.families {
            family.expose(out);
        }
        self.expose_events(out);
        self.statistics.expose(&self.maps, out);
        // Behind the reading, so that our own work is not counted.
        self.statistics.open();
    }

    /// Reads the maps, then the tree: a group that a reading names was there at that time or is
    /// gone by now. Returns the first thing that went wrong; the rest is done all the same.
    fn update(&mut self) -> Option<CollectError> {
        let Self { maps, families, units, stats, .. } = self;
        let mut errors = Vec::new();
        for family in families.iter_mut() {
            errors.extend(family.read(maps).err());
        }
        let mut units = units.lock().unwrap_or_else(PoisonError::into_inner);
        errors.extend(units.refresh().map_err(CollectError::Groups).err());
        let oom_units =
            mem::take(&mut *stats.oom_units.lock().unwrap_or_else(PoisonError::into_inner));
        for family in families.iter_mut() {
            errors.extend(family.attribute(maps, &mut units).err());
            oom_units.iter().for_each(|unit| family.add_oom_kill(unit, &mut units));
        }
        errors.into_iter().next()
    }

    fn expose_events(&self, out: &mut Exposition) {
        let stats = || event_kinds().filter_map(|it| Some((it, self.stats.of(it.kind)?)));
        let sent = out.family(
            "ebpf_events_total",
            "Kernel events handed on as log entries.",
            MetricKind::Counter,
        );
        for (kind, stats) in stats() {
            sent.point([("event", kind.name)], as_f64(stats.sent.load(Ordering::Relaxed)));
        }
        let dropped = out.family(
            "ebpf_events_dropped_total",
            "Kernel events that became no log entry, though they are counted.",
            MetricKind::Counter,
        );
        for (kind, stats) in stats() {
            let lost = self.maps.array_value::<u64>(LOST_MAP, kind.kind);
            for (reason, count) in [
                ("over_rate", Some(stats.over_rate.load(Ordering::Relaxed))),
                ("queue_full", Some(stats.queue_full.load(Ordering::Relaxed))),
                ("ring_full", lost),
            ] {
                if let Some(count) = count {
                    dropped.point([("event", kind.name), ("reason", reason)], as_f64(count));
                }
            }
        }
    }
}

fn start_events(
    kernel: &mut aya::Ebpf,
    reader: Reader<SystemClock>,
) -> anyhow::Result<AbortOnDropHandle<()>> {
    let map = kernel.take_map(RING_MAP).ok_or_else(|| anyhow::anyhow!("no map {RING_MAP}"))?;
    let ring = raw::watch(RingBuf::try_from(map)?)?;
    Ok(AbortOnDropHandle::new(tokio::spawn(reader.run(ring))))
}

fn start_log(kernel: &mut aya::Ebpf) -> anyhow::Result<AbortOnDropHandle<()>> {
    let mut logger = raw::watch_log(aya_log::EbpfLogger::init_with_logger(kernel, ToTracing)?)?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    })))
}

/// Log lines of kernel programs, handed on to the agent's own log.
#[derive(Debug)]
struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (program, message) = (record.target(), record.args());
        match record.level() {
            log::Level::Error => tracing::error!(program, "Kernel program: {message}"),
            log::Level::Warn => warn!(program, "Kernel program: {message}"),
            log::Level::Info => info!(program, "Kernel program: {message}"),
            log::Level::Debug | log::Level::Trace => debug!(program, "Kernel program: {message}"),
        }
    }

    fn flush(&self) {}
}
