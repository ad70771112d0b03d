//! Samples in parts: finding the pages that matter, reading, scanning and merging them.

mod block;
mod cache;
mod footer;
mod merge;
mod packed;
mod scan;
mod source;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use block::visible;
pub(crate) use cache::Cache;
pub(crate) use footer::{BlockRows, Footer, PartBytes};
pub(crate) use merge::merge;
pub(crate) use source::open_part;
pub(crate) use table::SampleTable;
