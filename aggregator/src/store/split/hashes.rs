//! The hash list: variable words and values → blocks, as sorted 40-bit hashes.
//!
//! Layout, integers little endian: `entries u32 | skips u32 |` then per skip `hash u40 | offset u32`, then the
//! entries. A skip stands for every [`SKIP_EVERY`]th entry: its hash, and where in the entries it begins. An entry is
//! `varint(delta of the hash << 1 | several)`, then the block as a varint, or, if several, their number and then the
//! first block and the deltas, all varints. The delta of the first entry after a skip is 0.
//!
//! The hash of a term: [`hash64`] of its bytes, the upper 40 bits.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use bytes::Bytes;
use logweir_proto::varint;

/// Entries from one skip to the next.
pub const SKIP_EVERY: usize = 128;

const HASH_BITS: u32 = 40;
const SKIP_BYTES: usize = 9;
const HEADER_BYTES: usize = 8;

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
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        h = step(h, u64::from_le_bytes(word));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        h = step(h, u64::from_le_bytes(word));
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
    (hash64(term) & !((1 << (64 - HASH_BITS)) - 1)) | u64::from(block)
}

/// Writes the list. `entries` come from [`entry`]; they are sorted and made unique.
pub fn encode(entries: &mut Vec<u64>) -> Vec<u8> {
    entries.sort_unstable();
    entries.dedup();
    let block_bits = 64 - HASH_BITS;
    let (mut skips, mut body) = (Vec::new(), Vec::with_capacity(entries.len() * 4));
    let (mut count, mut last) = (0usize, 0u64);
    let mut rest = &entries[..];
    while let Some(first) = rest.first() {
        let hash = first >> block_bits;
        let len = rest.iter().take_while(|entry| **entry >> block_bits == hash).count();
        let (group, tail) = rest.split_at(len);
        rest = tail;
        if count.is_multiple_of(SKIP_EVERY) {
            skips.extend_from_slice(&hash.to_le_bytes()[..5]);
            skips.extend_from_slice(&(body.len() as u32).to_le_bytes());
            last = hash;
        }
        varint::put(&mut body, ((hash - last) << 1) | u64::from(len > 1));
        last = hash;
        count += 1;
        if len > 1 {
            varint::put(&mut body, len as u64);
        }
        let mut before = 0;
        for entry in group {
            let block = entry & ((1 << block_bits) - 1);
            varint::put(&mut body, block - before);
            before = block;
        }
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + skips.len() + body.len());
    out.extend_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(&((skips.len() / SKIP_BYTES) as u32).to_le_bytes());
    out.extend_from_slice(&skips);
    out.extend_from_slice(&body);
    out
}

/// A list that can be asked.
#[derive(Debug, Clone)]
pub struct HashList {
    bytes: Bytes,
    entries: usize,
    skips: usize,
}

impl HashList {
    /// `None` when the bytes are no such list.
    pub fn open(bytes: Bytes) -> Option<HashList> {
        let number = |at: usize| {
            let four = bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
        };
        let (entries, skips) = (number(0)?, number(4)?);
        let whole = skips == entries.div_ceil(SKIP_EVERY) && bytes.len() >= HEADER_BYTES + skips * SKIP_BYTES;
        whole.then_some(HashList { bytes, entries, skips })
    }

    /// Flags the blocks that may hold the term. `None` when the list is damaged.
    pub fn find(&self, term: &[u8], blocks: &mut [bool]) -> Option<()> {
        let hash = hash64(term) >> (64 - HASH_BITS);
        let skip = partition_point(self.skips, |i| self.skip(i).is_some_and(|(at, _)| at <= hash));
        let Some(skip) = skip.checked_sub(1) else { return Some(()) };
        let (mut at, offset) = self.skip(skip)?;
        let mut input = self.bytes.get(HEADER_BYTES + self.skips * SKIP_BYTES + offset..)?;
        for _ in 0..SKIP_EVERY.min(self.entries - skip * SKIP_EVERY) {
            let head = varint::take(&mut input)?;
            at = at.checked_add(head >> 1)?;
            let count = if head & 1 == 1 { varint::take(&mut input)? } else { 1 };
            let mut block = 0u64;
            for _ in 0..count {
                block = block.checked_add(varint::take(&mut input)?)?;
                if at == hash {
                    *blocks.get_mut(usize::try_from(block).ok()?)? = true;
                }
            }
            if at >= hash {
                break;
            }
        }
        Some(())
    }

    fn skip(&self, i: usize) -> Option<(u64, usize)> {
        let at = HEADER_BYTES + i * SKIP_BYTES;
        let bytes = self.bytes.get(at..at + SKIP_BYTES)?;
        let mut hash = [0; 8];
        hash[..5].copy_from_slice(&bytes[..5]);
        let offset = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        Some((u64::from_le_bytes(hash), offset as usize))
    }
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
            for term in 0..1000 {
                let mut found = vec![false; 20];
                list.find(format!("term{term}").as_bytes(), &mut found).expect("a whole list");
                let want: Vec<bool> = (0..20).map(|block| terms.contains(&(term, block))).collect();
                prop_assert_eq!(&found, &want, "term {}", term);
            }
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
