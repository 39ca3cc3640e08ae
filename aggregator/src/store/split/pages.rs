//! The pages of a block, decoded straight into Arrow arrays.
//!
//! The `parquet` crate reads whatever a Parquet file may hold. A search reads a few columns of one block at a time, in
//! the encodings that [`super::writer`] has them written in, and wants dictionaries left as they are: then a filter
//! looks at each value once, and groups are formed by number. Whatever this module does not know it leaves to the
//! crate ([`Undecoded::Unknown`]).

mod encoding;
mod header;

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, PrimitiveArray,
    StringArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt16Type, UInt32Type};
use parquet::basic::Compression;

use self::header::{PageHeader, PageKind};
use crate::store::block::texts;

/// Largest page that is decoded here, decompressed.
pub const PAGE_BYTES_MAX: usize = 64 << 20;

/// Most rows of a page that is decoded here.
pub const PAGE_ROWS_MAX: usize = 1 << 20;

/// Most values of a dictionary that stays one: its numbers have 16 bits.
pub const DICTIONARY_VALUES_MAX: usize = 1 << 16;

/// The numbers that Parquet gives its encodings.
mod code {
    pub(super) const PLAIN: i64 = 0;
    pub(super) const PLAIN_DICTIONARY: i64 = 2;
    pub(super) const DELTA_BINARY_PACKED: i64 = 5;
    pub(super) const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
    pub(super) const DELTA_BYTE_ARRAY: i64 = 7;
    pub(super) const RLE_DICTIONARY: i64 = 8;
    pub(super) const BYTE_STREAM_SPLIT: i64 = 9;
}

/// Why a page was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecoded {
    /// Nothing is known to be wrong with it: the `parquet` crate may read it.
    Unknown,
    Damaged,
}

/// Whether the bytes are one Thrift struct whose lists have no more elements than bytes.
pub fn is_whole(bytes: &[u8]) -> bool {
    header::is_whole(bytes)
}

/// Whether a page says nothing of itself that would have a reader set memory aside for what is not there.
pub fn may_be_read(page: &[u8]) -> bool {
    let Some(header) = PageHeader::read(page) else { return false };
    let values_max = match header.kind {
        PageKind::Dictionary if header.uncompressed_bytes == 0 => 0,
        PageKind::Dictionary => header.uncompressed_bytes,
        PageKind::Data => PAGE_ROWS_MAX,
        PageKind::Unknown => return false,
    };
    let values_min = usize::from(header.uncompressed_bytes > 0);
    header.uncompressed_bytes <= PAGE_BYTES_MAX
        && page.len().checked_sub(header.bytes) == Some(header.compressed_bytes)
        && (values_min..=values_max).contains(&header.values)
}

/// How the values of a column are stored.
#[derive(Debug, Clone)]
pub struct Storage<'a> {
    /// As the layout types it.
    pub data_type: &'a DataType,
    pub nullable: bool,
    pub compression: Compression,
}

