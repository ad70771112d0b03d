//! Stage `multiline`: lines behind a first line are joined to it.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use ::regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::Labels;
use tokio::time::Instant;

use super::{
    Builder, Context, Entry, Flush, Stage, StageError, settings,
    units::{duration, pattern},
};

const LINES_MAX_DEFAULT: u64 = 128;
const WAIT_MAX_DEFAULT: Duration = Duration::from_secs(3);
/// Bounds a joined entry, and so what is held back of a stream.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Streams of one source with lines held back; of more, lines are not joined.
const STREAMS_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    firstline: Option<String>,
    max_lines: Option<u64>,
    max_wait_time: Option<String>,
}

#[derive(Debug, Clone)]
struct MultilineStage {
    first_line: Regex,
    lines_max: u64,
    wait_max: Duration,
    /// Streams that have had a first line; lines before that pass as they are.
    begun: HashSet<Labels>,
    /// What is held back of a stream.
    blocks: BTreeMap<Labels, Block>,
    /// The last first line of a stream, for lines that come behind a block that was let go.
    firsts: BTreeMap<Labels, Entry>,
}

#[derive(Debug, Clone)]
struct Block {
    /// Labels, time and values of the first line, with the text so far.
    entry: Entry,
    n_lines: u64,
    last_at: Instant,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let Settings { firstline, max_lines, max_wait_time } = settings(config)?;
    let Some(firstline) = firstline else {
        return Err(StageError::Invalid(
            "multiline stage config must define `firstline` regular expression",
        ));
    };
    let wait_max = max_wait_time.map(|it| duration("max_wait_time", &it)).transpose()?;
    Ok(Box::new(MultilineStage {
        first_line: pattern(&firstline)?,
        lines_max: max_lines.unwrap_or(LINES_MAX_DEFAULT),
        wait_max: wait_max.unwrap_or(WAIT_MAX_DEFAULT),
        begun: HashSet::new(),
        blocks: BTreeMap::new(),
        firsts: BTreeMap::new(),
    }))
}

impl Stage for MultilineStage {
    fn run(&mut self, entry: Entry, context: &mut Context, out: &mut Vec<Entry>) {
        let is_first = self.first_line.is_match(&entry.line);
        let stream = entry.labels.clone().build();
        if !self.begun.contains(&stream) {
            if !is_first || self.begun.len() >= STREAMS_MAX {
                out.push(entry);
                return;
            }
            self.begun.insert(stream.clone());
        }
        if is_first {
            out.extend(self.blocks.remove(&stream).map(|it| it.entry));
            let mut first = entry.clone();
            first.line.clear();
            self.firsts.insert(stream.clone(), first);
        }
        let (begins_at, line) = (entry.begins_at, entry.line);
        let block = self.blocks.entry(stream.clone()).or_insert_with_key(|stream| {
            let mut first = self.firsts.get(stream).cloned().unwrap_or_default();
            first.begins_at = begins_at;
            Block { entry: first, n_lines: 0, last_at: context.now }
        });
        if !block.entry.line.is_empty() {
            block.entry.line.push('\n');
        }
        block.entry.line.push_str(&line);
        block.n_lines += 1;
        block.last_at = context.now;
        if block.n_lines == self.lines_max || block.entry.line.len() >= BLOCK_BYTES_MAX {
            out.extend(self.blocks.remove(&stream).map(|it| it.entry));
        }
    }

    fn flush(&mut self, context: &mut Context, which: Flush, out: &mut Vec<Entry>) {
        let wait_max = self.wait_max;
        let is_due = |it: &Block| which == Flush::All || it.last_at + wait_max <= context.now;
        let due: Vec<Labels> = self
            .blocks
            .iter()
            .filter(|(_, block)| is_due(block))
            .map(|(stream, _)| stream.clone())
            .collect();
        for stream in due {
            out.extend(self.blocks.remove(&stream).map(|it| it.entry));
        }
    }

    fn held_from(&self) -> Option<u64> {
        self.blocks.values().map(|it| it.entry.begins_at).min()
    }

    fn due_at(&self) -> Option<Instant> {
        self.blocks.values().map(|it| it.last_at + self.wait_max).min()
    }

    fn copied(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
