//! Which samples do these targets expose? Prometheus' `scrape_configs`: finds targets, asks them,
//! and hands what they expose to a [`Sink`].
//!
//! Time, the network and the store come in as traits ([`Timer`], [`Fetch`], [`Sink`]); reading an
//! exposition, relabelling and the bookkeeping of series are pure. No connection is made but to
//! what the configuration names.

mod append;
mod batch;
mod cache;
pub mod config;
mod discovery;
mod fetch;
mod pool;
mod protocol;
mod registry;
mod report;
mod schedule;
mod scrape;
mod scraper;
mod sink;
mod status;
mod target;
mod timer;

pub use config::{Config, ConfigError};
pub use fetch::{Client, Fetch, FetchError, HttpFetch, Request, Response};
pub use scraper::Scraper;
pub use sink::{Sink, SinkError};
pub use status::{Health, Metadata, PoolStatus, TargetStatus};
pub use timer::{SystemTimer, Timer};
