//! The pages of one column of a row group.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type, UInt64Type};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::{extremes, rank, rank_integer, word};
use super::compressor::{Compressor, Habit};
use super::dictionary::{Dictionary, Order};
use super::encode;
use super::page::{PAGE_HEADER_BYTES_MAX, PageSizes, put_header, put_levels};
use super::pieces::Pieces;
use super::table::{Table, only};
use super::{Plain, Plan, ZSTD_LEVEL};
use crate::store::block::texts;

/// A page is cut at this size even within a block.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Dictionaries grow to this size before a column goes on plainly.
pub(super) const DICTIONARY_BYTES_MAX: usize = 2 << 20;

/// What is reused from page to page.
pub(super) struct Scratch {
    compressor: Compressor,
    body: Vec<u8>,
    /// Where in the body something of another kind begins.
    cuts: Vec<usize>,
    /// Where texts begin that are to be compared with one another; `words` are their lengths.
    texts_at: Option<usize>,
    words: Vec<u64>,
}

impl Scratch {
    pub(super) fn new() -> Result<Scratch, ParquetError> {
        Ok(Scratch {
            compressor: Compressor::new()?,
            body: Vec::new(),
            cuts: Vec::new(),
            texts_at: None,
            words: Vec::new(),
        })
    }

    fn begin(&mut self) {
        self.body.clear();
        self.cuts.clear();
        self.texts_at = None;
    }

    /// The body as it is stored.
    fn stored(&mut self, compressed: bool, habit: &mut Habit) -> Result<&[u8], ParquetError> {
        if !compressed {
            return Ok(&self.body);
        }
        if let Some(texts_at) = self.texts_at {
            let lengths = self.words.iter().map(|length| *length as usize);
            return Ok(self.compressor.compress_texts(&self.body, texts_at, lengths, habit)?);
        }
        Ok(self.compressor.compress(&self.body, &self.cuts)?)
    }

    /// The same of a page of numbers.
    fn stored_numbers(&mut self, compressed: bool, habit: &mut Habit) -> Result<&[u8], ParquetError> {
        if !compressed {
            return Ok(&self.body);
        }
        Ok(self.compressor.compress_numbers(&self.body, habit)?)
    }

    /// The same of the texts of a dictionary.
    fn stored_dictionary(
        &mut self,
        compressed: bool,
        lengths: impl Iterator<Item = usize>,
    ) -> Result<&[u8], ParquetError> {
        if !compressed {
            return Ok(&self.body);
        }
        Ok(self.compressor.compress_dictionary(&self.body, lengths)?)
    }
}

/// The values of a block in one column.
enum Cells<'a> {
    Texts(&'a [i32], &'a [u8]),
    /// Texts by their numbers in a list of values.
    Numbered(&'a [u16], &'a StringArray),
    Words(&'a [u64]),
    Halves(&'a [u32]),
    Bits(&'a BooleanBuffer),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef) -> Option<Cells<'a>> {
        Some(match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                Cells::Texts(texts.value_offsets(), texts.value_data())
            }
            DataType::Binary => {
                let texts = array.as_binary::<i32>();
                Cells::Texts(texts.value_offsets(), texts.value_data())
            }
            DataType::Int64 => Cells::Words(array.as_primitive::<Int64Type>().values().inner().typed_data()),
            DataType::UInt64 => Cells::Words(array.as_primitive::<UInt64Type>().values()),
            DataType::Float64 => Cells::Words(array.as_primitive::<Float64Type>().values().inner().typed_data()),
            DataType::UInt32 => Cells::Halves(array.as_primitive::<UInt32Type>().values()),
            DataType::Boolean => Cells::Bits(array.as_boolean().values()),
            DataType::Dictionary(..) => {
                let (keys, values) = texts::numbered(array)?;
                Cells::Numbered(keys.values(), values)
            }
            _ => return None,
        })
    }
}

fn text<'a>(offsets: &[i32], data: &'a [u8], row: usize) -> &'a [u8] {
    &data[offsets[row] as usize..offsets[row + 1] as usize]
}

/// [`encode::texts_apart`] of the rows that have a text.
fn put_lengths(
    (offsets, data): (&[i32], &[u8]),
    nulls: Option<&NullBuffer>,
    rows: Range<usize>,
    words: &mut Vec<u64>,
    body: &mut Vec<u8>,
) -> (usize, bool) {
    let text = |row: usize| text(offsets, data, row);
    match nulls {
        None => {
            let joined = &data[offsets[rows.start] as usize..offsets[rows.end] as usize];
            encode::texts_apart(|| rows.clone().map(text), Some(joined), words, body)
        }
        Some(nulls) => {
            let nulls = nulls.slice(rows.start, rows.len());
            encode::texts_apart(|| nulls.valid_indices().map(|row| text(rows.start + row)), None, words, body)
        }
    }
}

