//! `widgets.yaml`, and the widgets of services: searches and the custom API.

use std::path::Path;

use super::{Reader, named};
use crate::{
    config::{
        Fault, Format, FormatKind, JsonField, JsonSource, SearchEngine, Trust, address,
        fields::Fields,
    },
    tree::{Node, Value},
    widget,
};

/// As gethomepage knows them by name.
const SEARCHES: [(&str, &str, &str); 5] = [
    ("google", "Google", "https://www.google.com/search?q={query}"),
    ("duckduckgo", "DuckDuckGo", "https://duckduckgo.com/?q={query}"),
    ("bing", "Bing", "https://www.bing.com/search?q={query}"),
    ("baidu", "Baidu", "https://www.baidu.com/s?wd={query}"),
    ("brave", "Brave", "https://search.brave.com/search?q={query}"),
];

impl Reader<'_> {
    pub(super) fn widgets(&mut self, file: &Path, tree: &Node) -> Result<(), Fault> {
        for (path, key, node) in named(file, String::new(), tree)? {
            match key.name.as_str() {
                "search" => {
                    let mut fields = Fields::of(file, path, node)?;
                    self.search_engine(&mut fields)?;
                    self.warn_unknown(&fields, "the search of this page cannot be changed by it");
                }
                "greeting" => {
                    let mut fields = Fields::of(file, path, node)?;
                    let text = fields.text("text")?;
                    fields.node("text_size");
                    self.home.title = self.home.title.take().or(text);
                    self.warn_unknown(&fields, "there is nothing like it here");
                }
                // Every host that sends samples has a card with more.
                "resources" | "glances" => {}
                other => {
                    let text = format!("there is no widget {other:?} here");
                    self.warn(file, key.line, path, text);
                }
            }
        }
        Ok(())
    }

    pub(super) fn search_engine(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let own = fields.text("url")?;
        let name = fields.text("name")?;
        let providers = fields.texts("provider")?;
        for key in ["focus", "target", "showSearchSuggestions", "suggestionUrl"] {
            fields.node(key);
        }
        for provider in providers {
            let known = SEARCHES.iter().find(|(key, ..)| *key == provider);
            let engine = match (known, &own) {
                (Some((_, name, url)), _) => {
                    SearchEngine { name: (*name).to_owned(), url: (*url).to_owned() }
                }
                (None, Some(url)) if provider == "custom" && address::http(url).is_ok() => {
                    let url = format!("{}{{query}}", url.trim_end());
                    SearchEngine { name: name.clone().unwrap_or("the web".to_owned()), url }
                }
                _none => {
                    let text = format!("there is no search engine {provider:?}");
                    self.home.warnings.push(fields.fault("provider", text).0);
                    continue;
                }
            };
            if !self.home.search.contains(&engine) {
                self.home.search.push(engine);
            }
        }
        Ok(())
    }

    /// The values that a service's widget shows; only the custom API asks what we can ask.
    pub(super) fn service_widget(
        &mut self,
        fields: &mut Fields<'_>,
        file: &Path,
    ) -> Result<Option<JsonSource>, Fault> {
        let node = fields.node("widget").or(fields.node("widgets"));
        let Some(node) = node else { return Ok(None) };
        let node = match &node.value {
            Value::List(nodes) => nodes.first().unwrap_or(node),
            _table => node,
        };
        let mut widget = Fields::of(file, fields.path_of("widget"), node)?;
        let kind = widget.text("type")?.unwrap_or_default();
        if kind != "customapi" {
            let text = format!("there is no widget {kind:?} here; customapi is taken");
            self.home.warnings.push(widget.fault("type", text).0);
            return Ok(None);
        }
        let url = self.soft(&mut widget, "url", address::http)?;
        let interval =
            widget.number("refreshInterval")?.map(|ms| (ms / 1_000.0).clamp(1.0, 86_400.0));
        let interval = interval.map_or(self.limits.interval, std::time::Duration::from_secs_f64);
        let mut json_fields = Vec::new();
        for mut mapping in widget.tables("mappings")? {
            json_fields.extend(self.mapping(&mut mapping)?);
            self.warn_unknown(&mapping, "a value is not shown by it");
        }
        widget.node("display");
        if widget.text("method")?.is_some_and(|it| it != "GET") {
            self.home.warnings.push(widget.fault("method", "addresses are only asked by GET").0);
            return Ok(None);
        }
        self.warn_unknown(&widget, "a widget's address is asked without it");
        let timeout = self.limits.timeout;
        Ok(url.filter(|_| !json_fields.is_empty()).map(|url| JsonSource {
            url,
            interval,
            timeout,
            trust: Trust::System,
            fields: json_fields,
        }))
    }

    fn mapping(&mut self, mapping: &mut Fields<'_>) -> Result<Option<JsonField>, Fault> {
        let Some(field) = mapping.node("field") else { return Ok(None) };
        let path = match widget::Path::parse(&dotted(field)) {
            Ok(path) => path,
            Err(text) => {
                self.home.warnings.push(mapping.fault("field", text).0);
                return Ok(None);
            }
        };
        let (kind, unit) = match mapping.text("format")?.as_deref() {
            None | Some("text") => (FormatKind::Text, ""),
            Some("number" | "float") => (FormatKind::Number, ""),
            Some("percent") => (FormatKind::Percent, ""),
            Some("bytes" | "bbytes") => (FormatKind::Bytes, ""),
            Some("byterate" | "bbyterate") => (FormatKind::BytesPerSecond, ""),
            Some("duration") => (FormatKind::Duration, ""),
            Some("bitrate" | "bibitrate") => (FormatKind::Number, " bit/s"),
            Some(other) => {
                let text = format!("there is no format {other:?}; the value is shown as it is");
                self.home.warnings.push(mapping.fault("format", text).0);
                (FormatKind::Text, "")
            }
        };
        let scale = mapping.text("scale")?.map_or(Some(1.0), |it| ratio(&it));
        if scale.is_none() {
            self.home.warnings.push(mapping.fault("scale", "is no number").0);
        }
        let suffix = mapping.text("suffix")?.map_or(unit.to_owned(), |it| format!(" {it}"));
        Ok(Some(JsonField {
            label: mapping.text("label")?.unwrap_or_default(),
            path,
            format: Format {
                kind,
                scale: scale.unwrap_or(1.0),
                prefix: mapping.text("prefix")?.map_or(String::new(), |it| format!("{it} ")),
                suffix,
            },
        }))
    }
}

/// `a: {b: c}` is gethomepage's older way to write `a.b.c`.
fn dotted(node: &Node) -> String {
    match &node.value {
        Value::Map(pairs) => {
            let first = pairs.first();
            first.map_or(String::new(), |(key, value)| match dotted(value) {
                below if below.is_empty() => key.name.clone(),
                below => format!("{}.{below}", key.name),
            })
        }
        other => other.scalar().unwrap_or_default(),
    }
}

/// `0.001` or `1/1000`.
fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let (above, below) = (above.trim().parse::<f64>().ok()?, below.trim().parse::<f64>().ok()?);
    Some(above / below).filter(|it| it.is_finite())
}
