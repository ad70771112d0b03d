//! Stage `replace`: what groups of an expression match is replaced by a template of it.

use std::{collections::BTreeMap, sync::Arc};

use ::regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::go_template::Template;

use super::{
    Builder, Context, Entry, Process, Stage, StageError, settings,
    template::{Data, parse},
    units::{checked_source, pattern},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    expression: String,
    source: Option<String>,
    #[serde(default)]
    replace: String,
}

#[derive(Debug, Clone)]
struct ReplaceStage {
    regex: Regex,
    source: Option<String>,
    template: Arc<Template>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { expression, source, replace } = settings(config)?;
    if expression.is_empty() {
        return Err(StageError::Invalid("expression is required"));
    }
    checked_source(source.as_ref())?;
    let template = Arc::new(parse(&replace)?);
    Ok(Box::new(ReplaceStage { regex: pattern(&expression)?, source, template }))
}

impl Process for ReplaceStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        let Some((text, found)) = self.replaced(entry) else { return true };
        match &self.source {
            Some(source) => entry.extracted.set_text(source, text),
            None => entry.line = text,
        }
        for (name, text) in found {
            entry.extracted.set_text(&name, text);
        }
        true
    }
}

impl ReplaceStage {
    /// The new text, and what became of the named groups of the first match.
    fn replaced(&self, entry: &Entry) -> Option<(String, Vec<(String, String)>)> {
        let input = entry.extracted.input(self.source.as_deref(), &entry.line)?;
        let first = self.regex.captures(&input)?;
        let mut data = Data::of_texts(&entry.extracted);
        let mut made = BTreeMap::new();
        let mut out = String::with_capacity(input.len());
        let mut copied_to = 0;
        for captures in self.regex.captures_iter(&input) {
            for group in captures.iter().skip(1).flatten() {
                data.set("Value", group.as_str().to_owned());
                let text = self.template.run(entry.ts.0, &entry.line, &data).ok()?;
                // A group inside of one that is replaced already is only looked at.
                if copied_to == 0 || copied_to < group.start() {
                    out.push_str(input.get(copied_to..group.start()).unwrap_or_default());
                    out.push_str(&text);
                    copied_to = group.end();
                }
                made.insert(group.as_str(), text);
            }
        }
        out.push_str(input.get(copied_to..).unwrap_or_default());
        let names = self.regex.capture_names().enumerate();
        let named = names.filter_map(|(idx, name)| {
            let group = first.get(idx).map_or("", |it| it.as_str());
            Some((name?.to_owned(), made.get(group)?.clone()))
        });
        Some((out, named.collect()))
    }
}
