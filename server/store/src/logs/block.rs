//! The columns of one block, decoded when they are asked for.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::{Array as _, AsArray as _, MapArray};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector},
    },
    basic::{Encoding, Type},
    column::{
        page::{Page, PageReader as _},
        reader::{get_column_reader, get_typed_column_reader},
    },
    data_type::{DataType, Int64Type},
    errors::Result,
    file::{page_index::offset_index::PageLocation, serialized_reader::SerializedPageReader},
};
use skep_proto::{
    LogBlockReader, LogColumnData, LogColumns, LogReadError, MetadataBuilder, MetadataColumn,
    TextColumn, Texts, names::column,
};

use super::{
    pages::{MapPage, NumberPage, TextPage, damaged, dictionary, map_page, number_page, text_page},
    table::read_error,
};
use crate::{
    encode::{VALUES_ARE_WORDS, VALUES_KEY},
    part::Part,
    samples::{BlockRows, Footer, PartBytes},
};

/// Dictionaries of templates that are kept: blocks of a row group come one after the other, and
/// those of a few parts in turn.
const DICTIONARIES_MAX: usize = 16;

const METADATA_NAME: [&str; 3] = [column::METADATA, "key_value", "key"];
const METADATA_VALUE: [&str; 3] = [column::METADATA, "key_value", "value"];

/// A part that is open.
pub(super) struct OpenPart {
    pub(super) part: Arc<Part>,
    pub(super) footer: Arc<Footer>,
    pub(super) bytes: PartBytes,
    values_are_words: bool,
    readers: Mutex<Vec<HeldReader>>,
    dictionaries: Mutex<VecDeque<(ColumnOf, Arc<Texts>)>>,
}

/// The pages of a column that hold the rows of a block.
struct Pages {
    reader: SerializedPageReader<PartBytes>,
    of: ColumnOf,
    /// Numbers of the pages; `None` without a page index.
    covering: Option<Range<usize>>,
    /// Rows of the first page that are not of the block.
    n_skipped: usize,
    /// They are one page, which has the block's rows and no others.
    are_one: bool,
}

/// A row group and a column.
type ColumnOf = (usize, usize);

/// A reader of a column behind some page: its buffers cost as much as a page.
struct HeldReader {
    of: ColumnOf,
    reader: SerializedPageReader<PartBytes>,
    next_page: usize,
}

impl Pages {
    fn next(&mut self) -> Result<Page> {
        self.reader.get_next_page()?.ok_or_else(|| damaged("it lacks rows"))
    }

    /// All of them were read: the reader is kept for the pages behind.
    fn finish(self, part: &OpenPart) {
        if let Some(covering) = self.covering {
            let held = HeldReader { of: self.of, reader: self.reader, next_page: covering.end };
            part.hold(held);
        }
    }
}

/// A block of it.
#[derive(Debug)]
pub(super) struct PartBlock {
    pub(super) part: Arc<OpenPart>,
    pub(super) rows: BlockRows,
}

impl fmt::Debug for OpenPart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OpenPart").field("part", &self.part).finish_non_exhaustive()
    }
}

impl OpenPart {
    pub(super) fn new(part: Arc<Part>, footer: Arc<Footer>, bytes: PartBytes) -> Self {
        let pairs = footer.metadata.metadata().file_metadata().key_value_metadata();
        let promise = pairs.into_iter().flatten().find(|it| it.key == VALUES_KEY);
        let values_are_words = promise.and_then(|it| it.value.as_deref()) == Some(VALUES_ARE_WORDS);
        let (dictionaries, readers) = (Mutex::default(), Mutex::default());
        Self { part, footer, bytes, values_are_words, readers, dictionaries }
    }

    /// Where the column of this name is; `None` where the file has none.
    fn column(&self, name: &str) -> Option<usize> {
        self.column_at(&[name])
    }

    fn column_at(&self, path: &[&str]) -> Option<usize> {
        let schema = self.footer.metadata.metadata().file_metadata().schema_descr();
        schema.columns().iter().position(|it| it.path().parts() == path)
    }

