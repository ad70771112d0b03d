//! What distribution this is, from `/etc/os-release`.

use std::collections::HashMap;

use skep_proto::MetricKind;

use super::{Context, SourceError, read};
use crate::exposition::{Exposition, as_f64};

const SECONDS_PER_DAY: i64 = 86_400;

/// Labels of `node_os_info` and the keys they come from.
const LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let root = &context.roots.root;
    let text =
        read(&root.join("etc/os-release")).or_else(|_| read(&root.join("usr/lib/os-release")));
    let Ok(text) = text else {
        return Err(SourceError::NoData { what: "os-release file" });
    };
    let values = parse(&text);
    let get = |key: &str| values.get(key).map_or("", String::as_str);
    out.family(
        "node_os_info",
        "Always 1; the labels are what os-release tells of the distribution.",
        MetricKind::Gauge,
    )
    .point(LABELS.map(|(label, key)| (label, get(key))), 1.0);
    if let Some(version) = major_minor(get("VERSION_ID")) {
        out.family(
            "node_os_version",
            "Version of the distribution up to the second point, as a number.",
            MetricKind::Gauge,
        )
        .point([("id", get("ID")), ("id_like", get("ID_LIKE")), ("name", get("NAME"))], version);
    }
    if let Some(support_end) = unix_seconds(get("SUPPORT_END")) {
        out.gauge(
            "node_os_support_end_timestamp_seconds",
            "Day on which support for the distribution ends, in seconds since 1970.",
            support_end,
        );
    }
    Ok(())
}

/// `KEY=value` lines, the value quoted as in a shell.
fn parse(text: &str) -> HashMap<&str, String> {
    let lines = text.lines().map(str::trim).filter(|it| !it.starts_with('#'));
    lines
        .filter_map(|it| it.split_once('='))
        .map(|(key, value)| (key.trim(), unquote(value.trim())))
        .collect()
}

fn unquote(value: &str) -> String {
    let inside = |quote| value.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
    if let Some(literal) = inside('\'') {
        return literal.to_owned();
    }
    let mut text = String::new();
    let mut chars = inside('"').unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// `20.04` of `20.04.2`, `12` of `12`.
fn major_minor(version: &str) -> Option<f64> {
    let mut n_points = 0;
    let end = version.find(|c: char| {
        n_points += u8::from(c == '.');
        n_points > 1 || !(c == '.' || c.is_ascii_digit())
    });
    let number = version.get(..end.unwrap_or(version.len()))?;
    number.parse().ok().filter(|it| *it > 0.0)
}

/// Midnight UTC of `2026-05-31`.
fn unix_seconds(date: &str) -> Option<f64> {
    let mut parts = date.splitn(3, '-').map(|it| it.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !((1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)) {
        return None;
    }
    // Years from March on, so that the leap day is the last one.
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    u64::try_from(days * SECONDS_PER_DAY).ok().map(as_f64)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{collect, major_minor, unix_seconds};
    use crate::sources::tests::Host;

    #[test]
    fn the_distribution_is_told() {
        Host::default()
            .file(
                "usr/lib/os-release",
                "# comment\nNAME=\"Fedora \\\"Linux\\\"\"\nVERSION='42 (Server)'\nID=fedora\n\
                 VERSION_ID=42.1.3\nSUPPORT_END=2026-05-13\n",
            )
            .check(collect, &expect![[r##"
                # HELP node_os_info Always 1; the labels are what os-release tells of the distribution.
                # TYPE node_os_info gauge
                node_os_info{build_id="",id="fedora",id_like="",image_id="",image_version="",name="Fedora \"Linux\"",pretty_name="",variant="",variant_id="",version="42 (Server)",version_codename="",version_id="42.1.3"} 1
                # HELP node_os_support_end_timestamp_seconds Day on which support for the distribution ends, in seconds since 1970.
                # TYPE node_os_support_end_timestamp_seconds gauge
                node_os_support_end_timestamp_seconds 1.7786304e+09
                # HELP node_os_version Version of the distribution up to the second point, as a number.
                # TYPE node_os_version gauge
                node_os_version{id="fedora",id_like="",name="Fedora \"Linux\""} 42.1
            "##]]);
        Host::default().check(
            collect,
            &expect![[r#"
            error: this host has no os-release file
        "#]],
        );
    }

    #[test]
    fn versions_and_dates_are_numbers_or_nothing() {
        for (text, version) in [
            ("20.04.2", Some(20.04)),
            ("12", Some(12.0)),
            ("9.4-beta", Some(9.4)),
            ("", None),
            ("rolling", None),
        ] {
            assert_eq!(major_minor(text), version, "{text}");
        }
        assert_eq!(unix_seconds("1970-01-01"), Some(0.0));
        assert_eq!(unix_seconds("2000-02-29"), Some(951_782_400.0));
        assert_eq!(unix_seconds("2026-05-13"), Some(1_778_630_400.0));
        assert_eq!(unix_seconds("2026-13-01"), None);
        assert_eq!(unix_seconds("soon"), None);
    }
}
