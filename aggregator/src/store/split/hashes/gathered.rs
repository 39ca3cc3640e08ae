//! Entries of a list to be, apart by the first bits of their hashes: what is sorted together is near the processor, and
//! sorting takes room for a share and not for all once more.

/// Bits of the hash that tell the share.
const SHARE_BITS: u32 = 6;

/// Most bits of a digit of [`sort`], and most digits: hashes have 40 bits.
const DIGIT_BITS_MAX: u32 = 12;
const DIGITS_MAX: usize = 3;

/// With fewer entries the tables of the digits are most of the work.
const SORTED_MIN: usize = 1 << 11;

/// Entries in any order.
#[derive(Debug)]
pub struct Gathered(Vec<Vec<u64>>);

impl Default for Gathered {
    fn default() -> Gathered {
        Gathered(vec![Vec::new(); 1 << SHARE_BITS])
    }
}

impl Gathered {
    #[inline]
    pub fn push(&mut self, entry: u64) {
        self.0[(entry >> (64 - SHARE_BITS)) as usize].push(entry);
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The entries sorted by so many bits of the hash at least, as the shares of which they are. Those that are equal there
    /// come in the order in which they were added, or in their own.
    pub(super) fn into_sorted(self, hash_bits: u32) -> Vec<Vec<u64>> {
        let (mut shares, mut spare) = (self.0, Vec::new());
        shares.iter_mut().for_each(|share| sort(share, &mut spare, hash_bits));
        shares
    }
}

impl Extend<u64> for Gathered {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.push(entry));
    }
}

impl FromIterator<u64> for Gathered {
    fn from_iter<I: IntoIterator<Item = u64>>(entries: I) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.extend(entries);
        gathered
    }
}

/// Sorts a share by the digits of the bits behind those that tell it, the last digit first.
fn sort(share: &mut Vec<u64>, spare: &mut Vec<u64>, hash_bits: u32) {
    if share.len() < SORTED_MIN {
        return share.sort_unstable();
    }
    let bits = hash_bits - SHARE_BITS;
    let digits = bits.div_ceil(DIGIT_BITS_MAX) as usize;
    let digit_bits = bits.div_ceil(digits as u32);
    let mask = (1 << digit_bits) - 1;
    let shift = |place: usize| 64 - SHARE_BITS - digit_bits * (digits - place) as u32;
    let digit = |entry: u64, place: usize| (entry >> shift(place)) as usize & mask;
    let mut next = vec![[0u32; DIGITS_MAX]; mask + 1];
    for entry in &*share {
        for place in 0..digits {
            next[digit(*entry, place)][place] += 1;
        }
    }
    let mut at = [0; DIGITS_MAX];
    for counts in &mut next {
        for (count, at) in counts.iter_mut().zip(&mut at) {
            (*count, *at) = (*at, *at + *count);
        }
    }
    spare.clear();
    spare.resize(share.len(), 0);
    for place in 0..digits {
        for entry in &*share {
            let to = &mut next[digit(*entry, place)][place];
            spare[*to as usize] = *entry;
            *to += 1;
        }
        std::mem::swap(share, spare);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HASH_BITS, HASH_BITS_MIN};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn shares_follow_one_another_in_order(
            seed in any::<u64>(),
            len in prop::sample::select(vec![0usize, 1, 700, 20_000, 150_000, 400_000]),
            hash_bits in HASH_BITS_MIN..=HASH_BITS,
            in_one_share in any::<bool>(),
        ) {
            let mix = |i: u64| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(seed | 1);
            let share = |entry: u64| if in_one_share { entry >> SHARE_BITS } else { entry };
            // Some come twice.
            let entries: Vec<u64> = (0..len as u64).map(|i| share(mix(i / 2))).collect();
            let gathered: Gathered = entries.iter().copied().collect();
            prop_assert_eq!(gathered.len(), len);
            let sorted = gathered.into_sorted(hash_bits).concat();
            let shorter = |entries: Vec<u64>| entries.iter().map(|entry| entry >> (64 - hash_bits)).collect::<Vec<_>>();
            let mut want = entries;
            want.sort_unstable();
            let mut all = sorted.clone();
            all.sort_unstable();
            prop_assert_eq!(&all, &want, "none is lost");
            prop_assert_eq!(shorter(sorted), shorter(want));
        }
    }
}