impl Storage<'_> {
    /// The values of a dictionary page.
    pub fn dictionary(&self, page: &[u8]) -> Result<ArrayRef, Undecoded> {
        let header = PageHeader::read(page).ok_or(Undecoded::Damaged)?;
        let plain = matches!(header.encoding, code::PLAIN | code::PLAIN_DICTIONARY);
        if header.kind != PageKind::Dictionary || !plain {
            return Err(Undecoded::Unknown);
        }
        self.decompressed(page, &header, |bytes| self.values(bytes, code::PLAIN, header.values, None))
    }

    /// The rows of some pages that follow each other.
    pub fn rows(&self, pages: &[&[u8]], dictionary: Option<&ArrayRef>) -> Result<ArrayRef, Undecoded> {
        if let [page] = pages {
            return self.page(page, dictionary);
        }
        let arrays: Vec<ArrayRef> =
            pages.iter().map(|page| plain(self.page(page, dictionary)?)).collect::<Result<_, _>>()?;
        concat(&arrays.iter().map(|array| &**array).collect::<Vec<_>>()).map_err(|_| Undecoded::Damaged)
    }

    fn page(&self, page: &[u8], dictionary: Option<&ArrayRef>) -> Result<ArrayRef, Undecoded> {
        let header = PageHeader::read(page).ok_or(Undecoded::Damaged)?;
        if header.kind != PageKind::Data {
            return Err(Undecoded::Unknown);
        }
        self.decompressed(page, &header, |bytes| {
            let (nulls, bytes) = if self.nullable { levels(bytes, header.values)? } else { (None, bytes) };
            match header.encoding {
                code::PLAIN_DICTIONARY | code::RLE_DICTIONARY => {
                    let dictionary = dictionary.ok_or(Undecoded::Damaged)?;
                    numbered(bytes, header.values, nulls, dictionary)
                }
                encoding => self.values(bytes, encoding, header.values, nulls),
            }
        })
    }

    fn decompressed(
        &self,
        page: &[u8],
        header: &PageHeader,
        decode: impl FnOnce(&[u8]) -> Result<ArrayRef, Undecoded>,
    ) -> Result<ArrayRef, Undecoded> {
        let body = page.get(header.bytes..).and_then(|rest| rest.get(..header.compressed_bytes));
        let body = body.ok_or(Undecoded::Damaged)?;
        // Of a dictionary every value takes bytes; rows can be many in few bytes, but no block has so many.
        let values_max = if header.kind == PageKind::Data { PAGE_ROWS_MAX } else { header.uncompressed_bytes };
        if header.uncompressed_bytes > PAGE_BYTES_MAX || header.values > values_max {
            return Err(Undecoded::Unknown);
        }
        match self.compression {
            Compression::UNCOMPRESSED => decode(body),
            Compression::ZSTD(_) => ZSTD.with_borrow_mut(|zstd| {
                zstd.decompress(body, header.uncompressed_bytes).ok_or(Undecoded::Damaged).and_then(decode)
            }),
            _ => Err(Undecoded::Unknown),
        }
    }

    /// `count` rows, of which `nulls` says which have a value; the values follow each other in `bytes`.
    fn values(&self, bytes: &[u8], how: i64, count: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, Undecoded> {
        let present = count - nulls.as_ref().map_or(0, NullBuffer::null_count);
        let words = || match how {
            code::PLAIN => encoding::plain_words(bytes, present).ok_or(Undecoded::Damaged),
            code::BYTE_STREAM_SPLIT => encoding::byte_streams(bytes, present).ok_or(Undecoded::Damaged),
            _ => Err(Undecoded::Unknown),
        };
        Ok(match self.data_type {
            DataType::Int64 => {
                let values = match how {
                    code::DELTA_BINARY_PACKED => integers(bytes, present)?,
                    _ => words()?.into_iter().map(|word| word as i64).collect(),
                };
                Arc::new(Int64Array::new(spread(values, count, nulls.as_ref()), nulls))
            }
            DataType::UInt64 => {
                let values = match how {
                    code::DELTA_BINARY_PACKED => integers(bytes, present)?.into_iter().map(|v| v as u64).collect(),
                    _ => words()?,
                };
                Arc::new(UInt64Array::new(spread(values, count, nulls.as_ref()), nulls))
            }
            DataType::Float64 => {
                let values = words()?.into_iter().map(f64::from_bits).collect();
                Arc::new(Float64Array::new(spread(values, count, nulls.as_ref()), nulls))
            }
            DataType::UInt32 if how == code::PLAIN => {
                let values = encoding::plain_halves(bytes, present).ok_or(Undecoded::Damaged)?;
                Arc::new(UInt32Array::new(spread(values, count, nulls.as_ref()), nulls))
            }
            DataType::Binary if how == code::PLAIN => {
                let (ends, data) = encoding::plain_texts(bytes, present).ok_or(Undecoded::Damaged)?;
                let offsets = offsets_of(&ends, count, nulls.as_ref()).ok_or(Undecoded::Damaged)?;
                let array = BinaryArray::try_new(offsets, Buffer::from_vec(data), nulls);
                Arc::new(array.map_err(|_| Undecoded::Damaged)?)
            }
            DataType::Boolean if how == code::PLAIN => booleans(bytes, count, nulls).ok_or(Undecoded::Damaged)?,
            DataType::Utf8 => {
                let texts = match how {
                    code::PLAIN => encoding::plain_texts(bytes, present),
                    code::DELTA_LENGTH_BYTE_ARRAY => encoding::texts_behind_lengths(bytes, present),
                    code::DELTA_BYTE_ARRAY => encoding::texts_behind_fronts(bytes, present),
                    _ => return Err(Undecoded::Unknown),
                };
                let (ends, data) = texts.ok_or(Undecoded::Damaged)?;
                Arc::new(texts_of(&ends, data, count, nulls).ok_or(Undecoded::Damaged)?)
            }
            _ => return Err(Undecoded::Unknown),
        })
    }
}

/// The levels of a page of the first version, which say which rows have a value, and what stands behind them.
fn levels(bytes: &[u8], count: usize) -> Result<(Option<NullBuffer>, &[u8]), Undecoded> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or(Undecoded::Damaged)?;
    let (levels, values) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(Undecoded::Damaged)?;
    let nulls = encoding::validity(levels, count).ok_or(Undecoded::Damaged)?;
    Ok((nulls, values))
}

fn integers(mut bytes: &[u8], present: usize) -> Result<Vec<i64>, Undecoded> {
    let values = encoding::deltas(&mut bytes, present).ok_or(Undecoded::Damaged)?;
    if values.len() == present { Ok(values) } else { Err(Undecoded::Damaged) }
}

/// Puts values to the rows that have one.
fn spread<T: Copy + Default + arrow::datatypes::ArrowNativeType>(
    values: Vec<T>,
    count: usize,
    nulls: Option<&NullBuffer>,
) -> ScalarBuffer<T> {
    let Some(nulls) = nulls else { return values.into() };
    let mut out = vec![T::default(); count];
    for (row, value) in nulls.valid_indices().zip(values) {
        out[row] = value;
    }
    out.into()
}

