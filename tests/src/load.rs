//! A deterministic load in the shape of a small fleet's: what benchmarks and the crash run send.

mod lines;
mod rng;
mod samples;
mod send;
mod words;

pub use lines::{LineHost, LineLoad, LineOf, NEEDLE_ALL_HOSTS, NEEDLE_ONE_HOST, STREAMS_PER_HOST};
pub(crate) use rng::Rng;
pub use samples::{Host, SERIES_PER_HOST, SampleLoad};
pub use send::{Pace, Sender, Sent};
