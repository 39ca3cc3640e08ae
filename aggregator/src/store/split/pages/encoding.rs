//! The encodings of values within a Parquet page. Every function takes hostile bytes and answers `None` for them.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;
use logweir_proto::varint;

use super::PAGE_BYTES_MAX;
use super::header::integer;

/// Widest number of a dictionary or a level, in bits.
const HYBRID_BITS_MAX: u32 = 32;

/// Up to this width a number lies within eight bytes wherever it begins.
const WINDOW_BITS_MAX: u32 = 56;

/// `count` numbers of `width` bits, in runs of one number and runs of packed ones.
pub(super) fn hybrid(mut input: &[u8], width: u32, count: usize) -> Option<Vec<u32>> {
    if width > HYBRID_BITS_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let head = varint::take(&mut input)?;
        let left = count - out.len();
        if head & 1 == 1 {
            let numbers = usize::try_from(head >> 1).ok()?.checked_mul(8)?;
            let bytes = numbers / 8 * width as usize;
            let (packed, rest) = input.split_at_checked(bytes)?;
            unpack(packed, width, numbers.min(left), |number| out.push(number as u32))?;
            input = rest;
        } else {
            let run = usize::try_from(head >> 1).ok()?.min(left);
            let (value, rest) = input.split_at_checked(width.div_ceil(8) as usize)?;
            let number = value.iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
            out.extend(std::iter::repeat_n(number, run));
            input = rest;
            if run == 0 {
                return None;
            }
        }
    }
    Some(out)
}

/// Which of `count` rows have a value; `None` within when all have.
pub(super) fn validity(mut input: &[u8], count: usize) -> Option<Option<NullBuffer>> {
    let mut bits = BooleanBufferBuilder::new(count);
    while bits.len() < count {
        let head = varint::take(&mut input)?;
        let left = count - bits.len();
        if head & 1 == 1 {
            let bytes = usize::try_from(head >> 1).ok()?;
            let (packed, rest) = input.split_at_checked(bytes)?;
            bits.append_packed_range(0..bytes.checked_mul(8)?.min(left), packed);
            input = rest;
            if bytes == 0 {
                return None;
            }
        } else {
            let run = usize::try_from(head >> 1).ok()?.min(left);
            let (value, rest) = input.split_first()?;
            if run == 0 || *value > 1 {
                return None;
            }
            bits.append_n(run, *value == 1);
            input = rest;
        }
    }
    let nulls = NullBuffer::new(bits.finish());
    Some((nulls.null_count() > 0).then_some(nulls))
}

/// The first `count` of the numbers of `width` bits in `packed`, least significant bits first.
fn unpack(packed: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) -> Option<()> {
    if packed.len() * 8 < count * width as usize {
        return None;
    }
    if width == 0 {
        (0..count).for_each(|_| each(0));
        return Some(());
    }
    let mask = u64::MAX >> (64 - width);
    let mut done = 0;
    if width <= WINDOW_BITS_MAX && packed.len() >= 8 {
        // Numbers whose eight bytes are all there.
        let whole = ((packed.len() - 8) * 8 / width as usize + 1).min(count);
        while done < whole {
            let bit = done * width as usize;
            let window = packed.get(bit / 8..bit / 8 + 8)?;
            let word = u64::from_le_bytes([
                window[0], window[1], window[2], window[3], window[4], window[5], window[6], window[7],
            ]);
            each(word >> (bit % 8) & mask);
            done += 1;
        }
    }
    while done < count {
        let bit = done * width as usize;
        let mut number = 0u128;
        for (i, byte) in packed[bit / 8..].iter().take(9).enumerate() {
            number |= u128::from(*byte) << (8 * i);
        }
        each((number >> (bit % 8)) as u64 & mask);
        done += 1;
    }
    Some(())
}

