//! How an entry of the hash list tells its blocks.
//!
//! Behind the delta of the hash stands a number below `blocks + counts` ([`Below`]): below `blocks` it is the one block; then
//! come 2, 3 and so on up to `counts` blocks, and the last one stands for more, how many beyond `counts` as gamma code.
//! Several blocks follow as [`put_between`] says. `counts` is chosen for the list.

use crate::store::split::bits::{Below, BitReader, BitWriter};

/// Most numbers that tell how many blocks there are.
const COUNTS_MAX: usize = 128;

/// The code of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockCode {
    blocks: u64,
    counts: u64,
    numbers: Below,
}

impl BlockCode {
    /// `None` for numbers that are of no list.
    pub(super) fn new(blocks: u64, counts: u8) -> Option<BlockCode> {
        let counts = u64::from(counts);
        let known = counts > 0 && counts <= COUNTS_MAX as u64;
        known.then(|| BlockCode { blocks, counts, numbers: Below::new(blocks + counts) })
    }

    /// The shortest code of terms that are in so many blocks each.
    pub(super) fn fitting(blocks: u64, lengths: &Lengths) -> BlockCode {
        let cost = |counts: usize| {
            let beyond = lengths.0.iter().enumerate().skip(counts + 1);
            let more: u64 = beyond.map(|(length, terms)| terms * u64::from(gamma_bits((length - counts) as u64))).sum();
            let numbers = (blocks + counts as u64) as f64;
            numbers.log2() * lengths.0.iter().sum::<u64>() as f64 + more as f64
        };
        let best = (1..=COUNTS_MAX).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(1) as u64;
        BlockCode { blocks, counts: best, numbers: Below::new(blocks + best) }
    }

    pub(super) fn counts(&self) -> u8 {
        self.counts as u8
    }

    /// Appends the delta of an entry as Rice code, and its one block.
    #[inline]
    pub(super) fn put_one(&self, body: &mut BitWriter, (delta, k): (u64, u32), block: u64) {
        let (number, bits) = self.numbers.code(block);
        body.put_rice_and(delta, k, number, bits);
    }

    /// The same of an entry with some blocks, which ascend.
    pub(super) fn put(&self, body: &mut BitWriter, (delta, k): (u64, u32), list: &[u64]) {
        if let [block] = list {
            return self.put_one(body, (delta, k), *block);
        }
        let count = list.len() as u64;
        let more = count > self.counts;
        let place = if more { self.counts - 1 } else { count - 2 };
        let (number, bits) = self.numbers.code(self.blocks + place);
        body.put_rice_and(delta, k, number, bits);
        if more {
            body.put_gamma(count - self.counts);
        }
        put_between(body, list, (0, self.blocks));
    }

    /// The delta of an entry, and its block or how many it has.
    #[inline]
    pub(super) fn take(&self, input: &mut BitReader<'_>, k: u32) -> Option<(u64, Told)> {
        let (delta, number) = input.take_rice_and_below(k, &self.numbers)?;
        let Some(place) = number.checked_sub(self.blocks) else { return Some((delta, Told::One(number))) };
        let count = match place + 1 < self.counts {
            true => place + 2,
            false => input.take_gamma()?.checked_add(self.counts)?,
        };
        (count <= self.blocks).then_some((delta, Told::Several(count)))
    }

    /// Calls `each` for so many blocks.
    pub(super) fn take_several(&self, input: &mut BitReader<'_>, count: u64, each: &mut impl FnMut(u64)) -> Option<()> {
        take_between(input, count, (0, self.blocks), each)
    }

    /// The reader behind so many blocks.
    pub(super) fn behind_several<'a>(&self, input: BitReader<'a>, count: u64) -> Option<BitReader<'a>> {
        behind_between(input, count, self.blocks)
    }
}

/// The blocks of an entry, as far as they are told with its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    One(u64),
    Several(u64),
}

/// How many terms are in one block, in two, and so on.
#[derive(Debug)]
pub(super) struct Lengths(Vec<u64>);

impl Lengths {
    const LENGTH_MAX: usize = 256;

    pub(super) fn new() -> Lengths {
        Lengths(vec![0; Lengths::LENGTH_MAX + 1])
    }

    pub(super) fn add(&mut self, blocks: usize) {
        self.0[blocks.min(Lengths::LENGTH_MAX)] += 1;
    }

    pub(super) fn terms(&self) -> u64 {
        self.0.iter().sum()
    }
}

fn gamma_bits(number: u64) -> u32 {
    2 * number.ilog2() + 1
}

/// Appends ascending numbers of which all are in `low..high`: the one in the middle, as a number below the count of places
/// that it can have, those amid these in a bit less; then those before it and those behind it. Where there are as many as
/// places, nothing.
fn put_between(body: &mut BitWriter, list: &[u64], (low, high): (u64, u64)) {
    if list.is_empty() || list.len() as u64 == high - low {
        return;
    }
    let (before, rest) = list.split_at(list.len() / 2);
    let (block, after) = (rest[0], &rest[1..]);
    let first = low + before.len() as u64;
    let places = high - after.len() as u64 - first;
    let below = Below::new(places);
    let (place, amid) = (block - first, below.amid(places));
    let (number, bits) = below.code(if place >= amid { place - amid } else { place + places - amid });
    body.put(number, bits);
    put_between(body, before, (low, block));
    put_between(body, after, (block + 1, high));
}

/// Reads what [`put_between`] wrote; there are at most as many as places. As many steps as bits are read, but for calls
/// of `each`; as deep as the count has bits.
fn take_between(
    input: &mut BitReader<'_>,
    count: u64,
    (low, high): (u64, u64),
    each: &mut impl FnMut(u64),
) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    if count == high - low {
        (low..high).for_each(each);
        return Some(());
    }
    let before = count / 2;
    let after = count - before - 1;
    let first = low + before;
    let places = high - after - first;
    let below = Below::new(places);
    let place = input.take_below(&below)? + below.amid(places);
    let block = first + if place >= places { place - places } else { place };
    take_between(input, before, (low, block), each)?;
    each(block);
    take_between(input, after, (block + 1, high), each)
}

/// The reader behind what [`take_between`] reads, of so many numbers in so many places.
fn behind_between(mut input: BitReader<'_>, mut count: u64, mut span: u64) -> Option<BitReader<'_>> {
    while count > 0 && count < span {
        let before = count / 2;
        let places = span - count + 1;
        let below = Below::new(places);
        let place = input.take_below(&below)? + below.amid(places);
        let middle = before + if place >= places { place - places } else { place };
        if before > 1 {
            input = behind_between(input, before, middle)?;
        } else if before == 1 && middle > 1 {
            input.take_below(&Below::new(middle))?;
        }
        span -= middle + 1;
        count -= before + 1;
    }
    Some(input)
}