    /// A reader of this column that is not behind this page yet.
    fn held(&self, of: ColumnOf, page: usize) -> Option<HeldReader> {
        let mut held = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // Blocks are mostly read in order: what is left of another row group is of no use.
        held.retain(|it| it.of.0 == of.0);
        let at = held.iter().position(|it| it.of == of && it.next_page <= page)?;
        Some(held.swap_remove(at))
    }

    fn hold(&self, reader: HeldReader) {
        let mut held = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|it| it.of != reader.of);
        held.push(reader);
    }

    /// A block cut where pages of its lines end: those of very long lines hold few rows.
    pub(super) fn cut(&self, block: BlockRows) -> Vec<BlockRows> {
        let metadata = self.footer.metadata.metadata();
        let group = metadata.offset_index().and_then(|it| it.get(block.row_group));
        let (start, end) = (block.first_row, block.first_row + block.n_rows);
        let columns = [column::TEMPLATE].into_iter().chain(column::VALUES);
        let mut cuts: Vec<usize> = columns
            .filter_map(|name| group?.get(self.column(name)?))
            .flat_map(|it| it.page_locations())
            .filter_map(|it| usize::try_from(it.first_row_index).ok())
            .filter(|row| start < *row && *row < end)
            .chain([end])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut first_row = start;
        let piece = |end: usize| {
            let n_rows = end - first_row;
            first_row = end;
            BlockRows { first_row: end - n_rows, n_rows, ..block }
        };
        cuts.into_iter().map(piece).collect()
    }

    /// The row group's dictionary of a column of texts.
    fn dictionary(&self, row_group: usize, column: usize) -> Result<Arc<Texts>> {
        let held = || self.dictionaries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, texts)) = held().iter().find(|it| it.0 == (row_group, column)) {
            return Ok(Arc::clone(texts));
        }
        let metadata = self.footer.metadata.metadata().row_group(row_group);
        let n_rows = usize::try_from(metadata.num_rows()).unwrap_or(0);
        let mut pages = SerializedPageReader::new(
            Arc::new(self.bytes.clone()),
            metadata.column(column),
            n_rows,
            None,
        )?;
        let page = pages.get_next_page()?.ok_or_else(|| damaged("a column has no pages"))?;
        let texts = Arc::new(dictionary(page)?);
        let mut held = held();
        held.push_front(((row_group, column), Arc::clone(&texts)));
        held.truncate(DICTIONARIES_MAX);
        Ok(texts)
    }
}

impl PartBlock {
    /// Ids and time stamps.
    pub(super) fn keys(&self) -> Result<(Vec<i64>, Vec<i64>)> {
        let (least, greatest) = self.rows.ids;
        let ids = if least == greatest {
            vec![least; self.rows.n_rows]
        } else {
            self.numbers::<Int64Type>(column::STREAM_ID)?
        };
        let ts = self.plain_numbers(column::TS)?;
        if ids.len() != self.rows.n_rows || ts.len() != self.rows.n_rows {
            return Err(damaged("it lacks a time stamp"));
        }
        Ok((ids, ts))
    }

    /// Numbers that may be in a dictionary.
    fn numbers<T: DataType>(&self, name: &str) -> Result<Vec<T::T>> {
        let column = self.part.column(name).ok_or_else(|| damaged("it lacks a column"))?;
        let metadata = self.part.footer.metadata.metadata();
        let group = metadata.row_group(self.rows.row_group);
        let n_rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let (bytes, locations) = (Arc::new(self.part.bytes.clone()), self.locations(column));
        let locations = locations.map(<[_]>::to_vec);
        let pages = SerializedPageReader::new(bytes, group.column(column), n_rows, locations)?;
        let descr = metadata.file_metadata().schema_descr().column(column);
        let reader = get_column_reader(descr, Box::new(pages));
        let mut reader = get_typed_column_reader::<T>(reader);
        let mut values = Vec::with_capacity(self.rows.n_rows);
        reader.skip_records(self.rows.first_row)?;
        while values.len() < self.rows.n_rows {
            let n_left = self.rows.n_rows - values.len();
            let (n, ..) = reader.read_records(n_left, None, None, &mut values)?;
            if n == 0 {
                return Err(damaged("it lacks rows"));
            }
        }
        Ok(values)
    }

