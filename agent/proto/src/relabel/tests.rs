//! What Prometheus documents about each action.

use super::*;
use crate::LabelsBuilder;
use expect_test::{Expect, expect};

fn rules(yaml: &str) -> Result<Vec<Rule>, String> {
    let raw: Vec<RawRule> = serde_saphyr::from_str(yaml).map_err(|it| it.to_string())?;
    raw.into_iter().map(|it| it.rule(false).map_err(|it| it.to_string())).collect()
}

/// Labels `name=value, …`, rules in YAML.
#[track_caller]
fn check(labels: &str, yaml: &str, expected: &Expect) {
    let mut builder = LabelsBuilder::default();
    for (name, value) in labels.split(", ").filter_map(|it| it.split_once('=')) {
        builder.set(name, value);
    }
    let found = match rules(yaml) {
        Ok(rules) if process(&rules, &mut builder) => builder.build().to_string(),
        Ok(_) => "dropped".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&found);
}

#[test]
fn replace_expands_what_matched_and_leaves_the_rest() {
    check(
        "a=foo, b=bar",
        "[{source_labels: [a], target_label: d, regex: f(.*), replacement: 'ch${1}-ch${1}'}]",
        &expect![[r#"{a="foo", b="bar", d="choo-choo"}"#]],
    );
    // Anchored at both ends.
    check(
        "a=foo",
        "[{source_labels: [a], target_label: d, regex: o+, replacement: x}]",
        &expect![[r#"{a="foo"}"#]],
    );
    check(
        "a=foo, b=bar",
        "[{source_labels: [a, b], separator: '-', target_label: '${1}_x', regex: '(.*)-(?P<rest>.*)', replacement: '$rest'}]",
        &expect![[r#"{a="foo", b="bar", foo_x="bar"}"#]],
    );
    // Nothing to put there removes it; a value without source is set.
    check("a=foo, b=bar", "[{target_label: a, replacement: ''}]", &expect![[r#"{b="bar"}"#]]);
    check(
        "a=foo",
        "[{target_label: env, replacement: prod}]",
        &expect![[r#"{a="foo", env="prod"}"#]],
    );
    // A line break is a character like any other, `$$` a dollar sign.
    check(
        "a=x\ny",
        "[{source_labels: [a], target_label: b, replacement: '$$1 ${nosuch}z'}]",
        &expect![[r#"{a="x\ny", b="$1 z"}"#]],
    );
}

#[test]
fn keep_and_drop_decide_about_the_whole_set() {
    check("a=foo", "[{source_labels: [a], regex: f.o, action: keep}]", &expect![[r#"{a="foo"}"#]]);
    check("a=foo", "[{source_labels: [a], regex: o, action: keep}]", &expect!["dropped"]);
    check("a=foo", "[{source_labels: [a], regex: f.*, action: Drop}]", &expect!["dropped"]);
    check("a=foo", "[{source_labels: [a, b], regex: 'foo;', action: drop}]", &expect!["dropped"]);
    check(
        "a=1, b=1",
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        &expect![[r#"{a="1", b="1"}"#]],
    );
    check(
        "a=1, b=2",
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        &expect!["dropped"],
    );
    check(
        "a=1, b=1",
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        &expect!["dropped"],
    );
    check(
        "a=1, b=2",
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        &expect![[r#"{a="1", b="2"}"#]],
    );
}

#[test]
fn labels_are_mapped_dropped_kept_and_their_case_changed() {
    check(
        "__meta_x=1, __meta_y=2, a=3",
        "[{regex: '__meta_(.+)', action: labelmap}, {regex: '__meta_.*', action: labeldrop}]",
        &expect![[r#"{a="3", x="1", y="2"}"#]],
    );
    check(
        "a=1, b1=2, b2=3",
        "[{regex: 'b.', action: labelkeep}]",
        &expect![[r#"{b1="2", b2="3"}"#]],
    );
    check(
        "a=Straße",
        "[{source_labels: [a], target_label: u, action: uppercase}, {source_labels: [a], target_label: l, action: lowercase}]",
        &expect![[r#"{a="Straße", l="straße", u="STRASSE"}"#]],
    );
}

#[test]
fn hashmod_agrees_with_prometheus() {
    check(
        "a=foo, b=bar, c=baz",
        "[{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}]",
        &expect![[r#"{a="foo", b="bar", c="baz", d="976"}"#]],
    );
    check(
        "a=foo\nbar",
        "[{source_labels: [a], target_label: b, modulus: 1000, action: hashmod}]",
        &expect![[r#"{a="foo\nbar", b="734"}"#]],
    );
}

#[test]
fn rules_that_cannot_be_meant_are_refused_in_prometheus_words() {
    for (yaml, expected) in [
        ("[{action: foo}]", expect![[r#"unknown relabel action "foo""#]]),
        (
            "[{action: hashmod, target_label: d}]",
            expect!["relabel configuration for hashmod requires non-zero modulus"],
        ),
        (
            "[{source_labels: [a]}]",
            expect!["relabel configuration for replace action requires 'target_label' value"],
        ),
        (
            "[{regex: a, target_label: b, action: labeldrop}]",
            expect!["labeldrop action requires only 'regex', and no other fields"],
        ),
        (
            "[{regex: a, target_label: b, action: keepequal}]",
            expect![
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields"
            ],
        ),
        ("[{target_label: b, regex: '('}]", expect![[r#"error parsing regexp "(""#]]),
        (
            "[{source_labels: [a], target_label: b, replacement: x, action: lowercase}]",
            expect![[r#""x" is invalid 'replacement' for lowercase action"#]],
        ),
        ("[{source_labels: [''], action: keep}]", expect![[r#""" is not a valid label name"#]]),
    ] {
        expected.assert_eq(&rules(yaml).unwrap_err());
    }
}
