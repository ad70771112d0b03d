//! Arrays of disks, from `/proc/mdstat` and `/sys/block/md*/md`.

use std::io;

use skep_proto::MetricKind::Gauge;

use super::{Context, SourceError, number, sorted_dir, sysfs};
use crate::exposition::{Exposition, as_f64};

const FILE: &str = "/proc/mdstat";

/// What an array can be doing, as the label says it.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

#[derive(Debug, Default, PartialEq)]
struct Array<'t> {
    device: &'t str,
    /// One of [`STATES`], or what else mdstat says.
    state: &'t str,
    n_active: f64,
    n_failed: f64,
    n_spare: f64,
    n_required: f64,
    blocks: f64,
    blocks_synced: f64,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = match context.roots.read_proc("mdstat") {
        Err(SourceError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(SourceError::NoData { what: "arrays of disks" });
        }
        result => result?,
    };
    for array in parse(&text)? {
        emit(&array, out);
    }
    let block = context.roots.sys.join("block");
    for device in sorted_dir(&block).iter().filter(|it| it.starts_with("md")) {
        let dir = block.join(device).join("md");
        // While an array grows it is as `4 (3)`.
        let path = dir.join("raid_disks");
        let Some(n_disks) = sysfs::text_if_any(&path)? else { continue };
        let n_disks = sysfs::parse(&path, n_disks.split(' ').next().unwrap_or_default())?;
        out.family("node_md_raid_disks", "Disks of the array when it is whole.", Gauge)
            .point([("device", device)], n_disks);
        // Arrays without spare copies have no such file, and nothing that could degrade.
        let n_degraded = sysfs::value_if_any(&dir.join("degraded"))?.unwrap_or_default();
        out.family("node_md_degraded", "Disks that the array lacks.", Gauge)
            .point([("device", device)], n_degraded);
    }
    Ok(())
}

fn emit(array: &Array<'_>, out: &mut Exposition) {
    let device = array.device;
    let family = out.family("node_md_state", "1 for what the array is doing, else 0.", Gauge);
    for state in STATES {
        let is_current = f64::from(u8::from(array.state == state));
        family.point([("device", device), ("state", state)], is_current);
    }
    let family = out.family("node_md_disks", "Disks of the array by their state.", Gauge);
    for (state, n) in
        [("active", array.n_active), ("failed", array.n_failed), ("spare", array.n_spare)]
    {
        family.point([("device", device), ("state", state)], n);
    }
    for (name, help, value) in [
        ("node_md_disks_required", "Disks that the array needs.", array.n_required),
        ("node_md_blocks", "Blocks of 1 KiB in the array.", array.blocks),
        (
            "node_md_blocks_synced",
            "Blocks of the array that are in sync, all of them where nothing is under way.",
            array.blocks_synced,
        ),
    ] {
        out.family(name, help, Gauge).point([("device", device)], value);
    }
}

/// An array is a line with its name, state and disks, one with its size, and where something is
/// under way, one with the progress; the line of a bitmap may stand before it.
fn parse(text: &str) -> Result<Vec<Array<'_>>, SourceError> {
    let mut arrays = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_array = !line.trim().is_empty()
            && !line.starts_with([' ', '\t'])
            && !line.starts_with("Personalities")
            && !line.starts_with("unused");
        if !is_array {
            continue;
        }
        let mut array = device_line(line)?;
        let is_detail = |line: &&str| line.starts_with([' ', '\t']);
        let status = lines.next_if(is_detail);
        status_line(line, status, &mut array)?;
        while let Some(detail) = lines.next_if(is_detail) {
            progress_line(detail, &mut array)?;
        }
        arrays.push(array);
    }
    Ok(arrays)
}

/// `md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]`.
fn device_line(line: &str) -> Result<Array<'_>, SourceError> {
    let mut words = line.split_ascii_whitespace();
    let (Some(device), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else {
        return Err(SourceError::Missing { file: FILE, what: "an array's state" });
    };
    let (n_failed, n_spare) = (count(line, "(F)"), count(line, "(S)"));
    Ok(Array { device, state, n_failed, n_spare, ..Array::default() })
}

/// `195310144 blocks super 1.2 [2/1] [U_]`: of two disks one is there.
fn status_line(
    device_line: &str,
    line: Option<&str>,
    array: &mut Array<'_>,
) -> Result<(), SourceError> {
    let line = line.unwrap_or_default();
    array.blocks = number(FILE, "an array's size", line.split_ascii_whitespace().next())?;
    array.blocks_synced = array.blocks;
    if device_line.contains("raid0") || device_line.contains("linear") {
        array.n_active = count(device_line, "[");
        array.n_required = array.n_active;
    } else if array.state != "inactive" {
        let disks = line.split('[').find_map(|it| it.split(']').next()?.split_once('/'));
        let (required, active) = disks.unzip();
        array.n_required = number(FILE, "the number of disks", required)?;
        array.n_active = number(FILE, "the number of active disks", active)?;
    }
    Ok(())
}

