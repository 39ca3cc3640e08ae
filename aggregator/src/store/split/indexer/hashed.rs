//! Terms that were hashed already: most values of a numbered column come again in the next block.

use super::Dictionary;

/// The terms of the values of a column by their numbers, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    /// The round of the dictionary.
    round: u32,
    /// Entries with flags in the place of a block; 0 for those that are not known.
    pub(super) entries: Vec<u64>,
}

impl Hashed {
    pub(super) const KNOWN: u32 = 1;
    pub(super) const BY_WORDS: u32 = 2;

    pub(super) fn begin(&mut self, dictionary: &Dictionary) {
        if self.round != dictionary.round() {
            self.round = dictionary.round();
            self.entries.clear();
        }
        self.entries.resize(dictionary.len(), 0);
    }
}