/// Calls `each` for the rows that have a value.
#[inline]
fn for_each_present(nulls: Option<&NullBuffer>, rows: Range<usize>, mut each: impl FnMut(usize)) {
    match nulls {
        None => rows.for_each(each),
        Some(nulls) => {
            let from = rows.start;
            nulls.slice(from, rows.len()).valid_indices().for_each(|row| each(from + row));
        }
    }
}

/// A page of numbers that are not settled yet.
struct Held {
    levels: Vec<u8>,
    numbers: Vec<u32>,
    rows: usize,
}

/// One column of the row group at hand.
pub(super) struct Chunk {
    descr: ColumnDescPtr,
    plan: Plan,
    /// As it is in the file: bounds depend on it.
    data_type: DataType,
    pages: Pieces,
    places: Vec<(usize, i32, usize)>,
    uncompressed_bytes: usize,
    rows: usize,
    nulls: usize,
    pub(super) dictionary: Dictionary,
    table: Table,
    /// Whether values are still numbered, and whether any page has numbers.
    numbering: bool,
    has_numbers: bool,
    numbers_habit: Habit,
    texts_habit: Habit,
    /// Of the last block, for the rows that have a value.
    pub(super) numbers: Vec<u32>,
    /// Each of these once and in how many rows it stands, if that was counted.
    pub(super) occurring: Vec<(u32, u32)>,
    /// Pages that wait for the order of the dictionary, and then that.
    held: Vec<Held>,
    order: Option<Order>,
    encodings: Vec<Encoding>,
    /// As [`rank`] says.
    bounds: Option<(u64, u64)>,
    index: Option<ColumnIndexBuilder>,
}

impl Chunk {
    pub(super) fn new(descr: ColumnDescPtr, plan: Plan, data_type: DataType) -> Chunk {
        // Two values need no numbers.
        let dictionary = plan.dictionary && data_type != DataType::Boolean;
        let ordered = plan.ordered && matches!(data_type, DataType::Utf8 | DataType::Binary);
        let mut chunk = Chunk {
            descr,
            plan: Plan { dictionary, ordered, ..plan },
            data_type,
            pages: Pieces::default(),
            places: Vec::new(),
            uncompressed_bytes: 0,
            rows: 0,
            nulls: 0,
            dictionary: Dictionary::default(),
            table: Table::default(),
            numbering: false,
            has_numbers: false,
            numbers_habit: Habit::default(),
            texts_habit: Habit::default(),
            numbers: Vec::new(),
            occurring: Vec::new(),
            held: Vec::new(),
            order: None,
            encodings: Vec::new(),
            bounds: None,
            index: None,
        };
        chunk.begin();
        chunk
    }

    fn begin(&mut self) {
        self.pages = Pieces::default();
        self.places.clear();
        (self.uncompressed_bytes, self.rows, self.nulls) = (0, 0, 0);
        self.dictionary.clear();
        self.table = Table::default();
        (self.numbering, self.has_numbers) = (self.plan.dictionary, false);
        self.order = None;
        self.encodings = vec![Encoding::RLE];
        self.bounds = None;
        self.index = self.plan.bounds.then(|| ColumnIndexBuilder::new(self.descr.physical_type()));
    }

    /// Whether the numbers of the last block are all there is of it.
    pub(super) fn is_numbered(&self) -> bool {
        self.numbering
    }

    /// Adds the rows of a block.
    pub(super) fn add(&mut self, array: &ArrayRef, scratch: &mut Scratch) -> Result<(), ParquetError> {
        let unknown = || ParquetError::NYI(format!("columns of {}", array.data_type()));
        let mut cells = Cells::of(array).ok_or_else(unknown)?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if self.numbering {
            self.number(&cells, nulls, array.len());
            if self.numbering && self.plan.ordered {
                self.hold(nulls, array.len());
                return Ok(());
            }
            self.settle(scratch)?;
        }
        let plain;
        if let (Cells::Numbered(..), false) = (&cells, self.numbering) {
            plain = texts::plain(array)?;
            cells = Cells::of(&plain).ok_or_else(unknown)?;
        }
        let mut from = 0;
        while from < array.len() {
            let to = match &cells {
                Cells::Texts(offsets, _) if !self.numbering => page_end(offsets, from),
                _ => array.len(),
            };
            self.add_page(&cells, nulls, from..to, scratch)?;
            from = to;
        }
        Ok(())
    }

