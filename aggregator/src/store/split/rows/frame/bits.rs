//! Bits as zstd has them: the first ones are the lowest of the first byte, and what is written last is read first.

/// Appends bits to bytes.
pub(super) struct Bits<'a> {
    out: &'a mut Vec<u8>,
    /// Where the bits that are held belong.
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// There will be about so many bytes.
    pub(super) fn new(out: &'a mut Vec<u8>, bytes: usize) -> Bits<'a> {
        let at = out.len();
        out.resize(at + bytes + size_of::<u64>(), 0);
        Bits { out, at, held: 0, count: 0 }
    }

    /// Adds the lower `bits` of a number; no more than 56 of them before [`Bits::flush`].
    #[inline(always)]
    pub(super) fn hold(&mut self, number: u64, bits: u32) {
        debug_assert!(self.count + bits < u64::BITS && number < 1 << bits, "{number} has more than {bits} bits");
        self.held |= number << self.count;
        self.count += bits;
    }

    /// Writes the whole bytes of what is held.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        // Each word is written over by the next one from where it is not filled.
        let word = self.held.to_le_bytes();
        match self.out.get_mut(self.at..self.at + word.len()) {
            Some(to) => to.copy_from_slice(&word),
            None => self.grow(word),
        }
        self.at += (self.count / 8) as usize;
        self.held >>= self.count & !7;
        self.count &= 7;
    }

    #[cold]
    fn grow(&mut self, word: [u8; 8]) {
        self.out.resize(self.at, 0);
        self.out.extend_from_slice(&word);
        self.out.resize(2 * self.out.len(), 0);
    }

    /// Appends the lower `bits` of a number, at most 32.
    #[inline]
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        self.hold(u64::from(number), bits);
        self.flush();
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(mut self) {
        self.flush();
        self.out.truncate(self.at + usize::from(self.count > 0));
    }

    /// Marks the end for those who read from there.
    pub(super) fn close(mut self) {
        self.put(1, 1);
        self.finish();
    }
}
