//! Size and use of each swap device, from `/proc/swaps`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/swaps";
const BYTES_PER_KIB: f64 = 1024.0;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("swaps")?;
    for line in text.lines().skip(1) {
        let mut columns = line.split_ascii_whitespace();
        let (Some(device), Some(kind)) = (columns.next(), columns.next()) else {
            return Err(SourceError::Missing { file: FILE, what: "a device or its type" });
        };
        for (name, help, factor) in [
            ("node_swap_size_bytes", "Size of the swap device, in bytes.", BYTES_PER_KIB),
            ("node_swap_used_bytes", "Bytes of the swap device that are in use.", BYTES_PER_KIB),
            ("node_swap_priority", "Devices of a higher priority are used first.", 1.0),
        ] {
            let value = number(FILE, "a column", columns.next())? * factor;
            out.family(name, help, MetricKind::Gauge)
                .point([("device", device), ("swap_type", kind)], value);
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
    fn each_device_is_told() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/zram0                              partition\t8388604\t\t76\t\t100\n\
            /swap\\040file                           file\t\t1024\t\t0\t\t-2\n";
        Host::default().file("proc/swaps", text).check(
            collect,
            &expect![[r##"
            # HELP node_swap_priority Devices of a higher priority are used first.
            # TYPE node_swap_priority gauge
            node_swap_priority{device="/dev/zram0",swap_type="partition"} 100
            node_swap_priority{device="/swap\\040file",swap_type="file"} -2
            # HELP node_swap_size_bytes Size of the swap device, in bytes.
            # TYPE node_swap_size_bytes gauge
            node_swap_size_bytes{device="/dev/zram0",swap_type="partition"} 8.589930496e+09
            node_swap_size_bytes{device="/swap\\040file",swap_type="file"} 1.048576e+06
            # HELP node_swap_used_bytes Bytes of the swap device that are in use.
            # TYPE node_swap_used_bytes gauge
            node_swap_used_bytes{device="/dev/zram0",swap_type="partition"} 77824
            node_swap_used_bytes{device="/swap\\040file",swap_type="file"} 0
        "##]],
        );
    }

    #[test]
    fn a_host_without_swap_tells_none() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        Host::default().file("proc/swaps", text).check(collect, &expect![[""]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/swaps: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/swaps", "Filename\n/dev/sda\n").check(
            collect,
            &expect![[r#"
            error: /proc/swaps: a device or its type is missing
        "#]],
        );
        host.file("proc/swaps", "Filename\n/dev/sda partition 1 0\n").check(
            collect,
            &expect![[r#"
                error: /proc/swaps: a column is missing
            "#]],
        );
        host.file("proc/swaps", "Filename\n/dev/sda partition x\n").check(
            collect,
            &expect![[r#"
            error: /proc/swaps: a column is not a number: "x"
        "#]],
        );
    }
}
