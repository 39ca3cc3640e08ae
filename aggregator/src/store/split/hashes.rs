//! The hash list: variable words and values → blocks, as sorted hashes.
//!
//! Layout, integers little endian:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `FC FF FF FF`: the form of the list |
//! | 1 | bits of a hash, 16 to 40: eight more than numbering the entries would take |
//! | 1 | the Rice parameter of the deltas |
//! | 4, 4, 4 | entries, pages, blocks |
//! | 1 | how many numbers tell how many blocks an entry has ([`blocks`]) |
//! | 1, 1 | bytes of the two numbers of a group |
//! | 4 | crc32 of all that is before the pages but for itself |
//! | 13 each | the table: `hash u40`, `offset u32`, `crc32 u32` of a page |
//! | … | pages of [`PAGE_ENTRIES`] entries, each from a whole byte on |
//!
//! The table has the hash of the first entry of each page, and where behind the table it begins. Everything before the
//! pages stays in memory; a look-up reads and checks one page, about 4 KiB. A page begins with two numbers for each of its
//! groups of [`SKIP_EVERY`] entries but the first: how far behind that of the page the hash of its first entry is,
//! and where behind these numbers the group begins. So a look-up goes through one group. An entry is, as [`super::bits`]: the delta of the hash to the entry before, 0 for the first of a group, as Rice code; then its
//! blocks, as [`blocks`] says. With eight spare bits a term that is not there is found in one of 256 lists.
//!
//! Four older forms are still read. The fourth begins with `FD FF FF FF`, has nothing between the number of blocks and the
//! checksum, and 5 and 4 bytes for the two numbers of a group. Its entries, as those of the two before, tell the blocks
//! so: `1` and the one block in as many bits as the last block has; or `01` and one bit for each block; or `00`, the number of
//! blocks less one as gamma code, and the blocks as gaps (the block less the one before less one) as Rice code with the
//! parameter of the mean gap.
//! The third begins with `FE FF FF FF`, and its pages are one group each. The other two
//! are checked as a whole. The second begins with `FF FF FF FF` and has no checksums, and for pages groups of
//! [`SKIP_EVERY`] entries, with 9 bytes each in the table. The first: `entries u32 | groups u32 |`,
//! such a table, and the entries in bytes:
//! `varint(delta of the hash << 1 | several)`, then the block as a varint, or, if several, their number and then the
//! first block and the deltas, all varints; hashes have 40 bits.
//!
//! The hash of a term: [`hash64`] of its bytes, the upper 40 bits.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use bytes::Bytes;

use self::blocks::{BlockCode, Lengths, Told};
pub use self::gathered::Gathered;
use super::bits::{BitReader, BitWriter, rice_parameter};

mod blocks;
mod gathered;
mod old;

/// Entries of a page.
pub const PAGE_ENTRIES: usize = 1024;

/// Bytes that are read to open a list: nearly always all that is before its pages.
pub const OPEN_BYTES: u64 = 8 << 10;

/// Entries from one skip to the next.
pub const SKIP_EVERY: usize = 128;

/// Bits of the hash in an [`entry`], and most of them in a list.
const HASH_BITS: u32 = 40;
const HASH_BITS_MIN: u32 = 16;
const BLOCK_BITS: u32 = 64 - HASH_BITS;

/// The largest number that stands in the place of a block.
pub(super) const BLOCK_MAX: u32 = (1 << BLOCK_BITS) - 1;

/// Bits of a hash beyond those that number the entries.
const SPARE_BITS: u32 = 8;

const MARKER_GROUPS: u32 = u32::MAX;
const MARKER_PAGES: u32 = u32::MAX - 1;
const MARKER_PARTED_PAGES: u32 = u32::MAX - 2;
const MARKER_BELOW: u32 = u32::MAX - 3;
const PAGE_GROUPS: usize = PAGE_ENTRIES / SKIP_EVERY;
/// Bytes of the hash and of the place of a page, of a group in the table, and of a group before [`MARKER_BELOW`].
const SKIP: Skip = Skip { hash: 5, place: 4 };
const SKIP_BYTES: usize = 9;
const PAGE_HEAD_BYTES: usize = 13;
const GROUPS_HEADER_BYTES: usize = 18;
const PAGES_HEADER_BYTES: usize = 22;
const HEADER_BYTES: usize = 25;

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
    in_block(hash64(term), block)
}

