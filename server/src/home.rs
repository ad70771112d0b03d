//! The home page on this server: its samples go into the store, its data to whom the front let
//! in, and the sites it links to are the front's.

mod days;

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, State},
    http::{
        Extensions, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use skep_front::{Bound, HomeAccess, Principal, Scope, SiteAccess};
use skep_home::{Caller, Home, HomeFile, ProxiedSite, Settings, Tasks, Visitors};
use skep_proto::{SampleRows, SystemClock};
use skep_query::Engine;
use skep_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::days::Days;
use crate::scrape::StoreSink;

/// The port that a link need not say.
const HTTPS_PORT: u16 = 443;
/// A picture that is a document of its own runs nothing.
const ICON_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// The home page and what runs for it.
#[derive(Debug)]
pub(crate) struct HomePage {
    home: Arc<Home>,
    tasks: Tasks,
}

/// Where the files are, and what they say now.
#[derive(Debug)]
pub(crate) struct HomeConfig {
    pub(crate) settings: Settings,
    pub(crate) file: HomeFile,
}

/// Names that the front answers for, before it is known on which port.
#[derive(Debug)]
pub(crate) struct Sites {
    https_port_public: Option<u16>,
    names: Vec<(String, Caller)>,
}

impl Sites {
    /// Of a configuration, with the addresses that it led to.
    pub(crate) fn at(self, bound: &Bound) -> Vec<ProxiedSite> {
        let port = self.https_port_public.or(bound.https.first().map(|it| it.port()));
        let port = port.filter(|it| *it != HTTPS_PORT);
        let port = port.map_or(String::new(), |it| format!(":{it}"));
        let sites = self.names.into_iter().map(|(name, audience)| ProxiedSite {
            href: format!("https://{name}{port}/"),
            name,
            audience,
        });
        sites.collect()
    }
}

impl HomePage {
    /// The sites with a name of their own; a wildcard has no page to link to.
    pub(crate) fn sites(front: &skep_front::Config) -> Sites {
        let names = front.sites.iter().flat_map(|site| {
            let audience = match site.access {
                SiteAccess::Public => Caller::Anonymous,
                SiteAccess::Scope(Scope::Admin) => Caller::Admin,
                SiteAccess::Scope(_) => Caller::Viewer,
            };
            let hosts = site.hosts.iter().filter(|it| !it.as_str().starts_with('*'));
            hosts.map(move |it| (it.to_string(), audience))
        });
        Sites { https_port_public: front.https_port_public, names: names.collect() }
    }

    /// Checks services and follows the files until the shutdown.
    pub(crate) fn start(
        config: HomeConfig,
        sites: Sites,
        bound: &Bound,
        store: &Arc<Store>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let (home, tasks) = Home::start(
            config.settings,
            config.file,
            sites.at(bound),
            Arc::new(StoreSink(Arc::clone(store))),
            Arc::new(SystemClock),
            shutdown,
        );
        reload_on_hangup(&home, shutdown)?;
        Ok(Self { home, tasks })
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(crate) fn access(&self) -> HomeAccess {
        match self.home.visitors() {
            Visitors::Anybody => HomeAccess::Anybody,
            Visitors::LoggedIn => HomeAccess::LoggedIn,
        }
    }

    /// Its data and the user's pictures. The engine knows what checks found before.
    pub(crate) fn router(&self, engine: Engine) -> Router {
        let home = Arc::clone(&self.home);
        let days = Arc::new(Days::new(engine, Arc::new(SystemClock)));
        let day = get(move |extensions: Extensions| async move {
            days.answer(&home.view(caller(&extensions))).await
        });
        Router::new()
            .route("/-/skep/v1/home", get(data))
            .route("/-/skep/v1/home/icons/{name}", get(icon))
            .with_state(Arc::clone(&self.home))
            .route("/-/skep/v1/home/days", day)
    }

    /// Returns once nothing of it is on its way into the store.
    pub(crate) async fn wait(self) {
        self.tasks.wait().await;
    }
}

/// Who asks, as the front has found out.
pub(crate) fn caller(extensions: &Extensions) -> Caller {
    match extensions.get::<Principal>() {
        Some(it) if it.scopes.contains(Scope::Admin) => Caller::Admin,
        Some(it) if it.scopes.contains(Scope::Query) => Caller::Viewer,
        _other => Caller::Anonymous,
    }
}

async fn data(State(home): State<Arc<Home>>, extensions: Extensions) -> Response {
    answered(home.view(caller(&extensions)).to_json())
}

/// JSON of one caller.
fn answered(json: serde_json::Result<String>) -> Response {
    match json {
        Ok(json) => {
            let headers =
                [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "private, no-store")];
            (headers, json).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn icon(State(home): State<Arc<Home>>, Path(name): Path<String>) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "no such icon\n").into_response();
    let Some((file, bytes_max)) = home.icon(&name) else { return missing() };
    let is_small =
        tokio::fs::metadata(&file.path).await.is_ok_and(|it| it.is_file() && it.len() <= bytes_max);
    if !is_small {
        return missing();
    }
    match tokio::fs::read(&file.path).await {
        Ok(bytes) => {
            let headers = [
                (CONTENT_TYPE, file.content_type),
                (CACHE_CONTROL, "private, max-age=3600"),
                (CONTENT_SECURITY_POLICY, ICON_POLICY),
            ];
            (headers, bytes).into_response()
        }
        Err(_gone) => missing(),
    }
}

fn reload_on_hangup(home: &Arc<Home>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    let (home, shutdown) = (Arc::clone(home), shutdown.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangup.recv() => home.reload().await,
            }
        }
    });
    Ok(())
}

#[async_trait]
impl skep_home::Sink for StoreSink {
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), skep_home::SinkError> {
        let appended = skep_scrape::Sink::append(self, rows).await;
        appended.map_err(|error| skep_home::SinkError(error.0))
    }
}
