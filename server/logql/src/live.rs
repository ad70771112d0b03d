//! Lines one by one, as they come: the log query of a live tail.

use std::{borrow::Cow, sync::Arc};

use skep_proto::{Labels, LogEntry};

use crate::{
    ast::LogExpr,
    error::QueryError,
    leaf::EntryLabels,
    pipeline::{Category, Line, LineLabels, Pipeline},
};

/// Runs each line of a followed stream through the stages of a log query.
#[derive(Debug)]
pub struct LiveLines {
    pipeline: Pipeline,
    labels: LineLabels,
}

impl LiveLines {
    /// # Errors
    /// A stage that is not supported.
    pub fn compile(log: &LogExpr) -> Result<Self, QueryError> {
        let pipeline = Pipeline::compile(&log.stages)?;
        let labels = LineLabels::new(pipeline.hints().clone());
        Ok(Self { pipeline, labels })
    }

    /// Starts a stream; all following lines are its.
    pub fn set_stream(&mut self, labels: &Labels) {
        self.labels.set_stream(labels);
    }

    /// The line behind the stages, with its labels; `None` where they drop it.
    pub fn run(&mut self, entry: LogEntry) -> Option<(Arc<EntryLabels>, String)> {
        if !self.pipeline.needles().iter().all(|it| it.admits(entry.line.as_bytes())) {
            return None;
        }
        self.labels.reset();
        self.labels.add_metadata(entry.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let text = Cow::Borrowed(entry.line.as_str());
        let mut line = Line { ts_ns: entry.ts.0, text, labels: &mut self.labels };
        if !self.pipeline.process(&mut line) {
            return None;
        }
        let changed = match line.text {
            Cow::Borrowed(text) if text == entry.line => None,
            other => Some(other.into_owned()),
        };
        Some((Arc::new(EntryLabels::from(&self.labels)), changed.unwrap_or(entry.line)))
    }
}

impl From<&LineLabels> for EntryLabels {
    fn from(labels: &LineLabels) -> Self {
        let mut out = Self::default();
        for (category, name, value) in labels.iter() {
            let list = match category {
                Category::Stream => &mut out.stream,
                Category::Metadata => &mut out.metadata,
                Category::Parsed => &mut out.parsed,
            };
            list.push((name.to_owned(), value.to_owned()));
        }
        for list in [&mut out.stream, &mut out.metadata, &mut out.parsed] {
            list.sort_unstable();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use skep_proto::TimestampNs;

    use super::*;
    use crate::ast::Expr;

    fn run(query: &str, text: &str) -> Option<(Vec<(String, String)>, String)> {
        let Expr::Log(log) = crate::parse(query).unwrap() else { panic!("{query}") };
        let mut lines = LiveLines::compile(&log).unwrap();
        lines.set_stream(&Labels::from_pairs([("app", "web")]).unwrap());
        let metadata = vec![("pid".to_owned(), "7".to_owned())];
        let entry = LogEntry { ts: TimestampNs(1), line: text.to_owned(), metadata };
        let (labels, line) = lines.run(entry)?;
        let merged = labels.merged();
        Some((merged.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), line))
    }

    #[test]
    fn a_line_passes_the_stages_as_in_a_query() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(run(r#"{app="web"} |= "no""#, "a=1"), None);
        let (labels, line) = run(r#"{app="web"} | logfmt | a>0"#, "a=1").unwrap();
        assert_eq!(labels, [pair("a", "1"), pair("app", "web"), pair("pid", "7")]);
        assert_eq!(line, "a=1");
        let (_, line) =
            run(r#"{app="web"} | logfmt | line_format "{{.a}}{{.a}}!""#, "a=1").unwrap();
        assert_eq!(line, "11!");
        let (_, line) = run(r#"{app="web"} | line_format "xyz""#, "a=1").unwrap();
        assert_eq!(line, "xyz");
    }
}
