//! Log lines through the stages of a query: compiled once, run line by line.
//!
//! A stage is one file and one arm of [`compile_stage`].

mod color;
mod format;
mod hints;
mod ip;
mod json;
mod json_fields;
mod json_path;
mod label_filter;
mod label_regex;
mod labels;
mod line_filter;
mod logfmt;
pub(crate) mod pattern;
mod pick;
mod regexp;
mod shape;
mod unwrap;

use std::borrow::Cow;

pub use self::{
    hints::Hints,
    labels::{Category, LineLabels},
    line_filter::Needle,
    shape::{Known, Shape, Verdict},
    unwrap::Unwrapped,
};
pub(crate) use self::{
    json_fields::{json_paths, sanitized},
    labels::DUPLICATE_SUFFIX,
};
use crate::{
    ast::{LabelFilter, Stage, Unwrap},
    error::QueryError,
};

/// A line on its way through the stages.
#[derive(Debug)]
pub struct Line<'l> {
    pub ts_ns: i64,
    pub text: Cow<'l, str>,
    pub labels: &'l mut LineLabels,
}

/// One compiled stage.
pub(crate) trait RunStage: Send + Sync + std::fmt::Debug {
    /// Whether the line stays. A stage that cannot read a line keeps it and sets `__error__`.
    fn run(&self, line: &mut Line<'_>) -> bool;
}

/// The stages of one selector, ready to run. Cheap to share between threads.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<Box<dyn RunStage>>,
    /// What `stages` were compiled from.
    ast: Vec<Stage>,
    unwrap: Option<unwrap::Unwrapper>,
    unwrap_label: Option<String>,
    unwrap_filters: Vec<LabelFilter>,
    needles: Vec<Needle>,
    keeps_all: bool,
    hints: Hints,
}

impl Pipeline {
    /// # Errors
    /// A stage that is not supported yet, or whose expression is none.
    pub fn compile(stages: &[Stage]) -> Result<Self, QueryError> {
        Self::compile_metric(stages, None, Hints::default())
    }

    /// The pipeline of a range aggregation: it may take its value from a label, and may know
    /// which labels the aggregation above needs.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_metric(
        stages: &[Stage],
        unwrap: Option<&Unwrap>,
        hints: Hints,
    ) -> Result<Self, QueryError> {
        Ok(Self {
            needles: line_filter::needles(stages),
            keeps_all: !stages
                .iter()
                .any(|it| matches!(it, Stage::LineFilter(_) | Stage::LabelFilter(_))),
            stages: stages.iter().map(compile_stage).collect::<Result<_, _>>()?,
            ast: stages.to_vec(),
            unwrap: unwrap.map(unwrap::Unwrapper::compile).transpose()?,
            unwrap_label: unwrap.map(|it| it.label.clone()),
            unwrap_filters: unwrap.map(|it| it.filters.clone()).unwrap_or_default(),
            hints,
        })
    }

    /// Texts that a line must (or must not) contain for the pipeline to keep it. They hold for the
    /// line as it is stored, so a scan may drop lines by them before anything else.
    pub fn needles(&self) -> &[Needle] {
        &self.needles
    }

    /// Whether nothing depends on what lines say: labels are dropped and kept at most.
    pub fn looks_at_labels_only(&self) -> bool {
        let is_of_labels = |it: &Stage| matches!(it, Stage::Drop(_) | Stage::Keep(_));
        self.ast.iter().all(is_of_labels) && self.unwrap.is_none()
    }

    /// The labels that stages and the aggregation above them look at, if those are known.
    pub(crate) fn label_names(&self) -> &[String] {
        self.hints.required().unwrap_or_default()
    }

    /// Whether every line passes, whatever it is.
    pub fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    /// What the stages need to know about the labels above them; put it into the [`LineLabels`].
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Runs a line through all stages. The labels must have been reset for this line.
    pub fn process(&self, line: &mut Line<'_>) -> bool {
        self.stages.iter().all(|it| it.run(line))
    }

    /// The value of the unwrapped label of a processed line, after the filters behind `unwrap`;
    /// none where the line does not count.
    pub fn unwrap(&self, line: &mut Line<'_>) -> Unwrapped {
        match &self.unwrap {
            None => Unwrapped::NoStage,
            Some(unwrap) => unwrap.run(line),
        }
    }
}

