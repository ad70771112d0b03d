//! Kernel programs as a source: loads the embedded eBPF object, reads its maps at each tick and
//! hands its events on as log records.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::AsFd as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use aya::maps::{Map, MapError, PerCpuHashMap, PerCpuValues, RingBuf};
use skep_abi::{GROUP_OTHER, GROUP_SLOTS, GroupEvents, event_kind};
use skep_proto::{MetricKind, SystemClock};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use self::{
    cgroups::Groups,
    events::{Limiter, Reader, Stats},
    loader::{LoadError, Object, PROGRAMS},
    totals::{Reading, Totals},
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::{LogRecord, Roots},
};

mod btf;
mod cgroups;
mod events;
mod exec;
mod loader;
mod oom;
mod raw;
mod sched;
mod totals;

#[cfg(test)]
mod kernel_tests;

/// Built by `cargo xtask`; empty where the agent was built without kernel programs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ebpf.o"));

const COUNTS_MAP: &str = "GROUP_EVENTS";
const RING_MAP: &str = "EVENTS";
const LOST_MAP: &str = "EVENTS_LOST";

/// The label `event` of the kinds of records.
const EVENT_KINDS: &[(u32, &str)] =
    &[(event_kind::EXEC, "exec"), (event_kind::EXIT, "exit"), (event_kind::OOM_KILL, "oom")];

/// What the loader must know; valid by construction.
#[derive(Debug, Clone)]
pub(crate) struct EbpfSettings {
    pub(crate) enabled: bool,
    /// The label `host` of every event's stream.
    pub(crate) host: String,
    pub(crate) roots: Roots,
    /// Units that are told apart; the others are counted together.
    pub(crate) units_max: usize,
}

/// The loaded programs. Dropping it detaches them.
#[derive(Debug)]
pub(crate) struct Ebpf {
    /// Each program's name, and why it does not run; empty if it does.
    statuses: Vec<(&'static str, &'static str)>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    kernel: aya::Ebpf,
    n_cpus: usize,
    groups: Arc<Mutex<Groups>>,
    stats: Arc<Stats>,
    totals: Totals,
    /// What the last collection could not do; said once, not at each tick.
    trouble: Option<String>,
    _readers: Vec<AbortOnDropHandle<()>>,
}

