//! Numbers of few bits, one behind the other, the highest bit first.
//!
//! Rice code of a number with parameter `k`: its upper part `n >> k` as so many 0 bits and a 1, then its lower `k`
//! bits. Gamma code of a number from 1 on: as many 0 bits as it has bits behind its first one, then the number. A number
//! below a bound `n` with `b + 1` bits: the first `2^(b+1) - n` numbers in `b` bits, the others, so many more, in `b + 1`.

/// Most bits of one number.
pub const NUMBER_BITS_MAX: u32 = 40;

/// Codes of the numbers below a bound: the first ones have a bit less than the others, so that all codes are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Bits of a short code.
    bits: u32,
    /// How many numbers have one.
    short: u64,
}

impl Below {
    /// For a bound from 1 to 2^40.
    #[inline]
    pub fn new(bound: u64) -> Below {
        let bits = bound.max(1).ilog2();
        Below { bits, short: (2 << bits) - bound.max(1) }
    }

    /// The code of a number, and its bits.
    #[inline]
    pub fn code(&self, number: u64) -> (u64, u32) {
        if number < self.short { (number, self.bits) } else { (number + self.short, self.bits + 1) }
    }

    /// Where the short codes begin, if they are to be those in the middle of the numbers.
    #[inline]
    pub fn amid(&self, bound: u64) -> u64 {
        (bound - self.short) / 2
    }
}

/// Writes numbers.
#[derive(Debug, Default)]
pub struct BitWriter {
    out: Vec<u8>,
    held: u64,
    bits: u32,
}

impl BitWriter {
    /// Appends the lower `bits` of a number, at most [`NUMBER_BITS_MAX`].
    #[inline]
    pub fn put(&mut self, number: u64, bits: u32) {
        debug_assert!(bits <= NUMBER_BITS_MAX && number < 1 << bits, "{number} has more than {bits} bits");
        // Fewer than 24 are held, so all find a place.
        self.held = (self.held << bits) | number;
        self.bits += bits;
        if self.bits >= 24 {
            self.put_bytes();
        }
    }

    /// Moves the whole bytes out.
    #[inline]
    fn put_bytes(&mut self) {
        let whole = self.bits / 8;
        if whole > 0 {
            let bytes = (self.held << (64 - self.bits)).to_be_bytes();
            // As many as ever there are: a copy of a few bytes costs more than one of eight.
            let len = self.out.len() + whole as usize;
            self.out.extend_from_slice(&bytes);
            self.out.truncate(len);
            self.bits -= 8 * whole;
        }
    }

    #[inline]
    pub fn put_rice(&mut self, number: u64, k: u32) {
        let mut zeros = number >> k;
        let lower = number & ((1 << k) - 1);
        if zeros < u64::from(NUMBER_BITS_MAX - k.min(NUMBER_BITS_MAX)) {
            return self.put(1 << k | lower, zeros as u32 + 1 + k);
        }
        while zeros >= 32 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1, zeros as u32 + 1);
        self.put(lower, k);
    }

    /// Appends a Rice code and the lower `bits` of another number.
    #[inline]
    pub fn put_rice_and(&mut self, number: u64, k: u32, other: u64, bits: u32) {
        let (zeros, lower) = (number >> k, number & ((1 << k) - 1));
        let all = zeros + 1 + u64::from(k + bits);
        if all <= u64::from(NUMBER_BITS_MAX) {
            return self.put((1 << k | lower) << bits | other, all as u32);
        }
        self.put_rice(number, k);
        self.put(other, bits);
    }

    /// Appends a number from 1 to 2^20.
    pub fn put_gamma(&mut self, number: u64) {
        self.put(number, 2 * number.ilog2() + 1);
    }

    /// Fills the last byte with zeros; how many bytes there are now.
    pub fn align(&mut self) -> usize {
        let missing = self.bits.wrapping_neg() % 8;
        self.put(0, missing);
        self.put_bytes();
        self.out.len()
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.align();
        self.out
    }
}

/// The parameter for numbers of this mean.
pub fn rice_parameter(mean: u64) -> u32 {
    // The best code for numbers at random splits near the median, ln 2 of the mean.
    (mean * 7 / 10).checked_ilog2().unwrap_or(0).min(NUMBER_BITS_MAX)
}

/// Most bits that are seen at once; one fewer than a word has, so that it can be shifted by all of them.
const SEEN_BITS_MAX: usize = 63;