    /// Numbers that are in no dictionary; nulls are left out.
    fn plain_numbers(&self, name: &str) -> Result<Vec<i64>> {
        let column = self.part.column(name).ok_or_else(|| damaged("it lacks a column"))?;
        let descr =
            self.part.footer.metadata.metadata().file_metadata().schema_descr().column(column);
        let is_wide = descr.physical_type() == Type::INT64;
        let mut pages = self.pages(column)?;
        let are_one = pages.are_one;
        let (mut all, mut n_left) = (Vec::new(), self.rows.n_rows);
        while n_left > 0 {
            let NumberPage { numbers, n_rows } =
                number_page(pages.next()?, descr.max_def_level(), is_wide)?;
            if are_one {
                pages.finish(&self.part);
                return Ok(numbers);
            }
            if numbers.len() != n_rows {
                // Which rows lack one is not worth knowing.
                return Ok(Vec::new());
            }
            let wanted = numbers.into_iter().skip(pages.n_skipped).take(n_left);
            all.extend(wanted);
            n_left = self.rows.n_rows - all.len();
            pages.n_skipped = pages.n_skipped.saturating_sub(n_rows);
        }
        pages.finish(&self.part);
        Ok(all)
    }

    fn locations(&self, column: usize) -> Option<&[PageLocation]> {
        let index = self.part.footer.metadata.metadata().offset_index()?;
        Some(index.get(self.rows.row_group)?.get(column)?.page_locations())
    }

    /// A column's pages. Our writer cuts all columns at the same rows, unless a page would get too
    /// large.
    fn pages(&self, column: usize) -> Result<Pages> {
        let group = self.part.footer.metadata.metadata().row_group(self.rows.row_group);
        let chunk = group.column(column);
        let locations = self.locations(column);
        let covering = locations.map(|it| covering(it, self.rows.first_row, self.rows.n_rows));
        let of = (self.rows.row_group, column);
        let first_page = covering.as_ref().map_or(0, |it| it.start);
        let (mut reader, next_page) = match self.part.held(of, first_page) {
            Some(held) => (held.reader, held.next_page),
            None => {
                let n_rows = usize::try_from(group.num_rows()).unwrap_or(0);
                let bytes = Arc::new(self.part.bytes.clone());
                // All of them: what comes before the first is taken for a dictionary.
                let locations = locations.map(<[_]>::to_vec);
                let mut reader = SerializedPageReader::new(bytes, chunk, n_rows, locations)?;
                if chunk.dictionary_page_offset().is_some() {
                    reader.skip_next_page()?;
                }
                (reader, 0)
            }
        };
        for _ in next_page..first_page {
            reader.skip_next_page()?;
        }
        let first_row = locations.and_then(|it| it.get(first_page)).map(|it| it.first_row_index);
        let first_row = first_row.and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        let n_skipped = self.rows.first_row.saturating_sub(first_row);
        let start_of = |page: usize| {
            let row = locations.and_then(|it| it.get(page)).map(|it| it.first_row_index);
            row.unwrap_or_else(|| group.num_rows())
        };
        let end = self.rows.first_row + self.rows.n_rows;
        let are_one = n_skipped == 0
            && covering.as_ref().is_some_and(|it| {
                it.len() == 1 && usize::try_from(start_of(it.end)).is_ok_and(|it| it == end)
            });
        Ok(Pages { reader, of, covering, n_skipped, are_one })
    }

    /// A column of texts, and which of them each row has.
    fn texts(&self, name: &str) -> Result<(Arc<Texts>, Option<Vec<u32>>)> {
        let column = self.part.column(name).ok_or_else(|| damaged("it lacks a column"))?;
        let mut pages = self.pages(column)?;
        let dictionary = || self.part.dictionary(self.rows.row_group, column);
        if pages.are_one {
            let page = text_page(pages.next()?)?;
            pages.finish(&self.part);
            if page.len() != self.rows.n_rows {
                return Err(damaged("a page has other rows than its index says"));
            }
            return Ok(match page {
                TextPage::Keys(keys) => (dictionary()?, Some(keys)),
                TextPage::Texts(texts) => (Arc::new(texts), None),
            });
        }
        let mut all = Texts::default();
        while all.len() < self.rows.n_rows {
            let page = text_page(pages.next()?)?;
            let end = page.len().min(pages.n_skipped + self.rows.n_rows - all.len());
            let wanted = pages.n_skipped.min(end)..end;
            match &page {
                TextPage::Keys(keys) => {
                    let texts = dictionary()?;
                    let keys = keys.get(wanted).unwrap_or_default();
                    keys.iter().for_each(|it| all.push(texts.get(*it as usize)));
                }
                TextPage::Texts(texts) => wanted.for_each(|it| all.push(texts.get(it))),
            }
            pages.n_skipped = pages.n_skipped.saturating_sub(page.len());
        }
        pages.finish(&self.part);
        Ok((Arc::new(all), None))
    }