    /// Numbers the values of a block, unless there are too many.
    fn number(&mut self, cells: &Cells<'_>, nulls: Option<&NullBuffer>, rows: usize) {
        let Chunk { dictionary, numbers, table, occurring, .. } = self;
        let known = dictionary.len();
        let mut too_large = false;
        numbers.clear();
        numbers.reserve(rows);
        occurring.clear();
        match cells {
            Cells::Texts(offsets, data) => for_each_present(nulls, 0..rows, |row| {
                if !too_large {
                    numbers.push(dictionary.number_text(text(offsets, data, row)));
                    too_large = dictionary.bytes() > DICTIONARY_BYTES_MAX;
                }
            }),
            Cells::Numbered(keys, values) => {
                table.begin(values);
                let keys = &keys[..rows];
                let one = if nulls.is_none() { only(keys) } else { None };
                let present = |nulls| keys.iter().zip(nulls).filter(|(_, there)| *there).map(|(key, _)| *key);
                match (nulls, one) {
                    // One key is not counted row by row: each row would wait for the one before.
                    (None, Some(key)) => table.count_one(key, rows, occurring),
                    (None, None) => table.count(keys.iter().copied(), occurring),
                    (Some(nulls), _) => table.count(present(nulls), occurring),
                }
                table.number(occurring, values, dictionary);
                let number = |key: u16| table.numbers[usize::from(key)];
                match (nulls, one) {
                    (None, Some(key)) => numbers.resize(rows, number(key)),
                    (None, None) => numbers.extend(keys.iter().map(|key| number(*key))),
                    (Some(nulls), _) => numbers.extend(present(nulls).map(number)),
                }
            }
            Cells::Words(words) => {
                for_each_present(nulls, 0..rows, |row| numbers.push(dictionary.number_word(words[row])));
            }
            Cells::Halves(halves) => {
                for_each_present(nulls, 0..rows, |row| numbers.push(dictionary.number_word(u64::from(halves[row]))));
            }
            Cells::Bits(_) => {}
        }
        if dictionary.bytes() > DICTIONARY_BYTES_MAX {
            dictionary.cut(known);
            self.numbering = false;
        }
    }

    fn hold(&mut self, nulls: Option<&NullBuffer>, rows: usize) {
        let mut levels = Vec::new();
        if self.descr.max_def_level() > 0 {
            put_levels(nulls, 0..rows, self.numbers.len(), &mut levels);
        }
        self.held.push(Held { levels, numbers: self.numbers.clone(), rows });
    }

    /// Orders the dictionary, to which nothing comes any more, and writes the pages that waited for it.
    fn settle(&mut self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut counts = vec![0; self.dictionary.len()];
        self.held.iter().flat_map(|held| &held.numbers).for_each(|number| counts[*number as usize] += 1);
        let order = self.dictionary.order(&counts);
        let width = encode::dictionary_width(self.dictionary.len());
        for Held { levels, mut numbers, rows } in std::mem::take(&mut self.held) {
            scratch.begin();
            scratch.body.extend_from_slice(&levels);
            let encoding = if numbers.is_empty() {
                Encoding::PLAIN
            } else {
                numbers.iter_mut().for_each(|number| *number = order.places[*number as usize]);
                scratch.body.push(width as u8);
                encode::hybrid(&numbers, width, &mut scratch.body);
                self.has_numbers = true;
                Encoding::RLE_DICTIONARY
            };
            self.put_page(encoding, rows, numbers.len(), scratch)?;
        }
        self.order = Some(order);
        Ok(())
    }

    fn add_page(
        &mut self,
        cells: &Cells<'_>,
        nulls: Option<&NullBuffer>,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        let present = nulls.map_or(rows.len(), |nulls| rows.len() - nulls.slice(rows.start, rows.len()).null_count());
        scratch.begin();
        if self.descr.max_def_level() > 0 {
            put_levels(nulls, rows.clone(), present, &mut scratch.body);
        }
        let encoding = if self.numbering && !self.numbers.is_empty() {
            let width = encode::dictionary_width(self.dictionary.len());
            scratch.body.push(width as u8);
            encode::hybrid(&self.numbers, width, &mut scratch.body);
            self.has_numbers = true;
            Encoding::RLE_DICTIONARY
        } else {
            self.put_values(cells, nulls, rows.clone(), scratch)
        };
        if self.plan.bounds {
            self.add_bounds(cells, nulls, rows.clone(), rows.len() - present);
        }
        self.put_page(encoding, rows.len(), present, scratch)
    }

