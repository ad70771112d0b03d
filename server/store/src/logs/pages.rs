//! Pages of texts in Parquet, decoded into [`Texts`] without a stop at each text.
//!
//! The encodings are those of <https://parquet.apache.org/docs/file-format/data-pages/encodings/>
//! that our writer uses for required columns of texts.

use bytes::Bytes;
use parquet::{
    basic::Encoding,
    column::page::Page,
    errors::{ParquetError, Result},
};
use skep_proto::Texts;

/// Pages have fewer values. Room is made for no more at once, whatever a damaged page says.
const VALUES_AT_ONCE: usize = 1 << 16;

/// A page of texts.
#[derive(Debug)]
pub(super) enum TextPage {
    Texts(Texts),
    /// Places in the dictionary of the row group.
    Keys(Vec<u32>),
}

impl TextPage {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Keys(keys) => keys.len(),
        }
    }
}

/// Takes a page of data apart; its column has no levels.
pub(super) fn text_page(page: Page) -> Result<TextPage> {
    let (bytes, n_values, encoding) = match page {
        Page::DataPage { buf, num_values, encoding, .. } => (buf, num_values, encoding),
        Page::DataPageV2 {
            buf,
            num_values,
            encoding,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let n_bytes = def_levels_byte_len as usize + rep_levels_byte_len as usize;
            if n_bytes > buf.len() {
                return Err(damaged("levels are longer than their page"));
            }
            (buf.slice(n_bytes..), num_values, encoding)
        }
        Page::DictionaryPage { .. } => return Err(damaged("a dictionary comes among the pages")),
    };
    encoded(&bytes, n_values as usize, encoding)
}

fn encoded(bytes: &Bytes, n_values: usize, encoding: Encoding) -> Result<TextPage> {
    match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => delta_length(bytes, n_values).map(TextPage::Texts),
        Encoding::PLAIN => plain(bytes, n_values).map(TextPage::Texts),
        Encoding::RLE_DICTIONARY => {
            let (&width, keys) = bytes.split_first().ok_or_else(short)?;
            hybrid(keys, width.into(), n_values).map(TextPage::Keys)
        }
        other => Err(ParquetError::General(format!("a page of texts is encoded as {other}"))),
    }
}

/// A page of one half of a map's pairs.
pub(super) struct MapPage {
    /// Where the pairs of each row end.
    pub(super) ends: Vec<u32>,
    /// The places of pairs that have no text.
    pub(super) nulls: Vec<usize>,
    /// Of those that have.
    pub(super) page: TextPage,
}

/// Takes a page of a required map's keys or values apart. `max_def` is the level of a text that is
/// there: 1, or 2 where it may be null.
pub(super) fn map_page(page: Page, max_def: i16) -> Result<MapPage> {
    let Page::DataPage { buf, num_values, encoding, .. } = page else {
        return Err(damaged("metadata lies in pages of an unknown kind"));
    };
    let n_levels = num_values as usize;
    let mut rest = buf.as_ref();
    let repetitions = levels(&mut rest, 1, n_levels)?;
    let definitions = levels(&mut rest, if max_def > 1 { 2 } else { 1 }, n_levels)?;
    let (mut ends, mut nulls) = (Vec::with_capacity(n_levels.min(VALUES_AT_ONCE)), Vec::new());
    let (mut n_pairs, mut n_texts) = (0, 0);
    for (repetition, definition) in repetitions.iter().zip(&definitions) {
        if *repetition == 0 {
            ends.push(n_pairs);
        }
        if *definition > 0 {
            let is_null = i64::from(*definition) < i64::from(max_def);
            if is_null {
                nulls.push(n_pairs as usize);
            }
            n_texts += usize::from(!is_null);
            n_pairs += 1;
            let end = ends.last_mut().ok_or_else(|| damaged("a pair of no row"))?;
            *end = n_pairs;
        }
    }
    let bytes = buf.slice(buf.len() - rest.len()..);
    Ok(MapPage { ends, nulls, page: encoded(&bytes, n_texts, encoding)? })
}

/// Levels behind their length in bytes.
fn levels(rest: &mut &[u8], width: u32, n: usize) -> Result<Vec<u32>> {
    let (len, after) = rest.split_first_chunk().ok_or_else(short)?;
    let len = u32::from_le_bytes(*len) as usize;
    let (packed, after) = after.split_at_checked(len).ok_or_else(short)?;
    *rest = after;
    hybrid(packed, width, n)
}

