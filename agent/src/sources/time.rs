//! The wall clock, the host's time zone and the kernel's clock sources.

use std::{fs, path::Path};

use skep_proto::MetricKind;
use tz::TimeZone;

use super::{Context, SourceError, read, sorted_dir};
use crate::exposition::Exposition;

const NS_PER_SECOND: i64 = 1_000_000_000;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let now = context.clock.now();
    #[expect(clippy::cast_precision_loss, reason = "a float of seconds is what the metric is")]
    let now_seconds = now.0 as f64 / NS_PER_SECOND as f64;
    out.gauge("node_time_seconds", "The host's clock, in seconds since 1970.", now_seconds);

    let localtime = context.roots.root.join("etc/localtime");
    let (zone, offset_seconds) = zone_at(&localtime, now.0.div_euclid(NS_PER_SECOND));
    out.family(
        "node_time_zone_offset_seconds",
        "How far the host's time zone is ahead of UTC, in seconds.",
        MetricKind::Gauge,
    )
    .point([("time_zone", &zone)], f64::from(offset_seconds));

    clocksources(&context.roots.sys.join("devices/system/clocksource"), out)
}

/// The zone's short name and its offset at a point in time: UTC where the host has no zone or one
/// that cannot be read. The host's zone counts, not the environment of this process.
fn zone_at(localtime: &Path, unix_seconds: i64) -> (String, i32) {
    let zone = fs::read(localtime).ok().and_then(|it| TimeZone::from_tz_data(&it).ok());
    let local = zone.as_ref().and_then(|it| it.find_local_time_type(unix_seconds).ok());
    match local {
        Some(local) => (local.time_zone_designation().to_owned(), local.ut_offset()),
        None => ("UTC".to_owned(), 0),
    }
}

fn clocksources(dir: &Path, out: &mut Exposition) -> Result<(), SourceError> {
    for entry in sorted_dir(dir) {
        let Some(device) = entry.strip_prefix("clocksource") else { continue };
        let device_dir = dir.join(&entry);
        let available = read(&device_dir.join("available_clocksource"))?;
        let family = out.family(
            "node_time_clocksource_available_info",
            "1 for each clock source the kernel can use.",
            MetricKind::Gauge,
        );
        for clocksource in available.split_ascii_whitespace() {
            family.point([("device", device), ("clocksource", clocksource)], 1.0);
        }
        let current = read(&device_dir.join("current_clocksource"))?;
        out.family(
            "node_time_clocksource_current_info",
            "1 for the clock source the kernel uses.",
            MetricKind::Gauge,
        )
        .point([("device", device), ("clocksource", current.trim())], 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::sources::tests::Host;

    const DIR: &str = "sys/devices/system/clocksource";

    /// A zone file without transitions: only the rule of its footer.
    fn zone_file(rule: &str) -> Vec<u8> {
        let header = |version: u8| {
            let mut header = b"TZif".to_vec();
            header.push(version);
            header.extend_from_slice(&[0; 15]);
            // Counts of: UT indicators, standard indicators, leap seconds, transitions, types,
            // bytes of names.
            for count in [0_u32, 0, 0, 0, 1, 4] {
                header.extend_from_slice(&count.to_be_bytes());
            }
            header.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
            header.extend_from_slice(b"UTC\0");
            header
        };
        [header(b'2'), header(b'2'), format!("\n{rule}\n").into_bytes()].concat()
    }

    #[test]
    fn a_host_without_a_zone_is_in_utc() {
        Host::default()
            .file(&format!("{DIR}/clocksource0/available_clocksource"), "tsc hpet acpi_pm \n")
            .file(&format!("{DIR}/clocksource0/current_clocksource"), "tsc\n")
            .check(super::collect, &expect![[r##"
                # HELP node_time_clocksource_available_info 1 for each clock source the kernel can use.
                # TYPE node_time_clocksource_available_info gauge
                node_time_clocksource_available_info{device="0",clocksource="tsc"} 1
                node_time_clocksource_available_info{device="0",clocksource="hpet"} 1
                node_time_clocksource_available_info{device="0",clocksource="acpi_pm"} 1
                # HELP node_time_clocksource_current_info 1 for the clock source the kernel uses.
                # TYPE node_time_clocksource_current_info gauge
                node_time_clocksource_current_info{device="0",clocksource="tsc"} 1
                # HELP node_time_seconds The host's clock, in seconds since 1970.
                # TYPE node_time_seconds gauge
                node_time_seconds 1.7000000002499998e+09
                # HELP node_time_zone_offset_seconds How far the host's time zone is ahead of UTC, in seconds.
                # TYPE node_time_zone_offset_seconds gauge
                node_time_zone_offset_seconds{time_zone="UTC"} 0
            "##]]);
    }

    #[test]
    fn the_offset_follows_the_zones_rule() {
        let host = Host::default();
        // The test host's clock stands at 2023-11-14, so winter time holds in the north.
        host.bytes("etc/localtime", &zone_file("CET-1CEST,M3.5.0,M10.5.0/3")).check(
            super::collect,
            &expect![[r##"
                # HELP node_time_seconds The host's clock, in seconds since 1970.
                # TYPE node_time_seconds gauge
                node_time_seconds 1.7000000002499998e+09
                # HELP node_time_zone_offset_seconds How far the host's time zone is ahead of UTC, in seconds.
                # TYPE node_time_zone_offset_seconds gauge
                node_time_zone_offset_seconds{time_zone="CET"} 3600
            "##]],
        );
        host.bytes("etc/localtime", &zone_file("NZST-12NZDT,M9.5.0,M4.1.0/3")).check(
            super::collect,
            &expect![[r##"
                # HELP node_time_seconds The host's clock, in seconds since 1970.
                # TYPE node_time_seconds gauge
                node_time_seconds 1.7000000002499998e+09
                # HELP node_time_zone_offset_seconds How far the host's time zone is ahead of UTC, in seconds.
                # TYPE node_time_zone_offset_seconds gauge
                node_time_zone_offset_seconds{time_zone="NZDT"} 46800
            "##]],
        );
        host.bytes("etc/localtime", b"damaged").check(
            super::collect,
            &expect![[r##"
                # HELP node_time_seconds The host's clock, in seconds since 1970.
                # TYPE node_time_seconds gauge
                node_time_seconds 1.7000000002499998e+09
                # HELP node_time_zone_offset_seconds How far the host's time zone is ahead of UTC, in seconds.
                # TYPE node_time_zone_offset_seconds gauge
                node_time_zone_offset_seconds{time_zone="UTC"} 0
            "##]],
        );
    }

    #[test]
    fn a_clocksource_that_cannot_be_read_is_named() {
        Host::default()
            .file(&format!("{DIR}/clocksource0/other"), "")
            .check(super::collect, &expect![[r#"
                error: cannot read /sys/devices/system/clocksource/clocksource0/available_clocksource: No such file or directory (os error 2)
            "#]]);
    }
}