fn booleans(bytes: &[u8], count: usize, nulls: Option<NullBuffer>) -> Option<ArrayRef> {
    let present = count - nulls.as_ref().map_or(0, NullBuffer::null_count);
    let packed = bytes.get(..present.div_ceil(8))?;
    let values = BooleanBuffer::new(Buffer::from(packed), 0, present);
    let values = match &nulls {
        None => values,
        Some(nulls) => {
            let mut values = values.iter();
            nulls.iter().map(|valid| valid && values.next().unwrap_or(false)).collect()
        }
    };
    Some(Arc::new(BooleanArray::new(values, nulls)))
}

fn texts_of(ends: &[i32], data: Vec<u8>, count: usize, nulls: Option<NullBuffer>) -> Option<StringArray> {
    let offsets = offsets_of(ends, count, nulls.as_ref())?;
    StringArray::try_new(offsets, Buffer::from_vec(data), nulls).ok()
}

/// Where the texts of the rows begin and end, of which only some have one.
fn offsets_of(ends: &[i32], count: usize, nulls: Option<&NullBuffer>) -> Option<OffsetBuffer<i32>> {
    let mut offsets = Vec::with_capacity(count + 1);
    offsets.push(0);
    match nulls {
        None => offsets.extend_from_slice(ends),
        Some(nulls) => {
            let (mut ends, mut end) = (ends.iter(), 0);
            for valid in nulls {
                if valid {
                    end = *ends.next()?;
                }
                offsets.push(end);
            }
        }
    }
    Some(OffsetBuffer::new(offsets.into()))
}

/// Rows that are numbers of values in a dictionary. Texts stay so, unless the dictionary is too large.
fn numbered(
    bytes: &[u8],
    count: usize,
    nulls: Option<NullBuffer>,
    dictionary: &ArrayRef,
) -> Result<ArrayRef, Undecoded> {
    let present = count - nulls.as_ref().map_or(0, NullBuffer::null_count);
    let numbers = match bytes.split_first() {
        _ if present == 0 => Vec::new(),
        Some((width, rest)) => encoding::hybrid(rest, u32::from(*width), present).ok_or(Undecoded::Damaged)?,
        None => return Err(Undecoded::Damaged),
    };
    if numbers.iter().any(|number| *number as usize >= dictionary.len()) {
        return Err(Undecoded::Damaged);
    }
    match dictionary.data_type() {
        DataType::Int64 => {
            let values = dictionary.as_primitive::<Int64Type>().values();
            let values = numbers.iter().map(|number| values[*number as usize]).collect();
            Ok(Arc::new(PrimitiveArray::<Int64Type>::new(spread(values, count, nulls.as_ref()), nulls)))
        }
        DataType::Float64 => {
            let values = dictionary.as_primitive::<Float64Type>().values();
            let values = numbers.iter().map(|number| values[*number as usize]).collect();
            Ok(Arc::new(PrimitiveArray::<Float64Type>::new(spread(values, count, nulls.as_ref()), nulls)))
        }
        DataType::UInt32 => {
            let values = dictionary.as_primitive::<UInt32Type>().values();
            let values = numbers.iter().map(|number| values[*number as usize]).collect();
            Ok(Arc::new(PrimitiveArray::<UInt32Type>::new(spread(values, count, nulls.as_ref()), nulls)))
        }
        DataType::Utf8 if dictionary.len() <= DICTIONARY_VALUES_MAX => {
            let numbers = numbers.iter().map(|number| *number as u16).collect();
            let keys = UInt16Array::new(spread(numbers, count, nulls.as_ref()), nulls);
            let array = DictionaryArray::<UInt16Type>::try_new(keys, Arc::clone(dictionary));
            Ok(Arc::new(array.map_err(|_| Undecoded::Damaged)?))
        }
        DataType::Utf8 | DataType::Binary => {
            let keys = UInt32Array::new(spread(numbers, count, nulls.as_ref()), nulls);
            take(dictionary, &keys, None).map_err(|_| Undecoded::Damaged)
        }
        _ => Err(Undecoded::Unknown),
    }
}

/// The same values without a dictionary.
pub fn plain(array: ArrayRef) -> Result<ArrayRef, Undecoded> {
    texts::plain(&array).map_err(|_| Undecoded::Damaged)
}

thread_local! {
    /// Its tables are large: making them for each page would cost more than most pages.
    static ZSTD: RefCell<Zstd> = RefCell::new(Zstd::default());
}

#[derive(Default)]
struct Zstd {
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    buffer: Vec<u8>,
}

/// A buffer that grew over this is let go again.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

impl Zstd {
    fn decompress(&mut self, body: &[u8], bytes: usize) -> Option<&[u8]> {
        if self.decompressor.is_none() {
            self.decompressor = zstd::bulk::Decompressor::new().ok();
        }
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.buffer.reserve(bytes);
        let written = self.decompressor.as_mut()?.decompress_to_buffer(body, &mut self.buffer).ok()?;
        (written == bytes).then_some(&self.buffer[..])
    }
}

#[cfg(test)]
mod tests;
