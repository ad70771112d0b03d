//! The server's life, as the data path: listen, open the store, serve; then the same in reverse.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use axum::{extract::Request, middleware::map_request};
use skep_api::{Api, Caller};
use skep_front::{Bound, Front, Principal, Routers};
use skep_home::HomeFile;
use skep_proto::SystemClock;
use skep_query::Engine;
use skep_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    access_log::Requests,
    catalog::StoreCatalog,
    config::Config,
    data_version,
    home::{HomeConfig, HomePage},
    own_metrics, ready,
    reload::{Reloader, Running},
    scrape::Scrapes,
    supervisor, web,
};

/// Runs until SIGTERM or SIGINT, and reads the configuration at `path` again when it changes.
pub(crate) fn run(
    path: &Path,
    config: Config,
    home_file: HomeFile,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(serve(path, config, home_file, ready_file))
}

async fn serve(
    path: &Path,
    config: Config,
    home_file: HomeFile,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    stop_on_signals(&shutdown)?;
    let Config { data_dir, front, store, query, mut api, own, scrape, settings, home } = config;
    let sites = HomePage::sites(&front);
    let home = HomeConfig { settings: home, file: home_file };
    let host = front.host.clone();

    data_version::check(&data_dir)?;
    let front = Front::bind(front, Arc::new(skep_front::SystemClock))
        .await
        .context("opening the listeners")?;
    // Replay reads whole segments from the disk.
    let store = tokio::task::spawn_blocking(move || Store::open(store, Arc::new(SystemClock)))
        .await
        .context("opening the store panicked")?
        .with_context(|| format!("opening the store in {}", data_dir.display()))?;
    data_version::stamp(&data_dir)?;
    let engine = Engine::new(Arc::new(StoreCatalog(Arc::clone(&store))), query)
        .context("starting the query engine")?;
    let upkeep = tokio::spawn(Arc::clone(&store).run(shutdown.clone()));

    let scrapes = Scrapes::new(&store, &shutdown);
    scrapes.apply(scrape);
    let home = HomePage::start(home, sites, front.bound(), &store, &shutdown)?;
    let reloader = Reloader::new(Running {
        path: path.to_owned(),
        ready_file: ready_file.map(Path::to_owned),
        front: front.reloads(),
        scrapes: Arc::clone(&scrapes),
        home: Arc::clone(home.home()),
        settings,
    });
    let reloads = reloader.start(&shutdown)?;
    let requests = Requests::start(&own, &host, &front, &store);
    api.figures = requests.figures(&front);
    api.shutdown = shutdown.clone();
    api.figures.push(Arc::clone(&reloader) as Arc<dyn skep_api::Figures>);
    api.targets = Some(reloader as Arc<dyn skep_api::Targets>);
    let api = Api::new(engine.clone(), Arc::clone(&store), Arc::new(SystemClock), api);
    let own_metrics = match own.metrics_interval {
        Some(interval) => Some(own_metrics::start(&host, interval, &api, &store, &shutdown)?),
        None => None,
    };
    let routers = Routers {
        page: web::router(Arc::clone(home.home())),
        metrics: skep_api::prometheus_router(&api)
            .merge(skep_api::ops_router(&api))
            .merge(home.router(engine))
            .layer(map_request(name_caller)),
        logs: skep_api::loki_router(&api).layer(map_request(name_caller)),
        home: home.access(),
    };
    announce(front.bound(), ready_file, &data_dir)?;
    // Until all is stopped.
    let _watchdog = supervisor::serving(front.bound());
    let served = front.run(routers, shutdown.clone()).await.context("serving");

    // Whatever ended the front ends the rest.
    supervisor::stopping();
    shutdown.cancel();
    api.tails_ended().await;
    requests.end().await;
    if let Some(own_metrics) = own_metrics {
        own_metrics.wait().await;
    }
    scrapes.wait().await;
    home.wait().await;
    reloads.await.context("reloading panicked")?;
    upkeep.await.context("the store's upkeep panicked")?;
    store.close().await;
    info!("Server has stopped.");
    served
}

/// Tells the APIs who asks: the front has found out.
async fn name_caller(mut request: Request) -> Request {
    let caller = request.extensions().get::<Principal>().map(|it| Arc::clone(&it.name));
    if let Some(name) = caller {
        request.extensions_mut().insert(Caller(name));
    }
    request
}

/// Tells people and scripts where the server can be reached.
fn announce(bound: &Bound, ready_file: Option<&Path>, data_dir: &Path) -> anyhow::Result<()> {
    info!(
        https = ?bound.https,
        http_redirect = ?bound.http_redirect,
        plain = ?bound.plain,
        data_dir = %data_dir.display(),
        "Server is up."
    );
    match ready_file {
        Some(path) => ready::write(path, bound, data_dir)
            .with_context(|| format!("writing {}", path.display())),
        None => Ok(()),
    }
}

/// The first signal begins an orderly stop; the drain has a deadline of its own.
fn stop_on_signals(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("Stopping.");
        shutdown.cancel();
    });
    Ok(())
}
