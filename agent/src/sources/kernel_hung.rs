//! Tasks that hung, from `/proc/sys/kernel/hung_task_detect_count`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

/// Kernels before 6.13 do not count them.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Ok(text) = context.roots.read_proc("sys/kernel/hung_task_detect_count") else {
        return Err(SourceError::NoData { what: "count of hung tasks" });
    };
    let file = "/proc/sys/kernel/hung_task_detect_count";
    out.counter(
        "node_kernel_hung_tasks_total",
        "Tasks the kernel found blocked for longer than kernel.hung_task_timeout_secs.",
        number(file, "the count", Some(text.trim()))?,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    fn the_count_is_read_where_there_is_one() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no count of hung tasks
        "#]],
        );
        host.file("proc/sys/kernel/hung_task_detect_count", "42\n");
        host.check(collect, &expect![[r#"
            # HELP node_kernel_hung_tasks_total Tasks the kernel found blocked for longer than kernel.hung_task_timeout_secs.
            # TYPE node_kernel_hung_tasks_total counter
            node_kernel_hung_tasks_total 42
        "#]]);
    }
}
