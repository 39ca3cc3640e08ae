//! The encodings of values within a Parquet page, as the Parquet format specifies them; `super::super::pages` reads them.

use arrow::buffer::BooleanBuffer;
use logweir_proto::varint;

/// Numbers of a block of differences, and of each of the parts that have a width of their own.
const DELTA_BLOCK: usize = 256;
const DELTA_PART: usize = 64;

/// Equal numbers that are looked for.
const RUN_MIN: usize = 8;

/// A run is worth so many bits: its head, its number and the head of what follows are no bytes like the others around
/// them, so they cost more than the equal bytes that they stand for.
const RUN_BITS_MIN: usize = 128;

/// Eight numbers of so many bits fill sixteen bytes.
const EIGHTS_WIDTH_MAX: u32 = 16;

/// Bits of the numbers of a dictionary with so many values. Numbers that do not lie across bytes are compressed better:
/// a byte of several of them is common or rare as these are.
pub(super) fn dictionary_width(values: usize) -> u32 {
    match width_of((values as u32).saturating_sub(1)) {
        3 => 4,
        5..=7 => 8,
        width => width,
    }
}

/// Bits that numbers up to this one take.
pub(super) fn width_of(most: u32) -> u32 {
    u32::BITS - most.leading_zeros()
}

/// Bits as numbers of one bit, in one packed run. Numbers of a bitmap lie as Arrow has them.
pub(super) fn bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    varint::put(out, (bits.len().div_ceil(8) as u64) << 1 | 1);
    let at = out.len();
    let chunks = bits.bit_chunks();
    out.extend(chunks.iter_padded().flat_map(u64::to_le_bytes));
    out.truncate(at + bits.len().div_ceil(8));
}

/// Numbers of `width` bits, in runs of one number and runs of packed ones.
pub(super) fn hybrid(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        // Packed in no bytes they would end with the page, where a reader may ask for another byte before it multiplies.
        varint::put(out, (numbers.len() as u64) << 1);
        return;
    }
    let (mut packed_from, mut at) = (0, 0);
    let run_min = RUN_MIN.max(RUN_BITS_MIN / width as usize);
    while let Some(within) = run_within(&numbers[at..]) {
        let within = at + within;
        let number = numbers[within];
        let from = within - numbers[at..within].iter().rev().take_while(|before| **before == number).count();
        at = within + front_of(&numbers[within..], number);
        // Packed numbers come in eights: a run gives them what they lack.
        let fill = (from - packed_from).wrapping_neg() % 8;
        if at - from >= fill + run_min {
            pack_run(&numbers[packed_from..from + fill], width, out);
            varint::put(out, ((at - from - fill) as u64) << 1);
            out.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
            packed_from = at;
        }
    }
    pack_run(&numbers[packed_from..], width, out);
}

/// How many numbers are this one before another one comes.
fn front_of(numbers: &[u32], number: u32) -> usize {
    const AT_ONCE: usize = 16;
    let (pieces, _) = numbers.as_chunks::<AT_ONCE>();
    let is_whole = |piece: &&[u32; AT_ONCE]| piece.iter().fold(0, |differ, one| differ | (one ^ number)) == 0;
    let whole = AT_ONCE * pieces.iter().take_while(is_whole).count();
    whole + numbers[whole..].iter().take_while(|one| **one == number).count()
}

/// A place within the first run of [`RUN_MIN`] numbers or more, or in a shorter one before it: whatever its phase, a
/// long one has two places of those that are looked at.
fn run_within(numbers: &[u32]) -> Option<usize> {
    const STEP: usize = RUN_MIN / 2;
    let same = |pair: (&u32, &u32)| pair.0 == pair.1;
    let later = numbers.get(STEP..)?;
    numbers.iter().step_by(STEP).zip(later.iter().step_by(STEP)).position(same).map(|at| at * STEP)
}

fn pack_run(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let eights = numbers.len().div_ceil(8);
    varint::put(out, (eights as u64) << 1 | 1);
    let at = out.len();
    if width <= EIGHTS_WIDTH_MAX {
        return pack_eights(numbers, width, out);
    }
    pack(numbers.iter().map(|number| u64::from(*number)), width, out);
    out.resize(at + eights * width as usize, 0);
}

/// [`pack`] of few bits, eight numbers at a time; zeros for those that are missing of the last eight.
fn pack_eights(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    let four = |numbers: &[u32]| numbers.iter().rev().fold(0u64, |all, number| all << width | u64::from(*number));
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let bytes = width as usize;
    let mut at = out.len();
    // Each eight is written as sixteen bytes, of which the next one overwrites those too many.
    out.resize(at + numbers.len().div_ceil(8) * bytes + 16, 0);
    for eight in eights.iter().chain((!rest.is_empty()).then_some(&last)) {
        let all = u128::from(four(&eight[..4])) | u128::from(four(&eight[4..])) << (4 * width);
        out[at..at + 16].copy_from_slice(&all.to_le_bytes());
        at += bytes;
    }
    out.truncate(at);
}

