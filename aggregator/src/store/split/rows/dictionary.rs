//! The dictionary of a column in a row group: each value once, in the order of their first rows, or of their letters.

use std::hash::{BuildHasher, Hasher};

use crate::equal::equal;

/// Words below this one are numbered without a hash: states, durations, numbers of shapes.
const SMALL_WORDS: u64 = 4096;

/// Texts that are looked for together: what is read of them finds a place in the smallest cache.
const NUMBERED_AT_ONCE: usize = 128;

/// A text that one row in so many has is frequent.
const FREQUENT_ONE_IN: u64 = 128;

/// Slots of a table that is kept for the next row group.
const SLOTS_KEPT_MAX: usize = 1 << 16;

/// Texts or words of eight bytes, numbered.
#[derive(Debug)]
pub struct Dictionary {
    seed: u64,
    /// The upper half of a hash, and the number plus one. Their count is a power of two.
    slots: Vec<(u32, u32)>,
    /// As a page has them: a text behind its length, words one after the other.
    values: Vec<u8>,
    /// Where each text begins in `values`, and where the last ends.
    starts: Vec<u32>,
    words: Vec<u64>,
    /// By small word the number plus one; empty until there is one.
    small: Vec<u32>,
    /// How often it was emptied.
    round: u32,
}

/// Another order of the values.
pub(super) struct Order {
    /// What stands in each place.
    pub(super) numbers: Vec<u32>,
    /// Where each number stands.
    pub(super) places: Vec<u32>,
}

impl Default for Dictionary {
    fn default() -> Dictionary {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let slots = vec![(0, 0); 64];
        Dictionary { seed, slots, values: Vec::new(), starts: vec![0], words: Vec::new(), small: Vec::new(), round: 0 }
    }
}

impl Dictionary {
    /// How many values there are.
    #[inline]
    pub(in crate::store) fn len(&self) -> usize {
        self.words.len().max(self.starts.len() - 1)
    }

    /// As long as it is the same a number stands for the same value.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The text with a number.
    #[inline]
    pub fn text(&self, number: u32) -> &[u8] {
        let at = number as usize;
        &self.values[self.starts[at] as usize + 4..self.starts[at + 1] as usize]
    }

    /// The word with a number.
    pub fn word(&self, number: u32) -> u64 {
        self.words[number as usize]
    }

    /// Bytes of all values as a page has them.
    pub(super) fn bytes(&self) -> usize {
        self.values.len() + 8 * self.words.len()
    }

