//! The running agent, in the order of the data: sources, spool, ship; stopped from the sources on,
//! so that what was read still gets out.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use skep_proto::{Clock, SystemClock, remote_write};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    collect::Collector,
    config::{Config, RemoteWriteVersion},
    expose::Expose,
    log_batch::LogBatch,
    own_metrics::OwnMetrics,
    ship::{Delays, Phase, Shipper, client::Client},
    sources::{
        Context, LogRecord,
        ebpf::{Ebpf, EbpfSettings},
        feed::FeedThread,
        journal::{self, Boot, JournalSettings, Shape},
        log_files::{self, FilesJob},
    },
    spool::{
        AppendError, Kind, NewRecord, Positions, Spool, SpoolLimits, WhenFull, disk::Directory,
    },
    supervisor,
    tick::{Irregular, Ticker},
};

/// How long a stopping agent goes on delivering; the rest stays in the spool.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Bounds the memory that kernel events take while the disk is busy.
const EVENTS_MAX: usize = 4_096;
/// Series of one request; a host with more gets several.
const SERIES_MAX: usize = 10_000;
pub(crate) const LOCK_FILE: &str = "lock";

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let agent = Agent::start(&config).await?;
    info!(
        host = config.host,
        server = config.server.url,
        interval = ?config.interval,
        journal = config.journal.is_enabled,
        "Agent is up."
    );
    supervisor::ready(&config.server.url);
    let mut pulse = supervisor::pulse();
    loop {
        tokio::select! {
            _ = terminate.recv() => break info!("Stopping on SIGTERM."),
            _ = interrupt.recv() => break info!("Stopping on SIGINT."),
            _ = pulse.tick() => supervisor::alive(),
        }
    }
    supervisor::stopping();
    agent.stop(Instant::now() + DRAIN_MAX).await;
    info!("Agent has stopped.");
    Ok(())
}

/// Everything that runs, in the order of the data.
struct Agent {
    /// Told first: the sources and `/metrics` end.
    stop: CancellationToken,
    journal: Option<FeedThread>,
    log_files: Option<FeedThread>,
    collector: Arc<Collector>,
    ticking: JoinHandle<()>,
    /// Ends by itself once the kernel programs are gone.
    spooling: JoinHandle<()>,
    exposing: Option<JoinHandle<()>>,
    /// Told last: what was read shall still get out.
    phase: watch::Sender<Phase>,
    shippers: Vec<JoinHandle<()>>,
    /// Of the data directory, for as long as anything writes there.
    _lock: File,
}

impl Agent {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own = Arc::new(OwnMetrics::default());
        let stop = CancellationToken::new();

        // Spool: before the sources, since the journal goes on behind what it holds.
        let lock = lock(&config.data_dir)?;
        let metrics = open_spool(config, "metrics", &clock)?;
        let logs = open_spool(config, "logs", &clock)?;

        // Sources.
        let (events_tx, events) = mpsc::channel(EVENTS_MAX);
        let context = Context::new(
            config.roots.clone(),
            config.collectors.clone(),
            Arc::clone(&clock),
            config.units_max,
        );
        let ebpf = Ebpf::start(&ebpf_settings(config, &context), events_tx);
        let collector = Arc::new(Collector::new(
            context,
            ebpf,
            Arc::clone(&own),
            Arc::clone(&metrics),
            Arc::clone(&logs),
        ));
        let spooling = tokio::spawn(spool_events(events, Arc::clone(&logs)));
        let exposing = start_expose(config, &collector, &stop).await?;
        let journal = start_journal(config, &logs, &own, &clock)?;
        let log_files = start_log_files(config, &logs, &own, &clock)?;
        let ticks = Ticks {
            collector: Arc::clone(&collector),
            spool: Arc::clone(&metrics),
            own: Arc::clone(&own),
            clock: Arc::clone(&clock),
            labels: config.labels.clone(),
            version: config.remote_write,
            interval: config.interval,
        };
        let ticking = tokio::spawn(ticks.run(Ticker::new(config.interval), stop.clone()));

        // Ship.
        let (phase, _) = watch::channel(Phase::Run);
        let client = Client::new(&config.server, clock)?;
        let shippers = [("metrics", metrics), ("logs", logs)]
            .into_iter()
            .map(|(kind, spool)| start_shipper(config, kind, spool, &client, &own, &phase))
            .collect();

