//! Soft interrupts by CPU and vector, from `/proc/softirqs`.

use skep_proto::MetricKind;

use super::{Context, SourceError, interrupts::cpu_number, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/softirqs";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("softirqs")?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let cpus: Vec<&str> = header.split_ascii_whitespace().filter_map(cpu_number).collect();
    if cpus.is_empty() {
        return Err(SourceError::Missing { file: FILE, what: "a CPU" });
    }
    let family = out.family(
        "node_softirqs_functions_total",
        "Soft interrupts served since boot, by CPU and vector.",
        MetricKind::Counter,
    );
    for (kind, counts) in lines.filter_map(|it| it.split_once(':')) {
        let mut counts = counts.split_ascii_whitespace();
        for cpu in &cpus {
            let count = number(FILE, "a count", counts.next())?;
            family.point([("cpu", *cpu), ("type", kind.trim_start())], count);
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
    fn each_vector_and_cpu_is_a_series() {
        let text = "                    CPU0       CPU1       \n\
            \x20         HI:          7          1\n\
            \x20   IRQ_POLL:          0      12345\n";
        Host::default().file("proc/softirqs", text).check(collect, &expect![[r##"
            # HELP node_softirqs_functions_total Soft interrupts served since boot, by CPU and vector.
            # TYPE node_softirqs_functions_total counter
            node_softirqs_functions_total{cpu="0",type="HI"} 7
            node_softirqs_functions_total{cpu="1",type="HI"} 1
            node_softirqs_functions_total{cpu="0",type="IRQ_POLL"} 0
            node_softirqs_functions_total{cpu="1",type="IRQ_POLL"} 12345
        "##]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/softirqs: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/softirqs", "\n").check(
            collect,
            &expect![[r#"
            error: /proc/softirqs: a CPU is missing
        "#]],
        );
        host.file("proc/softirqs", "CPU0 CPU1\nHI: 1\n").check(
            collect,
            &expect![[r#"
            error: /proc/softirqs: a count is missing
        "#]],
        );
        host.file("proc/softirqs", "CPU0\nHI: -\n").check(
            collect,
            &expect![[r#"
            error: /proc/softirqs: a count is not a number: "-"
        "#]],
        );
    }
}
