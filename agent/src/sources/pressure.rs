//! How long work waited for CPU, I/O, memory and interrupts, from `/proc/pressure`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/pressure";
const SECONDS_PER_MICROSECOND: f64 = 1e-6;

/// File, line of it, metric, help: `some` is time in which at least one task waited, `full` in which
/// all of them did.
const METRICS: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Seconds in which at least one task waited for a CPU.",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Seconds in which at least one task waited for I/O.",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Seconds in which every task that was not idle waited for I/O.",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Seconds in which at least one task waited for memory.",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Seconds in which every task that was not idle waited for memory.",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Seconds in which interrupts kept every task that was not idle from running.",
    ),
];

/// Kernels before 6.1 do not measure interrupts; some measure nothing until they are told to at
/// boot.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let mut is_measured = false;
    for (file, kind, name, help) in METRICS {
        let Ok(text) = context.roots.read_proc(&format!("pressure/{file}")) else { continue };
        let line = text.lines().find_map(|it| it.strip_prefix(kind));
        let Some(line) = line else { continue };
        let total = line.split_ascii_whitespace().find_map(|it| it.strip_prefix("total="));
        let seconds = number(FILE, "total", total)? * SECONDS_PER_MICROSECOND;
        out.counter(name, help, seconds);
        is_measured = true;
    }
    if is_measured { Ok(()) } else { Err(SourceError::NoData { what: "pressure stall figures" }) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn totals_become_seconds() {
        let both = |some: u32, full: u32| {
            format!("some avg10=0.00 avg60=0.34 total={some}\nfull avg10=0.00 total={full}\n")
        };
        Host::default()
            .file("proc/pressure/cpu", &both(14_000_000, 1))
            .file("proc/pressure/io", &both(2_500_000, 500_000))
            .file("proc/pressure/memory", &both(0, 0))
            .file("proc/pressure/irq", "full avg10=0.00 total=8000000\n")
            .check(collect, &expect![[r#"
                # HELP node_pressure_cpu_waiting_seconds_total Seconds in which at least one task waited for a CPU.
                # TYPE node_pressure_cpu_waiting_seconds_total counter
                node_pressure_cpu_waiting_seconds_total 14
                # HELP node_pressure_io_stalled_seconds_total Seconds in which every task that was not idle waited for I/O.
                # TYPE node_pressure_io_stalled_seconds_total counter
                node_pressure_io_stalled_seconds_total 0.5
                # HELP node_pressure_io_waiting_seconds_total Seconds in which at least one task waited for I/O.
                # TYPE node_pressure_io_waiting_seconds_total counter
                node_pressure_io_waiting_seconds_total 2.5
                # HELP node_pressure_irq_stalled_seconds_total Seconds in which interrupts kept every task that was not idle from running.
                # TYPE node_pressure_irq_stalled_seconds_total counter
                node_pressure_irq_stalled_seconds_total 8
                # HELP node_pressure_memory_stalled_seconds_total Seconds in which every task that was not idle waited for memory.
                # TYPE node_pressure_memory_stalled_seconds_total counter
                node_pressure_memory_stalled_seconds_total 0
                # HELP node_pressure_memory_waiting_seconds_total Seconds in which at least one task waited for memory.
                # TYPE node_pressure_memory_waiting_seconds_total counter
                node_pressure_memory_waiting_seconds_total 0
            "#]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no pressure stall figures
        "#]],
        );
        host.file("proc/pressure/cpu", "some avg10=0\n").check(
            collect,
            &expect![[r#"
            error: /proc/pressure: total is missing
        "#]],
        );
        host.file("proc/pressure/cpu", "some total=x\n").check(
            collect,
            &expect![[r#"
            error: /proc/pressure: total is not a number: "x"
        "#]],
        );
    }
}
