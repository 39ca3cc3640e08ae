//! Where the text of a JSON string stops being plain: what the door checks with and the parser cuts with.

use memchr::memchr2;

/// Bytes that are looked at a word at a time before the search for long texts is called: most strings of a log line
/// end within them.
const NEAR_BYTES: usize = 48;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The place of the first `"` or `\` from `at` on.
#[inline]
pub(crate) fn stop(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    while let Some(word) = text.get(from..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is zero: exact up to the first one, which is all that is asked.
        let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
        let found = zeros(word ^ (LOW * b'"' as u64)) | zeros(word ^ (LOW * b'\\' as u64));
        if found != 0 {
            return Some(from + found.trailing_zeros() as usize / 8);
        }
        from += 8;
        if from >= at + NEAR_BYTES {
            break;
        }
    }
    memchr2(b'"', b'\\', text.get(from..)?).map(|found| from + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_quote_or_backslash_is_found(
            text in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), Just(b'a'), Just(b'b')], 0..60),
            at in 0usize..70,
        ) {
            let want = text.iter().enumerate().skip(at).find(|(_, b)| matches!(b, b'"' | b'\\')).map(|(i, _)| i);
            prop_assert_eq!(stop(&text, at), want);
        }
    }
}
