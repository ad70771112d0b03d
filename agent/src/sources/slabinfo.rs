//! Caches of the kernel's slab allocator, from `/proc/slabinfo`, which only root may read.

use serde::Deserialize;
use skep_proto::MetricKind;

use super::{
    Context, SourceError, number,
    settings::{Pattern, takes},
};
use crate::exposition::Exposition;

const FILE: &str = "/proc/slabinfo";

/// The columns behind the name.
const METRICS: [(&str, &str); 5] = [
    ("node_slabinfo_active_objects", "Objects of the slab cache that are in use."),
    ("node_slabinfo_objects", "Objects of the slab cache, used or not."),
    ("node_slabinfo_object_size_bytes", "Size of one object of the slab cache, in bytes."),
    ("node_slabinfo_objects_per_slab", "Objects in one slab of the slab cache."),
    ("node_slabinfo_pages_per_slab", "Pages of memory one slab of the slab cache takes."),
];

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    slabs_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    slabs_include: Option<Pattern>,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Settings { slabs_exclude, slabs_include } = &context.settings.slabinfo;
    let text = context.roots.read_proc("slabinfo")?;
    let mut slabs = Vec::new();
    // The first line tells the version of the format, the second the columns.
    for line in text.lines().skip(1).filter(|it| !it.starts_with('#')) {
        let mut columns = line.split_ascii_whitespace();
        let Some(name) = columns.next() else { continue };
        if takes(name, slabs_exclude.as_ref(), slabs_include.as_ref()) {
            let mut values = [0.0; METRICS.len()];
            for value in &mut values {
                *value = number(FILE, "a column", columns.next())?;
            }
            slabs.push((name, values));
        }
    }
    for (metric_idx, (name, help)) in METRICS.into_iter().enumerate() {
        let family = out.family(name, help, MetricKind::Gauge);
        for (slab, values) in &slabs {
            family.point([("slab", slab)], values.get(metric_idx).copied().unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const TEXT: &str = "slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables\n\
        dentry             91   126    192   21    1 : tunables    0    0    0 : slabdata 6 6 0\n\
        kmalloc-8k         12    16   8192    4    8 : tunables    0    0    0 : slabdata 4 4 0\n";

    #[test]
    fn each_cache_tells_its_columns() {
        Host::default().file("proc/slabinfo", TEXT).check(
            collect,
            &expect![[r##"
            # HELP node_slabinfo_active_objects Objects of the slab cache that are in use.
            # TYPE node_slabinfo_active_objects gauge
            node_slabinfo_active_objects{slab="dentry"} 91
            node_slabinfo_active_objects{slab="kmalloc-8k"} 12
            # HELP node_slabinfo_object_size_bytes Size of one object of the slab cache, in bytes.
            # TYPE node_slabinfo_object_size_bytes gauge
            node_slabinfo_object_size_bytes{slab="dentry"} 192
            node_slabinfo_object_size_bytes{slab="kmalloc-8k"} 8192
            # HELP node_slabinfo_objects Objects of the slab cache, used or not.
            # TYPE node_slabinfo_objects gauge
            node_slabinfo_objects{slab="dentry"} 126
            node_slabinfo_objects{slab="kmalloc-8k"} 16
            # HELP node_slabinfo_objects_per_slab Objects in one slab of the slab cache.
            # TYPE node_slabinfo_objects_per_slab gauge
            node_slabinfo_objects_per_slab{slab="dentry"} 21
            node_slabinfo_objects_per_slab{slab="kmalloc-8k"} 4
            # HELP node_slabinfo_pages_per_slab Pages of memory one slab of the slab cache takes.
            # TYPE node_slabinfo_pages_per_slab gauge
            node_slabinfo_pages_per_slab{slab="dentry"} 1
            node_slabinfo_pages_per_slab{slab="kmalloc-8k"} 8
        "##]],
        );
    }

    #[test]
    fn caches_can_be_chosen() {
        let mut host = Host::default();
        host.file("proc/slabinfo", TEXT);
        host.settings().slabinfo = toml::from_str("slabs_exclude = \"^kmalloc\"").unwrap();
        assert!(!host.text(collect).contains("kmalloc") && host.text(collect).contains("dentry"));
        host.settings().slabinfo = toml::from_str("slabs_include = \"^kmalloc\"").unwrap();
        assert!(host.text(collect).contains("kmalloc") && !host.text(collect).contains("dentry"));
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/slabinfo: No such file or directory (os error 2)
        "#]],
        );
        let heading = "slabinfo - version: 2.1\n# name\n";
        host.file("proc/slabinfo", &format!("{heading}dentry 1 2 3 4\n"));
        host.check(
            collect,
            &expect![[r#"
            error: /proc/slabinfo: a column is missing
        "#]],
        );
        host.file("proc/slabinfo", &format!("{heading}dentry 1 - 3 4 5\n"));
        host.check(
            collect,
            &expect![[r#"
            error: /proc/slabinfo: a column is not a number: "-"
        "#]],
        );
    }
}
