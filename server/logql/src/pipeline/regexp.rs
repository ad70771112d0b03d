//! `| regexp "(?P<name>…)"`: named groups become labels.

use regex::Regex;

use super::{Line, RunStage};
use crate::{check, error::QueryError};

#[derive(Debug)]
pub(super) struct RegexpStage {
    regex: Regex,
}

impl RegexpStage {
    pub(super) fn compile(text: &str) -> Result<Self, QueryError> {
        Ok(Self { regex: check::line_regex(text)? })
    }
}

impl RunStage for RegexpStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        let labels = &mut *line.labels;
        // A line that does not match is no error, so that nobody misses what nobody asked for.
        let mut names = self.regex.capture_names().flatten();
        if !names.any(|it| labels.hints().wants(it)) {
            return true;
        }
        if let Some(captures) = self.regex.captures(&line.text) {
            for (i, name) in self.regex.capture_names().enumerate() {
                let Some(name) = name else { continue };
                labels.extract(name, captures.get(i).map_or("", |it| it.as_str()));
            }
        }
        true
    }
}
