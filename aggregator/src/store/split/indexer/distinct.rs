//! The different values of a column in a block, and the words of one, by their hashes.

use crate::store::segment::BLOCK_ROWS_MAX;
use crate::store::split::hashes;

/// A set of hashes that is emptied for every column of every block.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    /// A hash, in which round it was put there, and its number. The length is a power of two.
    slots: Vec<(u64, u32, u32)>,
    round: u32,
    len: usize,
}

impl Distinct {
    pub(super) fn begin(&mut self) {
        self.len = 0;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.slots.is_empty() {
            self.slots.clear();
            self.slots.resize(4 * BLOCK_ROWS_MAX, (0, 0, 0));
            self.round = 1;
        }
    }

    /// Whether the hash is new.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        self.number(hash).1
    }

    /// The number of the hash, in the order in which they came, and whether it is new.
    pub(super) fn number(&mut self, hash: u64) -> (usize, bool) {
        if 2 * self.len >= self.slots.len() {
            self.grow();
        }
        let at = self.slot(hash);
        let (_, round, number) = self.slots[at];
        if round == self.round {
            return (number as usize, false);
        }
        self.slots[at] = (hash, self.round, self.len as u32);
        self.len += 1;
        (self.len - 1, true)
    }

    /// The slot of the hash, or the one that is free for it.
    fn slot(&self, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].1 == self.round && self.slots[at].0 != hash {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        self.slots = vec![(0, 0, 0); (2 * slots.len()).max(64)];
        for (hash, round, number) in slots.into_iter().filter(|(_, round, _)| *round == self.round) {
            let at = self.slot(hash);
            self.slots[at] = (hash, round, number);
        }
    }
}

/// A set of entries of the hash list, whatever their blocks, that is emptied for every block. Half as large as
/// [`Distinct`], for most words of a block go there.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Entries with the round in the place of the block. The length is a power of two.
    slots: Vec<u64>,
    round: u32,
    len: usize,
}

impl Entries {
    pub(super) fn begin(&mut self) {
        self.len = 0;
        self.round += 1;
        if self.round > hashes::BLOCK_MAX || self.slots.is_empty() {
            self.slots.clear();
            self.slots.resize(4 * BLOCK_ROWS_MAX, 0);
            self.round = 1;
        }
    }

    /// Whether the entry is new.
    #[inline]
    pub(super) fn insert(&mut self, entry: u64) -> bool {
        if 2 * self.len >= self.slots.len() {
            self.grow();
        }
        let entry = hashes::in_block(entry, self.round);
        let at = self.slot(entry);
        let is_new = self.slots[at] != entry;
        self.slots[at] = entry;
        self.len += usize::from(is_new);
        is_new
    }

    /// The slot of the entry, or the one that is free for it.
    #[inline]
    fn slot(&self, entry: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hashes::hash_of(entry) as usize & mask;
        while self.slots[at] != entry && self.is_of_round(self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }

    fn is_of_round(&self, slot: u64) -> bool {
        hashes::in_block(slot, self.round) == slot
    }

    fn grow(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        self.slots = vec![0; (2 * slots.len()).max(64)];
        for entry in slots {
            if self.is_of_round(entry) {
                let at = self.slot(entry);
                self.slots[at] = entry;
            }
        }
    }
}
