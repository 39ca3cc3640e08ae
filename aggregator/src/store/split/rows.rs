//! The rows section of a split: row groups of Parquet pages, encoded here block by block.
//!
//! The writer of the `parquet` crate takes what any program may have in an Arrow array. Here each column has one plan
//! ([`Plan`]) for the whole split, values that come again are numbered once, and the numbers serve the indexes, too:
//! whoever asks for the values of a block looks at each different one once ([`RowsWriter::numbers`]). What is known of the pages (metadata, page indexes,
//! schema) is still written by the crate.
//!
//! Pages are data pages of the first version: for a column that may be null the levels behind their length, then the
//! values in one of `PLAIN`, `DELTA_LENGTH_BYTE_ARRAY`, `DELTA_BYTE_ARRAY` (all texts but the first share as much of it
//! as all of the page do), `DELTA_BINARY_PACKED`, `BYTE_STREAM_SPLIT`, or their numbers (`RLE_DICTIONARY`). A block begins a page. A dictionary that grows too large serves the blocks until then. One of many texts is put in
//! order when the row group is closed, and its pages wait for that.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;

use self::chunk::{Chunk, Scratch};
pub use self::dictionary::Dictionary;
use super::grams::Grams;
use crate::store::column::{COUNTED_VALUES_MAX, Kind, sort_counts};
use crate::store::segment::Counts;

mod bounds;
mod chunk;
pub(super) mod compressor;
pub(super) mod dictionary;
pub(super) mod encode;
mod frame;
mod page;
mod pieces;
mod table;

pub const ZSTD_LEVEL: i32 = 1;

/// What is set aside for a file at first: only what is written of it becomes memory. The C library's allocator gives back
/// at once what is so large; a file that grew by and by would be copied, and leave holes.
const FILE_ROOM_BYTES: usize = 32 << 20;

/// How a column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Values are numbered.
    pub dictionary: bool,
    /// They are texts, and stand in the dictionary in their order: many texts are smaller so.
    pub ordered: bool,
    /// How they are kept where they are not.
    pub plain: Plain,
    pub compressed: bool,
    /// [`Plain::Lengths`] whose texts are compared with one another ([`frame`]).
    pub alike: bool,
    /// The least and the greatest value of each page and row group are noted.
    pub bounds: bool,
}

/// How values are kept that are not numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Their bytes, texts each behind its length.
    Bytes,
    /// Texts behind the lengths of all of them; what all of a page begin with stands once.
    Lengths,
    /// Integers by their differences.
    Deltas,
    /// The first bytes of all numbers, then the second ones, and so on.
    Streams,
}

/// The values of one block in a column, by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// Of the rows that have a value.
    pub numbers: &'a [u32],
    pub dictionary: &'a Dictionary,
    /// Each number that occurs, and how often, unless that is to be counted first.
    counted: &'a [(u32, u32)],
}

impl<'a> Numbers<'a> {
    /// Each number that occurs, and how often, in the order of their first rows. `times` is all zeros before and after.
    pub fn occurring(&self, times: &mut Vec<u32>) -> Cow<'a, [(u32, u32)]> {
        if !self.counted.is_empty() {
            return Cow::Borrowed(self.counted);
        }
        if times.len() < self.dictionary.len() {
            times.resize(self.dictionary.len(), 0);
        }
        let mut found = Vec::new();
        for number in self.numbers {
            let times = &mut times[*number as usize];
            if *times == 0 {
                found.push((*number, 0));
            }
            *times += 1;
        }
        found.iter_mut().for_each(|(number, occurs)| *occurs = std::mem::take(&mut times[*number as usize]));
        Cow::Owned(found)
    }

    /// Whether it was counted that there is but one.
    pub fn are_one(&self) -> bool {
        self.counted.len() == 1
    }

    /// A value as the indexes and counts spell it; `None` for types that they do not have.
    pub fn spelled(&self, number: u32, kind: Kind) -> Option<Cow<'a, [u8]>> {
        match kind {
            Kind::Str => Some(Cow::Borrowed(self.dictionary.text(number))),
            Kind::Int => Some(Cow::Owned((self.dictionary.word(number) as i64).to_string().into_bytes())),
            Kind::Float | Kind::Bool => None,
        }
    }

    /// [`crate::store::column::count_values`].
    pub fn counts(&self, kind: Kind) -> Option<Counts> {
        let occurring = self.occurring(&mut Vec::new());
        if occurring.len() > COUNTED_VALUES_MAX {
            return None;
        }
        let count = |(number, times): &(u32, u32)| {
            Some((String::from_utf8(self.spelled(*number, kind)?.into_owned()).ok()?, *times))
        };
        let mut counts = occurring.iter().map(count).collect::<Option<Counts>>()?;
        sort_counts(&mut counts);
        Some(counts)
    }
}

/// Writes row groups.
pub struct RowsWriter {
    file: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Chunk>,
    group_rows_max: usize,
    rows: usize,
    scratch: Scratch,
    /// By column, of those whose texts were numbered so far.
    grams: Vec<Option<Grams>>,
}

impl RowsWriter {
    /// A plan for each column of the schema.
    pub fn new(schema: &Schema, plans: &[Plan], group_rows_max: usize) -> Result<RowsWriter, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by("logweir".to_owned())
            .build();
        add_encoded_arrow_schema_to_metadata(schema, &mut properties);
        let parquet = ArrowSchemaConverter::new().convert(schema)?;
        let file = SerializedFileWriter::new(
            Vec::with_capacity(FILE_ROOM_BYTES),
            parquet.root_schema_ptr(),
            Arc::new(properties),
        )?;
        let fields = parquet.columns().iter().zip(schema.fields()).zip(plans);
        let columns = fields.map(|((descr, field), plan)| Chunk::new(descr.clone(), *plan, field.data_type().clone()));
        let is_text = |(field, plan): (&Arc<Field>, &Plan)| plan.dictionary && *field.data_type() == DataType::Utf8;
        let grams = schema.fields().iter().zip(plans).map(|column| is_text(column).then(Grams::default)).collect();
        Ok(RowsWriter { columns: columns.collect(), file, group_rows_max, rows: 0, scratch: Scratch::new()?, grams })
    }

    /// Adds a block; all but the last of a row group are of one size.
    pub fn add_block(&mut self, arrays: &[ArrayRef]) -> Result<(), ParquetError> {
        if self.rows >= self.group_rows_max {
            self.close_group()?;
        }
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            column.add(array, &mut self.scratch)?;
        }
        self.rows += arrays.first().map_or(0, |array| array.len());
        Ok(())
    }

    /// The values of the last block in a column that is numbered.
    pub fn numbers(&self, column: usize) -> Option<Numbers<'_>> {
        let chunk = self.columns.get(column).filter(|chunk| chunk.is_numbered())?;
        Some(Numbers { numbers: &chunk.numbers, dictionary: &chunk.dictionary, counted: &chunk.occurring })
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for (column, grams) in self.columns.iter_mut().zip(&mut self.grams) {
            let is_whole = |grams: &mut Grams| column.is_numbered() && grams.add(&column.dictionary);
            *grams = grams.take().and_then(|mut grams| is_whole(&mut grams).then_some(grams));
            let (bytes, close) = column.close(&mut self.scratch)?;
            group.append_column(&bytes, close)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// The whole Parquet file, and by column what its texts have.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<Option<Grams>>), ParquetError> {
        if self.rows > 0 {
            self.close_group()?;
        }
        let grams = self.grams.into_iter().map(|grams| grams?.fitted()).collect();
        Ok((self.file.into_inner()?, grams))
    }
}

#[cfg(test)]
mod tests;
