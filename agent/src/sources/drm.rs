//! AMD's graphics cards: how busy they are and their memory, from `/sys/class/drm`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number, read_trimmed, sorted_dir};
use crate::exposition::Exposition;

const DIR: &str = "/sys/class/drm";

const METRICS: [(&str, &str, &str); 7] = [
    ("gpu_busy_percent", "node_drm_gpu_busy_percent", "How busy the GPU is, in percent."),
    (
        "mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "Main memory the card may use through its translation table, in bytes.",
    ),
    (
        "mem_info_gtt_used",
        "node_drm_memory_gtt_used_bytes",
        "Main memory the card uses through its translation table, in bytes.",
    ),
    (
        "mem_info_vis_vram_total",
        "node_drm_memory_vis_vram_size_bytes",
        "Memory of the card that the CPU can see, in bytes.",
    ),
    (
        "mem_info_vis_vram_used",
        "node_drm_memory_vis_vram_used_bytes",
        "Memory of the card that the CPU can see and that is in use, in bytes.",
    ),
    ("mem_info_vram_total", "node_drm_memory_vram_size_bytes", "Memory of the card, in bytes."),
    (
        "mem_info_vram_used",
        "node_drm_memory_vram_used_bytes",
        "Memory of the card that is in use, in bytes.",
    ),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = context.roots.sys.join("class/drm");
    let mut has_some = false;
    for card in sorted_dir(&dir).iter().filter(|it| is_card(it)) {
        let device = dir.join(card).join("device");
        let uevent = read_trimmed(&device.join("uevent")).unwrap_or_default();
        if !uevent.lines().any(|it| it == "DRIVER=amdgpu") {
            continue;
        }
        let file = |name| read_trimmed(&device.join(name)).unwrap_or_default();
        out.family(
            "node_drm_card_info",
            "Always 1; the labels tell the card's maker, memory and power level.",
            MetricKind::Gauge,
        )
        .point(
            [
                ("card", card),
                ("memory_vendor", &file("mem_info_vram_vendor")),
                ("power_performance_level", &file("power_dpm_force_performance_level")),
                ("unique_id", &file("unique_id")),
                ("vendor", "amd"),
            ],
            1.0,
        );
        for (file, name, help) in METRICS {
            // A card without the file has none of it.
            let value = match read_trimmed(&device.join(file)) {
                Some(text) => number(DIR, file, Some(&text))?,
                None => 0.0,
            };
            out.family(name, help, MetricKind::Gauge).point([("card", card)], value);
        }
        has_some = true;
    }
    if has_some { Ok(()) } else { Err(SourceError::NoData { what: "graphics card of AMD's" }) }
}

/// `card0`, but not its connector `card0-DP-1`.
fn is_card(name: &str) -> bool {
    let digits = name.strip_prefix("card").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn cards_of_amd_are_told() {
        let host = Host::default();
        host.file("sys/class/drm/card0/device/uevent", "DRIVER=i915\nPCI_CLASS=30000\n")
            .file("sys/class/drm/card1/device/uevent", "DRIVER=amdgpu\nPCI_CLASS=30000\n")
            .file("sys/class/drm/card1-DP-1/device/uevent", "DRIVER=amdgpu\n");
        for (file, text) in [
            ("gpu_busy_percent", "4"),
            ("mem_info_gtt_total", "8573157376"),
            ("mem_info_gtt_used", "144560128"),
            ("mem_info_vis_vram_total", "8573157376"),
            ("mem_info_vis_vram_used", "1490378752"),
            ("mem_info_vram_total", "8573157376"),
            ("mem_info_vram_vendor", "samsung"),
            ("power_dpm_force_performance_level", "manual"),
            ("unique_id", "0123456789abcdef"),
        ] {
            host.file(&format!("sys/class/drm/card1/device/{file}"), &format!("{text}\n"));
        }
        host.check(collect, &expect![[r##"
            # HELP node_drm_card_info Always 1; the labels tell the card's maker, memory and power level.
            # TYPE node_drm_card_info gauge
            node_drm_card_info{card="card1",memory_vendor="samsung",power_performance_level="manual",unique_id="0123456789abcdef",vendor="amd"} 1
            # HELP node_drm_gpu_busy_percent How busy the GPU is, in percent.
            # TYPE node_drm_gpu_busy_percent gauge
            node_drm_gpu_busy_percent{card="card1"} 4
            # HELP node_drm_memory_gtt_size_bytes Main memory the card may use through its translation table, in bytes.
            # TYPE node_drm_memory_gtt_size_bytes gauge
            node_drm_memory_gtt_size_bytes{card="card1"} 8.573157376e+09
            # HELP node_drm_memory_gtt_used_bytes Main memory the card uses through its translation table, in bytes.
            # TYPE node_drm_memory_gtt_used_bytes gauge
            node_drm_memory_gtt_used_bytes{card="card1"} 1.44560128e+08
            # HELP node_drm_memory_vis_vram_size_bytes Memory of the card that the CPU can see, in bytes.
            # TYPE node_drm_memory_vis_vram_size_bytes gauge
            node_drm_memory_vis_vram_size_bytes{card="card1"} 8.573157376e+09
            # HELP node_drm_memory_vis_vram_used_bytes Memory of the card that the CPU can see and that is in use, in bytes.
            # TYPE node_drm_memory_vis_vram_used_bytes gauge
            node_drm_memory_vis_vram_used_bytes{card="card1"} 1.490378752e+09
            # HELP node_drm_memory_vram_size_bytes Memory of the card, in bytes.
            # TYPE node_drm_memory_vram_size_bytes gauge
            node_drm_memory_vram_size_bytes{card="card1"} 8.573157376e+09
            # HELP node_drm_memory_vram_used_bytes Memory of the card that is in use, in bytes.
            # TYPE node_drm_memory_vram_used_bytes gauge
            node_drm_memory_vram_used_bytes{card="card1"} 0
        "##]]);
    }

    #[test]
    fn a_host_without_such_a_card_has_no_data_and_what_is_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no graphics card of AMD's
        "#]],
        );
        host.file("sys/class/drm/card0/device/uevent", "DRIVER=amdgpu\n")
            .file("sys/class/drm/card0/device/gpu_busy_percent", "busy\n")
            .check(
                collect,
                &expect![[r#"
                error: /sys/class/drm: gpu_busy_percent is not a number: "busy"
            "#]],
            );
    }
}
