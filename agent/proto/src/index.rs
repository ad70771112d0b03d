//! Where label sets meet ids: what a store promises to whoever plans a query.

use std::{fmt, sync::Arc};

use crate::{Labels, Matcher, TimeRange};

/// A row of the series table. Series of one metric have neighbouring ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub i64);

/// A row of the streams table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub i64);

/// Finds label sets without reading samples or lines. One value of it is a snapshot: what it
/// answers does not change while a query holds it.
pub trait LabelIndex<Id>: Send + Sync + fmt::Debug {
    /// Every label set that satisfies all matchers and may have data in `range`, in order of id,
    /// each once. It may return a label set without data in `range`, never leave one out.
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<(Id, Arc<Labels>)>;
}
