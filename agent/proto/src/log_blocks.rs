//! Stored log lines as queries read them: blocks of rows whose columns are decoded when they are
//! asked for.
//!
//! A line may lie as a template, which lines of its kind share, and the values that differ: whoever
//! looks for something in templates looks once at many lines, and need not decode the rest.

use std::{error::Error, fmt, future::Future, ops::Range, pin::Pin, sync::Arc};

use memchr::memchr2;

use crate::TimestampNs;

/// Values that a template has room for.
pub const TEMPLATE_VALUES: usize = 8;

/// Whatever storage reports; a query that was waiting for it has failed.
pub type LogReadError = Box<dyn Error + Send + Sync>;

/// A future that may go from thread to thread.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The log entries of one moment.
pub trait LogTable: Send + Sync + fmt::Debug {
    /// Finds the blocks that may hold what is wanted.
    fn open(&self, wanted: LogWanted) -> Pending<Result<Arc<dyn LogBlocks>, LogReadError>>;
}

/// Which rows a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWanted {
    /// Ids of streams, sorted, each once.
    pub ids: Vec<i64>,
    /// Included.
    pub first: TimestampNs,
    /// Included.
    pub last: TimestampNs,
    /// Blocks without a row that has this may be left out.
    pub need: LineNeed,
}

/// What a line needs to be wanted: a necessary condition, by which blocks are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineNeed {
    All(Vec<LineNeed>),
    Any(Vec<LineNeed>),
    Contains(String),
    /// The text of a regular expression that matches somewhere in the line.
    Regex(String),
    /// A pair of metadata.
    Pair {
        name: String,
        value: String,
    },
}

impl LineNeed {
    /// Every line has it.
    pub const NOTHING: Self = Self::All(Vec::new());
}

/// The blocks of one query. They stay readable as long as this is held.
pub trait LogBlocks: Send + Sync {
    /// In an order that keeps entries of one stream and time as they came.
    fn infos(&self) -> &[LogBlockInfo];

    /// Ids, times and wanted rows of the block at this place. It may wait for disk and network.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&self, at: usize) -> Result<LogBlock, LogReadError>;

    /// How much was left out, for EXPLAIN.
    fn describe(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// What is known of a block before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBlockInfo {
    pub n_rows: usize,
    /// Smallest and greatest id of a stream.
    pub ids: (i64, i64),
    /// Oldest and newest, in nanoseconds.
    pub ts: (i64, i64),
    /// Blocks of one source have no entry twice.
    pub source: usize,
    /// Times (ends included) at which blocks of another source may hold the same entries: what
    /// comes twice counts once.
    pub shared: Option<(i64, i64)>,
}

/// Which columns of a block to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogColumns {
    pub templates: bool,
    /// One bit for each of the values.
    pub values: u8,
    pub line_bytes: bool,
    pub metadata: bool,
}

impl LogColumns {
    pub const NONE: Self = Self { templates: false, values: 0, line_bytes: false, metadata: false };
    /// What lines are put together from.
    pub const LINES: Self =
        Self { templates: true, values: u8::MAX, line_bytes: false, metadata: false };
}

/// Decodes columns of one block.
pub trait LogBlockReader: Send + fmt::Debug {
    /// Fills in the columns that are asked for and not there yet. It may wait for disk and
    /// network.
    ///
    /// # Errors
    /// The file cannot be read.
    fn load(&mut self, rows: &mut LogColumnData, columns: LogColumns) -> Result<(), LogReadError>;

    /// Names that metadata of the block may have, among others maybe; `None` where only the
    /// metadata itself tells.
    ///
    /// # Errors
    /// The file cannot be read.
    fn metadata_names(&mut self) -> Result<Option<Arc<Texts>>, LogReadError>;
}

/// Rows of one source, sorted by stream and time.
#[derive(Debug)]
pub struct LogBlock {
    pub ids: Vec<i64>,
    /// Nanoseconds.
    pub ts: Vec<i64>,
    /// The wanted rows, in order; those of a range are of one stream.
    pub wanted: Vec<Range<usize>>,
    data: LogColumnData,
    reader: Option<Box<dyn LogBlockReader>>,
}

