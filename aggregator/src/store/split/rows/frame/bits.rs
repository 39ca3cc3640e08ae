//! Bits as zstd has them: the first ones are the lowest of the first byte, and what is written last is read first.

/// Appends bits to bytes.
pub(super) struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Bits<'a> {
        Bits { out, held: 0, count: 0 }
    }

    /// Appends the lower `bits` of a number, at most 32.
    #[inline]
    pub(super) fn put(&mut self, number: u32, bits: u32) {
        debug_assert!(bits <= 32 && u64::from(number) < 1 << bits, "{number} has more than {bits} bits");
        self.held |= u64::from(number) << self.count;
        self.count += bits;
        if self.count >= 32 {
            self.out.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        self.out.extend_from_slice(&self.held.to_le_bytes()[..self.count.div_ceil(8) as usize]);
    }

    /// Marks the end for those who read from there.
    pub(super) fn close(mut self) {
        self.put(1, 1);
        self.finish();
    }
}
