//! Interrupts, context switches, forks, boot time and processes, from `/proc/stat`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/stat";
/// Names of the vectors in the order of the `softirq` line, behind its total.
const SOFTIRQS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for line in context.roots.read_proc("stat")?.lines() {
        let mut fields = line.split_ascii_whitespace();
        let key = fields.next().unwrap_or_default();
        let mut value = || number(FILE, "a total", fields.next());
        match key {
            "intr" => {
                out.counter("node_intr_total", "Interrupts served since boot.", value()?);
            }
            "ctxt" => out.counter(
                "node_context_switches_total",
                "Context switches of all CPUs since boot.",
                value()?,
            ),
            "processes" => {
                out.counter(
                    "node_forks_total",
                    "Processes and threads created since boot.",
                    value()?,
                );
            }
            "btime" => {
                out.gauge(
                    "node_boot_time_seconds",
                    "When the host booted, in seconds since 1970.",
                    value()?,
                );
            }
            "procs_running" => {
                out.gauge("node_procs_running", "Tasks that run or are ready to.", value()?);
            }
            "procs_blocked" => out.gauge(
                "node_procs_blocked",
                "Tasks that are blocked until some I/O is done.",
                value()?,
            ),
            "softirq" if context.settings.stat.softirq => softirqs(line, out)?,
            _ => {}
        }
    }
    Ok(())
}

fn softirqs(line: &str, out: &mut Exposition) -> Result<(), SourceError> {
    let family = out.family(
        "node_softirqs_total",
        "Soft interrupts served since boot, by vector.",
        MetricKind::Counter,
    );
    let mut counts = line.split_ascii_whitespace().skip(2);
    for vector in SOFTIRQS {
        family.point([("vector", vector)], number(FILE, "a softirq", counts.next())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::sources::tests::Host;

    const STAT: &str = "cpu  1 2 3\nintr 8885917 17 0\nctxt 38014093\nbtime 1418183276\n\
        processes 26442\nprocs_running 2\nprocs_blocked 1\nsoftirq 55 1 2 3 4 5 6 7 8 9 10\n";

    #[test]
    fn totals_are_read() {
        Host::default().file("proc/stat", STAT).check(
            super::collect,
            &expect![[r#"
                # HELP node_boot_time_seconds When the host booted, in seconds since 1970.
                # TYPE node_boot_time_seconds gauge
                node_boot_time_seconds 1.418183276e+09
                # HELP node_context_switches_total Context switches of all CPUs since boot.
                # TYPE node_context_switches_total counter
                node_context_switches_total 3.8014093e+07
                # HELP node_forks_total Processes and threads created since boot.
                # TYPE node_forks_total counter
                node_forks_total 26442
                # HELP node_intr_total Interrupts served since boot.
                # TYPE node_intr_total counter
                node_intr_total 8.885917e+06
                # HELP node_procs_blocked Tasks that are blocked until some I/O is done.
                # TYPE node_procs_blocked gauge
                node_procs_blocked 1
                # HELP node_procs_running Tasks that run or are ready to.
                # TYPE node_procs_running gauge
                node_procs_running 2
            "#]],
        );
    }

    #[test]
    fn softirqs_are_read_where_asked_for() {
        let mut host = Host::default();
        host.settings().stat.softirq = true;
        host.file("proc/stat", "softirq 55 1 2 3 4 5 6 7 8 9 10\n").check(
            super::collect,
            &expect![[r##"
                # HELP node_softirqs_total Soft interrupts served since boot, by vector.
                # TYPE node_softirqs_total counter
                node_softirqs_total{vector="hi"} 1
                node_softirqs_total{vector="timer"} 2
                node_softirqs_total{vector="net_tx"} 3
                node_softirqs_total{vector="net_rx"} 4
                node_softirqs_total{vector="block"} 5
                node_softirqs_total{vector="block_iopoll"} 6
                node_softirqs_total{vector="tasklet"} 7
                node_softirqs_total{vector="sched"} 8
                node_softirqs_total{vector="hrtimer"} 9
                node_softirqs_total{vector="rcu"} 10
            "##]],
        );
        host.file("proc/stat", "softirq 55 1 2\n").check(
            super::collect,
            &expect![[r#"
            error: /proc/stat: a softirq is missing
        "#]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.file("proc/stat", "ctxt\n").check(
            super::collect,
            &expect![[r#"
            error: /proc/stat: a total is missing
        "#]],
        );
        host.file("proc/stat", "btime then\n").check(
            super::collect,
            &expect![[r#"
            error: /proc/stat: a total is not a number: "then"
        "#]],
        );
    }
}
