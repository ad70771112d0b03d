//! Time that tasks ran and waited by CPU, from `/proc/schedstat`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/schedstat";
const SECONDS_PER_NANOSECOND: f64 = 1e-9;

/// The last three of a CPU's nine figures.
const COLUMNS: [(&str, &str, f64); 3] = [
    (
        "node_schedstat_running_seconds_total",
        "Seconds that tasks ran on the CPU.",
        SECONDS_PER_NANOSECOND,
    ),
    (
        "node_schedstat_waiting_seconds_total",
        "Seconds that tasks were ready and waited for the CPU, added up over all of them.",
        SECONDS_PER_NANOSECOND,
    ),
    ("node_schedstat_timeslices_total", "Times the CPU took up a task.", 1.0),
];

/// Kernels can be built without it.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Ok(text) = context.roots.read_proc("schedstat") else {
        return Err(SourceError::NoData { what: "scheduler statistics" });
    };
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(cpu) = fields.next().and_then(|it| it.strip_prefix("cpu")) else { continue };
        let mut fields = fields.skip(6);
        for (name, help, unit) in COLUMNS {
            let value = number(FILE, "a cpu's figure", fields.next())? * unit;
            out.family(name, help, MetricKind::Counter).point([("cpu", cpu)], value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn the_last_three_figures_of_each_cpu_are_read() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no scheduler statistics
        "#]],
        );
        host.file(
            "proc/schedstat",
            "version 15\ntimestamp 1\ncpu0 1 2 3 4 5 6 7000000000 8000000000 9\ndomain0 3 1\n",
        )
        .check(collect, &expect![[r##"
            # HELP node_schedstat_running_seconds_total Seconds that tasks ran on the CPU.
            # TYPE node_schedstat_running_seconds_total counter
            node_schedstat_running_seconds_total{cpu="0"} 7
            # HELP node_schedstat_timeslices_total Times the CPU took up a task.
            # TYPE node_schedstat_timeslices_total counter
            node_schedstat_timeslices_total{cpu="0"} 9
            # HELP node_schedstat_waiting_seconds_total Seconds that tasks were ready and waited for the CPU, added up over all of them.
            # TYPE node_schedstat_waiting_seconds_total counter
            node_schedstat_waiting_seconds_total{cpu="0"} 8
        "##]]);
        host.file("proc/schedstat", "cpu0 1 2 3 4 5 6 7\n").check(
            collect,
            &expect![[r#"
            error: /proc/schedstat: a cpu's figure is missing
        "#]],
        );
    }
}
