//! NVMe subsystems and their paths, from `/sys/class/nvme-subsystem`.

use std::path::Path;

use skep_proto::MetricKind;

use super::{Context, SourceError, read_trimmed, sorted_dir};
use crate::exposition::{Exposition, as_f64};

/// States that are told; any other is `unknown`.
const STATES: [&str; 5] = ["live", "connecting", "resetting", "dead", "unknown"];
/// States that the kernel knows besides: none of the series is 1 then.
const PASSING_STATES: [&str; 3] = ["deleting", "deleting (no IO)", "new"];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/nvme-subsystem");
    let subsystems = sorted_dir(&dir);
    for subsystem in &subsystems {
        tell(subsystem, &dir.join(subsystem), out);
    }
    if subsystems.is_empty() {
        Err(SourceError::NoData { what: "NVMe subsystems" })
    } else {
        Ok(())
    }
}

fn tell(subsystem: &str, dir: &Path, out: &mut Exposition) {
    let file = |name| read_trimmed(&dir.join(name)).unwrap_or_default();
    out.family(
        "node_nvmesubsystem_info",
        "Always 1; the labels tell the NVMe subsystem's name, model, serial and I/O policy.",
        MetricKind::Gauge,
    )
    .point(
        [
            ("subsystem", subsystem),
            ("nqn", &file("subsysnqn")),
            ("model", &file("model")),
            ("serial", &file("serial")),
            ("iopolicy", &file("iopolicy")),
        ],
        1.0,
    );
    let (mut n_paths, mut n_live) = (0, 0);
    for name in sorted_dir(dir) {
        if is_namespace(&name) {
            out.family(
                "node_nvmesubsystem_namespace_info",
                "Always 1; the labels tell which block device belongs to which NVMe subsystem.",
                MetricKind::Gauge,
            )
            .point([("subsystem", subsystem), ("device", &name)], 1.0);
        } else if is_controller(&name) {
            n_paths += 1;
            n_live += u64::from(tell_path(subsystem, &name, &dir.join(&name), out));
        }
    }
    for (name, help, value) in [
        ("node_nvmesubsystem_paths", "Paths to the NVMe subsystem.", n_paths),
        ("node_nvmesubsystem_paths_live", "Paths to the NVMe subsystem that are live.", n_live),
    ] {
        let family = out.family(name, help, MetricKind::Gauge);
        family.point([("subsystem", subsystem)], as_f64(value));
    }
}

/// Whether it is live.
fn tell_path(subsystem: &str, controller: &str, dir: &Path, out: &mut Exposition) -> bool {
    let state = read_trimmed(&dir.join("state")).unwrap_or_default();
    let is_known = STATES.contains(&&*state) || PASSING_STATES.contains(&&*state);
    let state = if is_known { &*state } else { "unknown" };
    let transport = read_trimmed(&dir.join("transport")).unwrap_or_default();
    let family = out.family(
        "node_nvmesubsystem_path_state",
        "1 for the state the path to the NVMe subsystem is in, 0 for the others.",
        MetricKind::Gauge,
    );
    for it in STATES {
        let labels = [
            ("subsystem", subsystem),
            ("controller", controller),
            ("transport", &transport),
            ("state", it),
        ];
        family.point(labels, f64::from(u8::from(it == state)));
    }
    state == "live"
}

/// `nvme12`
fn is_controller(name: &str) -> bool {
    name.strip_prefix("nvme").is_some_and(is_number)
}

