//! Asks servers in turns whether they are well, and has those that are not left alone.

use std::sync::Arc;

use axum::http::header::{HOST, USER_AGENT};
use axum::http::{HeaderValue, Request, StatusCode, Version as HttpVersion};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Connector, Versions};
use super::connection::Connection;
use super::failure::Failure;
use super::upload::Upload;
use super::upstream::Upstream;
use crate::config::{HealthConfig, HostSent, Scheme};

const AGENT: HeaderValue = HeaderValue::from_static("skep-health");

/// All that a check of any server needs.
#[derive(Debug)]
pub(super) struct Checker {
    pub config: HealthConfig,
    pub connector: Arc<Connector>,
    pub host: HostSent,
}

/// Answers in a row, towards a change of mind.
#[derive(Debug, Default)]
struct Streak {
    n_good: u32,
    n_bad: u32,
}

impl Checker {
    /// One task for each server; they end when the guard is dropped.
    ///
    /// Without a runtime (a configuration that is only looked at) nobody is asked.
    pub(super) fn start(self, upstreams: &[Arc<Upstream>]) -> Option<DropGuard> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let shutdown = CancellationToken::new();
        let checker = Arc::new(self);
        for upstream in upstreams {
            let (checker, upstream) = (Arc::clone(&checker), Arc::clone(upstream));
            let shutdown = shutdown.clone();
            runtime.spawn(async move {
                tokio::select! {
                    () = checker.watch(&upstream) => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
        Some(shutdown.drop_guard())
    }

    async fn watch(&self, upstream: &Arc<Upstream>) {
        let mut streak = Streak::default();
        let mut interval = tokio::time::interval(self.config.interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let checked = self.ask(upstream).await;
            let Some(is_up) = streak.note(checked.is_ok(), upstream.is_up(), &self.config) else {
                continue;
            };
            upstream.set_up(is_up);
            let upstream = &upstream.url;
            match checked {
                Ok(()) => tracing::info!(%upstream, "An upstream is up again."),
                Err(error) => {
                    let error = super::with_causes(&error);
                    tracing::warn!(%upstream, error, "An upstream is down; it gets no requests.");
                }
            }
        }
    }

    /// Once, in time.
    pub(super) async fn ask(&self, upstream: &Upstream) -> Result<(), CheckError> {
        let checked = tokio::time::timeout(self.config.timeout, self.check(upstream)).await;
        checked.unwrap_or(Err(CheckError::Failed(Failure::NoAnswer)))
    }

    async fn check(&self, upstream: &Upstream) -> Result<(), CheckError> {
        let connected = self.connector.connect(&upstream.url, Versions::Any).await;
        let (stream, version) = connected.map_err(|it| CheckError::Failed(Failure::Connect(it)))?;
        let broken = |it| CheckError::Failed(Failure::Broken(it));
        let connection = Connection::handshake(stream, version).await.map_err(broken)?;
        let host = match &self.host {
            HostSent::Named(name) => name,
            HostSent::Kept | HostSent::Upstream => &upstream.host,
        };
        let mut request = Request::new(Upload::Empty);
        *request.uri_mut() = self.config.path.uri();
        request.headers_mut().insert(USER_AGENT, AGENT);
        let answered = match connection {
            Connection::Http1(mut http1) => {
                request.headers_mut().insert(HOST, host.clone());
                http1.send(request).await
            }
            Connection::Http2(mut http2) => {
                let scheme = if upstream.url.scheme == Scheme::Https { "https" } else { "http" };
                *request.uri_mut() = super::absolute(request.uri(), scheme, host);
                *request.version_mut() = HttpVersion::HTTP_2;
                http2.send(request).await
            }
        };
        let status = answered.map_err(|it| broken(it.source))?.status();
        if self.config.status.takes(status) { Ok(()) } else { Err(CheckError::Status(status)) }
    }
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Failed(Failure),
    #[error("its status is {0}")]
    Status(StatusCode),
}

impl Streak {
    /// Whether the server is up from now on, if that is new.
    fn note(&mut self, is_good: bool, is_up: bool, config: &HealthConfig) -> Option<bool> {
        if is_good {
            self.n_bad = 0;
            self.n_good = self.n_good.saturating_add(1);
            (!is_up && self.n_good >= config.successes).then_some(true)
        } else {
            self.n_good = 0;
            self.n_bad = self.n_bad.saturating_add(1);
            (is_up && self.n_bad >= config.failures).then_some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HealthPath;

    #[test]
    fn a_server_goes_down_and_comes_up_after_as_many_answers_in_a_row_as_configured() {
        let mut config = HealthConfig::new(HealthPath::parse("/").unwrap());
        config.failures = 2;
        config.successes = 3;
        let mut streak = Streak::default();
        let mut is_up = true;
        let mut seen = String::new();
        for answer in "+-+--++-+++-+".chars() {
            if let Some(changed) = streak.note(answer == '+', is_up, &config) {
                is_up = changed;
            }
            seen.push(if is_up { 'u' } else { 'd' });
        }
        assert_eq!(seen, "uuuudddddduuu");
    }
}