/// The columns of a block, as far as they are decoded.
#[derive(Debug, Default)]
pub struct LogColumnData {
    /// Whole lines, where they were never taken apart.
    pub lines: Option<Texts>,
    pub templates: Option<TextColumn>,
    pub values: [Option<Texts>; TEMPLATE_VALUES],
    /// How long each line is.
    pub line_bytes: Option<Vec<u32>>,
    pub metadata: Option<MetadataColumn>,
}

/// Which text each row has.
#[derive(Debug, Default)]
pub struct TextColumn {
    /// Blocks that share it have the same one.
    pub texts: Arc<Texts>,
    /// The row's place in `texts`.
    pub keys: Vec<u32>,
    /// Whether `texts` are those of many rows; of templates, also that all values but the last are
    /// words: letters, digits and `.-:_`, a letter or digit first, with something else around.
    pub is_dictionary: bool,
}

/// Texts, one behind the other.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

/// Structured metadata, sorted by name within a row.
#[derive(Debug, Default)]
pub struct MetadataColumn {
    /// Where the pairs of each row end.
    pub ends: Vec<u32>,
    pub names: TextColumn,
    pub values: TextColumn,
}

/// A [`MetadataColumn`], row by row.
#[derive(Debug, Default)]
pub struct MetadataBuilder {
    ends: Vec<u32>,
    names: Texts,
    values: Texts,
}

impl LogBlock {
    pub fn new(
        ids: Vec<i64>,
        ts: Vec<i64>,
        wanted: Vec<Range<usize>>,
        reader: Box<dyn LogBlockReader>,
    ) -> Self {
        Self { ids, ts, wanted, data: LogColumnData::default(), reader: Some(reader) }
    }

    /// A block whose columns are all there: whole lines of one stream, all of them wanted.
    pub fn of_lines(ids: Vec<i64>, ts: Vec<i64>, lines: Texts, metadata: MetadataColumn) -> Self {
        let wanted = std::iter::once(0..ts.len()).filter(|it| !it.is_empty()).collect();
        let (lines, metadata) = (Some(lines), Some(metadata));
        let data = LogColumnData { lines, metadata, ..LogColumnData::default() };
        Self { ids, ts, wanted, data, reader: None }
    }

    /// Decodes columns, unless they are there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(&mut self, columns: LogColumns) -> Result<(), LogReadError> {
        match &mut self.reader {
            Some(reader) => reader.load(&mut self.data, columns),
            None => Ok(()),
        }
    }

    /// Whether metadata of the block may have such a name. It does not decode the metadata.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn may_have_metadata(
        &mut self,
        is_such: impl Fn(&str) -> bool,
    ) -> Result<bool, LogReadError> {
        let Some(reader) = &mut self.reader else {
            let metadata = self.data.metadata.as_ref();
            return Ok(metadata.is_some_and(|it| it.names.texts.iter().any(is_such)));
        };
        Ok(reader.metadata_names()?.is_none_or(|it| it.iter().any(is_such)))
    }

    /// What is decoded.
    pub fn data(&self) -> &LogColumnData {
        &self.data
    }
}

impl LogColumnData {
    /// The row's line, if the columns it is made of are decoded; `scratch` may be used for it.
    /// Empty where the template is damaged.
    pub fn line<'a>(&'a self, row: usize, scratch: &'a mut String) -> &'a str {
        if let Some(lines) = &self.lines {
            return lines.get(row);
        }
        scratch.clear();
        let Some(templates) = &self.templates else { return scratch };
        if join_template(templates.of(row), |at| self.value(at, row), scratch).is_none() {
            scratch.clear();
        }
        scratch
    }

    /// One of the row's values; empty where the template does not ask for it.
    pub fn value(&self, at: usize, row: usize) -> &str {
        self.values.get(at).and_then(Option::as_ref).map_or("", |it| it.get(row))
    }