/// `[=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=1K/sec`, or
/// `resync=DELAYED`.
fn progress_line(line: &str, array: &mut Array<'_>) -> Result<(), SourceError> {
    let words = [
        ("recovery", "recovering"),
        ("resync", "resync"),
        ("check", "check"),
        ("reshape", "reshaping"),
    ];
    let Some((_, state)) = words.into_iter().find(|(word, _)| line.contains(word)) else {
        return Ok(());
    };
    array.state = state;
    array.blocks_synced = if line.contains("PENDING") || line.contains("DELAYED") {
        0.0
    } else {
        let done = line.split_once('(').and_then(|(_, it)| it.split('/').next());
        number(FILE, "the progress", done)?
    };
    Ok(())
}

fn count(line: &str, what: &str) -> f64 {
    as_f64(u64::try_from(line.matches(what).count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::{collect, parse};
    use crate::sources::tests::Host;

    const MDSTAT: &str = "Personalities : [raid1] [raid6] [raid0]\n\
        md0 : active raid1 sda1[0] sdb1[1]\n\
        \x20     1000 blocks super 1.2 [2/2] [UU]\n\
        \x20     bitmap: 0/30 pages [0KB], 65536KB chunk\n\
        \n\
        md1 : active raid6 sda2[0] sdb2[1] sdc2[2](F) sdd2[3] sde2[4](S)\n\
        \x20     2000 blocks level 6, 64k chunk, algorithm 2 [4/3] [UU_U]\n\
        \x20     bitmap: 1/30 pages [4KB], 65536KB chunk\n\
        \x20     [=>...................]  recovery =  8.5% (170/2000) finish=17.0min speed=259783K/sec\n\
        \n\
        md2 : active raid0 sda3[0] sdb3[1]\n\
        \x20     3000 blocks super 1.2 512k chunks\n\
        \n\
        md3 : inactive sdb4[1](S)\n\
        \x20     4000 blocks super 1.2\n\
        \n\
        md4 : active (auto-read-only) raid1 sda5[0] sdb5[1]\n\
        \x20     5000 blocks super 1.2 [2/2] [UU]\n\
        \x20     resync=PENDING\n\
        \n\
        md5 : active raid1 sda6[0] sdb6[1]\n\
        \x20     6000 blocks super 1.2 [2/2] [UU]\n\
        \x20     [=>...................]  check =  5.7% (300/6000) finish=0.2min speed=114176K/sec\n\
        \n\
        unused devices: <none>\n";

    #[test]
    #[expect(clippy::too_many_lines, reason = "the golden is long")]
    fn arrays_are_told_with_what_they_are_doing() {
        Host::default()
            .file("proc/mdstat", MDSTAT)
            .file("sys/block/md0/md/raid_disks", "2\n")
            .file("sys/block/md0/md/degraded", "0\n")
            .file("sys/block/md1/md/raid_disks", "5 (4)\n")
            .file("sys/block/md1/md/degraded", "1\n")
            .file("sys/block/md2/md/raid_disks", "2\n")
            .file("sys/block/md9/size", "0\n")
            .check(collect, &expect![[r##"
                # HELP node_md_blocks Blocks of 1 KiB in the array.
                # TYPE node_md_blocks gauge
                node_md_blocks{device="md0"} 1000
                node_md_blocks{device="md1"} 2000
                node_md_blocks{device="md2"} 3000
                node_md_blocks{device="md3"} 4000
                node_md_blocks{device="md4"} 5000
                node_md_blocks{device="md5"} 6000
                # HELP node_md_blocks_synced Blocks of the array that are in sync, all of them where nothing is under way.
                # TYPE node_md_blocks_synced gauge
                node_md_blocks_synced{device="md0"} 1000
                node_md_blocks_synced{device="md1"} 170
                node_md_blocks_synced{device="md2"} 3000
                node_md_blocks_synced{device="md3"} 4000
                node_md_blocks_synced{device="md4"} 0
                node_md_blocks_synced{device="md5"} 300
                # HELP node_md_degraded Disks that the array lacks.
                # TYPE node_md_degraded gauge
                node_md_degraded{device="md0"} 0
                node_md_degraded{device="md1"} 1
                node_md_degraded{device="md2"} 0
                # HELP node_md_disks Disks of the array by their state.
                # TYPE node_md_disks gauge
                node_md_disks{device="md0",state="active"} 2
                node_md_disks{device="md0",state="failed"} 0
                node_md_disks{device="md0",state="spare"} 0
                node_md_disks{device="md1",state="active"} 3
                node_md_disks{device="md1",state="failed"} 1
                node_md_disks{device="md1",state="spare"} 1
                node_md_disks{device="md2",state="active"} 2
                node_md_disks{device="md2",state="failed"} 0
                node_md_disks{device="md2",state="spare"} 0
                node_md_disks{device="md3",state="active"} 0
                node_md_disks{device="md3",state="failed"} 0
                node_md_disks{device="md3",state="spare"} 1
                node_md_disks{device="md4",state="active"} 2
                node_md_disks{device="md4",state="failed"} 0
                node_md_disks{device="md4",state="spare"} 0
                node_md_disks{device="md5",state="active"} 2
                node_md_disks{device="md5",state="failed"} 0
                node_md_disks{device="md5",state="spare"} 0
                # HELP node_md_disks_required Disks that the array needs.
                # TYPE node_md_disks_required gauge
                node_md_disks_required{device="md0"} 2
                node_md_disks_required{device="md1"} 4
                node_md_disks_required{device="md2"} 2
                node_md_disks_required{device="md3"} 0
                node_md_disks_required{device="md4"} 2
                node_md_disks_required{device="md5"} 2
                # HELP node_md_raid_disks Disks of the array when it is whole.
                # TYPE node_md_raid_disks gauge
                node_md_raid_disks{device="md0"} 2
                node_md_raid_disks{device="md1"} 5
                node_md_raid_disks{device="md2"} 2
                # HELP node_md_state 1 for what the array is doing, else 0.
                # TYPE node_md_state gauge
                node_md_state{device="md0",state="active"} 1
                node_md_state{device="md0",state="inactive"} 0
                node_md_state{device="md0",state="recovering"} 0
                node_md_state{device="md0",state="resync"} 0
                node_md_state{device="md0",state="check"} 0
                node_md_state{device="md1",state="active"} 0
                node_md_state{device="md1",state="inactive"} 0
                node_md_state{device="md1",state="recovering"} 1
                node_md_state{device="md1",state="resync"} 0
                node_md_state{device="md1",state="check"} 0
                node_md_state{device="md2",state="active"} 1
                node_md_state{device="md2",state="inactive"} 0
                node_md_state{device="md2",state="recovering"} 0
                node_md_state{device="md2",state="resync"} 0
                node_md_state{device="md2",state="check"} 0
                node_md_state{device="md3",state="active"} 0
                node_md_state{device="md3",state="inactive"} 1
                node_md_state{device="md3",state="recovering"} 0
                node_md_state{device="md3",state="resync"} 0
                node_md_state{device="md3",state="check"} 0
                node_md_state{device="md4",state="active"} 0
                node_md_state{device="md4",state="inactive"} 0
                node_md_state{device="md4",state="recovering"} 0
                node_md_state{device="md4",state="resync"} 1
                node_md_state{device="md4",state="check"} 0
                node_md_state{device="md5",state="active"} 0
                node_md_state{device="md5",state="inactive"} 0
                node_md_state{device="md5",state="recovering"} 0
                node_md_state{device="md5",state="resync"} 0
                node_md_state{device="md5",state="check"} 1
            "##]]);
    }

    #[test]
    fn lines_that_are_damaged_are_told_and_a_host_without_arrays_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no arrays of disks
        "#]],
        );
        host.file("proc/mdstat", "unused devices: <none>\n").check(collect, &expect![""]);
        let texts = [
            "md0\n",
            "md0 : active raid1 sda1[0]\n",
            "md0 : active raid1 sda1[0]\n     1000 blocks\n",
            "md0 : active raid1 sda1[0]\n     1000 blocks [2/x] [U_]\n",
            "md0 : active raid1 sda1[0]\n     1000 blocks [2/1] [U_]\n     resync = 1%\n",
        ];
        let errors: String =
            texts.iter().map(|it| host.file("proc/mdstat", it).text(collect)).collect();
        expect![[r#"
            error: /proc/mdstat: an array's state is missing
            error: /proc/mdstat: an array's size is missing
            error: /proc/mdstat: the number of disks is missing
            error: /proc/mdstat: the number of active disks is not a number: "x"
            error: /proc/mdstat: the progress is missing
        "#]]
        .assert_eq(&errors);
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in any::<prop::sample::Index>(), noise in "\\PC{0,8}") {
            let at = cut.index(MDSTAT.len());
            let (before, after) = MDSTAT.split_at(at);
            if let Ok(arrays) = parse(&format!("{before}{noise}{after}")) {
                prop_assert!(arrays.len() <= 8);
            }
        }
    }
}
