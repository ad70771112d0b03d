//! Stage `template`: a Go template makes a value of the others.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::go_template::{Fields, Template};

use super::{Builder, Context, Entry, Process, Stage, StageError, extracted::Extracted, settings};

/// The name templates have in errors.
const NAME: &str = "pipeline_template";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Settings {
    source: String,
    template: String,
}

#[derive(Debug, Clone)]
struct TemplateStage {
    source: String,
    template: std::sync::Arc<Template>,
}

/// What a template sees as `.`.
#[derive(Debug)]
pub(super) struct Data<'a> {
    values: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Whether a name that is not there prints as nothing.
    is_empty_where_missing: bool,
}

impl<'a> Data<'a> {
    /// Of the stage `template`.
    fn new(extracted: &'a Extracted) -> Self {
        Self { values: texts(extracted), is_empty_where_missing: false }
    }

    /// Of the stage `replace`, whose map holds nothing but texts.
    pub(super) fn of_texts(extracted: &'a Extracted) -> Self {
        Self { values: texts(extracted), is_empty_where_missing: true }
    }

    pub(super) fn set(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        self.values.insert(Cow::Borrowed(name), text.into());
    }
}

fn texts(extracted: &Extracted) -> BTreeMap<Cow<'_, str>, Cow<'_, str>> {
    extracted
        .iter()
        .filter_map(|(name, value)| Some((Cow::Borrowed(name), value.text()?)))
        .collect()
}

impl Fields for Data<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(AsRef::as_ref)
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.values.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect()
    }

    fn is_empty_where_missing(&self) -> bool {
        self.is_empty_where_missing
    }
}

pub(super) fn parse(text: &str) -> Result<Template, StageError> {
    Template::parse(text, NAME).map_err(|text| StageError::Template { text })
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { source, template } = settings(config)?;
    if source.is_empty() {
        return Err(StageError::Invalid("template source value is required"));
    }
    Ok(Box::new(TemplateStage { source, template: parse(&template)?.into() }))
}

impl Process for TemplateStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        let mut data = Data::new(&entry.extracted);
        if let Some(text) = entry.extracted.get(&self.source).and_then(|it| it.text()) {
            data.set("Value", text);
        }
        data.set("Entry", entry.line.as_str());
        let made = self.template.run(entry.ts.0, &entry.line, &data);
        drop(data);
        match made {
            Ok(text) if text.is_empty() => entry.extracted.remove(&self.source),
            Ok(text) => entry.extracted.set_text(&self.source, text),
            // As in Promtail: the value stays as it is.
            Err(_) => {}
        }
        true
    }
}