    /// Appends the page whose body is there.
    fn put_page(
        &mut self,
        encoding: Encoding,
        rows: usize,
        present: usize,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        let uncompressed = scratch.body.len();
        let stored = match encoding {
            Encoding::RLE_DICTIONARY => scratch.stored_numbers(self.plan.compressed, &mut self.numbers_habit)?,
            _ => scratch.stored(self.plan.compressed, &mut self.texts_habit)?,
        };
        let at = self.pages.len();
        let pages = self.pages.room(PAGE_HEADER_BYTES_MAX + stored.len());
        let header_at = pages.len();
        put_header(pages, &PageSizes { uncompressed, stored: stored.len(), values: rows }, Some(encoding));
        self.uncompressed_bytes += pages.len() - header_at + uncompressed;
        pages.extend_from_slice(stored);
        self.places.push((at, (self.pages.len() - at) as i32, rows));
        self.rows += rows;
        self.nulls += rows - present;
        Ok(())
    }

    /// Appends the values as they are.
    fn put_values(
        &self,
        cells: &Cells<'_>,
        nulls: Option<&NullBuffer>,
        rows: Range<usize>,
        scratch: &mut Scratch,
    ) -> Encoding {
        let Scratch { body, cuts, words, texts_at: place, .. } = scratch;
        words.clear();
        match (cells, self.plan.plain) {
            (Cells::Texts(offsets, data), Plain::Lengths) => {
                let (texts_at, fronts) = put_lengths((offsets, data), nulls, rows, words, body);
                cuts.push(texts_at);
                *place = self.plan.alike.then_some(texts_at);
                if fronts { Encoding::DELTA_BYTE_ARRAY } else { Encoding::DELTA_LENGTH_BYTE_ARRAY }
            }
            (Cells::Texts(offsets, data), _) => {
                body.reserve((offsets[rows.end] - offsets[rows.start]) as usize + 4 * rows.len());
                for_each_present(nulls, rows, |row| {
                    let text = text(offsets, data, row);
                    body.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    body.extend_from_slice(text);
                });
                Encoding::PLAIN
            }
            (Cells::Words(values), plain) => {
                match nulls {
                    None => words.extend_from_slice(&values[rows]),
                    Some(_) => for_each_present(nulls, rows, |row| words.push(values[row])),
                }
                match plain {
                    // Parquet has differences of integers only.
                    Plain::Deltas if self.data_type != DataType::Float64 => {
                        encode::deltas(words, body);
                        Encoding::DELTA_BINARY_PACKED
                    }
                    Plain::Streams | Plain::Deltas => {
                        let at = body.len();
                        encode::byte_streams(words, body);
                        cuts.extend((1..8).map(|plane| at + plane * words.len()));
                        Encoding::BYTE_STREAM_SPLIT
                    }
                    Plain::Bytes | Plain::Lengths => {
                        body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
                        Encoding::PLAIN
                    }
                }
            }
            // What is numbered in the block and not in the file was made plain before.
            (Cells::Numbered(..), _) => Encoding::PLAIN,
            (Cells::Halves(values), _) => {
                for_each_present(nulls, rows, |row| body.extend_from_slice(&values[row].to_le_bytes()));
                Encoding::PLAIN
            }
            (Cells::Bits(bits), _) => {
                let mut present = Vec::with_capacity(rows.len());
                for_each_present(nulls, rows, |row| present.push(bits.value(row)));
                body.extend(present.chunks(8).map(|eight| {
                    eight.iter().enumerate().fold(0u8, |byte, (place, bit)| byte | u8::from(*bit) << place)
                }));
                Encoding::PLAIN
            }
        }
    }

