//! The columns of one block, decoded when they are asked for.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::{Array as _, AsArray as _, MapArray};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector},
    },
    basic::{Encoding, PageType},
    column::{
        page::PageReader as _,
        reader::{get_column_reader, get_typed_column_reader},
    },
    data_type::{DataType, Int32Type, Int64Type},
    errors::Result,
    file::{
        metadata::PageEncodingStats, page_index::offset_index::PageLocation,
        serialized_reader::SerializedPageReader,
    },
};
use skep_proto::{
    LogBlockReader, LogColumnData, LogColumns, LogReadError, MetadataBuilder, MetadataColumn,
    TextColumn, Texts, names::column,
};

use super::{
    pages::{MapPage, TextPage, damaged, dictionary, map_page, text_page},
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
#[derive(Debug)]
pub(super) struct OpenPart {
    pub(super) part: Arc<Part>,
    pub(super) footer: Arc<Footer>,
    pub(super) bytes: PartBytes,
    values_are_words: bool,
    /// By row group and column.
    dictionaries: Mutex<VecDeque<((usize, usize), Arc<Texts>)>>,
}

/// Pages of a column, and what comes before the first row that is wanted.
struct Pages {
    reader: SerializedPageReader<PartBytes>,
    before: Before,
}

#[derive(Debug, Clone, Copy)]
struct Before {
    has_dictionary: bool,
    n_pages: usize,
    /// In the page after those.
    n_rows: usize,
}

impl Pages {
    /// The pages of data from the first that is wanted, and how many of its rows are not.
    fn without_dictionary(self) -> Result<(SerializedPageReader<PartBytes>, usize)> {
        let Self { mut reader, before } = self;
        for _ in 0..before.n_pages + usize::from(before.has_dictionary) {
            reader.skip_next_page()?;
        }
        Ok((reader, before.n_rows))
    }
}

/// A block of it.
#[derive(Debug)]
pub(super) struct PartBlock {
    pub(super) part: Arc<OpenPart>,
    pub(super) rows: BlockRows,
}

impl OpenPart {
    pub(super) fn new(part: Arc<Part>, footer: Arc<Footer>, bytes: PartBytes) -> Self {
        let pairs = footer.metadata.metadata().file_metadata().key_value_metadata();
        let promise = pairs.into_iter().flatten().find(|it| it.key == VALUES_KEY);
        let values_are_words = promise.and_then(|it| it.value.as_deref()) == Some(VALUES_ARE_WORDS);
        Self { part, footer, bytes, values_are_words, dictionaries: Mutex::default() }
    }

    /// Where the column of this name is; `None` where the file has none.
    fn column(&self, name: &str) -> Option<usize> {
        self.column_at(&[name])
    }

    fn column_at(&self, path: &[&str]) -> Option<usize> {
        let schema = self.footer.metadata.metadata().file_metadata().schema_descr();
        schema.columns().iter().position(|it| it.path().parts() == path)
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
        Ok((ids, self.numbers::<Int64Type>(column::TS)?))
    }

    /// Those that are not null.
    fn numbers<T: DataType>(&self, name: &str) -> Result<Vec<T::T>> {
        let column = self.part.column(name).ok_or_else(|| damaged("it lacks a column"))?;
        let Pages { reader: pages, before } = self.pages(column)?;
        // It skips pages by itself.
        let n_skipped = if before.n_pages > 0 { self.rows.first_row } else { before.n_rows };
        let descr =
            self.part.footer.metadata.metadata().file_metadata().schema_descr().column(column);
        let reader = get_column_reader(descr, Box::new(pages));
        let mut reader = get_typed_column_reader::<T>(reader);
        let mut values = Vec::with_capacity(self.rows.n_rows);
        let mut levels = Vec::new();
        let mut n_read = 0;
        reader.skip_records(n_skipped)?;
        while n_read < self.rows.n_rows {
            let n_left = self.rows.n_rows - n_read;
            let (n, ..) = reader.read_records(n_left, Some(&mut levels), None, &mut values)?;
            if n == 0 {
                return Err(damaged("it lacks rows"));
            }
            n_read += n;
        }
        Ok(values)
    }

    /// A column's pages up to those of the block. Our writer cuts all columns at the same rows,
    /// unless a page would get too large.
    fn pages(&self, column: usize) -> Result<Pages> {
        let metadata = self.part.footer.metadata.metadata();
        let group = metadata.row_group(self.rows.row_group);
        let chunk = group.column(column);
        let n_rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let has_dictionary = chunk.dictionary_page_offset().is_some();
        let locations = metadata
            .offset_index()
            .and_then(|it| it.get(self.rows.row_group)?.get(column))
            .map(|it| it.page_locations().as_slice());
        let mut before = Before { has_dictionary, n_pages: 0, n_rows: self.rows.first_row };
        let locations = locations.map(|locations| {
            let covering = covering(locations, self.rows.first_row, self.rows.n_rows);
            let first = locations.get(covering.start).map_or(0, |it| it.first_row_index);
            let first = usize::try_from(first).unwrap_or(0);
            before.n_rows = self.rows.first_row.saturating_sub(first);
            before.n_pages = covering.start;
            // Not without those before: what comes before the first is taken for a dictionary.
            locations.get(..covering.end).unwrap_or_default().to_vec()
        });
        let bytes = Arc::new(self.part.bytes.clone());
        let reader = SerializedPageReader::new(bytes, chunk, n_rows, locations)?;
        Ok(Pages { reader, before })
    }

    /// A column of texts, and which of them each row has.
    fn texts(&self, name: &str) -> Result<(Arc<Texts>, Option<Vec<u32>>)> {
        let column = self.part.column(name).ok_or_else(|| damaged("it lacks a column"))?;
        let (mut pages, mut n_skipped) = self.pages(column)?.without_dictionary()?;
        let dictionary = || self.part.dictionary(self.rows.row_group, column);
        let mut all = Texts::default();
        while all.len() < self.rows.n_rows {
            let page = pages.get_next_page()?.ok_or_else(|| damaged("it lacks rows"))?;
            let page = text_page(page)?;
            let is_all = n_skipped == 0 && all.is_empty() && page.len() == self.rows.n_rows;
            match page {
                TextPage::Keys(keys) if is_all => return Ok((dictionary()?, Some(keys))),
                TextPage::Texts(texts) if is_all => return Ok((Arc::new(texts), None)),
                TextPage::Keys(keys) => {
                    let texts = dictionary()?;
                    let wanted = keys.iter().skip(n_skipped).take(self.rows.n_rows - all.len());
                    wanted.for_each(|it| all.push(texts.get(*it as usize)));
                    n_skipped = n_skipped.saturating_sub(keys.len());
                }
                TextPage::Texts(texts) => {
                    let wanted = (n_skipped..texts.len()).take(self.rows.n_rows - all.len());
                    wanted.for_each(|it| all.push(texts.get(it)));
                    n_skipped = n_skipped.saturating_sub(texts.len());
                }
            }
        }
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
        let (mut pages, n_skipped) = self.pages(at)?.without_dictionary()?;
        let Some(page) = pages.get_next_page()? else { return Ok(None) };
        if n_skipped > 0 || pages.peek_next_page()?.is_some() {
            return Ok(None);
        }
        let MapPage { ends, nulls, page } = map_page(page, max_def)?;
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
        let numbers = self.numbers::<Int32Type>(column::LINE_BYTES)?;
        let numbers = numbers.into_iter().map(|it| u32::try_from(it).unwrap_or(0));
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
            let is_of_dictionary = |it: &PageEncodingStats| {
                it.page_type == PageType::DICTIONARY_PAGE || it.encoding == Encoding::RLE_DICTIONARY
            };
            let is_complete = chunk.page_encoding_stats()?.iter().all(is_of_dictionary);
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
