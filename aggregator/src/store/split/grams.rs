//! Which three bytes in a row the texts of a column have, so that a text that none of them can have is not looked for.
//!
//! A set of bits, one for each hash of three bytes, letters of ASCII in lower case: bit `(bytes * 0x9E3779B1) >> (32 - k)`
//! of 2^k, the bytes as a number of 24 bits, the first one the highest; bit `i` is bit `i % 8` of byte `i / 8`. Only
//! columns whose texts are numbered in the whole split have one, for each different text is looked at once; and none has
//! that has a sign beyond ASCII which folds into it.

use super::rows::Dictionary;

/// Bits of the place in the largest set, and in the smallest.
const PLACE_BITS_MAX: u32 = 16;
const PLACE_BITS_MIN: u32 = 6;

/// A set is made smaller as long as no more than one bit in so many is set.
const SPARSE_ONE_IN: usize = 5;

/// A set with more than one bit in so many says too little.
const FULL_ONE_IN: usize = 2;

/// What is hashed at once.
const GRAM_BYTES: usize = 3;

/// The set of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grams {
    place_bits: u32,
    bits: Vec<u8>,
}

impl Default for Grams {
    /// The largest set, without anything.
    fn default() -> Grams {
        Grams { place_bits: PLACE_BITS_MAX, bits: vec![0; 1 << (PLACE_BITS_MAX - 3)] }
    }
}

impl Grams {
    /// Adds the texts of a dictionary; `false` when a set of them would say what is not so.
    pub fn add(&mut self, texts: &Dictionary) -> bool {
        for number in 0..texts.len() as u32 {
            let text = texts.text(number);
            if !text.is_ascii() && folds_to_ascii(text) {
                return false;
            }
            for_each_hash(text, |hash| {
                let place = (hash >> (32 - self.place_bits)) as usize;
                self.bits[place / 8] |= 1 << (place % 8);
            });
        }
        true
    }

    fn len(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The smallest set that says about as much; `None` when it says too little.
    pub fn fitted(mut self) -> Option<Grams> {
        if self.len() * FULL_ONE_IN > 1 << self.place_bits {
            return None;
        }
        while self.place_bits > PLACE_BITS_MIN {
            let half = self.halved();
            if half.len() * SPARSE_ONE_IN > 1 << half.place_bits {
                break;
            }
            self = half;
        }
        Some(self)
    }

    fn halved(&self) -> Grams {
        let both = |pair: &[u8]| {
            let of = |byte: u8| (0..4).fold(0, |all, i| all | u8::from(byte >> (2 * i) & 3 != 0) << i);
            of(pair[0]) | of(pair[1]) << 4
        };
        Grams { place_bits: self.place_bits - 1, bits: self.bits.chunks(2).map(both).collect() }
    }

    /// Whether some text may have this in it, whatever the case of its ASCII letters.
    pub fn may_have(&self, part: &[u8]) -> bool {
        let mut all = true;
        for_each_hash(part, |hash| all &= self.has(hash));
        all
    }

    /// The same of the [`hashes`] of a text.
    pub fn may_have_all(&self, hashes: &[u32]) -> bool {
        hashes.iter().all(|hash| self.has(*hash))
    }

    fn has(&self, hash: u32) -> bool {
        let place = (hash >> (32 - self.place_bits)) as usize;
        self.bits[place / 8] >> (place % 8) & 1 == 1
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.place_bits as u8);
        out.extend_from_slice(&self.bits);
    }

    pub fn take(input: &mut &[u8]) -> Option<Grams> {
        let (place_bits, rest) = input.split_first()?;
        let place_bits = u32::from(*place_bits);
        if !(PLACE_BITS_MIN..=PLACE_BITS_MAX).contains(&place_bits) {
            return None;
        }
        let (bits, rest) = rest.split_at_checked(1 << (place_bits - 3))?;
        *input = rest;
        Some(Grams { place_bits, bits: bits.to_vec() })
    }

    pub fn bytes(&self) -> usize {
        self.bits.len()
    }
}

/// The Kelvin sign and the long s: a search without regard to case finds them for `k` and `s`.
fn folds_to_ascii(text: &[u8]) -> bool {
    ["\u{212a}", "\u{17f}"].iter().any(|sign| memchr::memmem::find(text, sign.as_bytes()).is_some())
}

/// What [`Grams::may_have_all`] takes of a text.
pub fn hashes(text: &[u8]) -> Vec<u32> {
    let mut hashes = Vec::new();
    for_each_hash(text, |hash| hashes.push(hash));
    hashes
}

fn for_each_hash(text: &[u8], mut each: impl FnMut(u32)) {
    let (first, rest) = text.split_at(text.len().min(GRAM_BYTES - 1));
    let joined = |gram: u32, byte: &u8| (gram << 8 | u32::from(byte.to_ascii_lowercase())) & 0x00ff_ffff;
    let mut gram = first.iter().fold(0, joined);
    for byte in rest {
        gram = joined(gram, byte);
        each(gram.wrapping_mul(0x9e37_79b1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::split::hashes::hash64;

    fn of(texts: impl Iterator<Item = String>) -> Option<Grams> {
        let mut dictionary = Dictionary::default();
        texts.for_each(|text| {
            dictionary.number_text(text.as_bytes());
        });
        let mut grams = Grams::default();
        grams.add(&dictionary).then(|| grams.fitted()).flatten()
    }

    #[test]
    fn parts_of_texts_are_there_and_few_others() {
        let path = |i: usize| format!("/API/Orders/{i}/ünits");
        let grams = of((0..5000).map(path)).expect("a set");
        assert!(grams.bytes() <= 2048, "{}", grams.bytes());
        for i in 0..5000 {
            assert!(grams.may_have(path(i).as_bytes()) && grams.may_have(path(i).to_lowercase().as_bytes()));
            assert!(grams.may_have_all(&hashes(path(i).as_bytes())));
        }
        assert!(grams.may_have(b"pi/ord") && grams.may_have(b"or") && grams.may_have(b""));
        assert!(!grams.may_have(b"zq81kfo2") && !grams.may_have(b"/carts/"));
        assert!(!grams.may_have_all(&hashes(b"zq81kfo2")) && grams.may_have_all(&hashes(b"or")));
        let mut stored = Vec::new();
        grams.put(&mut stored);
        assert_eq!(Grams::take(&mut &stored[..]), Some(grams));
        assert_eq!(Grams::take(&mut &stored[..stored.len() - 1]), None);
        assert_eq!(Grams::take(&mut &[40, 0][..]), None);
    }

    #[test]
    fn a_set_that_says_nothing_or_too_much_is_none() {
        // All that can be printed, but for upper case.
        let letters: Vec<u8> = (b' '..=b'~').filter(|byte| !byte.is_ascii_uppercase()).collect();
        let random = |i: u64| {
            let letter =
                |j: u64| letters[(hash64(&(i * 16 + j).to_le_bytes()) % letters.len() as u64) as usize] as char;
            (0..16).map(letter).collect::<String>()
        };
        assert!(of((0..40_000).map(random)).is_none());
        assert!(of(["273 \u{212a}".to_owned()].into_iter()).is_none());
        assert!(of(["é".to_owned()].into_iter()).is_some());
    }
}