/// An entry in another block.
pub fn in_block(entry: u64, block: u32) -> u64 {
    (entry & !((1 << BLOCK_BITS) - 1)) | u64::from(block)
}

/// The hash of an entry.
pub fn hash_of(entry: u64) -> u64 {
    entry >> BLOCK_BITS
}

/// The most bits of a hash in a list of so many entries.
fn hash_bits_of(terms: usize) -> u32 {
    (terms.max(1).ilog2() + 1 + SPARE_BITS).clamp(HASH_BITS_MIN, HASH_BITS)
}

/// Writes the list. `entries` come from [`entry`].
pub fn encode(entries: Gathered) -> Vec<u8> {
    let sorted_bits = hash_bits_of(entries.len());
    let shares = entries.into_sorted(sorted_bits);
    let mut lengths = Lengths::new();
    let same = |a: &u64, b: &u64| (a ^ b) >> (64 - sorted_bits) == 0;
    shares.iter().flat_map(|share| share.chunk_by(same)).for_each(|group| lengths.add(group.len()));
    let terms = lengths.terms().max(1);
    let hash_bits = hash_bits_of(terms as usize);
    let cut = 64 - hash_bits;
    let delta_k = rice_parameter((1 << hash_bits) / terms);
    let blocks = shares.iter().flatten().map(block_of).max().map_or(0, |last| last + 1);
    let code = BlockCode::fitting(blocks, &lengths);
    let (mut groups, mut body, mut list) = (Vec::new(), BitWriter::default(), Vec::new());
    let (mut count, mut last) = (0usize, 0u64);
    for group in shares.iter().flat_map(|share| share.chunk_by(|a, b| (a ^ b) >> cut == 0)) {
        let hash = group[0] >> cut;
        if count.is_multiple_of(SKIP_EVERY) {
            groups.push((hash, body.align()));
            last = hash;
        }
        let delta = hash - std::mem::replace(&mut last, hash);
        count += 1;
        if let [entry] = group {
            code.put_one(&mut body, (delta, delta_k), block_of(entry));
            continue;
        }
        list.clear();
        list.extend(group.iter().map(block_of));
        // Terms that share the shorter hash come in any order.
        if !list.is_sorted() {
            list.sort_unstable();
        }
        list.dedup();
        code.put(&mut body, (delta, delta_k), &list);
    }
    drop(shares);
    let (table, skip, pages) = paged(&groups, &body.finish());
    let mut out = Vec::with_capacity(HEADER_BYTES + table.len() + pages.len());
    out.extend_from_slice(&MARKER_BELOW.to_le_bytes());
    out.extend([hash_bits as u8, delta_k as u8]);
    for number in [count, groups.len().div_ceil(PAGE_GROUPS), blocks as usize] {
        out.extend_from_slice(&(number as u32).to_le_bytes());
    }
    out.extend([code.counts(), skip.hash as u8, skip.place as u8]);
    let sum = head_sum(&out, &table);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&table);
    out.extend_from_slice(&pages);
    out
}

/// The table and the pages of groups, of which each is told with its first hash and its place in `body`, and how many
/// bytes the two take.
fn paged(groups: &[(u64, usize)], body: &[u8]) -> (Vec<u8>, Skip, Vec<u8>) {
    let within = || groups.chunks(PAGE_GROUPS).map(|page| (page[0], page[page.len() - 1]));
    let skip = Skip {
        hash: bytes_of(within().map(|(first, last)| last.0 - first.0).max()),
        place: bytes_of(within().map(|(first, last)| (last.1 - first.1) as u64).max()),
    };
    let (mut table, mut pages) = (Vec::new(), Vec::with_capacity(body.len() + groups.len() * skip.bytes()));
    let ends = groups.iter().step_by(PAGE_GROUPS).skip(1).map(|(_, at)| *at).chain([body.len()]);
    for (page, to) in groups.chunks(PAGE_GROUPS).zip(ends) {
        let ((first, from), at) = (page[0], pages.len());
        for (hash, group_at) in &page[1..] {
            skip.put(hash - first, (group_at - from) as u64, &mut pages);
        }
        pages.extend_from_slice(&body[from..to]);
        SKIP.put(first, at as u64, &mut table);
        table.extend_from_slice(&crc32fast::hash(&pages[at..]).to_le_bytes());
    }
    (table, skip, pages)
}

