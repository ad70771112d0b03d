//! The kernel's entropy pool, from `/proc/sys/kernel/random`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/sys/kernel/random";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for (file, name, help) in [
        (
            "entropy_avail",
            "node_entropy_available_bits",
            "Entropy the kernel has for random numbers, in bits.",
        ),
        (
            "poolsize",
            "node_entropy_pool_size_bits",
            "Entropy the kernel can hold at most, in bits.",
        ),
    ] {
        let text = context.roots.read_proc(&format!("sys/kernel/random/{file}"))?;
        out.gauge(name, help, number(FILE, "a size", Some(text.trim()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn both_sizes_are_read() {
        let host = Host::default();
        host.file("proc/sys/kernel/random/entropy_avail", "256\n")
            .file("proc/sys/kernel/random/poolsize", "4096\n")
            .check(
                collect,
                &expect![[r#"
                    # HELP node_entropy_available_bits Entropy the kernel has for random numbers, in bits.
                    # TYPE node_entropy_available_bits gauge
                    node_entropy_available_bits 256
                    # HELP node_entropy_pool_size_bits Entropy the kernel can hold at most, in bits.
                    # TYPE node_entropy_pool_size_bits gauge
                    node_entropy_pool_size_bits 4096
                "#]],
            );
        host.file("proc/sys/kernel/random/poolsize", "\n").check(
            collect,
            &expect![[r#"
            error: /proc/sys/kernel/random: a size is not a number: ""
        "#]],
        );
    }
}
