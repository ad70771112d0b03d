//! Block I/O of each unit, by device.

use std::collections::HashMap;

use skep_abi::{GroupBlock, GroupPart, block_operation};
use skep_proto::MetricKind;

use super::{
    btf::Btf,
    by_unit::{ByUnit, GroupKey as _, counters},
    family::{Collect, CollectError, Family},
    histogram,
    loader::{Candidate, Hook, Program, needs, offset},
    maps::Maps,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::{Units, devices::DeviceNames},
};

pub(super) const FAMILY: Family = Family {
    programs: &[ISSUE, COMPLETE],
    offsets: &[
        offset("RQ_BIO", "request", &["bio"]),
        offset("RQ_CMD_FLAGS", "request", &["cmd_flags"]),
        offset("RQ_DATA_LEN", "request", &["__data_len"]),
        offset("RQ_DISK", "request", &["rq_disk"]),
        offset("RQ_QUEUE", "request", &["q"]),
        offset("QUEUE_DISK", "request_queue", &["disk"]),
        offset("DISK_MAJOR", "gendisk", &["major"]),
        offset("DISK_FIRST_MINOR", "gendisk", &["first_minor"]),
        offset("BIO_BLKG", "bio", &["bi_blkg"]),
        offset("BLKG_BLKCG", "blkcg_gq", &["blkcg"]),
        offset("CSS_CGROUP", "cgroup_subsys_state", &["cgroup"]),
        offset("BIO_IO_VEC", "bio", &["bi_io_vec"]),
        offset("BVEC_PAGE", "bio_vec", &["bv_page"]),
        offset("PAGE_COMPOUND_HEAD", "page", &["compound_head"]),
        offset("CGROUP_ROOT", "cgroup", &["root"]),
        offset("CGROUP_LEVEL", "cgroup", &["level"]),
    ],
    globals,
    start: Some(|maps| {
        maps.insert_zero::<GroupPart, GroupBlock>(BLOCKS_MAP, GroupPart::other())?;
        let names = DeviceNames::new(maps.sys.clone());
        Ok(Box::new(Blocks { names, readings: HashMap::new(), by_unit: ByUnit::default() }))
    }),
    ..Family::EMPTY
};

const BLOCKS_MAP: &str = "GROUP_BLOCKS";

const ISSUE: Program = Program {
    name: "block_issue",
    gives: "block I/O per unit",
    candidates: &[
        Candidate {
            function: "block_issue",
            hook: Hook::BtfTracepoint { name: "block_rq_issue", n_args_min: 1 },
            needs: NEEDS,
        },
        Candidate {
            function: "block_issue_raw",
            hook: Hook::RawTracepoint("block_rq_issue"),
            needs: NEEDS,
        },
    ],
};
const NEEDS: &[&str] =
    needs!["RQ_BIO", "RQ_CMD_FLAGS", "RQ_DATA_LEN", "DISK_MAJOR", "DISK_FIRST_MINOR",];

const COMPLETE: Program = Program {
    name: "block_complete",
    gives: "block I/O per unit",
    candidates: &[
        Candidate {
            function: "block_complete",
            hook: Hook::BtfTracepoint { name: "block_rq_complete", n_args_min: 1 },
            needs: &[],
        },
        Candidate {
            function: "block_complete_raw",
            hook: Hook::RawTracepoint("block_rq_complete"),
            needs: &[],
        },
    ],
};

/// A page has its memory group under another name since 5.11. The request is an argument of its
/// own since 5.11 and in later ones of 5.10.
fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let has_queue = btf.tracepoint_args("block_rq_issue").is_some_and(|it| it >= 2);
    let memcg = ["memcg_data", "mem_cgroup"].iter().find_map(|it| btf.offset("page", &[it]));
    vec![
        ("BLOCK_ISSUE_QUEUE_ARG", u32::from(has_queue)),
        ("PAGE_MEMCG", memcg.unwrap_or(skep_abi::ABSENT)),
    ]
}

counters!(GroupBlock { bytes, latency });

/// The label `operation`.
fn operation(part: u64) -> &'static str {
    match part & 0xff {
        block_operation::READ => "read",
        block_operation::WRITE => "write",
        block_operation::FLUSH => "flush",
        block_operation::DISCARD => "discard",
        _ => "other",
    }
}

#[derive(Debug)]
struct Blocks {
    readings: HashMap<GroupPart, GroupBlock>,
    by_unit: ByUnit<GroupPart, GroupBlock>,
    names: DeviceNames,
}

impl Collect for Blocks {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.readings.clear();
        maps.counters(BLOCKS_MAP, &mut self.readings)
    }

    fn attribute(&mut self, maps: &mut Maps, units: &mut Units) -> Result<(), CollectError> {
        for key in self.by_unit.update(&self.readings, units) {
            maps.remove(BLOCKS_MAP, &key)?;
        }
        self.by_unit.totals().for_each(|(_, part, _)| self.names.learn(part >> 8));
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let labelled: Vec<_> = self
            .by_unit
            .totals()
            .map(|(unit, part, total)| {
                let device = self.names.known(part >> 8).unwrap_or("");
                (unit.labels([("device", device), ("operation", operation(part))]), total)
            })
            .collect();
        let bytes = out.family(
            "unit_block_bytes_total",
            "Bytes of a unit's requests to block devices.",
            MetricKind::Counter,
        );
        for (labels, total) in &labelled {
            bytes.labelled(labels.clone(), as_f64(total.bytes));
        }
        let latencies = out.family(
            "unit_block_seconds",
            "From the issue of a unit's request to a block device until its completion.",
            MetricKind::Histogram,
        );
        for (labels, GroupBlock { latency, .. }) in &labelled {
            histogram::add(latencies, labels, latency);
        }
    }
}