/// A page of numbers.
pub(super) struct NumberPage {
    /// Those that are not null.
    pub(super) numbers: Vec<i64>,
    pub(super) n_rows: usize,
}

/// Takes a page of numbers apart, of 64 bits or of 32; `max_def` is 1 where they may be null.
pub(super) fn number_page(page: Page, max_def: i16, is_wide: bool) -> Result<NumberPage> {
    let Page::DataPage { buf, num_values, encoding, .. } = page else {
        return Err(damaged("numbers lie in pages of an unknown kind"));
    };
    let n_rows = num_values as usize;
    let mut rest = buf.as_ref();
    let n_numbers = match max_def {
        0 => n_rows,
        _ => levels(&mut rest, 1, n_rows)?.iter().filter(|it| **it > 0).count(),
    };
    let numbers = match (encoding, is_wide) {
        (Encoding::DELTA_BINARY_PACKED, true) => delta_packed(rest, n_numbers, Ok)?.0,
        (Encoding::PLAIN, true) => {
            let words = rest.as_chunks().0.iter().take(n_numbers);
            words.map(|it| i64::from_le_bytes(*it)).collect()
        }
        (Encoding::PLAIN, false) => {
            let words = rest.as_chunks().0.iter().take(n_numbers);
            words.map(|it| i32::from_le_bytes(*it).into()).collect()
        }
        (other, _) => {
            return Err(ParquetError::General(format!("a page of numbers is encoded as {other}")));
        }
    };
    if numbers.len() == n_numbers { Ok(NumberPage { numbers, n_rows }) } else { Err(short()) }
}

/// The texts of a dictionary.
pub(super) fn dictionary(page: Page) -> Result<Texts> {
    match page {
        Page::DictionaryPage { buf, num_values, .. } => plain(&buf, num_values as usize),
        _ => Err(damaged("a column of texts lacks its dictionary")),
    }
}

/// Each text behind its length.
fn plain(bytes: &Bytes, n_values: usize) -> Result<Texts> {
    let (mut rest, mut text) = (bytes.as_ref(), Vec::with_capacity(bytes.len()));
    let mut ends = Vec::with_capacity(n_values.min(VALUES_AT_ONCE));
    for _ in 0..n_values {
        let (len, after) = rest.split_first_chunk().ok_or_else(short)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (one, after) = after.split_at_checked(len).ok_or_else(short)?;
        text.extend_from_slice(one);
        ends.push(end_of(text.len())?);
        rest = after;
    }
    texts(text, ends)
}

/// All lengths, then all texts.
fn delta_length(bytes: &Bytes, n_values: usize) -> Result<Texts> {
    let (mut ends, n_bytes) = delta_packed(bytes, n_values, length)?;
    let mut end = 0_usize;
    for it in &mut ends {
        end += *it as usize;
        *it = end_of(end)?;
    }
    let text = bytes.get(n_bytes..n_bytes + end).ok_or_else(short)?;
    texts(text.to_vec(), ends)
}

fn texts(text: Vec<u8>, ends: Vec<u32>) -> Result<Texts> {
    let text = String::from_utf8(text).map_err(|_not_utf8| damaged("a text is no UTF-8"))?;
    Texts::new(text, ends).ok_or_else(|| damaged("a text ends within a character"))
}

fn end_of(end: usize) -> Result<u32> {
    u32::try_from(end).map_err(|_too_great| damaged("a page of texts is too long"))
}

