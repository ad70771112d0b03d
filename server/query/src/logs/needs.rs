//! What the stages of a log query need a line to have, by which a table may leave blocks out.
//!
//! It is necessary, not sufficient: the pipeline tests every line that comes.

use skep_logql::ast::{LabelFilter, LineFilter, LineOp, Stage};
use skep_proto::{
    LineNeed, MatchOp,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

/// The end of the name that a label gets when the stream has one of the same name.
const DUPLICATE_SUFFIX: &str = "_extracted";
/// What stands for any text in a pattern.
const ANY_TEXT: &str = "<_>";

/// What a table may know something of. `is_stream_label` says which names hide metadata.
pub(super) fn needs(stages: &[Stage], is_stream_label: impl Fn(&str) -> bool) -> LineNeed {
    let mut needs = Vec::new();
    let (mut is_line_as_stored, mut are_labels_as_stored) = (true, true);
    for stage in stages {
        match stage {
            Stage::LineFilter(filter) if is_line_as_stored => needs.extend(of_line(filter)),
            Stage::LabelFilter(filter) if are_labels_as_stored => {
                needs.extend(of_label(filter, &is_stream_label));
            }
            Stage::LineFilter(_) | Stage::LabelFilter(_) => {}
            Stage::Decolorize | Stage::LineFormat(_) => is_line_as_stored = false,
            Stage::Unpack => (is_line_as_stored, are_labels_as_stored) = (false, false),
            Stage::Json
            | Stage::JsonExprs(_)
            | Stage::Logfmt { .. }
            | Stage::Pattern(_)
            | Stage::Regexp(_)
            | Stage::LabelFormat(_)
            | Stage::Drop(_)
            | Stage::Keep(_) => are_labels_as_stored = false,
        }
    }
    LineNeed::All(needs)
}

/// None where the filter needs nothing that can be said.
fn of_line(filter: &LineFilter) -> Option<LineNeed> {
    let alternatives = filter.alternatives.iter().map(|it| match filter.op {
        _ if it.is_ip => None,
        LineOp::Contains => Some(LineNeed::Contains(it.text.clone())),
        LineOp::Regex => skep_proto::go_regex::translate(&it.text).ok().map(LineNeed::Regex),
        LineOp::Pattern => {
            let literals = it.text.split(ANY_TEXT).filter(|it| !it.is_empty());
            Some(LineNeed::All(literals.map(|it| LineNeed::Contains(it.to_owned())).collect()))
        }
        LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern => None,
    });
    Some(LineNeed::Any(alternatives.collect::<Option<_>>()?))
}

fn of_label(filter: &LabelFilter, is_stream_label: &impl Fn(&str) -> bool) -> Option<LineNeed> {
    match filter {
        LabelFilter::And(left, right) => {
            let both = [left, right].into_iter().filter_map(|it| of_label(it, is_stream_label));
            Some(LineNeed::All(both.collect()))
        }
        LabelFilter::Or(left, right) => Some(LineNeed::Any(vec![
            of_label(left, is_stream_label)?,
            of_label(right, is_stream_label)?,
        ])),
        LabelFilter::Text(matcher) => {
            let name = matcher.name();
            // What an absent label equals, and names that are not as they were sent.
            let is_special = matcher.value().is_empty()
                || [LOG_ERROR, LOG_ERROR_DETAILS].contains(&name)
                || name.ends_with(DUPLICATE_SUFFIX)
                || is_stream_label(name);
            (matcher.op() == MatchOp::Equal && !is_special).then(|| LineNeed::Pair {
                name: name.to_owned(),
                value: matcher.value().to_owned(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use skep_logql::ast::Expr as Query;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    fn check(stages: &str, expect: Expect) {
        let query = format!("{{app=\"web\"}} {stages}");
        let Ok(Query::Log(log)) = skep_logql::parse(&query) else { panic!("{query}") };
        let needs = needs(&log.stages, |it| it == "app");
        expect.assert_debug_eq(&needs);
    }

    #[test]
    fn line_filters_are_told_until_a_stage_changes_the_line() {
        check(
            r#"|= "a" or "b" != "c" |~ "d.e" !~ "f" | json |> "<_>g<_><_>h" | line_format "x" |= "i""#,
            expect![[r#"
                All(
                    [
                        Any(
                            [
                                Contains(
                                    "a",
                                ),
                                Contains(
                                    "b",
                                ),
                            ],
                        ),
                        Any(
                            [
                                Regex(
                                    "d.e",
                                ),
                            ],
                        ),
                        Any(
                            [
                                All(
                                    [
                                        Contains(
                                            "g",
                                        ),
                                        Contains(
                                            "h",
                                        ),
                                    ],
                                ),
                            ],
                        ),
                    ],
                )
            "#]],
        );
        check(
            r#"|= "a" or ip("10.0.0.0/8") |= ip("10.0.0.1")"#,
            expect![[r#"
            All(
                [],
            )
        "#]],
        );
    }

    #[test]
    fn equal_labels_are_told_until_a_stage_changes_labels() {
        check(
            r#"| trace="t" and (user="u" or user="v") | line_format "x" | id="i" | logfmt | n="1""#,
            expect![[r#"
                All(
                    [
                        All(
                            [
                                Pair {
                                    name: "trace",
                                    value: "t",
                                },
                                Any(
                                    [
                                        Pair {
                                            name: "user",
                                            value: "u",
                                        },
                                        Pair {
                                            name: "user",
                                            value: "v",
                                        },
                                    ],
                                ),
                            ],
                        ),
                        Pair {
                            name: "id",
                            value: "i",
                        },
                    ],
                )
            "#]],
        );
        check(
            r#"| app="a" | x_extracted="b" | n=1 | user!="u" | user=~"u" | a="" | __error__="" | a="1" or n=1"#,
            expect![[r#"
                All(
                    [],
                )
            "#]],
        );
    }
}
