//! Memory errors that the controllers corrected or not, from `/sys/devices/system/edac`.

use std::path::Path;

use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, sorted_dir, sysfs};
use crate::exposition::Exposition;

/// The two kinds of errors: the prefix of their files, their families of a controller, of a row of
/// chips and of a channel, and the families' help.
const KINDS: [(&str, [(&str, &str); 3]); 2] = [
    (
        "ce",
        [
            ("node_edac_correctable_errors_total", "Memory errors that the controller corrected."),
            (
                "node_edac_csrow_correctable_errors_total",
                "Memory errors that were corrected, by row of chips.",
            ),
            (
                "node_edac_channel_correctable_errors_total",
                "Memory errors that were corrected, by channel of a row of chips.",
            ),
        ],
    ),
    (
        "ue",
        [
            (
                "node_edac_uncorrectable_errors_total",
                "Memory errors that the controller could not correct.",
            ),
            (
                "node_edac_csrow_uncorrectable_errors_total",
                "Memory errors that could not be corrected, by row of chips.",
            ),
            (
                "node_edac_channel_uncorrectable_errors_total",
                "Memory errors that could not be corrected, by channel of a row of chips.",
            ),
        ],
    ),
];

/// A host without such a controller just has none.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("devices/system/edac/mc");
    for name in sorted_dir(&dir) {
        let Some(controller) = number_after(&name, "mc") else { continue };
        let controller_dir = dir.join(&name);
        for (kind, [(total, total_help), (by_row, by_row_help), _]) in KINDS {
            let value = sysfs::value(&controller_dir.join(format!("{kind}_count")))?;
            out.family(total, total_help, Counter).point([("controller", controller)], value);
            let value = sysfs::value(&controller_dir.join(format!("{kind}_noinfo_count")))?;
            out.family(by_row, by_row_help, Counter)
                .point([("controller", controller), ("csrow", "unknown")], value);
        }
        for name in sorted_dir(&controller_dir) {
            if let Some(row) = number_after(&name, "csrow") {
                collect_row(&controller_dir.join(&name), controller, row, out)?;
            }
        }
    }
    Ok(())
}

fn collect_row(
    dir: &Path,
    controller: &str,
    row: &str,
    out: &mut Exposition,
) -> Result<(), SourceError> {
    let files = sorted_dir(dir);
    for (kind, [_, (by_row, by_row_help), (by_channel, by_channel_help)]) in KINDS {
        let value = sysfs::value(&dir.join(format!("{kind}_count")))?;
        out.family(by_row, by_row_help, Counter)
            .point([("controller", controller), ("csrow", row)], value);
        for file in &files {
            let channel = file.strip_prefix("ch").and_then(|it| it.strip_suffix("_count"));
            let channel = channel.and_then(|it| it.strip_suffix(kind)?.strip_suffix('_'));
            let Some(channel) = channel else { continue };
            let value = sysfs::value(&dir.join(file))?;
            let dimm = dimm_label(&dir.join(format!("ch{channel}_dimm_label")))?;
            out.family(by_channel, by_channel_help, Counter).point(
                [
                    ("controller", controller),
                    ("csrow", row),
                    ("channel", channel),
                    ("dimm_label", &dimm),
                ],
                value,
            );
        }
    }
    Ok(())
}

/// `mc#0csrow#1channel#2` is `mc0_csrow1_channel2`.
fn dimm_label(path: &Path) -> Result<String, SourceError> {
    let label = sysfs::text_if_any(path)?;
    Ok(label.map_or_else(
        || "unknown".to_owned(),
        |it| it.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel"),
    ))
}

fn number_after<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let number = name.strip_prefix(prefix)?;
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some(number)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const DIR: &str = "sys/devices/system/edac/mc";

    fn host() -> Host {
        let host = Host::default();
        for (file, text) in [
            ("mc0/ce_count", "7\n"),
            ("mc0/ce_noinfo_count", "1\n"),
            ("mc0/ue_count", "2\n"),
            ("mc0/ue_noinfo_count", "0\n"),
            ("mc0/csrow0/ce_count", "6\n"),
            ("mc0/csrow0/ue_count", "2\n"),
            ("mc0/csrow0/ch0_ce_count", "5\n"),
            ("mc0/csrow0/ch0_ue_count", "2\n"),
            ("mc0/csrow0/ch0_dimm_label", "mc#0csrow#0channel#0\n"),
            ("mc0/csrow0/ch1_ce_count", "1\n"),
            ("mc0/dimm0/dimm_label", "not read"),
            ("mcx/ce_count", "not read"),
        ] {
            host.file(&format!("{DIR}/{file}"), text);
        }
        host
    }

    #[test]
    fn errors_are_told_by_controller_row_and_channel() {
        host().check(collect, &expect![[r##"
            # HELP node_edac_channel_correctable_errors_total Memory errors that were corrected, by channel of a row of chips.
            # TYPE node_edac_channel_correctable_errors_total counter
            node_edac_channel_correctable_errors_total{controller="0",csrow="0",channel="0",dimm_label="mc0_csrow0_channel0"} 5
            node_edac_channel_correctable_errors_total{controller="0",csrow="0",channel="1",dimm_label="unknown"} 1
            # HELP node_edac_channel_uncorrectable_errors_total Memory errors that could not be corrected, by channel of a row of chips.
            # TYPE node_edac_channel_uncorrectable_errors_total counter
            node_edac_channel_uncorrectable_errors_total{controller="0",csrow="0",channel="0",dimm_label="mc0_csrow0_channel0"} 2
            # HELP node_edac_correctable_errors_total Memory errors that the controller corrected.
            # TYPE node_edac_correctable_errors_total counter
            node_edac_correctable_errors_total{controller="0"} 7
            # HELP node_edac_csrow_correctable_errors_total Memory errors that were corrected, by row of chips.
            # TYPE node_edac_csrow_correctable_errors_total counter
            node_edac_csrow_correctable_errors_total{controller="0",csrow="unknown"} 1
            node_edac_csrow_correctable_errors_total{controller="0",csrow="0"} 6
            # HELP node_edac_csrow_uncorrectable_errors_total Memory errors that could not be corrected, by row of chips.
            # TYPE node_edac_csrow_uncorrectable_errors_total counter
            node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="unknown"} 0
            node_edac_csrow_uncorrectable_errors_total{controller="0",csrow="0"} 2
            # HELP node_edac_uncorrectable_errors_total Memory errors that the controller could not correct.
            # TYPE node_edac_uncorrectable_errors_total counter
            node_edac_uncorrectable_errors_total{controller="0"} 2
        "##]]);
    }

    #[test]
    fn a_count_that_is_no_number_is_named_and_a_host_without_controllers_has_none() {
        Host::default().check(collect, &expect![""]);
        host().file(&format!("{DIR}/mc0/csrow0/ue_count"), "many\n").check(
            collect,
            &expect![[r#"
            error: /sys/devices/system/edac/mc/mc0/csrow0/ue_count: not a number: "many"
        "#]],
        );
    }
}
