//! The hash list: variable words and values → blocks, as sorted hashes.
//!
//! Layout, integers little endian:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `FF FF FF FF`: in its place the list of version 1 has the number of its entries |
//! | 1 | bits of a hash, 16 to 40: eight more than numbering the entries would take |
//! | 1 | the Rice parameter of the deltas |
//! | 4, 4, 4 | entries, skips, blocks |
//! | 9 each | skips: `hash u40`, `offset u32` |
//! | … | entries, in groups of [`SKIP_EVERY`], each from a whole byte on |
//!
//! A skip stands for a group: the hash of its first entry, and where in the entries it begins. An entry is, as
//! [`super::bits`]: the delta of the hash to the entry before, 0 for the first of a group, as Rice code; then `1` and
//! the one block in as many bits as the last block has; or `01` and one bit for each block; or `00`, the number of
//! blocks less one as gamma code, and the blocks as gaps (the block less the one before less one) as Rice code with the
//! parameter of the mean gap. With eight spare bits a term that is not there is found in one of 256 lists.
//!
//! Version 1, still read: `entries u32 | skips u32 |`, skips as above, and the entries in bytes:
//! `varint(delta of the hash << 1 | several)`, then the block as a varint, or, if several, their number and then the
//! first block and the deltas, all varints; hashes have 40 bits.
//!
//! The hash of a term: [`hash64`] of its bytes, the upper 40 bits.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use logweir_proto::varint;

use super::bits::{BitReader, BitWriter, rice_bits, rice_parameter};

/// Entries from one skip to the next.
pub const SKIP_EVERY: usize = 128;

/// Bits of the hash in an [`entry`], and most of them in a list.
const HASH_BITS: u32 = 40;
const HASH_BITS_MIN: u32 = 16;
const BLOCK_BITS: u32 = 64 - HASH_BITS;

/// Bits of a hash beyond those that number the entries.
const SPARE_BITS: u32 = 8;

const MARKER: u32 = u32::MAX;
const SKIP_BYTES: usize = 9;
const HEADER_BYTES: usize = 18;

/// A fast hash, the same on every machine and in every version: part of the format.
///
/// Eight bytes at a time: `h = (rotl(h, 25) ^ bytes) * 0x9E3779B97F4A7C15`, starting from the length, the last bytes
/// padded with zeros; then the finaliser of splitmix64.
pub fn hash64(bytes: &[u8]) -> u64 {
    hash64_from(0, bytes)
}

/// [`hash64`] with a seed, for tables in memory.
pub fn hash64_from(seed: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |h: u64, word: u64| (h.rotate_left(25) ^ word).wrapping_mul(MULTIPLIER);
    let mut h = seed ^ bytes.len() as u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        h = step(h, u64::from_le_bytes(*chunk));
    }
    if !rest.is_empty() {
        // The upper bytes of the last eight, where there are so many: a copy of a few bytes costs more than the rest.
        let word = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        h = step(h, word);
    }
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// For tables in memory: the hash of the format with a seed, so that nobody can choose bytes that collide.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Seeded {
        Seeded(RandomState::new().build_hasher().finish())
    }
}

#[derive(Debug)]
pub struct SeededHasher(u64);

impl BuildHasher for Seeded {
    type Hasher = SeededHasher;

    fn build_hasher(&self) -> SeededHasher {
        SeededHasher(self.0)
    }
}

impl Hasher for SeededHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash64_from(self.0, bytes);
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// A term and its block as one number that sorts by hash and then by block.
pub fn entry(term: &[u8], block: u32) -> u64 {
    (hash64(term) & !((1 << BLOCK_BITS) - 1)) | u64::from(block)
}