fn compile_stage(stage: &Stage) -> Result<Box<dyn RunStage>, QueryError> {
    Ok(match stage {
        Stage::LineFilter(filter) => Box::new(line_filter::LineFilterStage::compile(filter)?),
        Stage::Json => Box::new(json::JsonStage),
        Stage::JsonExprs(exprs) => Box::new(json::JsonExprsStage::compile(exprs)?),
        Stage::Logfmt { flags, exprs } => Box::new(logfmt::LogfmtStage::compile(*flags, exprs)),
        Stage::Pattern(text) => Box::new(pattern::PatternStage::compile(text)?),
        Stage::Regexp(text) => Box::new(regexp::RegexpStage::compile(text)?),
        Stage::Unpack => Box::new(json::UnpackStage),
        Stage::Decolorize => Box::new(color::DecolorizeStage::new()),
        Stage::LabelFilter(filter) => Box::new(label_filter::LabelFilterStage::compile(filter)?),
        Stage::Drop(picks) => Box::new(pick::DropStage::new(picks)),
        Stage::Keep(picks) => Box::new(pick::KeepStage::new(picks)),
        Stage::LineFormat(text) => Box::new(format::LineFormatStage::compile(text, stage)?),
        Stage::LabelFormat(formats) => Box::new(format::LabelFormatStage::compile(formats, stage)?),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::Expect;
    use skep_proto::Labels;

    use super::*;
    use crate::ast::Expr;

    /// Runs one line of the stream `{app="t"}` through stages.
    fn run(stages: &str, text: &str) -> Option<(String, Vec<(String, String)>)> {
        let query = format!("{{app=\"t\"}} {stages}");
        let Expr::Log(log) = crate::parse(&query).unwrap() else { panic!("{query} has no lines") };
        let pipeline = Pipeline::compile(&log.stages).unwrap();
        let mut labels = LineLabels::new(pipeline.hints().clone());
        labels.set_stream(&Labels::from_pairs([("app", "t")]).unwrap());
        let mut line = Line { ts_ns: 0, text: Cow::Borrowed(text), labels: &mut labels };
        if !pipeline.process(&mut line) {
            return None;
        }
        let mut pairs: Vec<(String, String)> = line
            .labels
            .iter()
            .filter(|(category, _, _)| *category != Category::Stream)
            .map(|(_, name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        pairs.sort();
        Some((line.text.to_string(), pairs))
    }

    /// Compares the line behind the stages and its new labels.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "calls read better")]
    pub(crate) fn check(stages: &str, text: &str, expect: Expect) {
        let shown = match run(stages, text) {
            None => "dropped".to_owned(),
            Some((line, pairs)) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                format!("{line}\n{}", pairs.join(" "))
            }
        };
        expect.assert_eq(&shown);
    }

    pub(crate) fn passes(stages: &str, text: &str) -> bool {
        run(stages, text).is_some()
    }

    #[test]
    fn line_filters_take_alternatives_and_negation() {
        for (filter, yes) in [
            (r#"|= "err""#, true),
            (r#"|= "x" or "err""#, true),
            (r#"!= "x" or "err""#, false),
            (r#"|~ "(?i)ERR.r""#, true),
            (r#"!~ "^an""#, false),
            (r#"|> "<_>error<_>""#, true),
            (r#"|= ip("10.0.0.0/8")"#, true),
            (r#"|= "an" |= "error" != "nope""#, true),
        ] {
            assert_eq!(passes(filter, "an error at 10.1.2.3 now"), yes, "{filter}");
        }
    }

    #[test]
    fn needles_stop_where_a_line_changes() {
        let query = r#"{a="b"} |= "x" | json |= "y" | decolorize |= "z""#;
        let Expr::Log(log) = crate::parse(query).unwrap() else { panic!() };
        let pipeline = Pipeline::compile(&log.stages).unwrap();
        let needles: Vec<&[u8]> =
            pipeline.needles().iter().flat_map(|it| &it.any_of).map(|it| it.needle()).collect();
        assert_eq!(needles, [b"x", b"y"]);
    }

    #[test]
    fn patterns_and_groups_become_labels() {
        check(
            r#"| pattern "<ip> - <_> <rest>""#,
            "1.2.3.4 - x GET /",
            expect_test::expect![[r#"
                1.2.3.4 - x GET /
                ip="1.2.3.4" rest="GET /""#]],
        );
        check(
            r#"| regexp "(?P<method>[A-Z]+) (?P<app>\\S+)""#,
            "1.2.3.4 GET /",
            expect_test::expect![[r#"
                1.2.3.4 GET /
                app_extracted="/" method="GET""#]],
        );
    }
}
