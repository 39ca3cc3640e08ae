//! The least and the greatest value of a page.

use arrow::datatypes::DataType;

const SIGN: u64 = 1 << 63;

/// Words of this type as numbers that are in the same order. Zeros of both signs differ, so that neither is left out of
/// the bounds.
#[inline]
pub(super) fn rank(data_type: &DataType, word: u64) -> u64 {
    match data_type {
        DataType::Float64 if word & SIGN != 0 => !word,
        DataType::UInt64 => word,
        _ => rank_integer(word),
    }
}

#[inline]
pub(super) fn rank_integer(word: u64) -> u64 {
    word ^ SIGN
}

/// The word with a [`rank`].
pub(super) fn word(data_type: &DataType, ranked: u64) -> u64 {
    match data_type {
        DataType::Float64 if ranked & SIGN == 0 => !ranked,
        DataType::UInt64 => ranked,
        _ => ranked ^ SIGN,
    }
}

pub(super) fn extremes(ranked: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    let both = ranked.fold((u64::MAX, 0), |(least, greatest), one| (one.min(least), one.max(greatest)));
    // Nothing but what there is none of comes out of order.
    (both.0 <= both.1).then_some(both)
}
