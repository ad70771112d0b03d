//! Memory figures, from `/proc/meminfo`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;
use skep_proto::MetricKind;

const FILE: &str = "/proc/meminfo";

/// One gauge a line: the kernel decides which there are.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for line in context.roots.read_proc("meminfo")?.lines() {
        let Some((field, value)) = parse_line(line)? else { continue };
        let key = line.split(':').next().unwrap_or_default();
        let unit = if field.ends_with("_bytes") { ", in bytes" } else { "" };
        out.family(
            format!("node_memory_{field}"),
            format!("Field {key} of {FILE}{unit}."),
            MetricKind::Gauge,
        )
        .point([], value);
    }
    Ok(())
}

/// `Active(anon):    123 kB` is the field `Active_anon_bytes`.
fn parse_line(line: &str) -> Result<Option<(String, f64)>, SourceError> {
    let mut parts = line.split_ascii_whitespace();
    let Some(key) = parts.next() else { return Ok(None) };
    let value = number(FILE, "a value", parts.next())?;
    let mut field = key.trim_end_matches(':').replace('(', "_").replace(')', "");
    match parts.next() {
        None => Ok(Some((field, value))),
        Some("kB") => {
            field.push_str("_bytes");
            Ok(Some((field, value * 1024.0)))
        }
        Some(unit) => {
            Err(SourceError::Number { file: FILE, what: "a unit", text: unit.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::sources::tests::Host;

    #[track_caller]
    fn check(meminfo: &str, expected: &Expect) {
        Host::default().file("proc/meminfo", meminfo).check(super::collect, expected);
    }

    #[test]
    fn kilobytes_become_bytes_and_counts_stay() {
        check(
            "MemTotal:        3742148 kB\nActive(anon):     968444 kB\nHugePages_Total:       2\n",
            &expect![[r#"
                # HELP node_memory_Active_anon_bytes Field Active(anon) of /proc/meminfo, in bytes.
                # TYPE node_memory_Active_anon_bytes gauge
                node_memory_Active_anon_bytes 9.91686656e+08
                # HELP node_memory_HugePages_Total Field HugePages_Total of /proc/meminfo.
                # TYPE node_memory_HugePages_Total gauge
                node_memory_HugePages_Total 2
                # HELP node_memory_MemTotal_bytes Field MemTotal of /proc/meminfo, in bytes.
                # TYPE node_memory_MemTotal_bytes gauge
                node_memory_MemTotal_bytes 3.831959552e+09
            "#]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        check(
            "MemTotal:\n",
            &expect![[r#"
            error: /proc/meminfo: a value is missing
        "#]],
        );
        check(
            "MemTotal: many kB\n",
            &expect![[r#"
            error: /proc/meminfo: a value is not a number: "many"
        "#]],
        );
        check(
            "MemTotal: 1 MB\n",
            &expect![[r#"
            error: /proc/meminfo: a unit is not a number: "MB"
        "#]],
        );
    }
}