    fn templates(&self) -> Result<TextColumn> {
        let (texts, keys) = self.texts(column::TEMPLATE)?;
        match keys {
            Some(keys) => {
                let column = column_of(texts, keys)?;
                Ok(TextColumn { is_dictionary: self.part.values_are_words, ..column })
            }
            None => Ok(TextColumn::plain(owned(texts))),
        }
    }

    fn values(&self, name: &str) -> Result<Texts> {
        let (texts, keys) = self.texts(name)?;
        Ok(match keys {
            Some(keys) => keys.iter().map(|it| texts.get(*it as usize)).collect(),
            None => owned(texts),
        })
    }

    fn metadata(&self) -> Result<MetadataColumn> {
        let (names, values) = (self.pairs(METADATA_NAME)?, self.pairs(METADATA_VALUE)?);
        match (names, values) {
            (Some((ends, names)), Some((value_ends, values))) if ends == value_ends => {
                Ok(MetadataColumn { ends, names, values })
            }
            (Some(_), Some(_)) => Err(damaged("names and values of metadata differ in number")),
            _ => self.metadata_of_any_pages(),
        }
    }

    /// One half of the pairs, and where those of each row end. `None` where pages are not cut at
    /// the block's rows.
    fn pairs(&self, path: [&str; 3]) -> Result<Option<(Vec<u32>, TextColumn)>> {
        let at = self.part.column_at(&path).ok_or_else(|| damaged("it lacks a column"))?;
        let metadata = self.part.footer.metadata.metadata();
        let max_def = metadata.file_metadata().schema_descr().column(at).max_def_level();
        let mut pages = self.pages(at)?;
        if !pages.are_one {
            return Ok(None);
        }
        let MapPage { ends, nulls, page } = map_page(pages.next()?, max_def)?;
        pages.finish(&self.part);
        if ends.len() != self.rows.n_rows {
            return Ok(None);
        }
        let mut column = match page {
            TextPage::Keys(keys) => {
                column_of(self.part.dictionary(self.rows.row_group, at)?, keys)?
            }
            TextPage::Texts(texts) => TextColumn::plain(texts),
        };
        if !nulls.is_empty() {
            column = with_nulls(&column, &nulls);
        }
        Ok(Some((ends, column)))
    }

    fn metadata_of_any_pages(&self) -> Result<MetadataColumn> {
        let column = self.part.footer.metadata.metadata().file_metadata().schema_descr();
        let root = column.root_schema().get_fields();
        let at = root.iter().position(|it| it.name() == column::METADATA);
        let at = at.ok_or_else(|| damaged("it lacks a column"))?;
        let (metadata, rows) = (self.part.footer.metadata.clone(), self.rows);
        let selection = vec![RowSelector::skip(rows.first_row), RowSelector::select(rows.n_rows)];
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.part.bytes.clone(), metadata)
                .with_row_groups(vec![rows.row_group])
                .with_projection(ProjectionMask::roots(column, [at]))
                .with_row_selection(RowSelection::from(selection))
                .with_batch_size(rows.n_rows)
                .build()?;
        let (mut all, mut n_rows) = (MetadataBuilder::default(), 0);
        for batch in reader {
            let batch = batch?;
            let map = batch.column(0).as_map_opt().ok_or_else(|| damaged("metadata is no map"))?;
            append(&mut all, map)?;
            n_rows += map.len();
        }
        if n_rows == rows.n_rows { Ok(all.finish()) } else { Err(damaged("it lacks rows")) }
    }

    fn fill(&self, data: &mut LogColumnData, columns: LogColumns) -> Result<()> {
        if columns.templates && data.templates.is_none() {
            data.templates = Some(self.templates()?);
        }
        for (at, (values, name)) in data.values.iter_mut().zip(column::VALUES).enumerate() {
            if columns.values & (1 << at) != 0 && values.is_none() {
                *values = Some(self.values(name)?);
            }
        }
        if columns.line_bytes && data.line_bytes.is_none() {
            data.line_bytes = self.line_bytes()?;
            if data.line_bytes.is_none() {
                self.fill(data, LogColumns::LINES)?;
            }
        }
        if columns.metadata && data.metadata.is_none() {
            data.metadata = Some(self.metadata()?);
        }
        Ok(())
    }

    /// `None` in files from before there was that column.
    fn line_bytes(&self) -> Result<Option<Vec<u32>>> {
        if self.part.column(column::LINE_BYTES).is_none() {
            return Ok(None);
        }
        let numbers = self.plain_numbers(column::LINE_BYTES)?.into_iter();
        let numbers = numbers.map(|it| u32::try_from(it).unwrap_or(0));
        Ok(Some(numbers.collect::<Vec<_>>()).filter(|it| it.len() == self.rows.n_rows))
    }
}