    /// Appends all values; of words so many bytes each.
    pub(super) fn put_page(&self, word_bytes: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.values);
        self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()[..word_bytes]));
    }

    /// First the texts that stand in many of the rows, of which `counts` tells how many each number has: their numbers share
    /// a byte, which is common then. Behind them the others by what follows what all texts begin with, as far as one look
    /// sees: up to nineteen bytes where there are few different ones, else twelve.
    pub(super) fn order(&self, counts: &[u32]) -> Order {
        let text = |number| self.text(number);
        let front = super::encode::common_front((0..self.len() as u32).map(text));
        let mut ranks = [0u8; 256];
        for number in 0..self.len() as u32 {
            text(number)[front..].iter().for_each(|byte| ranks[usize::from(*byte)] = 1);
        }
        let different = ranks.iter().filter(|there| **there == 1).count();
        // The end of a text comes before all that may follow.
        let (bits, seen) = match different {
            0..32 => (5, 19),
            32..64 => (6, 16),
            _ => (8, 12),
        };
        let mut rank = 0;
        for (byte, place) in ranks.iter_mut().enumerate() {
            rank += u8::from(bits < 8 && *place == 1);
            *place = if bits < 8 { rank } else { byte as u8 };
        }
        let key = |number: u32| {
            let text = &text(number)[front..];
            let text = &text[..text.len().min(seen)];
            let key = text.iter().fold(0, |key, byte| key << bits | u128::from(ranks[usize::from(*byte)]));
            key << (bits * (seen - text.len())) << u32::BITS | u128::from(number)
        };
        let mut keys: Vec<u128> = (0..self.len() as u32).map(key).collect();
        keys.sort_unstable();
        let rows: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let is_frequent = |number: u32| {
            counts.get(number as usize).is_some_and(|count| u64::from(*count) * FREQUENT_ONE_IN >= rows.max(1))
        };
        let (mut numbers, others): (Vec<u32>, Vec<u32>) =
            keys.into_iter().map(|key| key as u32).partition(|number| is_frequent(*number));
        numbers.sort_by_key(|number| std::cmp::Reverse(counts.get(*number as usize).copied()));
        numbers.extend(others);
        let mut places = vec![0; numbers.len()];
        (0..).zip(&numbers).for_each(|(place, number)| places[*number as usize] = place);
        Order { numbers, places }
    }

    /// Appends the texts in an order.
    pub(super) fn put_texts(&self, order: &Order, out: &mut Vec<u8>) {
        out.reserve(self.values.len());
        for number in &order.numbers {
            out.extend_from_slice(
                &self.values[self.starts[*number as usize] as usize..self.starts[*number as usize + 1] as usize],
            );
        }
    }

    /// How many bytes each text has in [`Dictionary::put_texts`].
    pub(super) fn lengths(&self, order: &Order) -> impl Iterator<Item = usize> {
        let starts = |number: u32| (self.starts[number as usize], self.starts[number as usize + 1]);
        order.numbers.iter().map(move |number| starts(*number)).map(|(from, to)| (to - from) as usize)
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        let round = self.round + 1;
        // There are none when the dictionary was cut.
        if self.slots.is_empty() || self.slots.len() > SLOTS_KEPT_MAX {
            *self = Dictionary::default();
        }
        self.round = round;
        self.slots.fill((0, 0));
        self.values.clear();
        self.starts.truncate(1);
        self.words.clear();
        self.small.clear();
    }

    /// Forgets the values behind the first `len`; nothing can be added after that.
    pub(super) fn cut(&mut self, len: usize) {
        self.words.truncate(len);
        self.starts.truncate(len + 1);
        self.values.truncate(self.starts.last().map_or(0, |end| *end as usize));
        self.slots.clear();
    }

    /// The number of a text.
    #[inline]
    pub(in crate::store) fn number_text(&mut self, text: &[u8]) -> u32 {
        self.number_hashed(text, hash(self.seed, text))
    }

    #[inline]
    fn number_hashed(&mut self, text: &[u8], hash: u64) -> u32 {
        match self.find(hash, |dictionary, number| equal(dictionary.text(number), text)) {
            Ok(number) => number,
            Err(slot) => {
                self.values.extend_from_slice(&(text.len() as u32).to_le_bytes());
                self.values.extend_from_slice(text);
                self.starts.push(self.values.len() as u32);
                self.put(slot, hash, self.starts.len() as u32 - 2)
            }
        }
    }

    /// The numbers of texts, each told with the place of its text; 0 for those that come when there are so many bytes
    /// already.
    pub(super) fn number_texts<'a>(
        &mut self,
        texts: impl Iterator<Item = &'a [u8]>,
        bytes_max: usize,
        mut each: impl FnMut(usize, u32),
    ) {
        let mut texts = texts.enumerate();
        let mut some = Vec::with_capacity(NUMBERED_AT_ONCE);
        loop {
            some.clear();
            some.extend(texts.by_ref().take(NUMBERED_AT_ONCE).map(|(at, text)| (at, text, hash(self.seed, text))));
            if some.is_empty() {
                return;
            }
            // A dictionary is larger than what the processor has near. Reads that do not wait for one another are under
            // way together: of all slots, and of the texts that these name.
            let mask = self.slots.len() - 1;
            let numbers = some.iter().map(|(_, _, hash)| self.slots[*hash as usize & mask].1 as usize);
            let starts = numbers.filter(|number| *number > 0).map(|number| self.starts[number - 1]);
            std::hint::black_box(starts.fold(0, |near, start| near ^ self.values[start as usize]));
            for (at, text, hash) in &some {
                let number = if self.bytes() > bytes_max { 0 } else { self.number_hashed(text, *hash) };
                each(*at, number);
            }
        }
    }

    /// The number of a word.
    #[inline]
    pub(super) fn number_word(&mut self, word: u64) -> u32 {
        if word < SMALL_WORDS {
            return self.number_small(word);
        }
        let hash = fold(self.seed ^ word, MULTIPLIER);
        match self.find(hash, |dictionary, number| dictionary.words[number as usize] == word) {
            Ok(number) => number,
            Err(slot) => {
                self.words.push(word);
                self.put(slot, hash, self.words.len() as u32 - 1)
            }
        }
    }

    #[inline]
    fn number_small(&mut self, word: u64) -> u32 {
        if self.small.is_empty() {
            self.small.resize(SMALL_WORDS as usize, 0);
        }
        let number = &mut self.small[word as usize];
        if *number == 0 {
            self.words.push(word);
            *number = self.words.len() as u32;
        }
        *number - 1
    }

    /// The number of a value, or the slot where it is to be put.
    #[inline]
    fn find(&self, hash: u64, same: impl Fn(&Dictionary, u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (upper, number) = self.slots[at];
            if number == 0 {
                return Err(at);
            }
            if upper == (hash >> 32) as u32 && same(self, number - 1) {
                return Ok(number - 1);
            }
            at = (at + 1) & mask;
        }
    }

    fn put(&mut self, slot: usize, hash: u64, number: u32) -> u32 {
        self.slots[slot] = ((hash >> 32) as u32, number + 1);
        if 2 * self.len() > self.slots.len() {
            self.grow();
        }
        number
    }

    #[cold]
    fn grow(&mut self) {
        let len = 4 * self.slots.len();
        self.slots = vec![(0, 0); len];
        for number in 0..self.len() as u32 {
            let hash = match self.words.get(number as usize) {
                Some(word) => fold(self.seed ^ word, MULTIPLIER),
                None => hash(self.seed, self.text(number)),
            };
            if let Err(slot) = self.find(hash, |_, _| false) {
                self.slots[slot] = ((hash >> 32) as u32, number + 1);
            }
        }
    }
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// A hash of the table alone: sixteen bytes at a time, the last ones overlap. Nobody who chooses bytes knows the seed.
#[inline]
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let secret = fold(seed, MULTIPLIER);
    let mut h = seed ^ bytes.len() as u64;
    let mut rest = bytes;
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    while let Some((pair, after)) = rest.split_first_chunk::<16>().filter(|(_, after)| !after.is_empty()) {
        let (pair, _) = pair.as_chunks::<8>();
        h = fold(word(&pair[0]) ^ secret, word(&pair[1]) ^ h);
        rest = after;
    }
    let (first, last) = match (rest.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (word(first), word(last)),
        (None, Some(last)) => (0, word(last)),
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (0, u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32)
            }
            _ => (0, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))),
        },
    };
    fold(fold(h ^ last, first ^ secret), 0xbf58_476d_1ce4_e5b9)
}
