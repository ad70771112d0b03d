//! How many cgroups each controller has, from `/proc/cgroups`.

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/cgroups";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("cgroups")?;
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        let mut fields = line.split_ascii_whitespace();
        let Some(controller) = fields.next() else { continue };
        let mut fields = fields.skip(1);
        let n_cgroups = number(FILE, "the number of cgroups", fields.next())?;
        let enabled = number(FILE, "whether it is enabled", fields.next())?;
        out.family(
            "node_cgroups_cgroups",
            "Cgroups of the controller, in the hierarchy it belongs to.",
            MetricKind::Gauge,
        )
        .point([("subsys_name", controller)], n_cgroups);
        out.family(
            "node_cgroups_enabled",
            "1 if the controller is enabled, else 0.",
            MetricKind::Gauge,
        )
        .point([("subsys_name", controller)], f64::from(u8::from(enabled != 0.0)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn each_controller_tells_its_cgroups() {
        let text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
            cpu\t3\t172\t1\nmemory\t0\t47\t0\n";
        Host::default().file("proc/cgroups", text).check(
            collect,
            &expect![[r##"
            # HELP node_cgroups_cgroups Cgroups of the controller, in the hierarchy it belongs to.
            # TYPE node_cgroups_cgroups gauge
            node_cgroups_cgroups{subsys_name="cpu"} 172
            node_cgroups_cgroups{subsys_name="memory"} 47
            # HELP node_cgroups_enabled 1 if the controller is enabled, else 0.
            # TYPE node_cgroups_enabled gauge
            node_cgroups_enabled{subsys_name="cpu"} 1
            node_cgroups_enabled{subsys_name="memory"} 0
        "##]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/cgroups: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/cgroups", "cpu\t3\n").check(
            collect,
            &expect![[r#"
            error: /proc/cgroups: the number of cgroups is missing
        "#]],
        );
        host.file("proc/cgroups", "cpu\t3\tmany\t1\n").check(
            collect,
            &expect![[r#"
            error: /proc/cgroups: the number of cgroups is not a number: "many"
        "#]],
        );
    }
}
