//! What the kernel says of the CPU's vulnerabilities, from sysfs.

use skep_proto::MetricKind;

use super::{Context, SourceError, read, sorted_dir};
use crate::exposition::Exposition;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("devices/system/cpu/vulnerabilities");
    let family = out.family(
        "node_cpu_vulnerabilities_info",
        "Always 1; the labels tell whether the CPU is vulnerable and what is done about it.",
        MetricKind::Gauge,
    );
    let names = sorted_dir(&dir);
    for name in &names {
        let text = read(&dir.join(name))?;
        let (state, mitigation) = parse(text.trim());
        let labels = [("codename", &**name), ("state", state), ("mitigation", mitigation)];
        family.point(labels, 1.0);
    }
    if names.is_empty() {
        return Err(SourceError::NoData { what: "list of CPU vulnerabilities" });
    }
    Ok(())
}

/// `Mitigation: Retpolines`, `Vulnerable: no microcode`, `Not affected`. The host itself may be no
/// more than a guest that cannot know: `Unknown: …`, `KVM: Mitigation: …`.
fn parse(text: &str) -> (&'static str, &str) {
    let rest = |prefix| {
        let rest: &str = text.strip_prefix(prefix)?;
        Some(rest.strip_prefix(": ").unwrap_or(rest))
    };
    match (text, rest("Vulnerable"), rest("Mitigation")) {
        ("Not affected", ..) => ("not affected", ""),
        (_, Some(rest), _) => ("vulnerable", rest),
        (_, _, Some(rest)) => ("mitigation", rest),
        _ => ("unknown", text),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn each_vulnerability_is_told_with_its_state() {
        let host = Host::default();
        for (name, text) in [
            ("l1tf", "Not affected"),
            ("mds", "Vulnerable"),
            ("retbleed", "Mitigation: untrained return thunk; SMT disabled"),
            ("srbds", "Unknown: Dependent on hypervisor status"),
            ("tsx_async_abort", "Vulnerable: Clear CPU buffers attempted, no microcode"),
        ] {
            let file = format!("sys/devices/system/cpu/vulnerabilities/{name}");
            host.file(&file, &format!("{text}\n"));
        }
        host.check(collect, &expect![[r##"
            # HELP node_cpu_vulnerabilities_info Always 1; the labels tell whether the CPU is vulnerable and what is done about it.
            # TYPE node_cpu_vulnerabilities_info gauge
            node_cpu_vulnerabilities_info{codename="l1tf",state="not affected",mitigation=""} 1
            node_cpu_vulnerabilities_info{codename="mds",state="vulnerable",mitigation=""} 1
            node_cpu_vulnerabilities_info{codename="retbleed",state="mitigation",mitigation="untrained return thunk; SMT disabled"} 1
            node_cpu_vulnerabilities_info{codename="srbds",state="unknown",mitigation="Unknown: Dependent on hypervisor status"} 1
            node_cpu_vulnerabilities_info{codename="tsx_async_abort",state="vulnerable",mitigation="Clear CPU buffers attempted, no microcode"} 1
        "##]]);
    }

    #[test]
    fn a_kernel_that_does_not_tell_has_no_data_and_a_file_that_cannot_be_read_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no list of CPU vulnerabilities
        "#]],
        );
        host.bytes("sys/devices/system/cpu/vulnerabilities/mds", &[0xff]);
        host.check(collect, &expect![[r#"
            error: cannot read /sys/devices/system/cpu/vulnerabilities/mds: invalid utf-8 sequence of 1 bytes from index 0
        "#]]);
    }
}
