//! Compressing pages.
//!
//! One compressor serves all pages of a split: its tables are larger than most pages. What differs in kind within a
//! page (lengths and the letters behind them, the planes of numbers) becomes blocks of its own in the one frame, so that
//! each has a code of its own: rare bytes in between cost every hexadecimal digit a sixteenth of a bit.

use std::io;
use std::sync::Once;

use zstd::zstd_safe::{CParameter, InBuffer, OutBuffer, compress_bound, get_error_name, zstd_sys::ZSTD_EndDirective};

use super::{ZSTD_LEVEL, frame};

/// A shorter page is one part: a code of its own costs some ten bytes.
const PARTED_BYTES_MIN: usize = 4096;

/// In pages up to this size zstd would look for five bytes that come again. Of numbers those are mostly chance, and
/// cost more than the digits.
const SMALL_BYTES_MAX: usize = 16 << 10;
const SMALL_MATCH_BYTES: u32 = 6;

/// What a further part adds to a frame at the most.
const PART_BYTES_MAX: usize = 16;

/// A shorter page of numbers is left to the library.
const LITERALS_BYTES_MIN: usize = 256;

/// Of a column both ways are tried with one page in so many.
const TRIED_ONE_IN: u32 = 16;

/// Texts in order that become one in so many bytes are alike: the library is not tried.
const ALIKE_ONE_IN: usize = 3;

/// Who compresses the pages of a column: what is made here, or the library.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store::split) struct Habit {
    pages: u32,
    here: bool,
}

impl Habit {
    /// What is made here, as far as that can be: for who compares the two.
    pub(in crate::store::split) fn here() -> Habit {
        Habit { pages: 1, here: true }
    }

    /// Whether both are tried with the next page.
    fn tries(&mut self) -> bool {
        let tried = self.pages.is_multiple_of(TRIED_ONE_IN);
        self.pages = self.pages.wrapping_add(1);
        tried
    }
}

/// A compressor and its buffers.
pub(in crate::store::split) struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
    /// What is made here.
    made: Vec<u8>,
    /// What the library reads of it.
    unzstd: zstd::bulk::Decompressor<'static>,
    back: Vec<u8>,
}

impl Compressor {
    pub(in crate::store::split) fn new() -> io::Result<Compressor> {
        let (zstd, unzstd) = (zstd::bulk::Compressor::new(ZSTD_LEVEL)?, zstd::bulk::Decompressor::new()?);
        Ok(Compressor { zstd, packed: Vec::new(), made: Vec::new(), unzstd, back: Vec::new() })
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

    /// The same of bytes that end with texts of these lengths, which are compared with one another ([`frame`]). `None` where
    /// that is not possible.
    fn compress_alike(
        &mut self,
        bytes: &[u8],
        texts_at: usize,
        lengths: impl Iterator<Item = usize>,
    ) -> io::Result<Option<()>> {
        self.made.clear();
        let mut before = None;
        if texts_at > 0 {
            self.compress(&bytes[..texts_at], &[])?;
            before = Some(&*self.packed);
        }
        let made = frame::put_texts(bytes, texts_at, lengths, before, &mut self.made);
        Ok(made.filter(|()| self.is_read_back(bytes)))
    }

    /// Whether the library makes these bytes of what was made here. The log forgets its lines for these pages, so that the library
    /// takes over where an encoder of our own is wrong.
    fn is_read_back(&mut self, bytes: &[u8]) -> bool {
        self.back.clear();
        self.back.reserve(bytes.len());
        let read = self.unzstd.decompress_to_buffer(&self.made, &mut self.back).is_ok_and(|_| self.back == bytes);
        if !read {
            debug_assert!(false, "a frame that was made here is not what it should be");
            static TOLD: Once = Once::new();
            let bytes = bytes.len();
            TOLD.call_once(|| tracing::error!(bytes, "a zstd frame of our own could not be read back: a mistake of ours, please report it; zstd's library makes such frames instead"));
        }
        read
    }

    /// One frame of bytes that end with texts of these lengths: as the library makes it, or with the texts compared with one
    /// another.
    pub(in crate::store::split) fn compress_texts(
        &mut self,
        bytes: &[u8],
        texts_at: usize,
        lengths: impl Iterator<Item = usize>,
        habit: &mut Habit,
    ) -> io::Result<&[u8]> {
        if bytes.len() < PARTED_BYTES_MIN {
            return self.compress(bytes, &[texts_at]);
        }
        let tried = habit.tries();
        let made = (tried || habit.here) && self.compress_alike(bytes, texts_at, lengths)?.is_some();
        self.made_or_packed(bytes, &[texts_at], (tried, made), habit)
    }

    /// One frame of a page of numbers: as the library makes it, or without a look for what comes again.
    pub(super) fn compress_numbers(&mut self, bytes: &[u8], habit: &mut Habit) -> io::Result<&[u8]> {
        if bytes.len() < LITERALS_BYTES_MIN {
            return self.compress(bytes, &[]);
        }
        let tried = habit.tries();
        self.made.clear();
        let made =
            (tried || habit.here) && frame::put_literals(bytes, &mut self.made).is_some() && self.is_read_back(bytes);
        self.made_or_packed(bytes, &[], (tried, made), habit)
    }

    /// What was made here, or what the library makes where that is shorter as far as it was tried.
    fn made_or_packed(
        &mut self,
        bytes: &[u8],
        cuts: &[usize],
        (tried, made): (bool, bool),
        habit: &mut Habit,
    ) -> io::Result<&[u8]> {
        if tried || !made {
            self.compress(bytes, cuts)?;
        }
        if tried {
            habit.here = made && self.made.len() < self.packed.len();
        }
        Ok(if made && habit.here { &self.made } else { &self.packed })
    }

    /// One frame of the texts of a dictionary, each behind its length.
    pub(in crate::store::split) fn compress_dictionary(
        &mut self,
        bytes: &[u8],
        lengths: impl Iterator<Item = usize>,
    ) -> io::Result<&[u8]> {
        let made = bytes.len() >= PARTED_BYTES_MIN && self.compress_alike(bytes, 0, lengths)?.is_some();
        if made && self.made.len() * ALIKE_ONE_IN <= bytes.len() {
            return Ok(&self.made);
        }
        self.compress(bytes, &[])?;
        Ok(if made && self.made.len() < self.packed.len() { &self.made } else { &self.packed })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sample may say that texts are alike one behind the other, and later pages have long ones in any order.
    #[test]
    fn pages_of_which_the_library_makes_less_are_left_to_it() {
        let long = |seed: u64| {
            let word = |i: u64| format!("{:x} ", (seed * 40 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
            (0..40).map(word).collect::<String>()
        };
        let texts: Vec<String> = (0..400u64).map(|i| long(i.wrapping_mul(i) / 7 % 23)).collect();
        let bytes = texts.concat().into_bytes();
        let mut compressor = Compressor::new().unwrap();
        let lengths = || texts.iter().map(String::len);
        let here = compressor.compress_texts(&bytes, 0, lengths(), &mut Habit::here()).unwrap().len();
        let library = compressor.compress(&bytes, &[0]).unwrap().len();
        assert!(library * 2 < here, "{library} of {here}");
        let mut habit = Habit::default();
        for _ in 0..3 {
            assert_eq!(compressor.compress_texts(&bytes, 0, lengths(), &mut habit).unwrap().len(), library);
        }
    }

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
