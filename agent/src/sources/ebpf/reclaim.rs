//! Time that tasks spend freeing memory before they get any.

use skep_abi::{Durations, reclaim_scope};
use skep_proto::MetricKind;

use super::{
    family::{Collect, CollectError, Family},
    histogram::{self, labels},
    loader::{Program, traced},
    maps::Maps,
};
use crate::exposition::Exposition;

pub(super) const FAMILY: Family = Family {
    programs: &[BEGIN, END, GROUP_BEGIN, GROUP_END],
    start: Some(|_maps| Ok(Box::new(Reclaim::default()))),
    ..Family::EMPTY
};

const HOST: &str = "time in direct reclaim because the host has too little memory";
const GROUP: &str = "time in direct reclaim because a control group is at its limit";
const BEGIN: Program =
    traced!("reclaim_begin", HOST, "reclaim_begin", "mm_vmscan_direct_reclaim_begin", 1, &[]);
const END: Program =
    traced!("reclaim_end", HOST, "reclaim_end", "mm_vmscan_direct_reclaim_end", 1, &[]);
const GROUP_BEGIN: Program = traced!(
    "reclaim_group_begin",
    GROUP,
    "reclaim_group_begin",
    "mm_vmscan_memcg_reclaim_begin",
    1,
    &[]
);
const GROUP_END: Program =
    traced!("reclaim_group_end", GROUP, "reclaim_group_end", "mm_vmscan_memcg_reclaim_end", 1, &[]);

/// By [`reclaim_scope`].
#[derive(Debug, Default)]
struct Reclaim(Vec<Durations>);

impl Collect for Reclaim {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.0 = maps.summed("RECLAIM_TIMES")?;
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let family = out.family(
            "ebpf_direct_reclaim_seconds",
            "How long a task had to free memory itself before it got any, because the host has \
             too little or its control group is at its limit.",
            MetricKind::Histogram,
        );
        for (idx, scope) in (0_u32..).zip(&self.0) {
            let name = if idx == reclaim_scope::HOST { "host" } else { "cgroup" };
            histogram::add(family, &labels([("scope", name)]), scope);
        }
    }
}
