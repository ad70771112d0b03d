//! Paging, swapping and OOM kills, from `/proc/vmstat`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/vmstat";

/// One untyped series a field that the settings take.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for line in context.roots.read_proc("vmstat")?.lines() {
        let mut parts = line.split_ascii_whitespace();
        let field = parts.next().unwrap_or_default();
        if !context.settings.vmstat.fields.matches(field) {
            continue;
        }
        let value = number(FILE, "a value", parts.next())?;
        out.family(
            format!("node_vmstat_{field}"),
            format!("Field {field} of {FILE}."),
            MetricKind::Unknown,
        )
        .point([], value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::sources::tests::Host;

    #[track_caller]
    fn check(vmstat: &str, expected: &Expect) {
        Host::default().file("proc/vmstat", vmstat).check(super::collect, expected);
    }

    #[test]
    fn only_fields_of_the_pattern_are_read() {
        check(
            "nr_free_pages 977769\npgpgin 7344136\npswpout 9\npgfault 3\nthp_fault_alloc 7\n\
             oom_kill 2\n",
            &expect![[r#"
                # HELP node_vmstat_oom_kill Field oom_kill of /proc/vmstat.
                # TYPE node_vmstat_oom_kill untyped
                node_vmstat_oom_kill 2
                # HELP node_vmstat_pgfault Field pgfault of /proc/vmstat.
                # TYPE node_vmstat_pgfault untyped
                node_vmstat_pgfault 3
                # HELP node_vmstat_pgpgin Field pgpgin of /proc/vmstat.
                # TYPE node_vmstat_pgpgin untyped
                node_vmstat_pgpgin 7.344136e+06
                # HELP node_vmstat_pswpout Field pswpout of /proc/vmstat.
                # TYPE node_vmstat_pswpout untyped
                node_vmstat_pswpout 9
            "#]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        check(
            "pgpgin\n",
            &expect![[r#"
            error: /proc/vmstat: a value is missing
        "#]],
        );
        check(
            "pgpgin x\n",
            &expect![[r#"
            error: /proc/vmstat: a value is not a number: "x"
        "#]],
        );
    }
}
