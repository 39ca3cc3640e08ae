//! Which rows of a block are meant: one bit a row.

use arrow::array::Array;

/// A set of rows `0..len`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>,
    len: usize,
}

impl Mask {
    pub fn none(len: usize) -> Mask {
        Mask { words: vec![0; len.div_ceil(64)], len }
    }

    pub fn all(len: usize) -> Mask {
        let mut mask = Mask { words: vec![u64::MAX; len.div_ceil(64)], len };
        mask.trim();
        mask
    }

    /// From what [`Mask::words`] gave; `None` when it was of another length.
    pub fn from_words(words: &[u64], len: usize) -> Option<Mask> {
        (words.len() == len.div_ceil(64)).then(|| Mask { words: words.to_vec(), len })
    }

    /// 64 rows each, the first in the lowest bit.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The rows for which `test` holds. `test` is called for every row: it must be cheap and total.
    pub fn from_fn(len: usize, test: impl Fn(usize) -> bool) -> Mask {
        let mut words = Vec::with_capacity(len.div_ceil(64));
        let mut start = 0;
        while start < len {
            let end = (start + 64).min(len);
            let mut word = 0u64;
            for row in start..end {
                word |= u64::from(test(row)) << (row - start);
            }
            words.push(word);
            start = end;
        }
        Mask { words, len }
    }

    /// The rows whose value passes. `test` is called for every row, many at once: it must be cheap and total.
    pub fn of_values<T: Copy>(values: &[T], test: impl Fn(T) -> bool) -> Mask {
        let mut words = Vec::with_capacity(values.len().div_ceil(64));
        let mut flags = [0; 64];
        let (chunks, rest) = values.as_chunks::<64>();
        for chunk in chunks {
            for (flag, value) in flags.iter_mut().zip(chunk) {
                *flag = u8::from(test(*value));
            }
            words.push(packed(&flags));
        }
        if !rest.is_empty() {
            flags = [0; 64];
            for (flag, value) in flags.iter_mut().zip(rest) {
                *flag = u8::from(test(*value));
            }
            words.push(packed(&flags));
        }
        Mask { words, len: values.len() }
    }

    /// The rows that are not null in `array`.
    pub fn valid(array: &dyn Array) -> Mask {
        let Some(nulls) = array.nulls() else { return Mask::all(array.len()) };
        let mut words: Vec<u64> = nulls.inner().bit_chunks().iter_padded().collect();
        words.resize(array.len().div_ceil(64), 0);
        let mut mask = Mask { words, len: array.len() };
        mask.trim();
        mask
    }

    fn trim(&mut self) {
        let used = self.len % 64;
        if let (Some(last), 1..) = (self.words.last_mut(), used) {
            *last &= (1 << used) - 1;
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_all(&self) -> bool {
        self.count() == self.len
    }

    /// The first row.
    pub fn first(&self) -> Option<usize> {
        let word = self.words.iter().position(|word| *word != 0)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    pub fn has(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub fn set(&mut self, row: usize) {
        if row < self.len {
            self.words[row / 64] |= 1 << (row % 64);
        }
    }

    pub fn and(mut self, other: &Mask) -> Mask {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self
    }

    pub fn or(mut self, other: &Mask) -> Mask {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
        self
    }

    pub fn and_not(mut self, other: &Mask) -> Mask {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
        self
    }

    /// The rows in rising order.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

/// Flags of 0 and 1 as bits, the first in the lowest.
fn packed(flags: &[u8; 64]) -> u64 {
    // The product brings the lowest bits of eight bytes together in its highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = flags.as_chunks::<8>();
    let byte = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56;
    eights.iter().rev().fold(0, |word, eight| word << 8 | byte(eight))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn masks_are_sets() {
        for len in [0, 1, 63, 64, 65, 130] {
            let all = Mask::all(len);
            assert_eq!(all.count(), len);
            let even = Mask::from_fn(len, |row| row % 2 == 0);
            let odd = all.clone().and_not(&even);
            assert_eq!(even.clone().or(&odd), all);
            assert!(even.clone().and(&odd).is_empty());
            let numbers: Vec<u16> = (0..len as u16).collect();
            assert_eq!(Mask::of_values(&numbers, |number| number % 2 == 0), even);
            assert_eq!((even.first(), odd.first()), ((len > 0).then_some(0), (len > 1).then_some(1)));
            assert_eq!(odd.rows().collect::<Vec<_>>(), (0..len).filter(|row| row % 2 == 1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn validity_survives_slicing() {
        let array: Int64Array = (0..200).map(|i| (i % 3 != 0).then_some(i)).collect();
        let slice = array.slice(5, 100);
        assert_eq!(Mask::valid(&slice), Mask::from_fn(100, |row| (row + 5) % 3 != 0));
    }
}