    /// Notes the least and the greatest value of a page.
    fn add_bounds(&mut self, cells: &Cells<'_>, nulls: Option<&NullBuffer>, rows: Range<usize>, null_count: usize) {
        let Cells::Words(values) = cells else { return };
        let ranked = |word: u64| rank(&self.data_type, word);
        let page = match (&self.data_type, nulls) {
            (DataType::Float64 | DataType::UInt64, None) => extremes(values[rows].iter().map(|word| ranked(*word))),
            // Most numbers are of this type.
            (_, None) => extremes(values[rows].iter().map(|word| rank_integer(*word))),
            (_, Some(_)) => {
                let mut present = Vec::with_capacity(rows.len());
                for_each_present(nulls, rows, |row| present.push(ranked(values[row])));
                extremes(present.into_iter())
            }
        };
        let Some(index) = &mut self.index else { return };
        let word = |ranked: u64| word(&self.data_type, ranked);
        let is_nan = |ranked: u64| self.data_type == DataType::Float64 && f64::from_bits(word(ranked)).is_nan();
        // What is not a number comes before or behind all others.
        if page.is_some_and(|(least, greatest)| is_nan(least) || is_nan(greatest)) {
            self.index = None;
            self.bounds = None;
            return;
        }
        let bytes = |ranked: Option<u64>| ranked.map_or_else(Vec::new, |ranked| word(ranked).to_le_bytes().to_vec());
        let (least, greatest) = (page.map(|page| page.0), page.map(|page| page.1));
        index.append(page.is_none(), bytes(least), bytes(greatest), null_count as i64);
        if let Some((least, greatest)) = page {
            let (all_least, all_greatest) = self.bounds.get_or_insert((least, greatest));
            (*all_least, *all_greatest) = (least.min(*all_least), greatest.max(*all_greatest));
        }
    }

    /// The bytes of the column, the dictionary first, and what has to be known of them; the next row group begins.
    pub(super) fn close(&mut self, scratch: &mut Scratch) -> Result<(Pieces, ColumnCloseResult), ParquetError> {
        self.settle(scratch)?;
        let mut bytes = Pieces::default();
        if self.has_numbers {
            scratch.begin();
            match &self.order {
                Some(order) => self.dictionary.put_texts(order, &mut scratch.body),
                None => {
                    let word_bytes = if self.descr.physical_type() == Type::INT32 { 4 } else { 8 };
                    self.dictionary.put_page(word_bytes, &mut scratch.body);
                }
            }
            let uncompressed = scratch.body.len();
            let stored = match &self.order {
                Some(order) => scratch.stored_dictionary(self.plan.compressed, self.dictionary.lengths(order))?,
                None => scratch.stored(self.plan.compressed, &mut self.texts_habit)?,
            };
            let sizes = PageSizes { uncompressed, stored: stored.len(), values: self.dictionary.len() };
            let page = bytes.room(PAGE_HEADER_BYTES_MAX + stored.len());
            put_header(page, &sizes, None);
            self.uncompressed_bytes += page.len() + uncompressed;
            page.extend_from_slice(stored);
            self.encodings.push(Encoding::PLAIN);
        }
        let data_at = bytes.len();
        bytes.append(std::mem::take(&mut self.pages));
        let mut offsets = OffsetIndexBuilder::new();
        for (at, len, rows) in &self.places {
            offsets.append_row_count(*rows as i64);
            offsets.append_offset_and_size((data_at + at) as i64, *len);
        }
        let metadata = ColumnChunkMetaData::builder(self.descr.clone())
            .set_encodings(std::mem::take(&mut self.encodings))
            .set_compression(compression(self.plan.compressed)?)
            .set_num_values(self.rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_data_page_offset(data_at as i64)
            .set_dictionary_page_offset(self.has_numbers.then_some(0));
        let metadata = match self.statistics() {
            Some(statistics) => metadata.set_statistics(statistics),
            None => metadata,
        };
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: self.index.take().map(ColumnIndexBuilder::build).transpose()?,
            offset_index: Some(offsets.build()),
        };
        self.begin();
        Ok((bytes, close))
    }

    fn statistics(&self) -> Option<Statistics> {
        let (least, greatest) = self.bounds?;
        let (least, greatest) = (word(&self.data_type, least), word(&self.data_type, greatest));
        let nulls = Some(self.nulls as u64);
        Some(match self.descr.physical_type() {
            Type::DOUBLE => {
                Statistics::double(Some(f64::from_bits(least)), Some(f64::from_bits(greatest)), None, nulls, false)
            }
            _ => Statistics::int64(Some(least as i64), Some(greatest as i64), None, nulls, false),
        })
    }
}

pub(super) fn compression(compressed: bool) -> Result<Compression, ParquetError> {
    Ok(if compressed { Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?) } else { Compression::UNCOMPRESSED })
}

/// The row behind the last that fits into a page.
fn page_end(offsets: &[i32], from: usize) -> usize {
    let rows = offsets.len() - 1;
    let bytes = |to: usize| (offsets[to] - offsets[from]) as usize + 4 * (to - from);
    if bytes(rows) <= PAGE_BYTES_MAX {
        return rows;
    }
    let fit = (from + 1..=rows).take_while(|to| bytes(*to) <= PAGE_BYTES_MAX).last();
    fit.unwrap_or(from + 1)
}