/// Writes the list. `entries` come from [`entry`]; they are sorted and made unique.
pub fn encode(entries: &mut Vec<u64>) -> Vec<u8> {
    entries.sort_unstable();
    entries.dedup();
    let hash = |entry: &u64| *entry >> BLOCK_BITS;
    let terms = entries.chunk_by(|a, b| hash(a) == hash(b)).count().max(1);
    let hash_bits = (terms.ilog2() + 1 + SPARE_BITS).clamp(HASH_BITS_MIN, HASH_BITS);
    let cut = HASH_BITS - hash_bits;
    let delta_k = rice_parameter((1 << hash_bits) / terms as u64);
    let blocks = entries.iter().map(block_of).max().map_or(0, |last| last + 1);
    let (mut skips, mut body, mut list) = (Vec::new(), BitWriter::default(), Vec::new());
    let (mut count, mut last) = (0usize, 0u64);
    for group in entries.chunk_by(|a, b| hash(a) >> cut == hash(b) >> cut) {
        let hash = hash(&group[0]) >> cut;
        if count.is_multiple_of(SKIP_EVERY) {
            let offset = body.align() as u32;
            skips.extend_from_slice(&hash.to_le_bytes()[..5]);
            skips.extend_from_slice(&offset.to_le_bytes());
            last = hash;
        }
        body.put_rice(hash - last, delta_k);
        last = hash;
        count += 1;
        list.clear();
        list.extend(group.iter().map(block_of));
        // Terms that share the shorter hash come one after the other.
        if !list.is_sorted() {
            list.sort_unstable();
        }
        list.dedup();
        put_blocks(&mut body, &list, blocks);
    }
    let body = body.finish();
    let mut out = Vec::with_capacity(HEADER_BYTES + skips.len() + body.len());
    out.extend_from_slice(&MARKER.to_le_bytes());
    out.extend([hash_bits as u8, delta_k as u8]);
    for number in [count, skips.len() / SKIP_BYTES, blocks as usize] {
        out.extend_from_slice(&(number as u32).to_le_bytes());
    }
    out.extend_from_slice(&skips);
    out.extend_from_slice(&body);
    out
}

fn block_of(entry: &u64) -> u64 {
    entry & ((1 << BLOCK_BITS) - 1)
}

