//! Load averages, from `/proc/loadavg`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let [one, five, fifteen] = parse(&context.roots.read_proc("loadavg")?)?;
    out.gauge(
        "node_load1",
        "Tasks that run, are ready to or wait uninterruptibly, averaged over 1 minute.",
        one,
    );
    out.gauge(
        "node_load5",
        "Tasks that run, are ready to or wait uninterruptibly, averaged over 5 minutes.",
        five,
    );
    out.gauge(
        "node_load15",
        "Tasks that run, are ready to or wait uninterruptibly, averaged over 15 minutes.",
        fifteen,
    );
    Ok(())
}

fn parse(text: &str) -> Result<[f64; 3], SourceError> {
    let mut fields = text.split_ascii_whitespace();
    let mut next = |what| number("/proc/loadavg", what, fields.next());
    Ok([next("1m load")?, next("5m load")?, next("15m load")?])
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::sources::tests::Host;

    #[track_caller]
    fn check(loadavg: &str, expected: &Expect) {
        Host::default().file("proc/loadavg", loadavg).check(super::collect, expected);
    }

    #[test]
    fn three_averages_are_read() {
        check(
            "0.52 0.58 1.59 1/1184 41234\n",
            &expect![[r#"
                # HELP node_load1 Tasks that run, are ready to or wait uninterruptibly, averaged over 1 minute.
                # TYPE node_load1 gauge
                node_load1 0.52
                # HELP node_load15 Tasks that run, are ready to or wait uninterruptibly, averaged over 15 minutes.
                # TYPE node_load15 gauge
                node_load15 1.59
                # HELP node_load5 Tasks that run, are ready to or wait uninterruptibly, averaged over 5 minutes.
                # TYPE node_load5 gauge
                node_load5 0.58
            "#]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        check(
            "0.52 0.58\n",
            &expect![[r#"
            error: /proc/loadavg: 15m load is missing
        "#]],
        );
        check(
            "0.52 high 0.59 1/1184 41234\n",
            &expect![[r#"
            error: /proc/loadavg: 5m load is not a number: "high"
        "#]],
        );
    }
}