        let _lock = lock;
        Ok(Self {
            stop,
            journal,
            log_files,
            collector,
            ticking,
            spooling,
            exposing,
            phase,
            shippers,
            _lock,
        })
    }

    /// Nobody waits for a server that is away; what it has not got stays in the spool.
    async fn stop(self, deadline: Instant) {
        let Self { stop, journal, log_files, collector, ticking, spooling, exposing, .. } = self;
        stop.cancel();
        if let Some(journal) = journal {
            end("journal", tokio::task::spawn_blocking(|| journal.stop()), deadline).await;
        }
        if let Some(log_files) = log_files {
            end("log files", tokio::task::spawn_blocking(|| log_files.stop()), deadline).await;
        }
        end("collection", ticking, deadline).await;
        if let Some(exposing) = exposing {
            end("expose", exposing, deadline).await;
        }
        let detached = tokio::task::spawn_blocking(move || collector.stop_ebpf());
        end("kernel programs", detached, deadline).await;
        end("kernel events", spooling, deadline).await;
        self.phase.send_replace(Phase::Drain(deadline));
        for shipper in self.shippers {
            end("ship", shipper, deadline + Duration::from_secs(1)).await;
        }
    }
}

/// Waits for a task until the deadline; one that takes longer is left behind, which is said.
async fn end(task: &'static str, handle: JoinHandle<()>, deadline: Instant) {
    // One that is done already counts as in time.
    let deadline = deadline.max(Instant::now() + Duration::from_millis(100));
    match tokio::time::timeout_at(deadline, handle).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error!(task, %error, "A task had panicked."),
        Err(_) => warn!(task, "A task did not stop in time."),
    }
}

/// Two agents must not fill one spool.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("making data_dir {}", data_dir.display()))?;
    let path = data_dir.join(LOCK_FILE);
    let file =
        File::create(&path).with_context(|| format!("making the lock {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!("locking {}; is another agent running on this data_dir?", path.display())
    })?;
    Ok(file)
}

/// Each kind of data gets half of the space, so that a flood of one leaves the other alone.
fn open_spool(
    config: &Config,
    kind: &'static str,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<Spool>> {
    let path = config.data_dir.join("spool").join(kind);
    let opened = || -> anyhow::Result<Spool> {
        let limits =
            SpoolLimits { bytes_max: config.spool_bytes_max / 2, age_max: config.spool_age_max };
        Ok(Spool::open(Box::new(Directory::open(&path)?), limits, Arc::clone(clock))?)
    };
    let spool = opened().with_context(|| format!("opening the spool {}", path.display()))?;
    let waiting = spool.waiting();
    if waiting.n_batches > 0 {
        let (n_batches, n_items) = (waiting.n_batches, waiting.n_items);
        info!(kind, n_batches, n_items, "Found batches of an earlier run.");
    }
    Ok(Arc::new(spool))
}

fn ebpf_settings(config: &Config, context: &Context) -> EbpfSettings {
    EbpfSettings {
        enabled: config.is_ebpf_enabled,
        host: config.host.clone(),
        roots: config.roots.clone(),
        events: config.ebpf_events.clone(),
        units: Arc::clone(&context.units),
    }
}

