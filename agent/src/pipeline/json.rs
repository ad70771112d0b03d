//! Stage `json`: values of a JSON line, each found by a JMESPath expression.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::is_label_name;

use super::{
    Builder, Context, Entry, Process, Stage, StageError, extracted::Value, settings,
    units::checked_source,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    expressions: BTreeMap<String, Option<String>>,
    source: Option<String>,
    #[serde(default)]
    drop_malformed: bool,
}

#[derive(Debug, Clone)]
struct JsonStage {
    expressions: Vec<(String, Expression)>,
    source: Option<String>,
    is_malformed_dropped: bool,
}

#[derive(Debug, Clone)]
enum Expression {
    /// `a.b.c`, which most are: found without building another document.
    Path(Vec<String>),
    Jmes(jmespath::Expression<'static>),
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { expressions, source, drop_malformed } = settings(config)?;
    if expressions.is_empty() {
        return Err(StageError::Invalid("JMES expression is required"));
    }
    checked_source(source.as_ref())?;
    let expressions = expressions
        .into_iter()
        .map(|(name, text)| {
            let text = text.filter(|it| !it.is_empty()).unwrap_or_else(|| name.clone());
            Ok((name, Expression::parse(&text)?))
        })
        .collect::<Result<_, StageError>>()?;
    Ok(Box::new(JsonStage { expressions, source, is_malformed_dropped: drop_malformed }))
}

impl Process for JsonStage {
    fn process(&mut self, entry: &mut Entry, _: &mut Context) -> bool {
        let Entry { extracted, line, .. } = entry;
        let Some(input) = extracted.input(self.source.as_deref(), line) else { return true };
        let document = match serde_json::from_str::<Json>(&input) {
            Ok(document @ (Json::Object(_) | Json::Null)) => document,
            _ => return !self.is_malformed_dropped,
        };
        drop(input);
        for (name, expression) in &self.expressions {
            if let Some(value) = expression.find(&document) {
                extracted.set(name, value);
            }
        }
        true
    }
}

impl Expression {
    fn parse(text: &str) -> Result<Self, StageError> {
        let names: Vec<&str> = text.split('.').collect();
        if names.iter().all(|it| is_label_name(it)) {
            return Ok(Self::Path(names.into_iter().map(str::to_owned).collect()));
        }
        jmespath::compile(text).map(Self::Jmes).map_err(|error| StageError::Jmes {
            expression: text.to_owned(),
            text: error.reason.to_string(),
        })
    }

    /// `None` where the search itself fails.
    fn find(&self, document: &Json) -> Option<Value> {
        match self {
            Self::Path(names) => {
                let found = names.iter().try_fold(document, |it, name| it.get(name));
                found.map_or(Some(Value::Null), |it| Some(value(it)))
            }
            Self::Jmes(expression) => {
                let found = expression.search(document).ok()?;
                serde_json::to_value(&*found).ok().map(|it| value(&it))
            }
        }
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::Text(text.clone()),
        // Text again, with the characters escaped that Go escapes for HTML.
        Json::Array(_) | Json::Object(_) => Value::Text(
            json.to_string()
                .replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026"),
        ),
    }
}