    /// How long the lines of these rows are together, in bytes: by [`Self::line_bytes`], or else
    /// by what they are made of.
    pub fn n_bytes(&self, rows: Range<usize>) -> u64 {
        if let Some(n_bytes) = self.line_bytes.as_ref().and_then(|it| it.get(rows.clone())) {
            return n_bytes.iter().map(|it| u64::from(*it)).sum();
        }
        let mut scratch = String::new();
        rows.map(|row| self.line(row, &mut scratch).len() as u64).sum()
    }

    /// Whether two rows have the same pairs of metadata; `false` where that would have to be looked
    /// for in the texts.
    pub fn has_same_metadata(&self, one: usize, other: usize) -> bool {
        self.metadata.as_ref().is_some_and(|it| {
            let (one, other) = (it.pairs(one), it.pairs(other));
            let same = |column: &TextColumn| {
                column.is_dictionary
                    && column.keys.get(one.clone()) == column.keys.get(other.clone())
            };
            (one.is_empty() && other.is_empty()) || (same(&it.names) && same(&it.values))
        })
    }

    /// The row's structured metadata, if it is decoded.
    pub fn metadata(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().flat_map(move |it| it.of(row))
    }
}

impl TextColumn {
    /// A text a row.
    pub fn plain(texts: Texts) -> Self {
        let n_texts = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        Self { texts: Arc::new(texts), keys: (0..n_texts).collect(), is_dictionary: false }
    }

    pub fn of(&self, row: usize) -> &str {
        self.keys.get(row).map_or("", |it| self.texts.get(*it as usize))
    }
}

impl Texts {
    /// `None` where a text does not end on a character, before its begin or behind `text`.
    pub fn new(text: String, ends: Vec<u32>) -> Option<Self> {
        let mut start = 0;
        for &end in &ends {
            if end < start || !text.is_char_boundary(end as usize) {
                return None;
            }
            start = end;
        }
        Some(Self { text, ends })
    }

    /// # Panics
    /// More than 4 GiB of text.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).expect("a block has less than 4 GiB"));
    }

    /// The text at this place; empty if there is none.
    pub fn get(&self, at: usize) -> &str {
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
        };
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// All of them, one behind the other.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|it| all.push(it));
        all
    }
}

impl MetadataBuilder {
    /// Adds the pairs of one more row.
    ///
    /// # Panics
    /// More than 4 G pairs.
    pub fn push<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            self.names.push(name);
            self.values.push(value);
        }
        self.ends.push(u32::try_from(self.names.len()).expect("a block has less than 4 G pairs"));
    }

    pub fn finish(self) -> MetadataColumn {
        let Self { ends, names, values } = self;
        MetadataColumn { ends, names: TextColumn::plain(names), values: TextColumn::plain(values) }
    }
}

impl MetadataColumn {
    /// Where the row's pairs are.
    fn pairs(&self, row: usize) -> Range<usize> {
        let bound = |at: usize| self.ends.get(at).map_or(0, |it| *it as usize);
        row.checked_sub(1).map_or(0, bound)..bound(row)
    }

    fn of(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(row).map(|at| (self.names.of(at), self.values.of(at)))
    }
}

/// Writes a line out of its template and values: `{}` is the next value, `{{` and `}}` are braces.
/// `None` where a brace is neither doubled nor a pair, or a value too many is asked for.
pub fn join_template<'a>(
    mut template: &str,
    values: impl Fn(usize) -> &'a str,
    line: &mut impl fmt::Write,
) -> Option<()> {
    let mut values = (0..TEMPLATE_VALUES).map(values);
    while let Some(at) = memchr2(b'{', b'}', template.as_bytes()) {
        let (text, rest) = template.split_at_checked(at)?;
        let (pair, rest) = rest.split_at_checked(2)?;
        line.write_str(text).ok()?;
        match pair {
            "{}" => line.write_str(values.next()?).ok()?,
            "{{" => line.write_str("{").ok()?,
            "}}" => line.write_str("}").ok()?,
            _ => return None,
        }
        template = rest;
    }
    line.write_str(template).ok()
}
