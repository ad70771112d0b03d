//! Watchdogs that reset a host that hangs, from `/sys/class/watchdog`.

use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, sysfs};
use crate::exposition::Exposition;

/// Files, their families and their help.
const FIELDS: [(&str, &str, &str); 7] = [
    (
        "access_cs0",
        "node_watchdog_access_cs0",
        "1 if the boot flash was switched over and the first one can be reached again.",
    ),
    (
        "bootstatus",
        "node_watchdog_bootstatus",
        "Why the host booted, as WDIOF_* flags in one number.",
    ),
    ("fw_version", "node_watchdog_fw_version", "Version of the watchdog's firmware."),
    (
        "nowayout",
        "node_watchdog_nowayout",
        "1 if the watchdog cannot be stopped once it was started.",
    ),
    (
        "pretimeout",
        "node_watchdog_pretimeout_seconds",
        "Seconds before the end of the timeout at which the watchdog gives a warning.",
    ),
    (
        "timeleft",
        "node_watchdog_timeleft_seconds",
        "Seconds until the watchdog resets the host if nothing happens.",
    ),
    (
        "timeout",
        "node_watchdog_timeout_seconds",
        "Seconds without a sign of life after which the watchdog resets the host.",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let class = context.roots.sys.join("class/watchdog");
    for name in sysfs::names(&class, "watchdogs")? {
        let dir = class.join(&name);
        for (file, family, help) in FIELDS {
            if let Some(value) = sysfs::value_if_any(&dir.join(file))? {
                out.family(family, help, Gauge).point([("name", &name)], value);
            }
        }
        let text = |file| Ok(sysfs::text_if_any(&dir.join(file))?.unwrap_or_default());
        out.family(
            "node_watchdog_info",
            "Always 1; the labels tell what the watchdog is and what it does.",
            Gauge,
        )
        .point(
            [
                ("name", &name),
                ("options", &text("options")?),
                ("identity", &text("identity")?),
                ("state", &text("state")?),
                ("status", &text("status")?),
                ("pretimeout_governor", &text("pretimeout_governor")?),
            ],
            1.0,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn what_a_watchdog_does_not_tell_is_left_out() {
        let host = Host::default();
        for (file, text) in [
            ("watchdog0/identity", "iTCO_wdt\n"),
            ("watchdog0/state", "active\n"),
            ("watchdog0/timeout", "30\n"),
            ("watchdog0/timeleft", "28\n"),
            ("watchdog0/nowayout", "0\n"),
            ("watchdog1/uevent", "MAJOR=10\n"),
        ] {
            host.file(&format!("sys/class/watchdog/{file}"), text);
        }
        host.check(collect, &expect![[r##"
            # HELP node_watchdog_info Always 1; the labels tell what the watchdog is and what it does.
            # TYPE node_watchdog_info gauge
            node_watchdog_info{name="watchdog0",options="",identity="iTCO_wdt",state="active",status="",pretimeout_governor=""} 1
            node_watchdog_info{name="watchdog1",options="",identity="",state="",status="",pretimeout_governor=""} 1
            # HELP node_watchdog_nowayout 1 if the watchdog cannot be stopped once it was started.
            # TYPE node_watchdog_nowayout gauge
            node_watchdog_nowayout{name="watchdog0"} 0
            # HELP node_watchdog_timeleft_seconds Seconds until the watchdog resets the host if nothing happens.
            # TYPE node_watchdog_timeleft_seconds gauge
            node_watchdog_timeleft_seconds{name="watchdog0"} 28
            # HELP node_watchdog_timeout_seconds Seconds without a sign of life after which the watchdog resets the host.
            # TYPE node_watchdog_timeout_seconds gauge
            node_watchdog_timeout_seconds{name="watchdog0"} 30
        "##]]);
    }

    #[test]
    fn a_time_that_is_no_number_is_named_and_a_host_without_watchdogs_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no watchdogs
        "#]],
        );
        host.file("sys/class/watchdog/watchdog0/timeout", "soon\n").check(
            collect,
            &expect![[r#"
            error: /sys/class/watchdog/watchdog0/timeout: not a number: "soon"
        "#]],
        );
    }
}