fn start_journal(
    config: &Config,
    logs: &Arc<Spool>,
    own: &Arc<OwnMetrics>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<FeedThread>> {
    if !config.journal.is_enabled {
        return Ok(None);
    }
    let mut select = config.journal.select.clone();
    if config.journal.boot == Boot::Current {
        let id = config.roots.read_proc("sys/kernel/random/boot_id")?;
        select.boot_id = Some(id.trim().replace('-', ""));
    }
    let settings = JournalSettings {
        select,
        max_age: config.journal.max_age,
        host: config.host.clone(),
        labels: config.stream_labels.clone(),
        shape: Shape::new(config.journal.raw.clone(), &own.pipeline)?,
    };
    let source = journal::start(settings, Arc::clone(logs), Arc::clone(own), clock)
        .context("starting the journal's thread")?;
    Ok(Some(source))
}

fn start_log_files(
    config: &Config,
    logs: &Arc<Spool>,
    own: &Arc<OwnMetrics>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<FeedThread>> {
    if config.files.is_empty() {
        return Ok(None);
    }
    let host = ("host".to_owned(), config.host.clone());
    let labels: Vec<_> = [host].into_iter().chain(config.stream_labels.clone()).collect();
    let jobs = FilesJob::all(config.files.clone(), &labels, &own.pipeline)
        .map_err(|(idx, error)| anyhow::Error::new(error).context(format!("files[{idx}]")))?;
    let (logs, own) = (Arc::clone(logs), Arc::clone(own));
    let source = log_files::start(jobs, logs, own, Arc::clone(clock), &Handle::current())
        .context("starting the thread of log files")?;
    Ok(Some(source))
}

fn start_shipper(
    config: &Config,
    kind: &'static str,
    spool: Arc<Spool>,
    client: &Client,
    own: &Arc<OwnMetrics>,
    phase: &watch::Sender<Phase>,
) -> JoinHandle<()> {
    let (client, own) = (client.clone(), Arc::clone(own));
    let shipper = Shipper::new(kind, spool, client, own, config.remote_write, Delays::default());
    tokio::spawn(shipper.run(phase.subscribe()))
}

async fn start_expose(
    config: &Config,
    collector: &Arc<Collector>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(address) = config.expose else { return Ok(None) };
    let expose = Expose::bind(address).await?;
    info!(address = %expose.address()?, "Serving /metrics.");
    Ok(Some(tokio::spawn(expose.run(Arc::clone(collector), stop.clone()))))
}

/// Collects at each tick.
struct Ticks {
    collector: Arc<Collector>,
    spool: Arc<Spool>,
    own: Arc<OwnMetrics>,
    clock: Arc<dyn Clock>,
    labels: Vec<(String, String)>,
    version: RemoteWriteVersion,
    interval: Duration,
}

impl Ticks {
    async fn run(self, mut ticker: Ticker, stop: CancellationToken) {
        let ticks = Arc::new(self);
        let mut is_reported = false;
        loop {
            let tick = ticker.next(ticks.clock.now());
            if !is_reported {
                ticks.report(tick.irregular);
                is_reported = tick.irregular != Irregular::No;
            }
            // Not longer at once: the clock may be set right while we wait for an unused stamp.
            let wait = tick.wait.min(ticks.interval);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            if !ticker.take(tick.at, ticks.clock.now()) {
                continue;
            }
            is_reported = false;
            let working = Arc::clone(&ticks);
            let collected = tokio::task::spawn_blocking(move || working.collect(tick.at)).await;
            if let Err(error) = collected {
                error!(%error, "A collection had panicked.");
            }
        }
    }

    fn report(&self, irregular: Irregular) {
        match irregular {
            Irregular::No => {}
            Irregular::Missed { n_ticks } => {
                warn!(n_ticks, "Left collections out: too slow, or the clock was set.");
                self.own.count_ticks_missed(n_ticks);
            }
            Irregular::SetBack { by } => warn!(?by, "The clock was set back."),
        }
    }

    /// All samples carry the tick, not the moment they were read at.
    fn collect(&self, at: skep_proto::TimestampMs) {
        let labels: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let series = self.collector.collect().to_series(at, &labels);
        for chunk in series.chunks(SERIES_MAX) {
            let (kind, body) = match self.version {
                RemoteWriteVersion::V1 => (Kind::RemoteWriteV1, remote_write::encode_v1(chunk)),
                RemoteWriteVersion::Auto | RemoteWriteVersion::V2 => {
                    (Kind::RemoteWriteV2, remote_write::encode_v2(chunk))
                }
            };
            let n_items = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            spool(&self.spool, NewRecord { kind, n_items, positions: Positions::default(), body });
        }
    }
}

/// Brings kernel events into the spool, in requests of a useful size. Ends once the last sender
/// is gone.
async fn spool_events(mut events: mpsc::Receiver<LogRecord>, logs: Arc<Spool>) {
    let mut batch = LogBatch::default();
    loop {
        let due_at = batch.due_at();
        let due = async {
            match due_at {
                Some(due_at) => tokio::time::sleep_until(due_at).await,
                None => std::future::pending().await,
            }
        };
        let is_over = tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    batch.push(Instant::now(), event);
                    if !batch.is_full() {
                        continue;
                    }
                    false
                }
                None => true,
            },
            () = due => false,
        };
        if let Some(request) = batch.take() {
            let logs = Arc::clone(&logs);
            let spooled = tokio::task::spawn_blocking(move || spool(&logs, request)).await;
            if let Err(error) = spooled {
                error!(%error, "Spooling kernel events had panicked.");
            }
        }
        if is_over {
            return;
        }
    }
}

/// For what cannot be had again: the newest is worth more than the oldest.
fn spool(spool: &Spool, batch: NewRecord) {
    let n_items = batch.n_items;
    if let Err(error @ (AppendError::TooLarge { .. } | AppendError::Full { .. })) =
        spool.append(batch, WhenFull::DropOldest)
    {
        error!(%error, n_items, "Lost a batch.");
    }
}
