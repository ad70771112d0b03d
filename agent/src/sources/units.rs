//! Which units are told apart: the tree of control groups, and the cap on how many there are.

use std::{
    borrow::Cow,
    collections::HashSet,
    fs, io,
    sync::{Arc, Mutex},
};

use tracing::info;

use super::Roots;
use crate::exposition::Exposition;

pub(crate) mod devices;
pub(crate) mod figures;
pub(crate) mod groups;

use self::groups::{Groups, OTHER, Unit, UnitDir};

/// Shared by the kernel programs, which name control groups, and the collector of their files.
pub(crate) type SharedUnits = Arc<Mutex<Units>>;

/// The units of this host, as many as may have series of their own.
#[derive(Debug)]
pub(crate) struct Units {
    groups: Groups,
    units_max: usize,
    /// Have series of their own as long as they are known.
    admitted: HashSet<Unit>,
    /// Counted as `other` since the last walk.
    folded: HashSet<Unit>,
    /// Whether the tree was walked for the collection under way.
    is_fresh: bool,
}

impl Units {
    /// Looks for the cgroup2 tree. At most `units_max` units are told apart, the rest is counted
    /// under [`OTHER`].
    pub(crate) fn new(roots: &Roots, units_max: usize) -> Self {
        let mounts = fs::read_to_string(roots.proc.join("self/mounts")).unwrap_or_default();
        let root = groups::find_root(&mounts, &roots.sys);
        // Hosts that know version 1 only: kernel programs cannot tell groups apart there.
        let root = root.or_else(|| groups::find_controller(&mounts, &roots.sys, "name=systemd"));
        let root = root.unwrap_or_else(|| {
            info!("No tree of control groups is mounted: what units do cannot be told apart.");
            roots.sys.join("fs/cgroup")
        });
        Self::with_groups(Groups::new(root), units_max)
    }

    pub(crate) fn with_groups(groups: Groups, units_max: usize) -> Self {
        let (admitted, folded) = (HashSet::new(), HashSet::new());
        Self { groups, units_max, admitted, folded, is_fresh: false }
    }

    pub(crate) fn shared(self) -> SharedUnits {
        Arc::new(Mutex::new(self))
    }

    /// Starts the next collection: walks the tree.
    ///
    /// # Errors
    /// The tree cannot be read; nothing is given up for dead then.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.folded.clear();
        self.is_fresh = true;
        self.groups.refresh()?;
        let Self { groups, admitted, .. } = self;
        admitted.retain(|unit| groups.knows(unit));
        Ok(())
    }

    /// As [`Units::refresh`], unless another source did so for this collection already.
    ///
    /// # Errors
    /// As [`Units::refresh`].
    pub(crate) fn refresh_once(&mut self) -> io::Result<()> {
        if !self.is_fresh {
            self.refresh()?;
        }
        self.is_fresh = false;
        Ok(())
    }

    /// Under which name a group is counted: its unit's, or [`OTHER`].
    pub(crate) fn name(&mut self, group: u64) -> Unit {
        match self.groups.unit(group).cloned() {
            Some(unit) => self.admit(unit),
            None => Unit::other(),
        }
    }

    /// Under which name a unit is counted: its own as long as there is room.
    pub(crate) fn admit(&mut self, unit: Unit) -> Unit {
        if self.admitted.contains(&unit) {
            return unit;
        }
        if self.admitted.len() < self.units_max {
            self.admitted.insert(unit.clone());
            return unit;
        }
        self.folded.insert(unit);
        Unit::other()
    }

    /// The units that have series of their own.
    pub(crate) fn admitted(&self) -> impl Iterator<Item = &Unit> {
        self.admitted.iter()
    }

    /// Whether totals under this name go on: its unit is there, or died since the last collection.
    pub(crate) fn knows(&self, unit: &Unit) -> bool {
        *unit.name == *OTHER || self.groups.knows(unit)
    }

    /// Whether a group was there when the tree was last walked.
    pub(crate) fn is_alive(&self, group: u64) -> bool {
        self.groups.is_alive(group)
    }

    /// The control groups that are a whole unit, as the last walk found them.
    pub(crate) fn dirs(&self) -> &[UnitDir] {
        self.groups.dirs()
    }

    pub(crate) fn groups(&mut self) -> &mut Groups {
        &mut self.groups
    }

    pub(crate) fn groups_root(&self) -> &std::path::Path {
        self.groups.root()
    }

    /// How many units are counted under [`OTHER`] in this collection.
    pub(crate) fn n_folded(&self) -> usize {
        self.folded.len()
    }

    pub(crate) fn expose(&self, out: &mut Exposition) {
        out.gauge(
            "skep_agent_units_folded",
            "Units beyond the limit, counted as unit=\"other\" in the last collection.",
            crate::exposition::as_f64(u64::try_from(self.n_folded()).unwrap_or(u64::MAX)),
        );
    }
}

impl Unit {
    /// The labels of a series of this unit, `more` behind them.
    pub(crate) fn labels<const N: usize>(
        &self,
        more: [(&'static str, &str); N],
    ) -> Vec<(Cow<'static, str>, String)> {
        let mut labels = Vec::with_capacity(N + 3);
        labels.push((Cow::Borrowed("unit"), self.name.as_ref().to_owned()));
        if let Some(container) = &self.container {
            labels.push((Cow::Borrowed("container"), container.as_ref().to_owned()));
        }
        labels.extend(more.into_iter().map(|(name, it)| (Cow::Borrowed(name), it.to_owned())));
        labels
    }
}
