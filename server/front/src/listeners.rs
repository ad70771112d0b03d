//! Which addresses are open for what, and how a reload changes that without a gap.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, PlainAuth};
use crate::error::Error;
use crate::listen::Bound;
use crate::observe::Server;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Https,
    Redirect,
    Plain(PlainAuth),
}

impl Role {
    pub(crate) fn server(self) -> Server {
        match self {
            Self::Https => Server::Https,
            Self::Redirect => Server::Redirect,
            Self::Plain(_) => Server::Plain,
        }
    }
}

/// A listener as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// As configured: port 0 is any.
    addr: SocketAddr,
    role: Role,
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let https = config.https.iter().map(|addr| Wanted { addr: *addr, role: Role::Https });
    let redirect = config.http_redirect.map(|addr| Wanted { addr, role: Role::Redirect });
    let plain =
        config.plain.map(|it| Wanted { addr: it.addr.addr(), role: Role::Plain(it.require_auth) });
    https.chain(redirect).chain(plain).collect()
}

/// A listener that is open, but that nobody accepts from.
#[derive(Debug)]
pub(crate) struct Fresh {
    wanted: Wanted,
    bound: SocketAddr,
    listener: TcpListener,
}

impl Fresh {
    async fn bind(wanted: Wanted) -> Result<Self, Error> {
        let failed = |source| Error::Bind { addr: wanted.addr, source };
        let listener = TcpListener::bind(wanted.addr).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Self { wanted, bound, listener })
    }
}

/// Opens all that a configuration wants.
pub(crate) async fn open(config: &Config) -> Result<Vec<Fresh>, Error> {
    let mut fresh = Vec::new();
    for wanted in wanted(config) {
        fresh.push(Fresh::bind(wanted).await?);
    }
    Ok(fresh)
}

/// Where the front can be reached.
pub(crate) fn bound(fresh: &[Fresh], ca_file: &Path) -> Bound {
    bound_of(fresh.iter().map(|it| (it.wanted.role, it.bound)), ca_file)
}

fn bound_of(all: impl Iterator<Item = (Role, SocketAddr)>, ca_file: &Path) -> Bound {
    let ca_file = ca_file.to_owned();
    let mut bound = Bound { https: Vec::new(), http_redirect: None, plain: None, ca_file };
    for (role, addr) in all {
        match role {
            Role::Https => bound.https.push(addr),
            Role::Redirect => bound.http_redirect = Some(addr),
            Role::Plain(_) => bound.plain = Some(addr),
        }
    }
    bound
}

/// A listener with the task that accepts from it; the task ends, and closes it, with `stop`.
#[derive(Debug)]
struct Accepting {
    wanted: Wanted,
    bound: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All that are open.
#[derive(Debug)]
pub(crate) struct Listeners<S> {
    /// Starts the task that accepts from a listener until the token is cancelled.
    start: S,
    accepting: Vec<Accepting>,
    shutdown: CancellationToken,
}

impl<S: Fn(TcpListener, Role, CancellationToken) -> JoinHandle<()>> Listeners<S> {
    pub(crate) fn new(start: S, fresh: Vec<Fresh>, shutdown: &CancellationToken) -> Self {
        let mut listeners = Self { start, accepting: Vec::new(), shutdown: shutdown.clone() };
        listeners.accept(fresh);
        listeners
    }

    fn accept(&mut self, fresh: Vec<Fresh>) {
        for Fresh { wanted, bound, listener } in fresh {
            let stop = self.shutdown.child_token();
            let task = (self.start)(listener, wanted.role, stop.clone());
            self.accepting.push(Accepting { wanted, bound, stop, task });
        }
    }

    pub(crate) fn bound(&self, ca_file: &Path) -> Bound {
        bound_of(self.accepting.iter().map(|it| (it.wanted.role, it.bound)), ca_file)
    }

    /// Opens what `config` wants and is not open; [`Self::commit`] takes it up.
    ///
    /// After an error everything is as it was.
    pub(crate) async fn prepare(&mut self, config: &Config) -> Result<Vec<Fresh>, Error> {
        let wanted = wanted(config);
        let is_open = |it: &&Wanted| self.accepting.iter().any(|old| old.wanted == **it);
        let missing: Vec<_> = wanted.iter().filter(|it| !is_open(it)).copied().collect();
        let mut fresh = Vec::new();
        // Addresses of this process that were in the way; to be opened again if all fails.
        let mut closed = Vec::new();
        for it in missing {
            let mut opened = Fresh::bind(it).await;
            if is_taken(&opened)
                && let Some(old) = self.close_in_the_way(it, &wanted).await
            {
                closed.push(old);
                opened = Fresh::bind(it).await;
            }
            match opened {
                Ok(opened) => fresh.push(opened),
                Err(error) => {
                    drop(fresh);
                    self.open_again(closed).await;
                    return Err(error);
                }
            }
        }
        Ok(fresh)
    }

    /// `127.0.0.1:443` and `0.0.0.0:443` exclude each other: the old one has to go first.
    async fn close_in_the_way(&mut self, new: Wanted, wanted: &[Wanted]) -> Option<Wanted> {
        let is_in_the_way =
            |old: &Accepting| old.bound.port() == new.addr.port() && !wanted.contains(&old.wanted);
        let idx = self.accepting.iter().position(is_in_the_way)?;
        Some(self.accepting.swap_remove(idx).close().await)
    }

    async fn open_again(&mut self, closed: Vec<Wanted>) {
        for wanted in closed {
            match Fresh::bind(wanted).await {
                Ok(fresh) => self.accept(vec![fresh]),
                Err(error) => {
                    tracing::error!(%error, addr = %wanted.addr, "Could not open a listener again.");
                }
            }
        }
    }

    /// Takes up what [`Self::prepare`] opened, and closes what `config` does not want any more.
    /// Connections that are open go on.
    pub(crate) async fn commit(&mut self, fresh: Vec<Fresh>, config: &Config) {
        let wanted = wanted(config);
        let all = std::mem::take(&mut self.accepting);
        let (keep, gone): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|it| wanted.contains(&it.wanted));
        self.accepting = keep;
        self.accept(fresh);
        for old in gone {
            old.close().await;
        }
    }

    /// Returns once nobody accepts any more; call it after the shutdown.
    pub(crate) async fn wait(self) {
        for old in self.accepting {
            old.close().await;
        }
    }
}

impl Accepting {
    async fn close(self) -> Wanted {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "The task of a listener panicked.");
        }
        self.wanted
    }
}

fn is_taken(opened: &Result<Fresh, Error>) -> bool {
    matches!(opened, Err(Error::Bind { source, .. }) if source.kind() == ErrorKind::AddrInUse)
}
