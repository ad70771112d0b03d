//! Another configuration for a front that runs: built as a whole, then put in place, or nothing.

use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::error::Error;
use crate::listen::Bound;

/// Asks a running front to take another configuration.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Order>);

/// One reload, and who waits for it.
#[derive(Debug)]
pub(crate) struct Order {
    pub config: Box<Config>,
    pub done: oneshot::Sender<Result<Bound, Error>>,
}

/// Where a front finds its orders.
#[derive(Debug)]
pub(crate) struct Orders(mpsc::Receiver<Order>);

pub(crate) fn channel() -> (Reloads, Orders) {
    let (sender, receiver) = mpsc::channel(1);
    (Reloads(sender), Orders(receiver))
}

impl Orders {
    /// Never again once nobody can ask any more.
    pub(crate) async fn next(&mut self) -> Order {
        match self.0.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

impl Reloads {
    /// Returns once the configuration counts, and where the front listens then. Requests and
    /// connections that are open go on; after an error nothing has changed.
    ///
    /// `data_dir`, `host` and `metric_names` stay as they were.
    ///
    /// # Errors
    /// What of it cannot be had, or the front has stopped.
    pub async fn apply(&self, config: Config) -> Result<Bound, Error> {
        let (done, answer) = oneshot::channel();
        let order = Order { config: Box::new(config), done };
        self.0.send(order).await.map_err(|_stopped| Error::Stopped)?;
        answer.await.map_err(|_stopped| Error::Stopped)?
    }
}