/// The lowest bits of the first number come first; what is missing of the last byte is zero.
fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width <= 32 {
        let (mut held, mut bits) = (0u64, 0);
        for number in numbers {
            held |= number << bits;
            bits += width;
            if bits >= 32 {
                out.extend_from_slice(&(held as u32).to_le_bytes());
                held >>= 32;
                bits -= 32;
            }
        }
        return out.extend_from_slice(&held.to_le_bytes()[..bits.div_ceil(8) as usize]);
    }
    let (mut held, mut bits) = (0u128, 0);
    for number in numbers {
        held |= u128::from(number) << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= 64;
            bits -= 64;
        }
    }
    out.extend_from_slice(&(held as u64).to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// Integers by their differences, packed in blocks.
pub(in crate::store::split) fn deltas(values: &[u64], out: &mut Vec<u8>) {
    varint::put(out, DELTA_BLOCK as u64);
    varint::put(out, (DELTA_BLOCK / DELTA_PART) as u64);
    varint::put(out, values.len() as u64);
    put_zigzag(out, values.first().map_or(0, |value| *value as i64));
    let mut differences = [0i64; DELTA_BLOCK];
    for from in (1..values.len()).step_by(DELTA_BLOCK) {
        let to = (from + DELTA_BLOCK).min(values.len());
        let differences = &mut differences[..to - from];
        for (difference, pair) in differences.iter_mut().zip(values[from - 1..to].windows(2)) {
            *difference = pair[1].wrapping_sub(pair[0]) as i64;
        }
        let least = differences.iter().copied().min().unwrap_or(0);
        put_zigzag(out, least);
        let above = |difference: &i64| difference.wrapping_sub(least) as u64;
        let widths_at = out.len();
        out.extend_from_slice(&[0; DELTA_BLOCK / DELTA_PART]);
        for (part, differences) in differences.chunks(DELTA_PART).enumerate() {
            let width = u64::BITS - differences.iter().map(above).fold(0, |all, one| all | one).leading_zeros();
            if width == 0 {
                continue;
            }
            out[widths_at + part] = width as u8;
            let at = out.len();
            pack(differences.iter().map(above), width, out);
            out.resize(at + DELTA_PART / 8 * width as usize, 0);
        }
    }
}

/// Texts behind the lengths of all of them, or, where all begin alike, behind the lengths of their fronts, which stand
/// once, and of what follows. Where the texts begin, and whether there are fronts. `joined` are the texts one behind the
/// other, if they lie so.
pub(in crate::store::split) fn texts_apart<'a, I: Iterator<Item = &'a [u8]>>(
    texts: impl Fn() -> I,
    joined: Option<&[u8]>,
    words: &mut Vec<u64>,
    out: &mut Vec<u8>,
) -> (usize, bool) {
    let front = common_front(texts());
    words.clear();
    words.extend(texts().map(|text| text.len() as u64));
    let mut skipped = 0;
    if front > 0 {
        let mut fronts = vec![front as u64; words.len()];
        fronts[0] = 0;
        deltas(&fronts, out);
        words[1..].iter_mut().for_each(|length| *length -= front as u64);
    }
    deltas(words, out);
    let at = out.len();
    if let (0, Some(joined)) = (front, joined) {
        out.extend_from_slice(joined);
        return (at, false);
    }
    for text in texts() {
        out.extend_from_slice(&text[skipped..]);
        skipped = front;
    }
    (at, front > 0)
}

/// How many bytes all texts begin with, whole characters.
pub(super) fn common_front<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = texts.next() else { return 0 };
    let mut front = first.len();
    for text in texts {
        if !text.starts_with(&first[..front]) {
            front = first[..front].iter().zip(text).take_while(|(a, b)| a == b).count();
            if front == 0 {
                break;
            }
        }
    }
    let is_within = |at: usize| first.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    while front > 0 && is_within(front) {
        front -= 1;
    }
    front
}

/// Eight-byte values whose first bytes come first, then their second bytes, and so on.
pub(super) fn byte_streams(values: &[u64], out: &mut Vec<u8>) {
    for place in 0..8 {
        out.extend(values.iter().map(|value| (*value >> (8 * place)) as u8));
    }
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, number: i64) {
    varint::put(out, ((number << 1) ^ (number >> 63)) as u64);
}