/// Bits of the number of a block.
fn number_bits(blocks: u64) -> u32 {
    blocks.saturating_sub(1).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// The Rice parameter of the gaps between so many blocks.
fn gap_parameter(count: u64, blocks: u64) -> u32 {
    rice_parameter(blocks / count.max(1))
}

fn put_blocks(body: &mut BitWriter, list: &[u64], blocks: u64) {
    if let [block] = list {
        body.put(1, 1);
        return body.put(*block, number_bits(blocks));
    }
    let k = gap_parameter(list.len() as u64, blocks);
    let gaps = || list.iter().scan(0, |next, block| Some(*block - std::mem::replace(next, *block + 1)));
    let count = list.len() as u64 - 1;
    let bits = u64::from(2 * count.ilog2() + 1) + gaps().map(|gap| rice_bits(gap, k)).sum::<u64>();
    if bits < blocks {
        body.put(0, 2);
        body.put_gamma(count);
        gaps().for_each(|gap| body.put_rice(gap, k));
        return;
    }
    body.put(1, 2);
    let mut list = list.iter().peekable();
    for block in 0..blocks {
        body.put(u64::from(list.next_if(|next| **next == block).is_some()), 1);
    }
}

/// A list that can be asked.
#[derive(Debug, Clone)]
pub struct HashList {
    bytes: Bytes,
    entries: usize,
    skips: usize,
    skips_at: usize,
    /// What version 1 lacks.
    packed: Option<Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    hash_bits: u32,
    delta_k: u32,
    blocks: u64,
}

impl HashList {
    /// `None` when the bytes are no such list.
    pub fn open(bytes: Bytes) -> Option<HashList> {
        let number = |at: usize| {
            let four = bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        };
        let (packed, at) = if number(0)? == MARKER {
            let (hash_bits, delta_k) = (u32::from(*bytes.get(4)?), u32::from(*bytes.get(5)?));
            let blocks = u64::from(number(14)?);
            if !(HASH_BITS_MIN..=HASH_BITS).contains(&hash_bits) || delta_k > hash_bits || blocks > 1 << BLOCK_BITS {
                return None;
            }
            (Some(Packed { hash_bits, delta_k, blocks }), 6)
        } else {
            (None, 0)
        };
        let (entries, skips) = (number(at)? as usize, number(at + 4)? as usize);
        let skips_at = if packed.is_some() { HEADER_BYTES } else { 8 };
        let whole = skips == entries.div_ceil(SKIP_EVERY) && bytes.len() >= skips_at + skips * SKIP_BYTES;
        whole.then_some(HashList { bytes, entries, skips, skips_at, packed })
    }

    /// Flags the blocks that may hold the term. `None` when the list is damaged.
    pub fn find(&self, term: &[u8], blocks: &mut [bool]) -> Option<()> {
        let hash_bits = self.packed.map_or(HASH_BITS, |packed| packed.hash_bits);
        let hash = hash64(term) >> (64 - hash_bits);
        let skip = partition_point(self.skips, |i| self.skip(i).is_some_and(|(at, _)| at <= hash));
        let Some(skip) = skip.checked_sub(1) else { return Some(()) };
        let (from, offset) = self.skip(skip)?;
        let input = self.bytes.get(self.skips_at + self.skips * SKIP_BYTES + offset..)?;
        let count = SKIP_EVERY.min(self.entries - skip * SKIP_EVERY);
        match self.packed {
            Some(packed) => packed.find(input, count, hash - from, blocks),
            None => find_bytes(input, count, hash - from, blocks),
        }
    }

    fn skip(&self, i: usize) -> Option<(u64, usize)> {
        let at = self.skips_at + i * SKIP_BYTES;
        let bytes = self.bytes.get(at..at + SKIP_BYTES)?;
        let mut hash = [0; 8];
        hash[..5].copy_from_slice(&bytes[..5]);
        let offset = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        Some((u64::from_le_bytes(hash), offset as usize))
    }
}

impl Packed {
    /// Flags the blocks of the entry that is `want` behind the first of `count` entries.
    fn find(&self, input: &[u8], count: usize, want: u64, flags: &mut [bool]) -> Option<()> {
        let mut input = BitReader::new(input);
        let mut at = 0u64;
        for _ in 0..count {
            at = at.checked_add(input.take_rice(self.delta_k)?)?;
            if at > want {
                break;
            }
            let found = at == want;
            let mut flag = |block: u64| {
                if found {
                    *flags.get_mut(usize::try_from(block).ok()?)? = true;
                }
                Some(())
            };
            if input.take(1)? == 1 {
                flag(input.take(number_bits(self.blocks))?)?;
            } else if input.take(1)? == 1 {
                for block in 0..self.blocks {
                    if input.take(1)? == 1 {
                        flag(block)?;
                    }
                }
            } else {
                let blocks = input.take_gamma()?.checked_add(1)?;
                let k = gap_parameter(blocks, self.blocks);
                let mut next = 0u64;
                for _ in 0..blocks {
                    let block = next.checked_add(input.take_rice(k)?)?;
                    flag(block)?;
                    next = block.checked_add(1)?;
                }
            }
            if found {
                break;
            }
        }
        Some(())
    }
}

/// [`Packed::find`] in a list of version 1.
fn find_bytes(mut input: &[u8], count: usize, want: u64, flags: &mut [bool]) -> Option<()> {
    let mut at = 0u64;
    for _ in 0..count {
        let head = varint::take(&mut input)?;
        at = at.checked_add(head >> 1)?;
        let blocks = if head & 1 == 1 { varint::take(&mut input)? } else { 1 };
        let mut block = 0u64;
        for _ in 0..blocks {
            block = block.checked_add(varint::take(&mut input)?)?;
            if at == want {
                *flags.get_mut(usize::try_from(block).ok()?)? = true;
            }
        }
        if at >= want {
            break;
        }
    }
    Some(())
}

/// The first index for which `before` does not hold.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(hash64(b""), 0);
        let hashes = [hash64(b"a"), hash64(b"wuser42"), hash64(b"a longer term than eight bytes")];
        expect_test::expect!["[6d08fdde432f4286, 5a9def5f67c3b3eb, 1a53dec017a6d1ea]"]
            .assert_eq(&format!("{hashes:x?}"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_list_finds_every_term_in_its_blocks(
            terms in prop::collection::vec((0u32..1000, 0u32..20), 0..900),
            noise in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut entries: Vec<u64> =
                terms.iter().map(|(term, block)| entry(format!("term{term}").as_bytes(), *block)).collect();
            let bytes = encode(&mut entries);
            let list = HashList::open(bytes.clone().into()).expect("a list");
            let mut more = 0;
            for term in 0..1000 {
                let mut found = vec![false; 20];
                list.find(format!("term{term}").as_bytes(), &mut found).expect("a whole list");
                let want: Vec<bool> = (0..20).map(|block| terms.contains(&(term, block))).collect();
                // Short hashes find a block too many now and then, never one too few.
                prop_assert!(found.iter().zip(&want).all(|(found, want)| *found || !want), "term {}", term);
                more += found.iter().zip(&want).filter(|(found, want)| **found && !**want).count();
            }
            prop_assert!(more < 60, "{} blocks too many", more);
            for cut in 0..bytes.len().min(200) {
                if let Some(list) = HashList::open(bytes[..cut].to_vec().into()) {
                    let _ = list.find(b"term1", &mut [false; 20]);
                }
            }
            if let Some(list) = HashList::open(noise.into()) {
                let _ = list.find(b"term1", &mut [false; 20]);
            }
        }
    }
}
