//! Open file descriptors of the whole host, from `/proc/sys/fs/file-nr`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/sys/fs/file-nr";

/// `allocated unused maximum`.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("sys/fs/file-nr")?;
    let mut fields = text.split_ascii_whitespace();
    let allocated = number(FILE, "allocated", fields.next())?;
    let maximum = number(FILE, "maximum", fields.nth(1))?;
    out.gauge("node_filefd_allocated", "Open file handles of the whole host.", allocated);
    out.gauge("node_filefd_maximum", "File handles that the whole host may open at most.", maximum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn the_middle_figure_is_left_out() {
        let host = Host::default();
        host.file("proc/sys/fs/file-nr", "1024\t0\t1631329\n").check(
            collect,
            &expect![[r#"
                # HELP node_filefd_allocated Open file handles of the whole host.
                # TYPE node_filefd_allocated gauge
                node_filefd_allocated 1024
                # HELP node_filefd_maximum File handles that the whole host may open at most.
                # TYPE node_filefd_maximum gauge
                node_filefd_maximum 1.631329e+06
            "#]],
        );
        host.file("proc/sys/fs/file-nr", "1024\t0\n").check(
            collect,
            &expect![[r#"
            error: /proc/sys/fs/file-nr: maximum is missing
        "#]],
        );
    }
}