/// Bytes of the numbers up to this one.
fn bytes_of(most: Option<u64>) -> usize {
    (u64::BITS - most.unwrap_or(0).leading_zeros()).div_ceil(8) as usize
}

/// Bytes of a hash and of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Skip {
    hash: usize,
    place: usize,
}

impl Skip {
    fn bytes(self) -> usize {
        self.hash + self.place
    }

    fn put(self, hash: u64, place: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&hash.to_le_bytes()[..self.hash]);
        out.extend_from_slice(&place.to_le_bytes()[..self.place]);
    }

    /// The hash and the place at the beginning of these bytes.
    fn read(self, bytes: &[u8]) -> Option<(u64, u64)> {
        // As many as ever there are, where they are there: both numbers are found in one look at them.
        if let Some(sixteen) = bytes.first_chunk::<16>() {
            let both = u128::from_le_bytes(*sixteen);
            let lower = |number: u128, bytes: usize| (number & ((1 << (8 * bytes)) - 1)) as u64;
            return Some((lower(both, self.hash), lower(both >> (8 * self.hash), self.place)));
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (hash, rest) = bytes.split_at_checked(self.hash)?;
        Some((number(hash), number(rest.get(..self.place)?)))
    }
}

fn head_sum(header: &[u8], table: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(header);
    sum.update(table);
    sum.finalize()
}

fn block_of(entry: &u64) -> u64 {
    entry & ((1 << BLOCK_BITS) - 1)
}

/// How many bytes from the beginning [`HashList::open`] needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Bytes(u64),
    /// All of them, which the checksum of the section is for.
    All,
}

/// A list that can be asked.
#[derive(Debug, Clone)]
pub struct HashList {
    /// All before the pages, or of older forms everything.
    bytes: Bytes,
    entries: usize,
    table: usize,
    table_at: usize,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// Version 1.
    Bytes,
    Groups(Packed),
    /// Bytes of all pages, and how these are cut into groups; the third form does not.
    Pages(Packed, u64, Option<Skip>),
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    hash_bits: u32,
    delta_k: u32,
    blocks: u64,
    /// `None` in older forms.
    code: Option<BlockCode>,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

impl Packed {
    fn read(bytes: &[u8]) -> Option<Packed> {
        let (hash_bits, delta_k) = (u32::from(*bytes.get(4)?), u32::from(*bytes.get(5)?));
        let blocks = u64::from(u32_at(bytes, 14)?);
        let known =
            (HASH_BITS_MIN..=HASH_BITS).contains(&hash_bits) && delta_k <= hash_bits && blocks <= 1 << BLOCK_BITS;
        known.then_some(Packed { hash_bits, delta_k, blocks, code: None })
    }

    fn read_below(bytes: &[u8]) -> Option<(Packed, Skip)> {
        let packed = Packed::read(bytes)?;
        let (numbers, _) = bytes.get(PAGES_HEADER_BYTES - 4..)?.split_first_chunk::<3>()?;
        let code = Some(BlockCode::new(packed.blocks, numbers[0])?);
        let skip = Skip { hash: usize::from(numbers[1]), place: usize::from(numbers[2]) };
        (skip.hash <= SKIP.hash && skip.place <= SKIP.place).then_some((Packed { code, ..packed }, skip))
    }
}

/// Bytes before the table of a list with pages.
fn header_bytes(marker: u32) -> Option<usize> {
    match marker {
        MARKER_BELOW => Some(HEADER_BYTES),
        MARKER_PAGES | MARKER_PARTED_PAGES => Some(PAGES_HEADER_BYTES),
        _ => None,
    }
}

impl HashList {
    /// What to open a list with, by its first bytes; `None` when they are of no list.
    pub fn needs(first: &[u8]) -> Option<Needs> {
        let Some(header) = header_bytes(u32_at(first, 0)?) else { return Some(Needs::All) };
        Some(Needs::Bytes(header as u64 + u64::from(u32_at(first, 10)?) * PAGE_HEAD_BYTES as u64))
    }