/// Numbers as DELTA_BINARY_PACKED; also how many bytes they took.
fn delta_packed<T>(
    bytes: &[u8],
    n_values: usize,
    number: impl Fn(i64) -> Result<T>,
) -> Result<(Vec<T>, usize)> {
    let mut rest = bytes;
    let block_len = usize::try_from(varint(&mut rest)?).map_err(|_too_great| short())?;
    let n_miniblocks = usize::try_from(varint(&mut rest)?).map_err(|_too_great| short())?;
    let n_packed = usize::try_from(varint(&mut rest)?).map_err(|_too_great| short())?;
    let mut last = zigzag(varint(&mut rest)?);
    let miniblock_len = block_len.checked_div(n_miniblocks).unwrap_or(0);
    let is_valid = miniblock_len > 0 && miniblock_len.is_multiple_of(32) && n_packed == n_values;
    if !is_valid {
        return Err(damaged("lengths of texts are packed in no known way"));
    }
    let mut values = Vec::with_capacity(n_values.min(VALUES_AT_ONCE));
    if n_values > 0 {
        values.push(number(last)?);
    }
    while values.len() < n_values {
        let min = zigzag(varint(&mut rest)?);
        let (widths, after) = rest.split_at_checked(n_miniblocks).ok_or_else(short)?;
        rest = after;
        for &width in widths {
            let n = (n_values - values.len()).min(miniblock_len);
            if n == 0 {
                break;
            }
            let n_bytes = miniblock_len / 8 * usize::from(width);
            let (_, after) = rest.split_at_checked(n_bytes).ok_or_else(short)?;
            let mut bits = Bits::new(rest, width.into())?;
            rest = after;
            for _ in 0..n {
                last = last.wrapping_add(min).wrapping_add(bits.take().cast_signed());
                values.push(number(last)?);
            }
        }
    }
    Ok((values, bytes.len() - rest.len()))
}

fn length(value: i64) -> Result<u32> {
    // Sums are of 32 bits in the file, and wrap around.
    #[expect(clippy::cast_possible_truncation, reason = "it is what the format asks for")]
    let value = value as i32;
    u32::try_from(value).map_err(|_too_great| damaged("a text has a negative length"))
}

/// Runs of one number, and numbers packed in groups of eight.
fn hybrid(bytes: &[u8], width: u32, n_values: usize) -> Result<Vec<u32>> {
    let mut rest = bytes;
    let n_key_bytes = width.div_ceil(8) as usize;
    let mut keys = Vec::with_capacity(n_values.min(VALUES_AT_ONCE));
    while keys.len() < n_values {
        let header = varint(&mut rest)?;
        let n = usize::try_from(header >> 1).map_err(|_too_great| short())?;
        let n_left = n_values - keys.len();
        if header & 1 == 0 {
            let (key, after) = rest.split_at_checked(n_key_bytes).ok_or_else(short)?;
            rest = after;
            let key = key.iter().rev().fold(0, |key, byte| key << 8 | u64::from(*byte));
            let key = u32::try_from(key).map_err(|_too_great| damaged("a key is too great"))?;
            if n == 0 {
                return Err(damaged("a run of no keys"));
            }
            keys.resize(keys.len() + n.min(n_left), key);
        } else {
            let n_bytes = n.checked_mul(width as usize).ok_or_else(short)?;
            // The last group may be cut short.
            let (packed, after) = rest.split_at_checked(n_bytes).unwrap_or((rest, &[]));
            let mut bits = Bits::new(rest, width)?;
            rest = after;
            let n_keys = n.saturating_mul(8).min(n_left);
            if n == 0 || packed.len() * 8 < n_keys * width as usize {
                return Err(short());
            }
            #[expect(clippy::cast_possible_truncation, reason = "a key has 32 bits at most")]
            keys.extend((0..n_keys).map(|_| bits.take() as u32));
        }
    }
    Ok(keys)
}

/// Numbers of a fixed width, least bits first.
struct Bits<'a> {
    bytes: &'a [u8],
    width: u32,
    mask: u64,
    /// With up to seven bits before it, a number lies in one word.
    is_narrow: bool,
    /// Of the next one, in bits.
    at: usize,
}

impl<'a> Bits<'a> {
    /// What follows the numbers may follow in `bytes`, too.
    fn new(bytes: &'a [u8], width: u32) -> Result<Self> {
        if width > 64 {
            return Err(damaged("numbers are packed wider than they are"));
        }
        let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
        Ok(Self { bytes, width, mask, is_narrow: width <= 56, at: 0 })
    }

    #[inline]
    fn take(&mut self) -> u64 {
        let (byte, bit) = (self.at / 8, self.at % 8);
        self.at += self.width as usize;
        match self.bytes.get(byte..).and_then(<[u8]>::first_chunk) {
            Some(word) if self.is_narrow => (u64::from_le_bytes(*word) >> bit) & self.mask,
            _ => self.take_apart(byte, bit),
        }
    }

