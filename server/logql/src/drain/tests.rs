//! Patterns of made lines, and what holds for any.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{ast::Expr, pipeline::Pipeline};

fn patterns(lines: &[String]) -> BTreeMap<String, usize> {
    let mut drain = Drain::new(DrainLimits::default());
    let ids: Vec<_> = lines.iter().filter_map(|it| drain.add(it)).collect();
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(drain.pattern(drain.cluster_of(id).unwrap())).or_default() += 1;
    }
    counts
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn check(lines: &[String], expect: Expect) {
    let shown: Vec<_> = patterns(lines).iter().map(|(p, n)| format!("{n} {p}\n")).collect();
    expect.assert_eq(&shown.concat());
}

#[test]
fn lines_of_an_ssh_server_fall_into_few_patterns() {
    let mut lines = Vec::new();
    for n in 0..40 {
        let user = ["root", "ada", "grace", "linus"][n % 4];
        lines.push(format!("Accepted publickey for {user} from 10.0.0.{n} port {} ssh2", 4000 + n));
        lines
            .push(format!("Failed password for invalid user {user} from 192.0.2.{n} port 22 ssh2"));
        lines.push(format!(
            "pam_unix(sshd:session): session opened for user {user}(uid={n}) by (uid=0)"
        ));
        lines.push(format!("Connection closed by 10.0.0.{n} port {n} [preauth]"));
    }
    check(
        &lines,
        expect![[r#"
            40 Accepted publickey for <_> from <_> port <_> ssh2
            40 Connection closed by <_> port <_> [preauth]
            40 Failed password for invalid user <_> from <_> port 22 ssh2
            40 pam_unix(sshd:session): session opened for user <_>(uid=<_>) by (uid=0)
        "#]],
    );
}

#[test]
fn json_and_logfmt_keep_their_keys() {
    let mut lines = Vec::new();
    for n in 0..20 {
        let level = ["info", "warn"][n % 2];
        lines.push(format!(r#"{{"level":"{level}","took":"{n}ms","path":"/x/{n}"}}"#));
        lines.push(format!(r#"level={level} msg="job done" took={n}.5s"#));
    }
    lines.push(String::new());
    lines.push("[]".to_owned());
    check(
        &lines,
        expect![[r#"
            20 level=<_> msg="job done" took=<_>
            20 {"level":"<_>","took":"<_>","path":"<_>"}
        "#]],
    );
}

#[test]
fn limits_hold() {
    let limits = DrainLimits { n_clusters_max: 2, n_shapes_max: 3 };
    let mut drain = Drain::new(limits);
    assert!(drain.add("one").is_some());
    assert!(drain.add("two words").is_some());
    assert!(drain.add("three more words").is_none());
    assert!(drain.add("two things").is_some());
    assert!(drain.add("two others").is_none());
    assert!(drain.add("one").is_some());
}

proptest! {
    /// A pattern is a filter that finds the lines it was made of.
    #[test]
    fn a_pattern_matches_its_lines(
        lines in prop::collection::vec("[ab1<>_ :=\"{}é\\\\|`.]{1,30}", 1..20),
    ) {
        let mut drain = Drain::new(DrainLimits::default());
        let ids: Vec<_> = lines.iter().map(|it| drain.add(it)).collect();
        for (line, id) in lines.iter().zip(ids) {
            let Some(id) = id else { continue };
            let pattern = drain.pattern(drain.cluster_of(id).unwrap());
            prop_assume!(pattern != ANY);
            let text = pattern.replace('\\', "\\\\").replace('"', "\\\"");
            let query = format!("{{a=\"b\"}} |> \"{text}\"");
            let Ok(Expr::Log(log)) = crate::parse(&query) else { panic!("{query}") };
            let pipeline = Pipeline::compile(&log.stages).unwrap();
            let mut labels = crate::pipeline::LineLabels::default();
            let mut line = crate::pipeline::Line {
                ts_ns: 0,
                text: line.as_str().into(),
                labels: &mut labels,
            };
            prop_assert!(pipeline.process(&mut line), "{} {query}", line.text);
        }
    }
}