impl LogBlockReader for PartBlock {
    fn load(&mut self, data: &mut LogColumnData, columns: LogColumns) -> Result<(), LogReadError> {
        self.fill(data, columns).map_err(|error| read_error(&self.part.part, error))
    }

    fn metadata_names(&mut self) -> Result<Option<Arc<Texts>>, LogReadError> {
        let names = || {
            let metadata = self.part.footer.metadata.metadata();
            let at = self.part.column_at(&METADATA_NAME)?;
            let chunk = metadata.row_group(self.rows.row_group).column(at);
            // Of pages of data.
            let encodings = chunk.page_encoding_stats_mask()?;
            let is_complete = encodings.is_only(Encoding::RLE_DICTIONARY);
            (is_complete && chunk.dictionary_page_offset().is_some())
                .then(|| self.part.dictionary(self.rows.row_group, at))
        };
        names().transpose().map_err(|error| read_error(&self.part.part, error))
    }
}

fn owned(texts: Arc<Texts>) -> Texts {
    Arc::try_unwrap(texts).unwrap_or_else(|it| it.iter().collect())
}

fn column_of(texts: Arc<Texts>, keys: Vec<u32>) -> Result<TextColumn> {
    if keys.iter().any(|it| *it as usize >= texts.len()) {
        return Err(damaged("a dictionary lacks a text"));
    }
    Ok(TextColumn { texts, keys, is_dictionary: true })
}

/// With an empty text at each of these places.
fn with_nulls(column: &TextColumn, nulls: &[usize]) -> TextColumn {
    let mut texts = Texts::default();
    let (mut next, mut nulls) = (0, nulls.iter().peekable());
    while next < column.keys.len() || nulls.peek().is_some() {
        if nulls.next_if(|it| **it == texts.len()).is_some() {
            texts.push("");
        } else {
            texts.push(column.of(next));
            next += 1;
        }
    }
    TextColumn::plain(texts)
}

/// Which pages hold these rows of a row group.
fn covering(pages: &[PageLocation], first_row: usize, n_rows: usize) -> Range<usize> {
    let starts_before = |row: usize| {
        pages.partition_point(|it| usize::try_from(it.first_row_index).is_ok_and(|it| it < row))
    };
    starts_before(first_row + 1).saturating_sub(1)..starts_before(first_row + n_rows)
}

fn append(all: &mut MetadataBuilder, map: &MapArray) -> Result<()> {
    let texts = || Some((map.keys().as_string_opt::<i32>()?, map.values().as_string_opt::<i32>()?));
    let (names, values) = texts().ok_or_else(|| damaged("metadata is no map of texts"))?;
    let bound = |at: usize| map.value_offsets().get(at).and_then(|it| usize::try_from(*it).ok());
    for row in 0..map.len() {
        let pairs = bound(row).unwrap_or(0)..bound(row + 1).unwrap_or(0);
        let value = |at| if values.is_null(at) { "" } else { values.value(at) };
        all.push(pairs.map(|at| (names.value(at), value(at))));
    }
    Ok(())
}
