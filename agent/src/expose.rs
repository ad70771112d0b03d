//! `/metrics` over HTTP for whoever wants to scrape: off unless configured, loopback unless told.

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{collect::Collector, sources::Choice};

/// Bounds what scrapers can make us hold; collections run one at a time anyway.
const CONNECTIONS_MAX: usize = 16;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Before accepting again after an error that is not the peer's, such as too many open files.
const ACCEPT_DELAY: Duration = Duration::from_secs(1);
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Expose {
    listener: TcpListener,
}

impl Expose {
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on expose.listen {address}"))?;
        Ok(Self { listener })
    }

    /// With the port that was chosen where 0 was asked for.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("asking for the address of /metrics")
    }

    pub(crate) async fn run(self, collector: Arc<Collector>, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Could not accept a connection to /metrics.");
                    tokio::time::sleep(ACCEPT_DELAY).await;
                    continue;
                }
            };
            // Over the limit a connection is closed at once.
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
            let collector = Arc::clone(&collector);
            let service = service::service_fn(move |request| {
                let collector = Arc::clone(&collector);
                async move { Ok::<_, Infallible>(respond(&request, collector).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    served = connection => {
                        if let Err(error) = served {
                            debug!(%error, "A connection to /metrics broke.");
                        }
                    }
                    () = stop.cancelled() => {}
                }
                drop(permit);
            });
        }
    }
}

async fn respond(request: &Request<Incoming>, collector: Arc<Collector>) -> Response<String> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let choice = match parse_choice(request.uri().query().unwrap_or_default()) {
                Ok(choice) => choice,
                Err(error) => return response(StatusCode::BAD_REQUEST, error.to_owned()),
            };
            let text = tokio::task::spawn_blocking(move || match choice {
                Choice::All => Ok(collector.collect().to_text()),
                choice => collector.collect_chosen(&choice).map(|it| it.to_text()),
            });
            match text.await {
                Ok(Ok(text)) => response(StatusCode::OK, text),
                Ok(Err(error)) => response(
                    StatusCode::BAD_REQUEST,
                    format!(
                        "Couldn't create filtered metrics handler: couldn't create collector: {error}"
                    ),
                ),
                Err(_) => response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "collection failed; see the agent's log\n".to_owned(),
                ),
            }
        }
        (_, "/metrics") => {
            response(StatusCode::METHOD_NOT_ALLOWED, "use GET /metrics\n".to_owned())
        }
        _ => response(StatusCode::NOT_FOUND, "use GET /metrics\n".to_owned()),
    }
}

/// The parameters `collect[]` and `exclude[]`, each any number of times. Others are ignored, as by
/// node_exporter, whose texts these are.
fn parse_choice(query: &str) -> Result<Choice, &'static str> {
    let (mut collect, mut exclude) = (BTreeSet::new(), BTreeSet::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "collect[]" => collect.insert(value.into_owned()),
            "exclude[]" => exclude.insert(value.into_owned()),
            _ => false,
        };
    }
    match (collect.is_empty(), exclude.is_empty()) {
        (true, true) => Ok(Choice::All),
        (false, true) => Ok(Choice::Only(collect)),
        (true, false) => Ok(Choice::Except(exclude)),
        (false, false) => Err("Combined collect and exclude queries are not allowed."),
    }
}

fn response(status: StatusCode, body: String) -> Response<String> {
    Response::builder()
        .status(status)
        .header("content-type", CONTENT_TYPE)
        .body(body)
        .expect("constant headers are valid")
}

#[cfg(test)]
mod tests {
    use super::{Choice, parse_choice};

    fn names<const N: usize>(names: [&str; N]) -> std::collections::BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn collectors_are_chosen_as_from_node_exporter() {
        assert_eq!(parse_choice(""), Ok(Choice::All));
        assert_eq!(parse_choice("name[]=cpu&collect=cpu"), Ok(Choice::All));
        let only = Choice::Only(names(["cpu", "loadavg"]));
        assert_eq!(parse_choice("collect[]=cpu&collect%5B%5D=loadavg"), Ok(only));
        let except = Choice::Except(names(["no such", "cpu"]));
        assert_eq!(parse_choice("exclude[]=cpu&exclude[]=no+such"), Ok(except));
        let error = "Combined collect and exclude queries are not allowed.";
        assert_eq!(parse_choice("collect[]=cpu&exclude[]=cpu"), Err(error));
    }
}