    /// `bytes` are the first of so many in `total`, at least as many as it [`needs`](HashList::needs). `None` when they
    /// are no such list.
    pub fn open(bytes: Bytes, total: u64) -> Option<HashList> {
        let marker = u32_at(&bytes, 0)?;
        let (form, numbers_at, table_at) = match marker {
            MARKER_BELOW => {
                let (packed, skip) = Packed::read_below(&bytes)?;
                (Form::Pages(packed, 0, Some(skip)), 6, HEADER_BYTES)
            }
            MARKER_PAGES | MARKER_PARTED_PAGES => {
                let skip = (marker == MARKER_PARTED_PAGES).then_some(SKIP);
                (Form::Pages(Packed::read(&bytes)?, 0, skip), 6, PAGES_HEADER_BYTES)
            }
            MARKER_GROUPS => (Form::Groups(Packed::read(&bytes)?), 6, GROUPS_HEADER_BYTES),
            _ => (Form::Bytes, 0, 8),
        };
        let (entries, table) = (u32_at(&bytes, numbers_at)? as usize, u32_at(&bytes, numbers_at + 4)? as usize);
        let has_pages = matches!(form, Form::Pages(..));
        let (each, head_bytes) = if has_pages { (PAGE_ENTRIES, PAGE_HEAD_BYTES) } else { (SKIP_EVERY, SKIP_BYTES) };
        let pages_at = table_at + table * head_bytes;
        if table != entries.div_ceil(each) || bytes.len() < pages_at {
            return None;
        }
        let Form::Pages(packed, _, skip) = form else {
            return Some(HashList { bytes, entries, table, table_at, form });
        };
        let sum = head_sum(&bytes[..table_at - 4], &bytes[table_at..pages_at]);
        let form = Form::Pages(packed, total.checked_sub(pages_at as u64)?, skip);
        // What lies behind would be held for as long as the list.
        let bytes = Bytes::copy_from_slice(&bytes[..pages_at]);
        (u32_at(&bytes, table_at - 4)? == sum).then_some(HashList { bytes, entries, table, table_at, form })
    }