/// What keeps one collection from being whole.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("cannot account what runs right now")]
    Flush(#[source] aya::programs::ProgramError),
    #[error("cannot read the kernel programs' maps")]
    Map(#[from] MapError),
    #[error("cannot read the kernel programs' maps")]
    Batch(#[source] io::Error),
    #[error("cannot read the tree of control groups")]
    Groups(#[source] io::Error),
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
        let mut object = match Object::load(object) {
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
        if let Err(error) = add_other(&mut object.kernel) {
            warn!(%error, "Events of control groups beyond the limit will not be counted.");
        }
        let statuses = start_programs(&mut object);
        match Running::start(object.kernel, settings, events_tx) {
            Ok(running) => Self { statuses, running: Some(running) },
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

fn all_programs(reason: &'static str) -> Vec<(&'static str, &'static str)> {
    PROGRAMS.iter().map(|program| (program.name, reason)).collect()
}

/// The entry that counts groups for which there is no room; before any program looks for it.
fn add_other(kernel: &mut aya::Ebpf) -> Result<(), MapError> {
    let Some(map) = kernel.map_mut(COUNTS_MAP) else { return Ok(()) };
    let mut counts: PerCpuHashMap<_, u64, GroupEvents> = map.try_into()?;
    let n_cpus = aya::util::nr_cpus().map_err(|(_file, error)| MapError::IoError(error))?;
    let zeroes = vec![GroupEvents::default(); n_cpus];
    counts.insert(GROUP_OTHER, PerCpuValues::try_from(zeroes).map_err(MapError::IoError)?, 0)
}

fn start_programs(object: &mut Object) -> Vec<(&'static str, &'static str)> {
    let statuses: Vec<_> = PROGRAMS
        .iter()
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
    fn start(
        mut kernel: aya::Ebpf,
        settings: &EbpfSettings,
        events_tx: mpsc::Sender<LogRecord>,
    ) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string(settings.roots.proc.join("self/mounts"))?;
        let root = cgroups::find_root(&mounts).map(PathBuf::from).unwrap_or_else(|| {
            info!("No cgroup2 tree is mounted: what units do cannot be told apart.");
            settings.roots.sys.join("fs/cgroup")
        });
        let groups = Arc::new(Mutex::new(Groups::new(root)));
        let stats = Arc::new(Stats::default());
        let reader = Reader {
            host: settings.host.clone(),
            proc: settings.roots.proc.clone(),
            groups: Arc::clone(&groups),
            stats: Arc::clone(&stats),
            events_tx,
            clock: SystemClock,
            limiter: Limiter::new(),
            walked: None,
        };
        let readers = vec![start_log(&mut kernel)?, start_events(&mut kernel, reader)?];
        let n_cpus = aya::util::nr_cpus().map_err(|(_file, error)| error)?;
        let totals = Totals::new(settings.units_max);
        Ok(Self { kernel, n_cpus, groups, stats, totals, trouble: None, _readers: readers })
    }

    fn collect(&mut self, out: &mut Exposition) {
        let trouble = self.update().err().map(|error| format!("{:#}", anyhow::Error::from(error)));
        if let Some(trouble) = trouble.as_ref().filter(|it| Some(*it) != self.trouble.as_ref()) {
            warn!("{trouble}; units' metrics are not up to date.");
        }
        self.trouble = trouble;
        sched::expose(&self.totals, out);
        oom::expose(&self.totals, out);
        exec::expose(&self.totals, out);
        out.gauge(
            "ebpf_units_folded",
            "Units beyond the limit, counted as unit=\"other\" in the last collection.",
            as_f64(u64::try_from(self.totals.n_folded()).unwrap_or(u64::MAX)),
        );
        self.expose_events(out);
    }

    /// Reads the maps, then the tree: a group that a reading names was there at that time or is
    /// gone by now.
    fn update(&mut self) -> Result<(), CollectError> {
        // Without it the figures lag behind, but they are right.
        let flushed = sched::flush(&self.kernel).map_err(CollectError::Flush);
        let mut readings = HashMap::new();
        sched::read(&self.kernel, self.n_cpus, &mut readings)?;
        self.read_counts(&mut readings)?;
        let (gone, refreshed) = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            let refreshed = groups.refresh().map_err(CollectError::Groups);
            (self.totals.update(&readings, &groups), refreshed)
        };
        let oom_units: Vec<String> = std::mem::take(
            &mut *self.stats.oom_units.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for unit in oom_units {
            self.totals.add_oom_kill(&unit);
        }
        for group in gone {
            self.free(group)?;
        }
        refreshed.and(flushed)
    }

    fn read_counts(&self, readings: &mut HashMap<u64, Reading>) -> Result<(), CollectError> {
        let Some(Map::PerCpuHashMap(data)) = self.kernel.map(COUNTS_MAP) else { return Ok(()) };
        let entries_max = usize::try_from(GROUP_SLOTS).unwrap_or(usize::MAX);
        let entries: Vec<(u64, Vec<GroupEvents>)> =
            raw::lookup_all(data.fd().as_fd(), entries_max, self.n_cpus)
                .map_err(CollectError::Batch)?;
        for (group, counts) in entries {
            let reading = readings.entry(group).or_default();
            counts.iter().for_each(|it| reading.add_events(it));
        }
        Ok(())
    }

    fn free(&mut self, group: u64) -> Result<(), CollectError> {
        sched::free(&self.kernel, group).map_err(CollectError::Flush)?;
        if let Some(map) = self.kernel.map_mut(COUNTS_MAP) {
            let mut counts: PerCpuHashMap<_, u64, GroupEvents> = map.try_into()?;
            // A group that only ever ran has no entry here.
            match counts.remove(&group) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn expose_events(&self, out: &mut Exposition) {
        out.counter(
            "ebpf_events_total",
            "Kernel events handed on as log entries.",
            as_f64(self.stats.sent.load(Ordering::Relaxed)),
        );
        let dropped = out.family(
            "ebpf_events_dropped_total",
            "Kernel events that became no log entry, though they are counted.",
            MetricKind::Counter,
        );
        let over_rate = as_f64(self.stats.over_rate.load(Ordering::Relaxed));
        dropped.point([("reason", "over_rate")], over_rate);
        let queue_full = as_f64(self.stats.queue_full.load(Ordering::Relaxed));
        dropped.point([("reason", "queue_full")], queue_full);
        let lost = self.kernel.map(LOST_MAP).and_then(|map| {
            let lost: aya::maps::Array<_, u64> = map.try_into().ok()?;
            EVENT_KINDS.iter().map(|(kind, _)| lost.get(kind, 0).ok()).sum::<Option<u64>>()
        });
        if let Some(lost) = lost {
            dropped.point([("reason", "ring_full")], as_f64(lost));
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
