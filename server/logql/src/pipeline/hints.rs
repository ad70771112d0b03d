//! Which labels the aggregation above needs, so that parsers can stop early.
//!
//! This is visible: a parser that has all it needs does not see what is wrong with the rest of a
//! line, exactly as in Loki.

use skep_proto::{go_template::Template, names::LOG_ERROR};

use crate::ast::{Grouping, LabelFilter, LabelFormatValue, Stage, Unwrap};

const DUPLICATE_SUFFIX: &str = "_extracted";

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// Set where only these labels matter.
    required: Option<Vec<String>>,
    /// No label matters at all.
    no_labels: bool,
    /// The query looks at `__error__` itself.
    preserve_error: bool,
}

impl Hints {
    /// The hints of a range aggregation whose result is grouped so; no grouping keeps all labels.
    pub fn new(stages: &[Stage], unwrap: Option<&Unwrap>, grouping: Option<&Grouping>) -> Self {
        let mut names = Vec::new();
        for stage in stages {
            stage_names(stage, &mut names);
        }
        for filter in unwrap.iter().flat_map(|it| &it.filters) {
            filter_names(filter, &mut names);
        }
        if let Some(Grouping::By(labels) | Grouping::Without(labels)) = grouping {
            names.extend(labels.iter().cloned());
        }
        names.extend(unwrap.map(|it| it.label.clone()));
        let bases: Vec<String> = names
            .iter()
            .filter_map(|it| it.strip_suffix(DUPLICATE_SUFFIX))
            .map(str::to_owned)
            .collect();
        names.extend(bases);
        names.sort_unstable();
        names.dedup();
        let preserve_error = names.iter().any(|it| it == LOG_ERROR);
        match grouping {
            Some(Grouping::By(labels)) if labels.is_empty() && names.is_empty() => {
                Self { required: None, no_labels: true, preserve_error }
            }
            Some(Grouping::By(_)) => {
                Self { required: Some(names), no_labels: false, preserve_error }
            }
            _ => Self { required: None, no_labels: false, preserve_error },
        }
    }

    pub(crate) fn required(&self) -> Option<&[String]> {
        self.required.as_deref()
    }

    pub(crate) fn no_labels(&self) -> bool {
        self.no_labels
    }

    pub(crate) fn preserves_error(&self) -> bool {
        self.preserve_error
    }

    /// Whether a parser should take this label.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.required {
            None => !self.no_labels,
            Some(required) => required.iter().any(|it| it == name),
        }
    }

    /// Whether a parser that found so many required labels can stop.
    pub(crate) fn is_done(&self, n_found: usize) -> bool {
        self.required.as_ref().is_some_and(|it| n_found >= it.len())
    }
}

fn stage_names(stage: &Stage, names: &mut Vec<String>) {
    match stage {
        Stage::LabelFilter(filter) => filter_names(filter, names),
        Stage::LabelFormat(formats) => {
            for format in formats {
                match &format.value {
                    LabelFormatValue::Rename(from) => names.push(from.clone()),
                    LabelFormatValue::Template(text) => template_names(text, names),
                }
            }
        }
        Stage::LineFormat(text) => template_names(text, names),
        _ => {}
    }
}

/// The `.label`s a template looks at. What is no template is refused elsewhere.
fn template_names(text: &str, names: &mut Vec<String>) {
    if let Ok(template) = Template::parse(text, "line") {
        names.extend(template.fields().into_iter().map(str::to_owned));
    }
}

fn filter_names(filter: &LabelFilter, names: &mut Vec<String>) {
    match filter {
        LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
            filter_names(left, names);
            filter_names(right, names);
        }
        LabelFilter::Text(matcher) => names.push(matcher.name().to_owned()),
        LabelFilter::Number { label, .. }
        | LabelFilter::Duration { label, .. }
        | LabelFilter::Bytes { label, .. }
        | LabelFilter::Ip { label, .. } => names.push(label.clone()),
    }
}
