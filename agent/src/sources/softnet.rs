//! Packets handed up by the network devices by CPU, from `/proc/net/softnet_stat`.

use skep_proto::MetricKind;

use super::{Context, SourceError};
use crate::exposition::{Exposition, as_f64};

const FILE: &str = "/proc/net/softnet_stat";
/// Where newer kernels tell which CPU a line is of: offline ones have none.
const CPU_COLUMN: usize = 12;

/// Columns by their index; those that an older kernel lacks count nothing.
const COLUMNS: [(usize, &str, &str, MetricKind); 7] = {
    use MetricKind::{Counter, Gauge};
    [
        (0, "node_softnet_processed_total", "Received packets the CPU has processed.", Counter),
        (
            1,
            "node_softnet_dropped_total",
            "Received packets dropped because the CPU's backlog was full.",
            Counter,
        ),
        (
            2,
            "node_softnet_times_squeezed_total",
            "Times the CPU left packets for later, as it had used up its budget.",
            Counter,
        ),
        (
            8,
            "node_softnet_cpu_collision_total",
            "Times the CPU found a device's transmit lock taken; newer kernels tell 0.",
            Counter,
        ),
        (
            9,
            "node_softnet_received_rps_total",
            "Times another CPU woke this one to process packets for it (RPS).",
            Counter,
        ),
        (
            10,
            "node_softnet_flow_limit_count_total",
            "Received packets dropped because one flow filled the CPU's backlog.",
            Counter,
        ),
        (11, "node_softnet_backlog_len", "Received packets that wait in the CPU's backlog.", Gauge),
    ]
};

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("net/softnet_stat")?;
    for (line_idx, line) in text.lines().enumerate() {
        let fields = line.split_ascii_whitespace().map(hex).collect::<Result<Vec<u64>, _>>()?;
        let cpu = match fields.get(CPU_COLUMN) {
            Some(cpu) => cpu.to_string(),
            None => line_idx.to_string(),
        };
        for (column_idx, name, help, kind) in COLUMNS {
            let value = fields.get(column_idx).copied().unwrap_or_default();
            out.family(name, help, kind).point([("cpu", &cpu)], as_f64(value));
        }
    }
    Ok(())
}

fn hex(text: &str) -> Result<u64, SourceError> {
    u64::from_str_radix(text, 16).map_err(|std::num::ParseIntError { .. }| SourceError::Number {
        file: FILE,
        what: "a column",
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn columns_are_read_as_far_as_the_kernel_has_them() {
        let host = Host::default();
        host.file("proc/net/softnet_stat", "00049279 0000000a 00000001\n");
        host.check(collect, &expect![[r##"
            # HELP node_softnet_backlog_len Received packets that wait in the CPU's backlog.
            # TYPE node_softnet_backlog_len gauge
            node_softnet_backlog_len{cpu="0"} 0
            # HELP node_softnet_cpu_collision_total Times the CPU found a device's transmit lock taken; newer kernels tell 0.
            # TYPE node_softnet_cpu_collision_total counter
            node_softnet_cpu_collision_total{cpu="0"} 0
            # HELP node_softnet_dropped_total Received packets dropped because the CPU's backlog was full.
            # TYPE node_softnet_dropped_total counter
            node_softnet_dropped_total{cpu="0"} 10
            # HELP node_softnet_flow_limit_count_total Received packets dropped because one flow filled the CPU's backlog.
            # TYPE node_softnet_flow_limit_count_total counter
            node_softnet_flow_limit_count_total{cpu="0"} 0
            # HELP node_softnet_processed_total Received packets the CPU has processed.
            # TYPE node_softnet_processed_total counter
            node_softnet_processed_total{cpu="0"} 299641
            # HELP node_softnet_received_rps_total Times another CPU woke this one to process packets for it (RPS).
            # TYPE node_softnet_received_rps_total counter
            node_softnet_received_rps_total{cpu="0"} 0
            # HELP node_softnet_times_squeezed_total Times the CPU left packets for later, as it had used up its budget.
            # TYPE node_softnet_times_squeezed_total counter
            node_softnet_times_squeezed_total{cpu="0"} 1
        "##]]);
        host.file("proc/net/softnet_stat", "1 2 3 4 5 6 7 8 9 a b c 00000003 0 0\n");
        host.check(collect, &expect![[r##"
            # HELP node_softnet_backlog_len Received packets that wait in the CPU's backlog.
            # TYPE node_softnet_backlog_len gauge
            node_softnet_backlog_len{cpu="3"} 12
            # HELP node_softnet_cpu_collision_total Times the CPU found a device's transmit lock taken; newer kernels tell 0.
            # TYPE node_softnet_cpu_collision_total counter
            node_softnet_cpu_collision_total{cpu="3"} 9
            # HELP node_softnet_dropped_total Received packets dropped because the CPU's backlog was full.
            # TYPE node_softnet_dropped_total counter
            node_softnet_dropped_total{cpu="3"} 2
            # HELP node_softnet_flow_limit_count_total Received packets dropped because one flow filled the CPU's backlog.
            # TYPE node_softnet_flow_limit_count_total counter
            node_softnet_flow_limit_count_total{cpu="3"} 11
            # HELP node_softnet_processed_total Received packets the CPU has processed.
            # TYPE node_softnet_processed_total counter
            node_softnet_processed_total{cpu="3"} 1
            # HELP node_softnet_received_rps_total Times another CPU woke this one to process packets for it (RPS).
            # TYPE node_softnet_received_rps_total counter
            node_softnet_received_rps_total{cpu="3"} 10
            # HELP node_softnet_times_squeezed_total Times the CPU left packets for later, as it had used up its budget.
            # TYPE node_softnet_times_squeezed_total counter
            node_softnet_times_squeezed_total{cpu="3"} 3
        "##]]);
        host.file("proc/net/softnet_stat", "1 x\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/softnet_stat: a column is not a number: "x"
        "#]],
        );
    }
}