/// Reads numbers; `None` behind the end.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits at the top, of which so many were seen: a number that is among them waits for no look at the bytes.
    word: u64,
    seen: u32,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, at: 0, word: 0, seen: 0 }
    }

    #[cfg(test)]
    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    #[cfg(test)]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Sees the next bits: 56 or more, or all that are left.
    #[inline]
    fn look(&mut self) {
        (self.word, self.seen) = seen_at(self.bytes, self.at);
    }

    /// Goes on by bits that were seen.
    #[inline]
    fn pass(&mut self, bits: u32) {
        self.at += bits as usize;
        self.word <<= bits;
        self.seen -= bits;
    }

    #[inline]
    pub fn take(&mut self, bits: u32) -> Option<u64> {
        if bits > NUMBER_BITS_MAX {
            return None;
        }
        if self.seen < bits {
            self.look();
            if self.seen < bits {
                return None;
            }
        }
        let number = self.word.checked_shr(64 - bits).unwrap_or(0);
        self.pass(bits);
        Some(number)
    }

    /// How many 0 bits there are before the next 1, which is taken, too.
    fn take_zeros(&mut self) -> Option<u64> {
        let mut zeros = 0;
        loop {
            self.look();
            let found = self.word.leading_zeros();
            if found < self.seen {
                self.pass(found + 1);
                return Some(zeros + u64::from(found));
            }
            if self.seen == 0 {
                return None;
            }
            zeros += u64::from(self.seen);
            self.pass(self.seen);
        }
    }

    pub fn take_rice(&mut self, k: u32) -> Option<u64> {
        let upper = self.take_zeros()?;
        Some(upper.checked_shl(k)? | self.take(k)?)
    }

    /// A number below a bound.
    #[inline]
    pub fn take_below(&mut self, below: &Below) -> Option<u64> {
        if self.seen <= below.bits {
            self.look();
            if self.seen <= below.bits {
                // The last one, if it has the shorter code.
                return self.take(below.bits).filter(|number| *number < below.short);
            }
        }
        let upper = self.word.checked_shr(64 - below.bits).unwrap_or(0);
        let is_short = upper < below.short;
        let number = if is_short { upper } else { (self.word >> (63 - below.bits)) - below.short };
        self.pass(below.bits + u32::from(!is_short));
        Some(number)
    }

    /// A Rice code and a number below a bound: at once, where they are short enough for one look.
    #[inline]
    pub fn take_rice_and_below(&mut self, k: u32, below: &Below) -> Option<(u64, u64)> {
        // As if the number had its longer code.
        let behind = 1 + k.min(u64::BITS) + below.bits + 1;
        let mut zeros = self.word.leading_zeros();
        if zeros + behind > self.seen {
            self.look();
            zeros = self.word.leading_zeros();
            if zeros + behind > self.seen {
                let (both, reader) = self.taken_apart(k, below)?;
                *self = reader;
                return Some(both);
            }
        }
        let rest = self.word << (zeros + 1);
        let lower = rest.checked_shr(64 - k).unwrap_or(0);
        let rest = rest << k;
        let upper = rest.checked_shr(64 - below.bits).unwrap_or(0);
        let is_short = upper < below.short;
        let number = if is_short { upper } else { (rest >> (63 - below.bits)) - below.short };
        self.pass(zeros + behind - u32::from(is_short));
        Some((u64::from(zeros) << k | lower, number))
    }

    /// The two one after the other, and the reader behind them.
    #[cold]
    fn taken_apart(mut self, k: u32, below: &Below) -> Option<((u64, u64), BitReader<'a>)> {
        let both = (self.take_rice(k)?, self.take_below(below)?);
        Some((both, self))
    }

    #[inline]
    pub fn take_gamma(&mut self) -> Option<u64> {
        let (number, reader) = self.taken_gamma()?;
        *self = reader;
        Some(number)
    }

    fn taken_gamma(mut self) -> Option<(u64, BitReader<'a>)> {
        let bits = u32::try_from(self.take_zeros()?).ok().filter(|bits| *bits <= NUMBER_BITS_MAX)?;
        Some(((1 << bits) | self.take(bits)?, self))
    }
}

/// The bits from a place on, at the top of a word, and how many they are. By value and apart, so that a reader can stay
/// in registers.
#[inline(never)]
fn seen_at(bytes: &[u8], at: usize) -> (u64, u32) {
    let from = at / 8;
    let word = match bytes.get(from..).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_be_bytes(*eight),
        None => (from..from + 8).fold(0, |word, i| (word << 8) | u64::from(bytes.get(i).copied().unwrap_or(0))),
    };
    (word << (at % 8), (bytes.len() * 8 - at).min(SEEN_BITS_MAX - at % 8) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((0u64..1 << 20, 0u32..20, 0u8..3), 0..60)) {
            let mut writer = BitWriter::default();
            for (number, k, how) in &numbers {
                match how {
                    0 => writer.put(*number, 20),
                    1 => writer.put_rice(*number >> 8, *k),
                    _ => writer.put_gamma(*number + 1),
                }
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (number, k, how) in &numbers {
                let (found, want) = match how {
                    0 => (reader.take(20), *number),
                    1 => (reader.take_rice(*k), *number >> 8),
                    _ => (reader.take_gamma(), *number + 1),
                };
                prop_assert_eq!(found, Some(want));
            }
            prop_assert!(reader.left() < 8);
        }

        #[test]
        fn pairs_come_back(
            numbers in prop::collection::vec((0u64..1 << 12, 0u64..1 << 20), 0..60),
            k in 0u32..12,
            bound in prop_oneof![1u64..300, 1u64..1 << 20],
        ) {
            let mut writer = BitWriter::default();
            let below = Below::new(bound);
            for (number, other) in &numbers {
                let (code, bits) = below.code(other % bound);
                writer.put_rice_and(*number, k, code, bits);
                writer.put(code, bits);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (number, other) in &numbers {
                prop_assert_eq!(reader.take_rice_and_below(k, &below), Some((*number, other % bound)));
                prop_assert_eq!(reader.take_below(&below), Some(other % bound));
            }
            prop_assert!(reader.left() < 8);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..40), k in 0u32..70) {
            let mut reader = BitReader::new(&bytes);
            while reader.take_rice(k).is_some() {}
            let mut reader = BitReader::new(&bytes);
            while reader.take_gamma().is_some() {}
            let mut reader = BitReader::new(&bytes);
            while reader.take_rice_and_below(k, &Below::new(u64::from(k) + 1)).is_some() {}
            prop_assert_eq!(BitReader::new(&bytes).take(k).is_some(), k <= NUMBER_BITS_MAX && bytes.len() * 8 >= k as usize);
        }
    }
}