/// `nvme0n1`, but not its path through one controller, `nvme0c0n1`.
fn is_namespace(name: &str) -> bool {
    let numbers = name.strip_prefix("nvme").and_then(|it| it.split_once('n'));
    numbers.is_some_and(|(subsystem, namespace)| is_number(subsystem) && is_number(namespace))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn a_subsystem_is_told_with_its_namespaces_and_paths() {
        let host = Host::default();
        for (file, text) in [
            ("subsysnqn", "nqn.2014-08.org.example:shelf"),
            ("model", "Shelf 9"),
            ("serial", "S1"),
            ("iopolicy", "round-robin"),
            ("nvme0n1/size", "1"),
            ("nvme0c0n1/size", "1"),
            ("nvme0/state", "live"),
            ("nvme0/transport", "tcp"),
            ("nvme1/state", "melting"),
            ("nvme1/transport", "fc"),
            ("nvme2/state", "deleting"),
            ("power/control", "auto"),
        ] {
            let file = format!("sys/class/nvme-subsystem/nvme-subsys0/{file}");
            host.file(&file, &format!("{text}\n"));
        }
        host.check(collect, &expect![[r##"
            # HELP node_nvmesubsystem_info Always 1; the labels tell the NVMe subsystem's name, model, serial and I/O policy.
            # TYPE node_nvmesubsystem_info gauge
            node_nvmesubsystem_info{subsystem="nvme-subsys0",nqn="nqn.2014-08.org.example:shelf",model="Shelf 9",serial="S1",iopolicy="round-robin"} 1
            # HELP node_nvmesubsystem_namespace_info Always 1; the labels tell which block device belongs to which NVMe subsystem.
            # TYPE node_nvmesubsystem_namespace_info gauge
            node_nvmesubsystem_namespace_info{subsystem="nvme-subsys0",device="nvme0n1"} 1
            # HELP node_nvmesubsystem_path_state 1 for the state the path to the NVMe subsystem is in, 0 for the others.
            # TYPE node_nvmesubsystem_path_state gauge
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme0",transport="tcp",state="live"} 1
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme0",transport="tcp",state="connecting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme0",transport="tcp",state="resetting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme0",transport="tcp",state="dead"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme0",transport="tcp",state="unknown"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme1",transport="fc",state="live"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme1",transport="fc",state="connecting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme1",transport="fc",state="resetting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme1",transport="fc",state="dead"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme1",transport="fc",state="unknown"} 1
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme2",transport="",state="live"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme2",transport="",state="connecting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme2",transport="",state="resetting"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme2",transport="",state="dead"} 0
            node_nvmesubsystem_path_state{subsystem="nvme-subsys0",controller="nvme2",transport="",state="unknown"} 0
            # HELP node_nvmesubsystem_paths Paths to the NVMe subsystem.
            # TYPE node_nvmesubsystem_paths gauge
            node_nvmesubsystem_paths{subsystem="nvme-subsys0"} 3
            # HELP node_nvmesubsystem_paths_live Paths to the NVMe subsystem that are live.
            # TYPE node_nvmesubsystem_paths_live gauge
            node_nvmesubsystem_paths_live{subsystem="nvme-subsys0"} 1
        "##]]);
    }

    #[test]
    fn a_subsystem_that_tells_nothing_is_there_and_a_host_may_have_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no NVMe subsystems
        "#]],
        );
        host.file("sys/class/nvme-subsystem/nvme-subsys3/uevent", "");
        host.check(collect, &expect![[r##"
            # HELP node_nvmesubsystem_info Always 1; the labels tell the NVMe subsystem's name, model, serial and I/O policy.
            # TYPE node_nvmesubsystem_info gauge
            node_nvmesubsystem_info{subsystem="nvme-subsys3",nqn="",model="",serial="",iopolicy=""} 1
            # HELP node_nvmesubsystem_paths Paths to the NVMe subsystem.
            # TYPE node_nvmesubsystem_paths gauge
            node_nvmesubsystem_paths{subsystem="nvme-subsys3"} 0
            # HELP node_nvmesubsystem_paths_live Paths to the NVMe subsystem that are live.
            # TYPE node_nvmesubsystem_paths_live gauge
            node_nvmesubsystem_paths_live{subsystem="nvme-subsys3"} 0
        "##]]);
    }
}