    /// Flags the blocks that may hold the term. `read` reads bytes of the list; its errors come back, and `None` when the
    /// list is damaged.
    pub fn find<E>(
        &self,
        term: &[u8],
        blocks: &mut [bool],
        read: impl FnOnce(Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Option<()>, E> {
        Ok(self.look(hash64(term), read, |group| group.find(blocks))?.map(|_| ()))
    }

    /// Whether one of so many blocks may hold the term of this [`hash64`]; otherwise as [`HashList::find`].
    pub fn may_have<E, B: AsRef<[u8]>>(
        &self,
        hash: u64,
        blocks: usize,
        read: impl FnOnce(Range<u64>) -> Result<B, E>,
    ) -> Result<Option<bool>, E> {
        Ok(self.look(hash, read, |group| group.may_have(blocks))?.map(Option::unwrap_or_default))
    }

    /// Looks at the group that has the hash, if one has: what `look` says.
    fn look<T, E, B: AsRef<[u8]>>(
        &self,
        hash: u64,
        read: impl FnOnce(Range<u64>) -> Result<B, E>,
        look: impl FnOnce(Group<'_>) -> Option<T>,
    ) -> Result<Option<Option<T>>, E> {
        let hash_bits = match self.form {
            Form::Bytes => HASH_BITS,
            Form::Groups(packed) | Form::Pages(packed, ..) => packed.hash_bits,
        };
        let hash = hash >> (64 - hash_bits);
        let Some(place) = self.place(hash, hash_bits) else { return Ok(Some(None)) };
        let Some((from, offset)) = self.page(place) else { return Ok(None) };
        let want = hash - from;
        let in_memory = |packed: Option<Packed>| {
            let input = self.bytes.get(self.table_at + self.table * SKIP_BYTES + offset as usize..)?;
            let count = SKIP_EVERY.min(self.entries.saturating_sub(place * SKIP_EVERY));
            Some(Group { packed, input, count, want })
        };
        Ok(match self.form {
            Form::Bytes => in_memory(None).and_then(look),
            Form::Groups(packed) => in_memory(Some(packed)).and_then(look),
            Form::Pages(packed, bytes, skip) => {
                let end = self.page(place + 1).map_or(bytes, |(_, offset)| offset);
                if offset > end || end > bytes {
                    return Ok(None);
                }
                let pages_at = self.bytes.len() as u64;
                let page = read(pages_at + offset..pages_at + end)?;
                let page = page.as_ref();
                let sum = u32_at(&self.bytes, self.table_at + place * PAGE_HEAD_BYTES + 9);
                let count = PAGE_ENTRIES.min(self.entries - place * PAGE_ENTRIES);
                let group = Group { packed: Some(packed), input: page, count, want };
                match (sum == Some(crc32fast::hash(page)), skip) {
                    (true, Some(skip)) => group.within(skip).and_then(look),
                    (true, None) => look(group),
                    (false, _) => None,
                }
            }
        }
        .map(Some))
    }

    /// The last page or group that begins at a hash or before it.
    fn place(&self, hash: u64, hash_bits: u32) -> Option<usize> {
        let is_before = |i: usize| self.page(i).is_some_and(|(at, _)| at <= hash);
        // Hashes lie evenly: it is where they say, or next to it.
        let near = ((u128::from(hash) * self.table as u128) >> hash_bits) as usize;
        let (low, high) = (near.saturating_sub(1), (near + 2).min(self.table));
        let is_near = (low == 0 || is_before(low)) && (high == self.table || !is_before(high));
        let (low, high) = if is_near { (low, high) } else { (0, self.table) };
        (low + partition_point(high - low, |i| is_before(low + i))).checked_sub(1)
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first hash of a page or group, and where it begins.
    fn page(&self, i: usize) -> Option<(u64, u64)> {
        if i >= self.table {
            return None;
        }
        let head_bytes = if matches!(self.form, Form::Pages(..)) { PAGE_HEAD_BYTES } else { SKIP_BYTES };
        SKIP.read(self.bytes.get(self.table_at + i * head_bytes..)?)
    }
}

/// Entries one behind the other, the first of them `want` before the hash that is looked for.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    /// `None` in version 1.
    packed: Option<Packed>,
    input: &'a [u8],
    count: usize,
    want: u64,
}

impl<'a> Group<'a> {
    /// Of a page the group that has the hash, if any has.
    fn within(self, skip: Skip) -> Option<Group<'a>> {
        let groups = self.count.div_ceil(SKIP_EVERY).saturating_sub(1);
        let (heads, body) = self.input.split_at_checked(groups * skip.bytes())?;
        let head = |group: usize| skip.read(heads.get(group * skip.bytes()..)?);
        let group = partition_point(groups, |group| head(group).is_some_and(|(hash, _)| hash <= self.want));
        let (hash, at) = match group.checked_sub(1) {
            Some(before) => head(before)?,
            None => (0, 0),
        };
        Some(Group {
            input: body.get(usize::try_from(at).ok()?..)?,
            count: SKIP_EVERY.min(self.count - group * SKIP_EVERY),
            want: self.want.checked_sub(hash)?,
            ..self
        })
    }

    /// Flags the blocks of the entry.
    fn find(self, flags: &mut [bool]) -> Option<()> {
        let mut input = BitReader::new(self.input);
        let Some(packed) = self.packed else { return old::find_bytes(self.input, self.count, self.want, flags) };
        let Some(code) = packed.code else { return old::find(&packed, &mut input, self.count, self.want, flags) };
        let mut all = true;
        let mut flag = |block: u64| {
            let flag = usize::try_from(block).ok().and_then(|block| flags.get_mut(block));
            all &= flag.map(|flag| *flag = true).is_some();
        };
        match self.seek(&code, packed.delta_k)? {
            Some((_, Told::One(block))) => flag(block),
            Some((mut input, Told::Several(blocks))) => code.take_several(&mut input, blocks, &mut flag)?,
            None => {}
        }
        all.then_some(())
    }

    /// Whether the entry is there; it has one of so many blocks.
    fn may_have(self, blocks: usize) -> Option<bool> {
        if let Some(Packed { code: Some(code), delta_k, .. }) = self.packed {
            return Some(self.seek(&code, delta_k)?.is_some());
        }
        let mut flags = vec![false; blocks];
        self.find(&mut flags)?;
        Some(flags.contains(&true))
    }

    /// Goes to the blocks of the entry, if it is there.
    fn seek(self, code: &BlockCode, delta_k: u32) -> Option<Option<(BitReader<'a>, Told)>> {
        // By value, so that it stays in registers.
        let mut input = BitReader::new(self.input);
        let mut at = 0u64;
        for _ in 0..self.count {
            let (delta, told) = code.take(&mut input, delta_k)?;
            at = at.checked_add(delta)?;
            if at >= self.want {
                return Some((at == self.want).then_some((input, told)));
            }
            if let Told::Several(blocks) = told {
                input = code.behind_several(input, blocks)?;
            }
        }
        Some(None)
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
mod tests;
