//! Requests of block devices on the whole host: how long they wait and take, and what fails.

use std::collections::HashMap;

use skep_abi::{Counted, DiskKey, Durations};
use skep_proto::MetricKind;

use super::{
    btf::Btf,
    by_unit::Counters as _,
    family::{Collect, CollectError, Family},
    histogram::{self, labels},
    loader::{Program, offset, traced},
    maps::Maps,
};
use crate::{
    exposition::{Exposition, as_f64},
    sources::units::devices::DeviceNames,
};

pub(super) const FAMILY: Family = Family {
    programs: &[ISSUE, COMPLETE],
    offsets: &[
        offset("DISK_RQ_START_NS", "request", &["start_time_ns"]),
        offset("DISK_RQ_CMD_FLAGS", "request", &["cmd_flags"]),
        offset("DISK_RQ_DATA_LEN", "request", &["__data_len"]),
        offset("DISK_RQ_QUEUE", "request", &["q"]),
        offset("DISK_OF_RQ", "request", &["rq_disk"]),
        offset("DISK_OF_QUEUE", "request_queue", &["disk"]),
        offset("DISK_MAJOR_AT", "gendisk", &["major"]),
        offset("DISK_MINOR_AT", "gendisk", &["first_minor"]),
    ],
    globals,
    start: Some(|maps| Ok(Box::new(Disks::new(DeviceNames::new(maps.sys.clone()))))),
    ..Family::EMPTY
};

const ISSUE: Program = traced!(
    "disk_queue",
    "how long requests wait before a disk gets them",
    "disk_issue",
    "block_rq_issue",
    1,
    NEEDS
);
const COMPLETE: Program = traced!(
    "disk",
    "how long requests of disks take and which fail",
    "disk_complete",
    "block_rq_complete",
    3,
    NEEDS
);
const NEEDS: &[&str] = &[
    "DISK_RQ_START_NS",
    "DISK_RQ_CMD_FLAGS",
    "DISK_RQ_DATA_LEN",
    "DISK_MAJOR_AT",
    "DISK_MINOR_AT",
];

fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let has_queue = btf.tracepoint_args("block_rq_issue").is_some_and(|it| it >= 2);
    vec![("DISK_ISSUE_ARG", u32::from(has_queue))]
}

/// `REQ_OP_*`: the same numbers since 4.10.
fn operation(part: u32) -> &'static str {
    match part {
        0 => "read",
        1 => "write",
        2 => "flush",
        3 => "discard",
        _ => "other",
    }
}

/// `BLK_STS_*`, or an error number below zero, which kernels before 5.16 give.
fn status(part: u32) -> String {
    let name = match part {
        1 => "not_supported",
        2 => "timeout",
        3 => "no_space",
        4 => "transport",
        5 => "target",
        6 => "reservation_conflict",
        7 => "medium",
        8 => "protection",
        9 => "resource",
        10 => "io",
        _ => match i32::from_ne_bytes(part.to_ne_bytes()) {
            errno @ ..0 => return format!("errno_{}", errno.unsigned_abs()),
            status => return format!("status_{status}"),
        },
    };
    name.to_owned()
}

#[derive(Debug)]
struct Disks {
    times: Vec<(DiskKey, Durations)>,
    queues: Vec<(DiskKey, Durations)>,
    errors: Vec<(DiskKey, Counted)>,
    names: DeviceNames,
}

impl Disks {
    fn new(names: DeviceNames) -> Self {
        Self { times: Vec::new(), queues: Vec::new(), errors: Vec::new(), names }
    }

    fn name(&self, device: u32) -> &str {
        self.names.known(device.into()).unwrap_or("unknown")
    }
}

impl Collect for Disks {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.times = maps.sorted("DISK_TIMES")?;
        self.queues = maps.sorted("DISK_QUEUES")?;
        self.errors = maps.sorted("DISK_ERRORS")?;
        let seen = self.times.iter().chain(&self.queues).map(|(key, _)| key.device);
        for device in seen.chain(self.errors.iter().map(|(key, _)| key.device)) {
            self.names.learn(device.into());
        }
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        for (name, help, histograms) in [
            (
                "ebpf_disk_io_seconds",
                "From the making of a request to a block device until its completion.",
                &self.times,
            ),
            (
                "ebpf_disk_queue_seconds",
                "From the making of a request to a block device until the device got it.",
                &self.queues,
            ),
        ] {
            let family = out.family(name, help, MetricKind::Histogram);
            let mut named: HashMap<_, Durations> = HashMap::new();
            for (key, durations) in histograms {
                // Several operations are called `other`.
                let sum = named.entry((self.name(key.device), operation(key.part))).or_default();
                sum.plus(durations);
            }
            let mut named: Vec<_> = named.into_iter().collect();
            named.sort_unstable_by_key(|(key, _)| *key);
            for ((device, operation), durations) in named {
                let labels = labels([("device", device), ("operation", operation)]);
                histogram::add(family, &labels, &durations);
            }
        }
        let errors = out.family(
            "ebpf_disk_errors_total",
            "Requests to a block device, or parts of them, that failed, by the block layer's status.",
            MetricKind::Counter,
        );
        for (key, counted) in &self.errors {
            let (device, error) = (self.name(key.device), status(key.part));
            errors.point([("device", device), ("error", &error)], as_f64(counted.n));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_named_as_the_block_layer_does() {
        assert_eq!(status(10), "io");
        assert_eq!(status(7), "medium");
        assert_eq!(status(17), "status_17");
        assert_eq!(status(u32::from_ne_bytes((-5_i32).to_ne_bytes())), "errno_5");
    }
}
