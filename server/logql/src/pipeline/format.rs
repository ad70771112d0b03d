//! `| line_format "{{.msg}}"` and `| label_format a=b, c="{{.d}}"`.

use std::borrow::Cow;

use skep_proto::go_template::Template;

use super::{Line, RunStage, labels::Category};
use crate::{
    ast::{LabelFormat, LabelFormatValue, Stage},
    error::{ParseError, QueryError},
    print,
};

/// The `__error__` of a line on which a template failed.
const TEMPLATE_ERROR: &str = "TemplateFormatErr";

#[derive(Debug)]
pub(super) struct LineFormatStage {
    template: Template,
}

impl LineFormatStage {
    pub(super) fn compile(text: &str, stage: &Stage) -> Result<Self, QueryError> {
        let template = Template::parse(text, "line")
            .map_err(|error| refused(&error, stage, "invalid line template"))?;
        Ok(Self { template })
    }
}

impl RunStage for LineFormatStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        match self.template.run(line.ts_ns, &line.text, line.labels) {
            Ok(text) => line.text = Cow::Owned(text),
            Err(details) => {
                line.labels.set_error(TEMPLATE_ERROR);
                line.labels.set_error_details(&details);
            }
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct LabelFormatStage {
    formats: Vec<(String, Format)>,
    /// All templates see the labels as the first one does.
    has_many_templates: bool,
}

#[derive(Debug)]
enum Format {
    Rename(String),
    Template(Template),
}

impl LabelFormatStage {
    pub(super) fn compile(formats: &[LabelFormat], stage: &Stage) -> Result<Self, QueryError> {
        let formats = formats
            .iter()
            .map(|LabelFormat { label, value }| {
                let format = match value {
                    LabelFormatValue::Rename(from) => Format::Rename(from.clone()),
                    LabelFormatValue::Template(text) => {
                        let what = format!("invalid template for label '{label}'");
                        let template = Template::parse(text, "label")
                            .map_err(|error| refused(&error, stage, &what))?;
                        Format::Template(template)
                    }
                };
                Ok((label.clone(), format))
            })
            .collect::<Result<Vec<_>, QueryError>>()?;
        let templates = formats.iter().filter(|(_, it)| matches!(it, Format::Template(_)));
        Ok(Self { has_many_templates: templates.count() > 1, formats })
    }
}

impl RunStage for LabelFormatStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let mut before = None;
        for (label, format) in &self.formats {
            match format {
                Format::Rename(from) => {
                    let found = line
                        .labels
                        .find_pair(from)
                        .map(|(category, _, value)| (category, value.to_owned()));
                    if let Some((category, value)) = found {
                        line.labels.set(category, label, &value);
                        line.labels.remove(from);
                    }
                }
                Format::Template(template) => {
                    if self.has_many_templates {
                        before.get_or_insert_with(|| line.labels.clone());
                    }
                    let labels = before.as_ref().unwrap_or(line.labels);
                    match template.run(line.ts_ns, &line.text, labels) {
                        Ok(value) => line.labels.set(Category::Parsed, label, &value),
                        Err(details) => {
                            line.labels.set_error(TEMPLATE_ERROR);
                            line.labels.set_error_details(&details);
                        }
                    }
                }
            }
        }
        true
    }
}

fn refused(message: &str, stage: &Stage, what: &str) -> QueryError {
    ParseError::new(format!("stage '{}' : {what}: {message}", print::stage_text(stage))).into()
}

#[cfg(test)]
mod tests {
    use crate::pipeline::tests::check;
    use expect_test::expect;

    #[test]
    fn a_line_is_made_of_labels_and_functions() {
        check(
            r#"| logfmt | line_format `{{.msg | upper}} {{ if eq .n "2" }}two{{ else }}other{{ end }} {{ printf "%05d|%-4s|" 42 .n }}{{ add 1 2 }}{{- __line__ | len }}`"#,
            "msg=hi n=2",
            expect![[r#"
                HI two 00042|2   |310
                msg="hi" n="2""#]],
        );
    }

    #[test]
    fn labels_are_renamed_and_made() {
        check(
            r#"| logfmt | label_format b=a, c="{{.a}}-{{.nope}}!""#,
            "a=1",
            expect![[r#"
                a=1
                b="1" c="-!""#]],
        );
    }

    #[test]
    fn a_function_that_fails_leaves_the_line() {
        check(
            "| line_format `{{ div 1 0 }}`",
            "x",
            expect![[r#"
                x
                __error__="TemplateFormatErr" __error_details__="template: line:1:3: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero""#]],
        );
    }
}