    /// A wide one, or one at the end.
    #[cold]
    fn take_apart(&self, byte: usize, bit: usize) -> u64 {
        let bytes = self.bytes.get(byte..).unwrap_or_default().iter().take(9).rev();
        let word = bytes.fold(0, |word, byte| word << 8 | u128::from(*byte));
        #[expect(clippy::cast_possible_truncation, reason = "a number has 64 bits at most")]
        let value = (word >> bit) as u64;
        value & self.mask
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number does not end"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn short() -> ParquetError {
    damaged("a page ends early")
}

pub(super) fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("not a whole part of logs: {what}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use parquet::{
        arrow::ArrowWriter,
        column::page::PageReader,
        file::{
            properties::WriterProperties,
            reader::{FileReader as _, SerializedFileReader},
        },
    };
    use proptest::prelude::*;

    use super::*;

    /// The pages of a column, without its dictionary and with it.
    fn pages(
        column: ArrayRef,
        nullable: bool,
        encoding: Option<Encoding>,
    ) -> (Option<Page>, Vec<Page>) {
        let field = Field::new("c", column.data_type().clone(), nullable);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let mut properties = WriterProperties::builder()
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(50)
            .set_dictionary_enabled(encoding.is_none());
        if let Some(encoding) = encoding {
            properties = properties.set_encoding(encoding);
        }
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, schema, Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let mut reader: Box<dyn PageReader> =
            file.get_row_group(0).unwrap().get_column_page_reader(0).unwrap();
        let (mut dictionary, mut pages) = (None, Vec::new());
        while let Some(page) = reader.get_next_page().unwrap() {
            match page {
                Page::DictionaryPage { .. } => dictionary = Some(page),
                page => pages.push(page),
            }
        }
        (dictionary, pages)
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            0..100_i64,
            Just(i64::MIN),
            Just(i64::MAX),
            (1_i64 << 40)..(1_i64 << 40) + 9
        ]
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(
            numbers in prop::collection::vec(number(), 1..400),
            small in prop::collection::vec(any::<Option<i32>>(), 1..300),
        ) {
            for encoding in [Encoding::DELTA_BINARY_PACKED, Encoding::PLAIN] {
                let column = Arc::new(Int64Array::from(numbers.clone()));
                let mut read = Vec::new();
                for page in pages(column, false, Some(encoding)).1 {
                    read.extend(number_page(page, 0, true).unwrap().numbers);
                }
                prop_assert_eq!(&read, &numbers);
            }
            let (mut read, mut n_rows) = (Vec::new(), 0);
            let column = Arc::new(Int32Array::from(small.clone()));
            for page in pages(column, true, Some(Encoding::PLAIN)).1 {
                let page = number_page(page, 1, false).unwrap();
                read.extend(page.numbers);
                n_rows += page.n_rows;
            }
            prop_assert_eq!(n_rows, small.len());
            let expected: Vec<i64> = small.into_iter().flatten().map(i64::from).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn texts_are_read_as_they_were_written(
            texts in prop::collection::vec(prop_oneof![any::<String>(), "[ab]{0,2}"], 1..400),
        ) {
            let column: ArrayRef = Arc::new(StringArray::from(texts.clone()));
            prop_assert_eq!(column.data_type(), &DataType::Utf8);
            let encodings = [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::PLAIN].map(Some);
            for encoding in encodings.into_iter().chain([None]) {
                let (dictionary, pages) = pages(Arc::clone(&column), false, encoding);
                let dictionary = dictionary.map(|it| super::dictionary(it).unwrap());
                let mut read = Vec::new();
                for page in pages {
                    match text_page(page).unwrap() {
                        TextPage::Texts(texts) => read.extend(texts.iter().map(str::to_owned)),
                        TextPage::Keys(keys) => {
                            let dictionary = dictionary.as_ref().unwrap();
                            read.extend(
                                keys.iter().map(|it| dictionary.get(*it as usize).to_owned()),
                            );
                        }
                    }
                }
                prop_assert_eq!(&read, &texts);
            }
        }

        #[test]
        fn damaged_pages_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..60), n in 0..500_usize) {
            let bytes = Bytes::from(bytes);
            for encoding in
                [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::PLAIN, Encoding::RLE_DICTIONARY]
            {
                drop(encoded(&bytes, n, encoding));
            }
            drop(delta_packed(&bytes, n, Ok));
        }
    }
}
