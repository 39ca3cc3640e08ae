//! One zstd frame of texts, made here and not by the library.
//!
//! What texts of a page share with the one before them stands at the same place of each: the front of a path in order, `&s=` of a
//! query. The library's fast level finds six bytes that come again somewhere, so such a piece costs nearly what its letters
//! do, and more where these are digits at random. Here a text is compared with the one before, and the signs between words
//! with what stood at the distances that were used last; three bytes are enough, for most distances come again. The rest
//! are literals with a Huffman code.
//!
//! | | |
//! |---|---|
//! | frame | magic, one segment, its size in four bytes; no checksum |
//! | blocks | those that the library makes of what is before the texts, then blocks of at most 128 KiB of texts |
//! | a block | literals with a code of its own ([`huffman`]), sequences with tables of their own ([`sequences`]) |

use std::ops::Range;

use self::sequences::{MATCH_MIN, Recent, Sequence};

mod bits;
mod fse;
mod huffman;
mod sequences;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// One segment, its size in four bytes.
const DESCRIPTOR: u8 = 2 << 6 | 1 << 5;

const BLOCK_BYTES_MAX: usize = 128 << 10;
const BLOCK_HEADER_BYTES: usize = 3;
const COMPRESSED: u32 = 2;

/// Larger frames are left to the library.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// Slots for pieces that begin with a sign between words.
const SLOTS_LOG2: u32 = 8;

/// Appends a frame of `bytes`, of which everything from `texts_at` on is texts of these lengths. `before` is a frame of
/// what is before them. `None`, and anything may have been appended, where that is not possible or no smaller.
pub(super) fn put_texts(
    bytes: &[u8],
    texts_at: usize,
    lengths: impl Iterator<Item = usize>,
    before: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Option<()> {
    if bytes.len() > FRAME_BYTES_MAX || texts_at >= bytes.len() {
        return None;
    }
    begin(bytes, out);
    if let Some(before) = before {
        put_blocks(before, out)?;
    }
    let mut finder = Finder::new(bytes, texts_at);
    let mut block = Block { from: texts_at, covered: texts_at, sequences: Vec::new(), literals: Vec::new() };
    // The library may have used any distances: none is known until three of them were told.
    let mut recent = Recent([0; 3]);
    let mut at = texts_at;
    for length in lengths {
        let to = at.checked_add(length).filter(|to| *to <= bytes.len())?;
        if to - block.from > BLOCK_BYTES_MAX {
            block.put(bytes, at, &mut recent, out)?;
            if length > BLOCK_BYTES_MAX {
                return None;
            }
        }
        finder.add(at..to, &mut block);
        at = to;
    }
    if at < bytes.len() {
        return None;
    }
    let last_at = block.put(bytes, at, &mut recent, out)?;
    out[last_at] |= 1;
    Some(())
}

/// Appends a frame of bytes of which none are looked for again: numbers that have few bits are common or rare, and what comes again of
/// them does so by chance. `None`, and anything may have been appended, where that is no smaller.
pub(super) fn put_literals(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if bytes.len() > FRAME_BYTES_MAX {
        return None;
    }
    begin(bytes, out);
    let mut block = Block { from: 0, covered: 0, sequences: Vec::new(), literals: Vec::new() };
    let mut last_at = None;
    while block.from < bytes.len() {
        let to = bytes.len().min(block.from + BLOCK_BYTES_MAX);
        last_at = Some(block.put(bytes, to, &mut Recent([0; 3]), out)?);
    }
    out[last_at?] |= 1;
    Some(())
}

fn begin(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.push(DESCRIPTOR);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
}

/// Appends the blocks of a frame, none of them as the last one.
fn put_blocks(frame: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (magic, rest) = frame.split_first_chunk::<4>()?;
    let (descriptor, rest) = rest.split_first()?;
    let one_segment = descriptor >> 5 & 1;
    let size_bytes = match descriptor >> 6 {
        0 => usize::from(one_segment),
        log => 1 << log,
    };
    if *magic != MAGIC || descriptor & 0x0f != 0 {
        return None;
    }
    let mut rest = rest.get(size_bytes + usize::from(1 - one_segment)..)?;
    loop {
        let (header, after) = rest.split_first_chunk::<BLOCK_HEADER_BYTES>()?;
        let head = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let size = match head >> 1 & 3 {
            1 => 1,
            _ => (head >> 3) as usize,
        };
        out.extend_from_slice(&(head & !1).to_le_bytes()[..BLOCK_HEADER_BYTES]);
        out.extend_from_slice(after.get(..size)?);
        rest = &after[size..];
        if head & 1 == 1 {
            return rest.is_empty().then_some(());
        }
    }
}

/// A block that grows.
struct Block {
    from: usize,
    /// Where the last match ends.
    covered: usize,
    sequences: Vec<Sequence>,
    /// What stands before each match.
    literals: Vec<u8>,
}

impl Block {
    /// Adds a match at a place.
    fn add(&mut self, bytes: &[u8], at: usize, (distance, length): (usize, usize)) {
        self.literals.extend_from_slice(&bytes[self.covered..at]);
        self.sequences.push(Sequence { literals: at - self.covered, length, distance });
        self.covered = at + length;
    }

    /// Appends the block, which ends here; where its header is. The next one begins.
    fn put(&mut self, bytes: &[u8], to: usize, recent: &mut Recent, out: &mut Vec<u8>) -> Option<usize> {
        self.literals.extend_from_slice(&bytes[self.covered..to]);
        let header_at = out.len();
        out.extend_from_slice(&[0; BLOCK_HEADER_BYTES]);
        huffman::put_literals(&self.literals, out)?;
        sequences::put_sequences(&self.sequences, recent, out);
        let size = out.len() - header_at - BLOCK_HEADER_BYTES;
        if size >= to - self.from {
            return None;
        }
        let head = COMPRESSED << 1 | (size as u32) << 3;
        out[header_at..header_at + BLOCK_HEADER_BYTES].copy_from_slice(&head.to_le_bytes()[..BLOCK_HEADER_BYTES]);
        (self.from, self.covered) = (to, to);
        self.sequences.clear();
        self.literals.clear();
        Some(header_at)
    }
}

/// Finds what texts share with those before, where these begin and at the signs between words.
struct Finder<'a> {
    bytes: &'a [u8],
    /// Where the text before begins.
    before: usize,
    /// Distances that were used last, the last one first.
    used: [usize; 3],
    /// Where three bytes that begin with a sign stood last.
    places: [u32; 1 << SLOTS_LOG2],
}

