//! `| drop a, b="x"` and `| keep a`.

use super::{Line, RunStage, label_filter::is_error_label};
use crate::ast::LabelPick;

#[derive(Debug)]
pub(super) struct DropStage {
    picks: Vec<LabelPick>,
}

impl DropStage {
    pub(super) fn new(picks: &[LabelPick]) -> Self {
        Self { picks: picks.to_vec() }
    }
}

impl RunStage for DropStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        for pick in &self.picks {
            let (name, drops) = match pick {
                LabelPick::Name(name) => (name.as_str(), true),
                LabelPick::Matching(matcher) => {
                    let value = line.labels.get(matcher.name());
                    (matcher.name(), value.is_some_and(|it| matcher.matches(it)))
                }
            };
            if drops {
                line.labels.remove(name);
            }
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct KeepStage {
    picks: Vec<LabelPick>,
}

impl KeepStage {
    pub(super) fn new(picks: &[LabelPick]) -> Self {
        Self { picks: picks.to_vec() }
    }
}

impl RunStage for KeepStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        line.labels.retain(|name, value| {
            is_error_label(name)
                || self.picks.iter().any(|pick| match pick {
                    LabelPick::Name(it) => it == name,
                    LabelPick::Matching(it) => it.name() == name && it.matches(value),
                })
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;
    use expect_test::expect;

    #[test]
    fn drop_takes_names_and_values() {
        check(
            r#"| logfmt | drop a, b="2", c="9""#,
            "a=1 b=2 c=3",
            expect![[r#"
                a=1 b=2 c=3
                c="3""#]],
        );
    }

    #[test]
    fn keep_leaves_only_what_it_names() {
        check(
            r#"| logfmt | keep a, b="9""#,
            "a=1 b=2 c=3",
            expect![[r#"
                a=1 b=2 c=3
                a="1""#]],
        );
    }
}
