//! What many columns are made of alike is held once: the zeros of a column without values, and of one whose rows all
//! have the first of its texts.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ByteArrayType, DataType};

use super::texts::numbered;
use crate::store::segment::BLOCK_ROWS_MAX;

/// The places of as many empty values as a block has rows.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| Buffer::from_vec(vec![0i32; BLOCK_ROWS_MAX + 1]));

/// A column of texts or bytes of so many rows, none of which has a value.
pub(super) fn no_values<T: ByteArrayType<Offset = i32>>(rows: usize) -> GenericByteArray<T> {
    if rows > BLOCK_ROWS_MAX {
        return GenericByteArray::new_null(rows);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::new(ZEROS.clone(), 0, rows + 1));
    let nulls = NullBuffer::new(BooleanBuffer::new(ZEROS.clone(), 0, rows));
    GenericByteArray::new(offsets, Buffer::default(), Some(nulls))
}

/// So many times the key of the first value.
pub(super) fn first_keys(rows: usize) -> ScalarBuffer<u16> {
    if rows > BLOCK_ROWS_MAX { vec![0; rows].into() } else { ScalarBuffer::new(ZEROS.clone(), 0, rows) }
}

/// Bytes that an array holds for itself.
pub(super) fn own_bytes(array: &ArrayRef) -> usize {
    let is_shared = |buffer: &Buffer| buffer.data_ptr() == ZEROS.data_ptr();
    let values = match array.data_type() {
        DataType::Utf8 => is_shared(array.as_string::<i32>().offsets().inner().inner()),
        DataType::Binary => is_shared(array.as_binary::<i32>().offsets().inner().inner()),
        DataType::Dictionary(..) => numbered(array).is_some_and(|(keys, _)| is_shared(keys.values().inner())),
        _ => false,
    };
    let nulls = array.nulls().is_some_and(|nulls| is_shared(nulls.buffer()));
    let shared = usize::from(values) + usize::from(nulls);
    array.get_array_memory_size().saturating_sub(shared * ZEROS.capacity())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, StringArray, UInt16Array};
    use arrow::datatypes::{BinaryType, Utf8Type};

    use super::*;

    #[test]
    fn columns_without_values_are_what_they_say_and_hold_nothing() {
        for rows in [0, 1, 7, BLOCK_ROWS_MAX, BLOCK_ROWS_MAX + 1] {
            let (texts, bytes) = (no_values::<Utf8Type>(rows), no_values::<BinaryType>(rows));
            assert_eq!((texts.len(), texts.null_count()), (rows, rows));
            assert_eq!((bytes.len(), bytes.null_count()), (rows, rows));
            assert_eq!(texts, StringArray::new_null(rows));
            let own = own_bytes(&(Arc::new(texts.slice(0, rows)) as ArrayRef));
            assert!(own < 200 || rows > BLOCK_ROWS_MAX, "{own} bytes for {rows} rows");
        }
    }

    #[test]
    fn a_column_of_one_text_holds_the_text() {
        let one = |keys: ScalarBuffer<u16>| -> ArrayRef {
            let values = Arc::new(StringArray::from(vec!["web-1"]));
            Arc::new(DictionaryArray::new(UInt16Array::new(keys, None), values))
        };
        let (shared, own) = (one(first_keys(4000)), one(vec![0; 4000].into()));
        assert_eq!(&shared, &own);
        assert_eq!(own_bytes(&own) - own_bytes(&shared), 8000);
        assert_eq!(own_bytes(&own), own.get_array_memory_size());
    }
}