/// No place, no distance.
const NONE: usize = u32::MAX as usize;

impl<'a> Finder<'a> {
    fn new(bytes: &'a [u8], texts_at: usize) -> Finder<'a> {
        Finder { bytes, before: texts_at, used: [NONE; 3], places: [NONE as u32; 1 << SLOTS_LOG2] }
    }

    /// Adds the next text to the block.
    fn add(&mut self, text: Range<usize>, block: &mut Block) {
        let mut at = text.start;
        let distance = text.start - self.before;
        // The first byte may be that of a length.
        for from in (text.start..text.end).take(if distance > 0 { 2 } else { 0 }) {
            let length = self.same(from, distance, text.end);
            if length >= MATCH_MIN {
                at = from;
                self.take((distance, length), &mut at, block);
                break;
            }
        }
        while let Some(next) = self.next_sign(at, text.end) {
            at = next;
            match self.find(at, text.end) {
                Some(found) => self.take(found, &mut at, block),
                None => at += 1,
            }
        }
        self.before = text.start;
    }

    fn take(&mut self, (distance, length): (usize, usize), at: &mut usize, block: &mut Block) {
        let place = self.used.iter().position(|used| *used == distance).unwrap_or(2);
        self.used[..=place].rotate_right(1);
        self.used[0] = distance;
        block.add(self.bytes, *at, (distance, length));
        *at += length;
    }

    fn next_sign(&self, at: usize, end: usize) -> Option<usize> {
        let within = self.bytes.get(at..end)?.iter().position(|byte| !IS_OF_WORD[usize::from(*byte)])?;
        Some(at + within)
    }

    /// What stands here and stood before: how far before, and how long it is.
    #[inline]
    fn find(&mut self, at: usize, end: usize) -> Option<(usize, usize)> {
        let three = |at: usize| {
            let three = self.bytes.get(at..end)?.first_chunk::<MATCH_MIN>()?;
            Some(u32::from_le_bytes([three[0], three[1], three[2], 0]))
        };
        let number = three(at)?;
        let slot = number.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOTS_LOG2);
        let place = std::mem::replace(&mut self.places[slot as usize], at as u32) as usize;
        for distance in self.used.into_iter().filter(|distance| *distance <= at) {
            if three(at - distance) == Some(number) {
                return Some((distance, self.same(at, distance, end)));
            }
        }
        let distance = at.checked_sub(place)?;
        let length = self.same(at, distance, end);
        // How far it is costs a letter for four bits.
        (length >= MATCH_MIN + (distance.ilog2() as usize).saturating_sub(2) / 4).then_some((distance, length))
    }

    /// How many bytes are the same so far before.
    #[inline]
    fn same(&self, at: usize, distance: usize, end: usize) -> usize {
        let (here, before) = (&self.bytes[at..], &self.bytes[at - distance..]);
        let most = end - at;
        let mut length = 0;
        while length < most {
            let words = here[length..].first_chunk::<8>().zip(before[length..].first_chunk::<8>());
            let Some((word, other)) = words else {
                let same = |(a, b): &(&u8, &u8)| a == b;
                return length + here[length..most].iter().zip(&before[length..]).take_while(same).count();
            };
            let differ = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
            length += (differ.trailing_zeros() / 8) as usize;
            if differ != 0 {
                break;
            }
        }
        length.min(most)
    }
}

const IS_OF_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
