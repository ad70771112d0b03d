//! SCSI tape drives, from `/sys/class/scsi_tape`.

use serde::Deserialize;
use skep_proto::MetricKind::{self, Counter, Gauge};

use super::{Context, SourceError, settings::Pattern, sysfs};
use crate::exposition::Exposition;

const NANOSECOND: f64 = 1e-9;

/// Files below `stats`, their families, kinds, help and unit.
const FIELDS: [(&str, &str, MetricKind, &str, f64); 10] = [
    ("in_flight", "node_tape_io_now", Gauge, "Reads and writes under way.", 1.0),
    (
        "io_ns",
        "node_tape_io_time_seconds_total",
        Counter,
        "Seconds that reads, writes and other commands took, added up.",
        NANOSECOND,
    ),
    (
        "other_cnt",
        "node_tape_io_others_total",
        Counter,
        "Commands other than reads and writes, as rewinding.",
        1.0,
    ),
    ("read_byte_cnt", "node_tape_read_bytes_total", Counter, "Bytes read from tape.", 1.0),
    ("read_cnt", "node_tape_reads_completed_total", Counter, "Reads that ended well.", 1.0),
    (
        "read_ns",
        "node_tape_read_time_seconds_total",
        Counter,
        "Seconds that reads took, added up.",
        NANOSECOND,
    ),
    ("write_byte_cnt", "node_tape_written_bytes_total", Counter, "Bytes written to tape.", 1.0),
    ("write_cnt", "node_tape_writes_completed_total", Counter, "Writes that ended well.", 1.0),
    (
        "write_ns",
        "node_tape_write_time_seconds_total",
        Counter,
        "Seconds that writes took, added up.",
        NANOSECOND,
    ),
    (
        "resid_cnt",
        "node_tape_residual_total",
        Counter,
        "Reads and writes that moved another number of bytes than was asked for.",
        1.0,
    ),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TapestatsSettings {
    pub(crate) ignored_devices: Option<Pattern>,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let ignored = context.settings.tapestats.ignored_devices.as_ref();
    let class = context.roots.sys.join("class/scsi_tape");
    for device in sysfs::names(&class, "tape drives")? {
        // A drive has a dozen names, for each density with and without rewinding.
        let is_drive = device.strip_prefix("st").is_some_and(|it| it.parse::<u32>().is_ok());
        if !is_drive || ignored.is_some_and(|it| it.matches(&device)) {
            continue;
        }
        let dir = class.join(&device).join("stats");
        for (file, family, kind, help, unit) in FIELDS {
            if let Some(value) = sysfs::value_if_any(&dir.join(file))? {
                out.family(family, help, kind).point([("device", &device)], value * unit);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    fn host() -> Host {
        let host = Host::default();
        for device in ["st0", "nst0", "st0a", "st11"] {
            for (file, text) in [
                ("in_flight", "1\n"),
                ("io_ns", "9247011087720\n"),
                ("read_byte_cnt", "979383912\n"),
                ("write_cnt", "53772916\n"),
            ] {
                host.file(&format!("sys/class/scsi_tape/{device}/stats/{file}"), text);
            }
        }
        host
    }

    #[test]
    fn each_drive_is_told_once() {
        host().check(collect, &expect![[r##"
            # HELP node_tape_io_now Reads and writes under way.
            # TYPE node_tape_io_now gauge
            node_tape_io_now{device="st0"} 1
            node_tape_io_now{device="st11"} 1
            # HELP node_tape_io_time_seconds_total Seconds that reads, writes and other commands took, added up.
            # TYPE node_tape_io_time_seconds_total counter
            node_tape_io_time_seconds_total{device="st0"} 9247.01108772
            node_tape_io_time_seconds_total{device="st11"} 9247.01108772
            # HELP node_tape_read_bytes_total Bytes read from tape.
            # TYPE node_tape_read_bytes_total counter
            node_tape_read_bytes_total{device="st0"} 9.79383912e+08
            node_tape_read_bytes_total{device="st11"} 9.79383912e+08
            # HELP node_tape_writes_completed_total Writes that ended well.
            # TYPE node_tape_writes_completed_total counter
            node_tape_writes_completed_total{device="st0"} 5.3772916e+07
            node_tape_writes_completed_total{device="st11"} 5.3772916e+07
        "##]]);
    }

    #[test]
    fn drives_can_be_left_out() {
        let mut host = host();
        host.settings().tapestats.ignored_devices = Some("^st0$".to_owned().try_into().unwrap());
        let text = host.text(collect);
        assert!(!text.contains("\"st0\"") && text.contains("\"st11\""), "{text}");
    }

    #[test]
    fn a_count_that_is_no_number_is_named_and_a_host_without_drives_has_none() {
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no tape drives
        "#]],
        );
        host().file("sys/class/scsi_tape/st0/stats/io_ns", "1s\n").check(
            collect,
            &expect![[r#"
            error: /sys/class/scsi_tape/st0/stats/io_ns: not a number: "1s"
        "#]],
        );
    }
}
