//! Whether SELinux guards this host, from `/sys/fs/selinux` and `/etc/selinux/config`.

use std::path::Path;

use super::{Context, SourceError, read_trimmed, sysfs};
use crate::exposition::Exposition;

const ENFORCING: f64 = 1.0;
const PERMISSIVE: f64 = 0.0;
/// What go-selinux says where it is off or not known.
const DISABLED: f64 = -1.0;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let enforce = sysfs::value_if_any(&context.roots.sys.join("fs/selinux/enforce"))?;
    let current_mode = enforce.filter(|_| {
        // Until a policy is loaded, every process is the kernel's.
        let label = read_trimmed(&context.roots.proc.join("self/attr/current"));
        label.unwrap_or_default().trim_end_matches('\0') != "kernel"
    });
    out.gauge(
        "node_selinux_enabled",
        "1 if SELinux is on, else 0.",
        f64::from(u8::from(current_mode.is_some())),
    );
    if let Some(current_mode) = current_mode {
        out.gauge(
            "node_selinux_config_mode",
            "What SELinux does after a boot: 1 it enforces, 0 it only reports, -1 nothing.",
            config_mode(&context.roots.root.join("etc/selinux/config")),
        );
        out.gauge(
            "node_selinux_current_mode",
            "What SELinux does now: 1 it enforces, 0 it only reports.",
            current_mode,
        );
    }
    Ok(())
}

fn config_mode(path: &Path) -> f64 {
    let text = read_trimmed(path).unwrap_or_default();
    match text.lines().find_map(|it| it.trim().strip_prefix("SELINUX=")) {
        Some("enforcing") => ENFORCING,
        Some("permissive") => PERMISSIVE,
        _ => DISABLED,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn a_host_that_is_guarded_tells_both_modes() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            # HELP node_selinux_enabled 1 if SELinux is on, else 0.
            # TYPE node_selinux_enabled gauge
            node_selinux_enabled 0
        "#]],
        );
        host.file("sys/fs/selinux/enforce", "0")
            .file("proc/self/attr/current", "system_u:system_r:init_t:s0\0")
            .file(
                "etc/selinux/config",
                "# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
            )
            .check(collect, &expect![[r#"
                # HELP node_selinux_config_mode What SELinux does after a boot: 1 it enforces, 0 it only reports, -1 nothing.
                # TYPE node_selinux_config_mode gauge
                node_selinux_config_mode 1
                # HELP node_selinux_current_mode What SELinux does now: 1 it enforces, 0 it only reports.
                # TYPE node_selinux_current_mode gauge
                node_selinux_current_mode 0
                # HELP node_selinux_enabled 1 if SELinux is on, else 0.
                # TYPE node_selinux_enabled gauge
                node_selinux_enabled 1
            "#]]);
        host.file("etc/selinux/config", "SELINUX=disabled\n");
        assert!(host.text(collect).contains("node_selinux_config_mode -1\n"));
    }

    #[test]
    fn a_host_without_a_policy_is_not_guarded() {
        let host = Host::default();
        host.file("sys/fs/selinux/enforce", "0").file("proc/self/attr/current", "kernel\0").check(
            collect,
            &expect![[r#"
                # HELP node_selinux_enabled 1 if SELinux is on, else 0.
                # TYPE node_selinux_enabled gauge
                node_selinux_enabled 0
            "#]],
        );
    }

    #[test]
    fn a_mode_that_is_no_number_is_named() {
        Host::default().file("sys/fs/selinux/enforce", "yes").check(
            collect,
            &expect![[r#"
            error: /sys/fs/selinux/enforce: not a number: "yes"
        "#]],
        );
    }
}
