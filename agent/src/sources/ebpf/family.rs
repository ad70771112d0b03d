//! A family is one subject: the kernel programs about it, what they need to know about the
//! kernel, and how their maps become metrics. A new one is a file on each side and a line in
//! [`FAMILIES`].

use std::{fmt::Debug, io};

use aya::maps::MapError;

use super::{
    block,
    btf::Btf,
    connect, disk, dns, drops,
    events::Event,
    exec, fsync, irq,
    loader::{Offset, Program},
    maps::Maps,
    net, networks, oom, page_cache, peers, reclaim, sched, signals, task, tcp,
};
use crate::{
    exposition::Exposition,
    sources::units::{Units, groups::Unit},
};

/// Every family, in the order their programs are loaded.
pub(super) const FAMILIES: &[&Family] = &[
    &task::FAMILY,
    &sched::FAMILY,
    &oom::FAMILY,
    &exec::FAMILY,
    &exec::ENDS,
    &net::FAMILY,
    &tcp::FAMILY,
    &block::FAMILY,
    &fsync::FAMILY,
    &signals::FAMILY,
    &connect::FAMILY,
    &disk::FAMILY,
    &irq::FAMILY,
    &networks::FAMILY,
    &drops::FAMILY,
    &dns::FAMILY,
    &peers::FAMILY,
    &reclaim::FAMILY,
    &page_cache::FAMILY,
];

#[derive(Debug)]
pub(super) struct Family {
    pub(super) programs: &'static [Program],
    /// Globals of the object that are offsets of fields.
    pub(super) offsets: &'static [Offset],
    /// Its other globals.
    pub(super) globals: fn(&Btf<'_>) -> Vec<(&'static str, u32)>,
    /// Records of the event ring.
    pub(super) events: &'static [EventKind],
    /// Called once the maps are there and no program is loaded; `None` where a family has no maps
    /// of its own.
    pub(super) start: Option<Start>,
}

type Start = fn(&mut Maps) -> Result<Box<dyn Collect>, CollectError>;

impl Family {
    /// What a family has that says nothing else.
    pub(super) const EMPTY: Self =
        Self { programs: &[], offsets: &[], globals: |_btf| Vec::new(), events: &[], start: None };
}

/// Every program of every family.
pub(super) fn programs() -> impl Iterator<Item = &'static Program> {
    FAMILIES.iter().flat_map(|family| family.programs)
}

/// Every kind of record.
pub(super) fn event_kinds() -> impl Iterator<Item = &'static EventKind> {
    FAMILIES.iter().flat_map(|family| family.events)
}

/// The kind of a record in the event ring, `None` where no family knows it.
pub(super) fn event_kind(kind: u32) -> Option<&'static EventKind> {
    event_kinds().find(|it| it.kind == kind)
}

/// A record that starts with [`skep_abi::EventHeader`] and becomes a log entry.
#[derive(Debug)]
pub(super) struct EventKind {
    /// One of [`skep_abi::event_kind`].
    pub(super) kind: u32,
    /// The stream's label `event`.
    pub(super) name: &'static str,
    /// Whether it is told however many others there are.
    pub(super) is_rare: bool,
    /// Given the record and its unit; `None` if the record is too short.
    pub(super) describe: fn(&[u8], &str) -> Option<Event>,
}

/// The maps of a family, read at each collection: first `read`, then `attribute`, then `expose`.
/// Each is called also if an earlier one failed.
pub(super) trait Collect: Debug + Send {
    /// Reads the maps, before the tree of control groups is walked: a group that a reading names
    /// was there at that time or is gone by now.
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError>;

    /// Adds up by unit what was read, and frees what groups that are gone hold in the kernel.
    fn attribute(&mut self, _maps: &mut Maps, _units: &mut Units) -> Result<(), CollectError> {
        Ok(())
    }

    /// Counts an OOM kill that the kernel could not attribute itself.
    fn add_oom_kill(&mut self, _unit: &Unit, _units: &mut Units) {}

    fn expose(&self, out: &mut Exposition);
}

/// What keeps one collection from being whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    #[error("cannot account what runs right now")]
    Flush(#[source] aya::programs::ProgramError),
    #[error("cannot read the kernel programs' map {0}")]
    Map(&'static str, #[source] MapError),
    #[error("cannot read the kernel programs' map {0}")]
    Batch(&'static str, #[source] io::Error),
    #[error("cannot read the tree of control groups")]
    Groups(#[source] io::Error),
}