/// Differences of integers, packed in blocks; moves `input` behind them.
pub(super) fn deltas(input: &mut &[u8], count_max: usize) -> Option<Vec<i64>> {
    let block = usize::try_from(varint::take(input)?).ok()?;
    let parts = usize::try_from(varint::take(input)?).ok()?;
    let count = usize::try_from(varint::take(input)?).ok()?;
    let mut value = integer(input)?;
    if count > count_max || parts == 0 || block > 1 << 20 || !block.is_multiple_of(parts.checked_mul(8)?) {
        return None;
    }
    let per_part = block / parts;
    let mut out = Vec::with_capacity(count);
    if count > 0 {
        out.push(value);
    }
    while out.len() < count {
        let least = integer(input)?;
        let (widths, rest) = input.split_at_checked(parts)?;
        *input = rest;
        for width in widths {
            if out.len() == count {
                break;
            }
            if u32::from(*width) > 64 || per_part == 0 {
                return None;
            }
            let (packed, rest) = input.split_at_checked(per_part / 8 * usize::from(*width))?;
            *input = rest;
            unpack(packed, u32::from(*width), per_part.min(count - out.len()), |delta| {
                value = value.wrapping_add(least).wrapping_add(delta as i64);
                out.push(value);
            })?;
        }
    }
    Some(out)
}

/// Eight-byte values whose first bytes come first, then their second bytes, and so on.
pub(super) fn byte_streams(input: &[u8], count: usize) -> Option<Vec<u64>> {
    let input = input.get(..count.checked_mul(8)?)?;
    let mut out = vec![0u64; count];
    for (place, stream) in input.chunks_exact(count.max(1)).enumerate() {
        for (value, byte) in out.iter_mut().zip(stream) {
            *value |= u64::from(*byte) << (8 * place);
        }
    }
    Some(out)
}

/// Eight-byte values one after the other.
pub(super) fn plain_words(input: &[u8], count: usize) -> Option<Vec<u64>> {
    let (words, _) = input.get(..count.checked_mul(8)?)?.as_chunks::<8>();
    Some(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// Four-byte values one after the other.
pub(super) fn plain_halves(input: &[u8], count: usize) -> Option<Vec<u32>> {
    let (halves, _) = input.get(..count.checked_mul(4)?)?.as_chunks::<4>();
    Some(halves.iter().map(|half| u32::from_le_bytes(*half)).collect())
}

/// Texts behind their lengths: the ends of each in the bytes of all.
pub(super) fn plain_texts(mut input: &[u8], count: usize) -> Option<(Vec<i32>, Vec<u8>)> {
    let mut data = Vec::with_capacity(input.len().checked_sub(count.checked_mul(4)?)?);
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, rest) = input.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        data.extend_from_slice(text);
        ends.push(i32::try_from(data.len()).ok()?);
        input = rest;
    }
    Some((ends, data))
}

/// Texts behind the lengths of all of them.
pub(super) fn texts_behind_lengths(mut input: &[u8], count: usize) -> Option<(Vec<i32>, Vec<u8>)> {
    let lengths = deltas(&mut input, count)?;
    let mut end = 0i32;
    let mut ends = Vec::with_capacity(count);
    for length in lengths {
        end = end.checked_add(i32::try_from(length).ok().filter(|length| *length >= 0)?)?;
        ends.push(end);
    }
    let data = input.get(..usize::try_from(end).ok()?)?.to_vec();
    (ends.len() == count).then_some((ends, data))
}

/// Texts that begin with so many bytes of the one before, behind these numbers and the lengths of the rest.
pub(super) fn texts_behind_fronts(mut input: &[u8], count: usize) -> Option<(Vec<i32>, Vec<u8>)> {
    let fronts = deltas(&mut input, count)?;
    let lengths = deltas(&mut input, count)?;
    if fronts.len() != count || lengths.len() != count {
        return None;
    }
    let (mut ends, mut data) = (Vec::with_capacity(count), Vec::with_capacity(2 * input.len()));
    let mut last = 0;
    for (front, length) in fronts.into_iter().zip(lengths) {
        let begin = data.len();
        let front = usize::try_from(front).ok().filter(|front| *front <= begin - last)?;
        let (text, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
        if begin + front + text.len() > PAGE_BYTES_MAX {
            return None;
        }
        data.extend_from_within(last..last + front);
        data.extend_from_slice(text);
        ends.push(data.len() as i32);
        (input, last) = (rest, begin);
    }
    Some((ends, data))
}
