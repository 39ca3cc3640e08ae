//! Compressing pages.
//!
//! One compressor serves all pages of a split: its tables are larger than most pages. What differs in kind within a
//! page (lengths and the letters behind them, the planes of numbers) becomes blocks of its own in the one frame, so that
//! each has a code of its own: rare bytes in between cost every hexadecimal digit a sixteenth of a bit.

use std::io;

use zstd::zstd_safe::{CParameter, InBuffer, OutBuffer, compress_bound, get_error_name, zstd_sys::ZSTD_EndDirective};

use super::ZSTD_LEVEL;

/// A shorter page is one part: a code of its own costs some ten bytes.
const PARTED_BYTES_MIN: usize = 4096;

/// In pages up to this size zstd would look for five bytes that come again. Of numbers those are mostly chance, and
/// cost more than the digits.
const SMALL_BYTES_MAX: usize = 16 << 10;
const SMALL_MATCH_BYTES: u32 = 6;

/// What a further part adds to a frame at the most.
const PART_BYTES_MAX: usize = 16;

/// A compressor and its buffer.
pub(in crate::store::split) struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Compressor {
    pub(in crate::store::split) fn new() -> io::Result<Compressor> {
        Ok(Compressor { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, packed: Vec::new() })
    }

    /// One frame of the bytes, whose parts end at `cuts` and at the end.
    pub(in crate::store::split) fn compress(&mut self, bytes: &[u8], cuts: &[usize]) -> io::Result<&[u8]> {
        self.packed.clear();
        self.packed.reserve(compress_bound(bytes.len()) + cuts.len() * PART_BYTES_MAX);
        let match_bytes = if bytes.len() <= SMALL_BYTES_MAX { SMALL_MATCH_BYTES } else { 0 };
        self.zstd.set_parameter(CParameter::MinMatch(match_bytes))?;
        if cuts.is_empty() || bytes.len() < PARTED_BYTES_MIN {
            self.zstd.compress_to_buffer(bytes, &mut self.packed)?;
            return Ok(&self.packed);
        }
        let failed = |code| io::Error::other(get_error_name(code));
        let context = self.zstd.context_mut();
        context.set_pledged_src_size(Some(bytes.len() as u64)).map_err(failed)?;
        let mut out = OutBuffer::around(&mut self.packed);
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            let end = if to < bytes.len() { ZSTD_EndDirective::ZSTD_e_flush } else { ZSTD_EndDirective::ZSTD_e_end };
            let mut part = InBuffer::around(&bytes[from..to]);
            // The buffer takes all there can be, so nothing is left for another call.
            if context.compress_stream2(&mut out, &mut part, end).map_err(failed)? > 0 {
                return Err(io::Error::other("a page does not fit into its buffer"));
            }
            from = to;
        }
        Ok(&self.packed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_come_back_as_one_frame(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
            again in 1usize..40,
        ) {
            let bytes = bytes.repeat(again);
            let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(bytes.len() + 1)).filter(|at| *at < bytes.len()).collect();
            cuts.sort_unstable();
            let mut compressor = Compressor::new().unwrap();
            for _ in 0..2 {
                let packed = compressor.compress(&bytes, &cuts).unwrap();
                prop_assert_eq!(zstd::zstd_safe::find_frame_compressed_size(packed), Ok(packed.len()));
                prop_assert_eq!(&zstd::bulk::decompress(packed, bytes.len()).unwrap(), &bytes);
            }
        }
    }
}
